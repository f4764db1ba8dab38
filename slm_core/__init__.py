"""The engine of the Small-Language-Model trainer: read text, train a small GPT, watch it learn, keep what it
became. The names below are its public interface; docs/api.md shows how to use them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slm_core.config import ExperimentConfig, load_preset
    from slm_core.errors import SlmError
    from slm_core.experiment import get_sample_text, run_experiment, train_on_cloud
    from slm_core.hardware import measure_generation
    from slm_core.laptop import LaptopSLM
    from slm_core.model.generate import write_text
    from slm_core.model.sampling import Sampling

__all__ = [
    "ExperimentConfig",
    "LaptopSLM",
    "Sampling",
    "SlmError",
    "get_sample_text",
    "load_preset",
    "measure_generation",
    "run_experiment",
    "train_on_cloud",
    "write_text",
]

_HOMES = {
    "ExperimentConfig": "config",
    "LaptopSLM": "laptop",
    "Sampling": "model.sampling",
    "SlmError": "errors",
    "get_sample_text": "experiment",
    "load_preset": "config",
    "measure_generation": "hardware",
    "run_experiment": "experiment",
    "train_on_cloud": "experiment",
    "write_text": "model.generate",
}


def __getattr__(name: str) -> Any:
    """A public name from its module, imported when it is first asked for: torch takes seconds to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
