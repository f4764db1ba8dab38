"""How much one server lets each of its visitors do: nobody should be able to take it from the others.

A profile is a set of limits for a kind of machine. On a laptop there are none but the machine's own memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psutil

from slm_core.config import ExperimentConfig, Knob, knob, knobs_of, problems_of
from slm_core.errors import ConfigError
from slm_core.model.budget import budget

_WITHOUT = 10**15  # a limit that nothing reaches
_MB = 1_000_000
_LARGEST_FILE_BYTES = 250 * _MB  # the largest preset has 200 MB


def _limit(default: int, help: str, unit: str) -> Any:
    return knob("limits", default, help, unit=unit, low=0, high=_WITHOUT)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one visitor, or one server, may do. Raises ConfigError listing every limit that is out of range.

    memory_bytes and active_runs may be 0: as much as the machine has, as many as it has cores.
    """

    separate: bool = False  # each visitor sees only their own runs, and those that others have published
    temporary: bool = False  # the machine's files are lost when it sleeps or starts again
    active_runs: int = _limit(0, "Runs that train at the same time, taking turns; the others queue.", "runs")
    runs_per_session: int = _limit(_WITHOUT, "Runs that one visitor may have training or queued.", "runs")
    parameters: int = _limit(_WITHOUT, "Size of a model.", "parameters")
    max_iters: int = _limit(_WITHOUT, "Steps of a run.", "steps")
    dataset_size: int = _limit(_WITHOUT, "Training text of a run.", "tokens")
    tokens_read: int = _limit(_WITHOUT, "Tokens that a run reads in all its steps.", "tokens")
    memory_bytes: int = _limit(0, "Memory of the whole app while runs train.", "bytes")
    text_bytes: int = _limit(25 * _MB, "A text that a visitor brings.", "bytes")
    session_bytes: int = _limit(_WITHOUT, "Finished runs that are kept for one visitor.", "bytes")
    server_bytes: int = _limit(_WITHOUT, "Finished runs that are kept for everybody.", "bytes")

    def __post_init__(self) -> None:
        if problems := problems_of(self, LIMITS):
            raise ConfigError("\n".join(problems))

    def problems(self, config: ExperimentConfig) -> list[str]:
        """A sentence for each limit of this server that a run would break, with what to lower."""
        cost = budget(config)
        asked = {
            "parameters": cost.parameters,
            "max_iters": config.max_iters,
            "dataset_size": config.dataset_size,
            "tokens_read": config.tokens_per_step * config.max_iters,
            "memory_bytes": cost.training_memory_bytes,
        }
        allowed = {name: getattr(self, name) for name in asked} | {"memory_bytes": self.memory}
        shared = ", because others use this server, too" if self.separate else ""
        return [
            f"{_SAID[name].format(wanted)}; here it may be {allowed[name]:,} at most{shared}. {_CURES[name]}."
            for name, wanted in asked.items()
            if wanted > allowed[name]
        ]

    @property
    def memory(self) -> int:
        """Bytes of memory that the app may use: memory_bytes, else nine tenths of the machine's."""
        return self.memory_bytes or psutil.virtual_memory().total * 9 // 10


LIMITS: dict[str, Knob] = knobs_of(Limits)
_SAID = {
    "parameters": "The model would have {:,} parameters",
    "max_iters": "The run would take {:,} steps",
    "dataset_size": "The training text would have {:,} tokens",
    "tokens_read": "The run would read {:,} tokens in all its steps",
    "memory_bytes": "Training would need {:,} bytes of memory",
}
_CURES = {
    "parameters": "Lower n_embd or n_layer",
    "max_iters": "Lower max_iters",
    "dataset_size": "Lower dataset_size",
    "tokens_read": "Lower max_iters, batch_size or block_size",
    "memory_bytes": "Lower batch_size, block_size or n_embd",
}

PROFILES: dict[str, Limits] = {
    "laptop": Limits(),
    "classroom": Limits(
        separate=True,
        active_runs=32,
        runs_per_session=20,
        parameters=60 * _MB,
        max_iters=20_000,
        dataset_size=10 * _MB,
        tokens_read=60 * _MB,
        text_bytes=5 * _MB,
        session_bytes=500 * _MB,
        server_bytes=15_000 * _MB,
    ),
    # Community Cloud gives about 1 GB, of which the app itself takes more than half, and less than two cores.
    "cloud": Limits(
        separate=True,
        temporary=True,
        active_runs=32,
        runs_per_session=6,
        parameters=1 * _MB,
        max_iters=2_000,
        dataset_size=300_000,
        tokens_read=2 * _MB,
        memory_bytes=900 * _MB,
        text_bytes=2 * _MB,
        session_bytes=100 * _MB,
        server_bytes=800 * _MB,
    ),
}


def load_limits(profile: str = "", changes: str = "") -> Limits:
    """The limits of a profile (default: laptop), some of them changed: "parameters=5000000 max_iters=500".

    Raises ConfigError for a profile or a limit that there is not.
    """
    name = profile or "laptop"
    if name not in PROFILES:
        raise ConfigError(f"There is no profile {name[:40]!r}. Known: {', '.join(PROFILES)}.")
    return replace(PROFILES[name], **dict(map(_change, changes.split())))


def _change(assignment: str) -> tuple[str, int]:
    name, _, number = assignment.partition("=")
    if name not in LIMITS:
        raise ConfigError(f"There is no limit called {name[:40]!r}. Known: {', '.join(LIMITS)}.")
    try:
        return name, int(number.replace("_", ""))
    except ValueError:
        raise ConfigError(f"The limit {name} is {number[:40]!r}; it must be a whole number.") from None


def largest_upload_bytes(limits: Limits) -> int:
    """How large anything may be that a visitor brings: a model file or a text."""
    return max(largest_file_bytes(limits), limits.text_bytes)


def largest_file_bytes(limits: Limits) -> int:
    """How large a model file may be that a visitor brings: four bytes a parameter, and room for what else it
    says."""
    return min(_LARGEST_FILE_BYTES, 4 * limits.parameters + 9 * _MB)


def allowed_presets(limits: Limits, configs: Mapping[str, ExperimentConfig]) -> list[str]:
    """The names of the configs that a server's limits allow."""
    return [name for name, config in configs.items() if not limits.problems(config)]
