"""What to try next: a sentence that names settings and values, and the same as changes for a new run.

The values are computed from the run's own config, and always fit it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slm_core.config import KNOBS, ExperimentConfig

MORE_TEXT, MORE_STEPS, LARGER = 5, 2, 2  # times as much: enough to see what it does
MEASUREMENTS = 10  # of a run, at least, show where it goes
_USUAL_RATE = KNOBS["learning_rate"].default


@dataclass(frozen=True)
class Remedy:
    """Words, and the settings to change. Where the words name several ways, the changes are the first."""

    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def more_text(config: ExperimentConfig, train_tokens: int) -> Remedy:
    """A larger dataset_size; where the run had no more text than train_tokens, that is for a person to do."""
    if train_tokens < config.dataset_size:
        return Remedy(
            f"All {train_tokens:,} tokens of this text are in use: add {MORE_TEXT} times as much of its kind."
        )
    return _sentence("More text: {}.", _times(config, "dataset_size", MORE_TEXT))


def more_steps(config: ExperimentConfig) -> Remedy:
    """A larger max_iters."""
    return _sentence("More steps: {}.", _times(config, "max_iters", MORE_STEPS))


def smaller_updates(config: ExperimentConfig) -> Remedy:
    """A third of the learning_rate."""
    return _updates(config, config.learning_rate / 3)


def more_measurements(config: ExperimentConfig) -> Remedy:
    """An eval_interval that gives ten measurements; where there are fewer steps than that, more of them."""
    interval = max(1, config.max_iters // MEASUREMENTS)
    if interval >= config.eval_interval:
        return more_steps(config)
    return _sentence("Measure more often: {}.", _set(config, "eval_interval", interval))


def honest_text(config: ExperimentConfig) -> Remedy:
    """A text that does not leak."""
    if config.corpus == "repeated":
        return _sentence("An honest test of the same model: {}.", _set(config, "corpus", "stories"))
    return Remedy("Remove from the text what stands in it twice, split it by document, and repeat nothing.")


def learn_more(config: ExperimentConfig, falling: bool) -> Remedy:
    """For a model that learns too little: first the setting that is furthest from what works. falling: it
    was still learning at the end."""
    if config.learning_rate > 3 * _USUAL_RATE:
        return _updates(config, _USUAL_RATE)
    if config.learning_rate < _USUAL_RATE / 10:
        return _updates(config, _USUAL_RATE / 3)
    if falling:
        return more_steps(config)
    if config.dropout > 0:
        return _sentence("Let it use all it has: {}.", _set(config, "dropout", 0.0))
    steps = _times(config, "max_iters", MORE_STEPS)
    return _sentence("A larger model: {}. Or more steps: {}.", _larger(config), steps)


def lower_still(config: ExperimentConfig) -> Remedy:
    """For a model that has nothing wrong with it."""
    steps = _times(config, "max_iters", MORE_STEPS)
    return _sentence("To get lower still, change one thing at a time: {}, or {}.", steps, _larger(config))


def _sentence(words: str, *ways: Remedy) -> Remedy:
    """Words with the ways filled in; the first that changes anything is the one to take."""
    changes = next((way.changes for way in ways if way.changes), {})
    return Remedy(words.format(*(way.text for way in ways)), changes)


def _set(config: ExperimentConfig, name: str, value: int | float | str) -> Remedy:
    now = getattr(config, name)
    return Remedy(f"{name} from {_written(now)} to {_written(value)}", {name: value})


def _written(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _times(config: ExperimentConfig, name: str, factor: int) -> Remedy:
    """So many times as much of a setting, as far as it goes."""
    value, most = getattr(config, name), int(KNOBS[name].high)
    if value == most:
        return Remedy(f"{name} beyond {most:,}, the largest there is here")
    return _set(config, name, min(most, factor * value))


def _larger(config: ExperimentConfig) -> Remedy:
    """A wider model, which n_head still divides, or a deeper one."""
    wider = LARGER * config.n_embd <= KNOBS["n_embd"].high
    return _times(config, "n_embd" if wider else "n_layer", LARGER)


def _updates(config: ExperimentConfig, rate: float) -> Remedy:
    """Another learning rate, of one digit, and a min_lr that is not above it."""
    rate = max(KNOBS["learning_rate"].low, float(f"{rate:.1g}"))
    words = "Larger updates" if rate > config.learning_rate else "Smaller updates"
    change = _set(config, "learning_rate", rate)
    if config.min_lr <= rate:
        return Remedy(f"{words}: {change.text}.", change.changes)
    lowest = _set(config, "min_lr", float(f"{rate / 10:.1g}"))
    return Remedy(f"{words}: {change.text}, and {lowest.text}.", {**change.changes, **lowest.changes})
