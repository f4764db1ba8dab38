"""How the next token is drawn: the settings of writing, apart from the writing itself, which needs torch."""

from dataclasses import dataclass

from slm_core.config import Knob, knob, knobs_of, problems_of
from slm_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a text is drawn from a model. Raises ConfigError listing every value out of range."""

    max_new_tokens: int = knob(
        "sampling", 200, "How much to write, at most.", unit="tokens", low=1, high=2_000, step=1
    )
    temperature: float = knob(
        "sampling",
        0.8,
        "How daring: 0 always takes the likeliest token, 1 follows the model's odds, more takes rarer ones.",
        low=0.0,
        high=3.0,
        step=0.05,
    )
    top_k: int = knob(
        "sampling",
        0,
        "Draw from this many likeliest tokens; 0 draws from all.",
        unit="tokens",
        high=200,
        step=1,
    )
    top_p: float = knob(
        "sampling",
        1.0,
        "Draw from the fewest likeliest tokens that have this probability together; 1 draws from all.",
        low=0.01,
        high=1.0,
        step=0.01,
    )
    seed: int = knob("sampling", 0, "The same seed writes the same text.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        if problems := problems_of(self, SAMPLING_KNOBS):
            raise ConfigError("\n".join(problems))


SAMPLING_KNOBS: dict[str, Knob] = knobs_of(Sampling)
