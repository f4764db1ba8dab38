"""Vary one thing, hold everything else: the runs of such an experiment, in which order, and what they cost.

All runs of a sweep start from one config, and two of them differ in nothing but what is varied, the seed, and
the settings that must follow (`Sweep.differing`).
"""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from slm_core.config import KNOBS, ExperimentConfig, config_from_dict
from slm_core.errors import ConfigError
from slm_core.model.budget import budget
from slm_core.study import axes
from slm_core.study.axes import AXES, Value

MOST_RUNS = 60
HOLDS = ("steps", "tokens")
_LONGEST_NAME, _LONGEST_QUESTION, _LONGEST_JSON = 80, 300, 20_000  # characters


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep."""

    value: Value
    seed: int
    config: ExperimentConfig
    device: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One thing varied over a grid, each value with each seed; everything else as in `base`.

    vary: a name of AXES. hold matters where a step of one run reads more than a step of another, for
    batch_size: all runs take the same steps, or as many as read the same tokens (within half a step);
    warmup_iters and eval_interval then stay the same shares of the run. Raises ConfigError.
    """

    name: str
    question: str
    vary: str
    values: tuple[Value, ...]
    seeds: tuple[int, ...]
    base: ExperimentConfig
    hold: str = "steps"

    def __post_init__(self) -> None:
        problems = self._problems()
        if not problems:  # only then do the values make settings
            problems = [found for value in self.values if (found := self._misfit(value))]
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def differing(self) -> frozenset[str]:
        """The settings in which runs may differ besides seed: what is varied, and what follows."""
        varied = {self.vary} & KNOBS.keys()
        held_by = ("max_iters", "warmup_iters", "eval_interval") if self._holds_tokens else ()
        return frozenset({*varied, *AXES[self.vary].follows, *held_by})

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this sweep: what follows what is varied, and what was changed for
        all."""
        found = [AXES[self.vary].note] if AXES[self.vary].note else []
        if self.vary == "batch_size" and self._holds_tokens:
            found.append("All runs read equally many tokens: max_iters follows, and what counts steps.")
        elif self.vary == "batch_size":
            found.append("All runs take equally many steps, so larger batches read more tokens.")
        if self.base.patience:
            found.append(
                f"A run ends once {self.base.patience} measurements of its validation loss were no better "
                "than the best. The best models are compared; gaps at the end are not, as runs end at "
                "different steps."
            )
        heads = self.cells()[0].config.n_head
        if heads != self.base.n_head:
            found.append(f"n_head is {heads} instead of {self.base.n_head}, so that it divides every width.")
        return tuple(found)

    def cells(self, device: str = "cpu") -> list[Cell]:
        """All runs, on `device` unless devices are varied: every value with the first seed, then with the
        next, so that a whole curve is there early."""
        return [
            Cell(
                value=value,
                seed=seed,
                config=self.base.with_changes({**self._changes(value), "seed": seed}),
                device=str(value) if self.vary == "device" else device,
            )
            for seed in self.seeds
            for value in self.values
        ]

    def to_json(self) -> str:
        """Plain JSON that `from_json` reads back."""
        return json.dumps({**vars(self), "base": self.base.to_dict()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The sweep that `to_json` wrote. Raises ConfigError for anything else."""
        stored = _read_json(text, "plan of a sweep", cls)
        try:
            values, seeds = tuple(stored.pop("values")), tuple(stored.pop("seeds"))
        except TypeError as error:
            raise ConfigError(f"This plan of a sweep cannot be read ({error}). Make it anew.") from None
        return cls(**{**stored, "base": config_from_dict(stored["base"])}, values=values, seeds=seeds)

    @property
    def _holds_tokens(self) -> bool:
        return self.vary == "batch_size" and self.hold == "tokens"

    def _problems(self) -> list[str]:
        if not isinstance(self.vary, str) or self.vary not in AXES:
            return [f"{self.vary!r} cannot be varied; choose one of {', '.join(AXES)}."]
        runs = len(self.values) * len(self.seeds)
        if runs > MOST_RUNS:
            return [
                f"{len(self.values)} values with {len(self.seeds)} seeds each are {runs:,} runs; at most "
                f"{MOST_RUNS} make a sweep. Take fewer values or fewer seeds."
            ]
        found = [
            f"The {what} of a sweep must be a text of 1 to {most} characters."
            for what, text, most in (
                ("name", self.name, _LONGEST_NAME),
                ("question", self.question, _LONGEST_QUESTION),
            )
            if not isinstance(text, str) or not 0 < len(text) <= most
        ]
        if self.hold not in HOLDS:
            found.append(f"hold is {self.hold!r}; choose one of {', '.join(HOLDS)}.")
        if self.base.corpus == "repeated":
            found.append(
                "The corpus repeated leaks: its losses measure memory. Choose tales, stories or own."
            )
        if self.base.patience and not AXES[self.vary].by_best_model:
            found.append(
                f"patience is {self.base.patience}, but runs that end early take fewer "
                f"{AXES[self.vary].compared_by}, which is what {self.vary} is judged by. Set patience to 0."
            )
        if self.vary == "vocab_size" and self.base.tokenizer != "bpe":
            found.append(f"vocab_size has no effect on the tokenizer {self.base.tokenizer}. Choose bpe.")
        wrong = [axes.problem_of(self.vary, value) for value in self.values]
        wrong += [KNOBS["seed"].problem(seed) for seed in self.seeds]
        found += [sentence for sentence in wrong if sentence]
        if found:
            return found
        if len(set(self.values)) < max(2, len(self.values)):
            found.append("A sweep needs at least two values, each of them once.")
        if len(set(self.seeds)) < max(1, len(self.seeds)):
            found.append("A sweep needs at least one seed, each of them once.")
        return found

    def _misfit(self, value: Value) -> str | None:
        try:
            self.base.with_changes(self._changes(value))
        except ConfigError as error:
            return f"With {self.vary} {value}: {error}"
        return None

    def _changes(self, value: Value) -> dict[str, Any]:
        return axes.changes(self.vary, value, self.values, self.base, self.hold)


@dataclass(frozen=True)
class Cost:
    """What a sweep takes at most if its runs follow one another, none ending early: seconds, and
    multiplications and additions."""

    seconds: float
    flops: int


def cost(sweep: Sweep, seconds_per_run: Callable[[Cell], float]) -> Cost:
    """What a sweep will take, from what one run of each value takes; seeds are taken to cost the same."""
    seconds, flops = 0.0, 0
    for cell in sweep.cells()[: len(sweep.values)]:
        seconds += seconds_per_run(cell) * len(sweep.seeds)
        flops += budget(cell.config).training_flops * len(sweep.seeds)
    return Cost(seconds, flops)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a person expects of a value before it is trained: its best validation loss, in nats per token.

    made_at has a time zone. Raises ConfigError.
    """

    value: Value
    guess: float
    made_at: datetime

    def __post_init__(self) -> None:
        if not _is_number(self.guess) or not 0 < self.guess <= 100:
            raise ConfigError(f"Your guess is {self.guess!r}; a loss is a number above 0, at most 100.")
        if not (isinstance(self.value, str) or _is_number(self.value)) or self.made_at.tzinfo is None:
            raise ConfigError("A guess needs the value it is for, and when it was made, with a time zone.")

    def to_json(self) -> str:
        """Plain JSON that `from_json` reads back."""
        return json.dumps({**vars(self), "made_at": self.made_at.isoformat()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The prediction that `to_json` wrote. Raises ConfigError for anything else."""
        stored = _read_json(text, "guess", cls)
        try:
            return cls(**{**stored, "made_at": datetime.fromisoformat(stored["made_at"])})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"This guess cannot be read ({error}). Make it anew.") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _read_json(text: str, what: str, kind: type) -> dict[str, Any]:
    """The fields of a dataclass from JSON, all of them and no others. Raises ConfigError."""
    try:
        if len(text) > _LONGEST_JSON:
            raise ValueError(f"{len(text):,} characters are too many")
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.keys() != kind.__annotations__.keys():
            raise ValueError(f"it must have {', '.join(kind.__annotations__)}, and nothing else")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"This {what} cannot be read ({error}). Make it anew.") from None
    return stored


def next_to_train(
    sweep: Sweep,
    done: Collection[tuple[Value, int]],
    held_out: Value | None = None,
    guess: Prediction | None = None,
    device: str = "cpu",
) -> list[Cell]:
    """The runs that may be trained now, in the sweep's order: those whose (value, seed) is not done, and of
    the value held out none before there is a guess for it. Raises ConfigError."""
    if held_out is not None and held_out not in sweep.values:
        raise ConfigError(f"{held_out!r} is held out, but {sweep.name} has only {sweep.values}. Choose one.")
    if guess is not None and guess.value != held_out:
        raise ConfigError(f"The guess is for {guess.value!r}, but {held_out!r} is held out. Guess anew.")
    return [
        cell
        for cell in sweep.cells(device)
        if (cell.value, cell.seed) not in done
        and (guess is not None or held_out is None or cell.value != held_out)
    ]
