"""What the runs of a sweep found: one outcome for each run, one row for each value, points for a law."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slm_core.runs.history import History
from slm_core.study.axes import Value
from slm_core.study.scaling import Point
from slm_core.study.sweep import Cell


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run found: losses in nats per token, of its best model and of its last, and seconds spent
    computing.

    train_tokens: how many there were, which is fewer than asked for if a text is too short. diverged: it
    broke off as its loss was no longer finite; its numbers are from before.
    """

    value: Value
    seed: int
    best_validation_loss: float
    best_step: int
    train_loss_there: float
    bits_per_byte: float
    final_validation: float
    final_train: float
    seconds: float
    train_tokens: int
    parameters: int
    diverged: bool = False

    @property
    def gap(self) -> float:
        """By how much the last model does better on text it has read than on new text."""
        return self.final_validation - self.final_train


def outcome(cell: Cell, history: History) -> Outcome | None:
    """What the run of a cell found; None if it was never measured or did not come to its end."""
    started, finished, best = history.started, history.finished, history.best
    if started is None or best is None or finished is None or finished.reason not in ("finished", "diverged"):
        return None
    last = history.evaluations[max(history.evaluations)]
    return Outcome(
        value=cell.value,
        seed=cell.seed,
        best_validation_loss=best.validation_loss,
        best_step=best.step,
        train_loss_there=best.train_loss,
        bits_per_byte=best.validation_bits_per_byte,
        final_validation=last.validation_loss,
        final_train=last.train_loss,
        seconds=finished.elapsed_seconds,
        train_tokens=started.train_tokens,
        parameters=started.parameters,
        diverged=finished.reason == "diverged",
    )


@dataclass(frozen=True)
class Spread:
    """Mean, lowest and highest of the seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the runs of one value found. Names are those of `Outcome`; diverged counts runs."""

    value: Value
    runs: int
    diverged: int
    best_validation_loss: Spread
    gap: Spread
    bits_per_byte: Spread
    seconds: Spread


def summary(outcomes: Sequence[Outcome]) -> list[Summary]:
    """One row for each value, in the order of values."""
    by_value: dict[Value, list[Outcome]] = {}
    for each in outcomes:
        by_value.setdefault(each.value, []).append(each)
    return [
        Summary(
            value=value,
            runs=len(runs),
            diverged=sum(each.diverged for each in runs),
            best_validation_loss=_spread([each.best_validation_loss for each in runs]),
            gap=_spread([each.gap for each in runs]),
            bits_per_byte=_spread([each.bits_per_byte for each in runs]),
            seconds=_spread([each.seconds for each in runs]),
        )
        for value, runs in sorted(by_value.items())
    ]


def notice(rows: Sequence[Summary], vary: str, compared_by: str) -> str:
    """What a sweep shows so far, in a sentence: from where to where the result goes, beside how much the
    seeds differ. rows as `summary` gives them; compared_by is one of their numbers."""
    if len(rows) < 2:
        return "Two values at least have to be done before anything can be said."
    spreads = [getattr(row, compared_by) for row in rows]
    best = min(range(len(rows)), key=lambda place: spreads[place].mean)
    worst = max(range(len(rows)), key=lambda place: spreads[place].mean)
    effect = spreads[worst].mean - spreads[best].mean
    by_seed = max(spread.high - spread.low for spread in spreads)
    what = compared_by.replace("_", " ")
    said = (
        f"With {vary} {_shown(rows[best].value)} the {what} is {spreads[best].mean:.3f}, with "
        f"{_shown(rows[worst].value)} it is {spreads[worst].mean:.3f}."
    )
    if min(row.runs for row in rows) < 2:
        return f"{said} From one seed nobody knows how much of that is chance: it takes three."
    if effect <= by_seed:
        return (
            f"{said} That is no more than the seeds differ by for one and the same value ({by_seed:.3f}): "
            "this sweep shows no effect."
        )
    return f"{said} Seeds differ by {by_seed:.3f} at most, so {vary} makes a difference here."


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _spread(values: list[float]) -> Spread:
    return Spread(math.fsum(values) / len(values), min(values), max(values))


def law_points(outcomes: Sequence[Outcome], along: str) -> list[Point]:
    """Points for `scaling.fit`: best validation losses along an axis's `along`. Runs that diverged are left
    out."""
    return [
        Point(float(getattr(each, along)), each.best_validation_loss, each.seed)
        for each in outcomes
        if not each.diverged
    ]
