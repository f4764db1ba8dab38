"""What to take instead when a run would take too long or need too much memory."""

from collections.abc import Mapping

from slm_core.config import ExperimentConfig
from slm_core.errors import ConfigError
from slm_core.model.budget import budget

PATIENCE_SECONDS = 120.0  # more than a lecture waits for one run


def quicker(
    config: ExperimentConfig, seconds: float, configs: Mapping[str, ExperimentConfig]
) -> tuple[str, float] | None:
    """Of named configs, the one with the most arithmetic that ends within PATIENCE_SECONDS here, and about
    how many seconds it takes; if none does, the quickest. None if all take at least as long as `config`,
    which takes so many seconds.

    Time is taken to grow with the arithmetic; small models take somewhat longer than that.
    """
    rate = seconds / budget(config).training_flops
    times = {name: rate * budget(each).training_flops for name, each in configs.items()}
    within = {name: time for name, time in times.items() if time <= PATIENCE_SECONDS}
    name = max(within, key=within.get) if within else min(times, key=times.get)
    return (name, times[name]) if times[name] < seconds else None


def that_fits(config: ExperimentConfig, memory_bytes: float) -> dict[str, int]:
    """The one change, of batch_size if possible and else of n_embd, with which training needs at most so many
    bytes: the largest power-of-two part of the batch, or the widest model its heads allow. Empty if there is
    none."""
    for name, values in (
        ("batch_size", _halves(config.batch_size)),
        ("n_embd", range(config.n_embd - config.n_head, 0, -config.n_head)),
    ):
        for value in values:
            try:
                smaller = config.with_changes({name: value})
            except ConfigError:  # a width that the heads, or the knob, do not allow
                continue
            if budget(smaller).training_memory_bytes <= memory_bytes:
                return {name: value}
    return {}


def of_memory(needed: str, free: str, changes: Mapping[str, int]) -> str:
    """What to say of a run that needs more memory than is free: the two in words, and what `that_fits`
    gave."""
    fits = " and ".join(f"{name} {value}" for name, value in changes.items())
    cure = f"It would fit with {fits}." if fits else "Take a smaller preset."
    return f"Training needs about {needed} of memory, and {free} is free. {cure}"


def of_time(preset: str, time: str) -> str:
    """What to say of a run that takes too long: which preset is quicker, and how long that takes, in
    words."""
    return f"Long for a lecture. The preset {preset} takes about {time} here."


def _halves(value: int) -> list[int]:
    return [value >> power for power in range(1, value.bit_length())]
