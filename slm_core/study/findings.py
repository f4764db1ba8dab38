"""All that a sweep has found so far: a row for each value, the law behind them, and how a guess compares."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from slm_core.errors import RunError
from slm_core.model.budget import budget
from slm_core.runs.history import History
from slm_core.runs.store import Run, open_run
from slm_core.study.axes import AXES, Value
from slm_core.study.experiments import Experiment, outcomes
from slm_core.study.outcomes import Outcome, Summary, law_points, summary
from slm_core.study.scaling import Law, ScalingError, Score, fit, score, tokens_for

MEASURES = {
    "best_validation_loss": "best validation loss (nats per token)",
    "bits_per_byte": "best validation loss (bits per byte)",
    "seconds": "seconds of computing",
}
_CURVE_POINTS = 60  # of a law over an axis that can be drawn smoothly


@dataclass(frozen=True, kw_only=True)
class LawLine:
    """Where a law runs over the values of a sweep: 5, 50 and 95 per cent of its refits."""

    x: list[float]
    low: list[float]
    median: list[float]
    high: list[float]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a sweep shows so far.

    rows         one for each value with a finished run, in the order of values
    compared_by  the number of a row by which they are compared; measure says it in words
    references   losses to compare with, by name; none for other measures
    law, line    the law fitted to all values but the one held out, and where it runs; None before the guess
                 is made, or where the points show none: then why_no_law says why
    score        the guess and the law against the truth, once that is measured
    suited       from how many tokens to how many a model of this size is at its best for its cost, for sweeps
                 over the text's size
    """

    rows: list[Summary]
    compared_by: str
    measure: str
    references: dict[str, float]
    law: Law | None
    line: LawLine | None
    why_no_law: str
    score: Score | None
    suited: tuple[float, float] | None


def findings(experiment: Experiment, history_of: Callable[[Run], History]) -> Findings:
    """Look through the runs of a sweep; histories are read by `history_of`."""
    sweep, axis = experiment.sweep, AXES[experiment.sweep.vary]
    found = outcomes(experiment, history_of)
    references = _references(experiment, history_of) if axis.compared_by == "best_validation_loss" else {}
    law, why_no_law = None, ""
    if axis.along and found and (experiment.held_out is None or experiment.guess is not None):
        law, why_no_law = _law(experiment, found, references)
    return Findings(
        rows=summary(found),
        compared_by=axis.compared_by,
        measure=MEASURES[axis.compared_by],
        references=references,
        law=law,
        line=_line(experiment, found, law) if law is not None else None,
        why_no_law=why_no_law,
        score=_score(experiment, found, law),
        suited=tokens_for(budget(sweep.base).parameters) if sweep.vary == "dataset_size" else None,
    )


def _references(experiment: Experiment, history_of: Callable[[Run], History]) -> dict[str, float]:
    """Blind guessing and, where it is known, the floor; from the first run that has them."""
    for _, run_id in experiment.cells():
        try:
            run = open_run(experiment.file.parent.parent, run_id or "")
        except RunError:
            continue
        started, report = history_of(run).started, run.report()
        if started is not None and report is not None:
            floor = {"best possible": report.floor.nats_per_token} if report.floor else {}
            return {"guessing blindly (ln V)": started.loss_at_chance, **floor}
    return {}


def _law(
    experiment: Experiment, found: list[Outcome], references: dict[str, float]
) -> tuple[Law | None, str]:
    """The law of the values that were not held out, or why there is none."""
    told = [each for each in found if each.value != experiment.held_out]
    chance = references.get("guessing blindly (ln V)", math.log(experiment.sweep.base.vocab_size))
    along = AXES[experiment.sweep.vary].along
    try:
        law = fit(law_points(told, along), chance=chance, floor=references.get("best possible", 0.0))
    except ScalingError as error:
        return None, str(error)
    if not law.falls:
        return None, "The losses do not surely fall from the smallest value to the largest: no law is drawn."
    return law, ""


def _line(experiment: Experiment, found: list[Outcome], law: Law) -> LawLine:
    values = [float(value) for value in sorted(experiment.sweep.values)]
    if experiment.sweep.vary == "dataset_size":  # what the law is about, up to the last document
        ratio = (values[-1] / values[0]) ** (1 / (_CURVE_POINTS - 1))
        values = [values[0] * ratio**place for place in range(_CURVE_POINTS)]
        band = law.band(values)
    else:
        band = law.band([_along(experiment, found, value) for value in sorted(experiment.sweep.values)])
    return LawLine(x=values, low=band.low, median=band.median, high=band.high)


def _along(experiment: Experiment, found: list[Outcome], value: Value) -> float:
    """What the law is about, at one value: as measured, or as the config says."""
    along = AXES[experiment.sweep.vary].along
    for each in found:
        if each.value == value:
            return float(getattr(each, along))
    config = next(cell.config for cell in experiment.sweep.cells() if cell.value == value)
    return float(budget(config).parameters if along == "parameters" else config.dataset_size)


def _score(experiment: Experiment, found: list[Outcome], law: Law | None) -> Score | None:
    truth = [each.best_validation_loss for each in found if each.value == experiment.held_out]
    if experiment.guess is None or law is None or len(truth) < len(experiment.sweep.seeds):
        return None
    predicted = law.predict(_along(experiment, found, experiment.held_out))
    return score(experiment.guess.guess, math.fsum(truth) / len(truth), predicted)
