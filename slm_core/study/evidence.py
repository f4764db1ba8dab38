"""What is known of a run, and what it amounts to: rises, gaps and falls, each beside the error it has.

Which error a difference has. All steps are measured on the same windows, so the error of a rise is that of
the windows' differences, which is smaller than either loss's own: a window that is hard at one step is hard
at the next. Only each loss's own standard error is kept, so a rise is given the error that it would have if
the two losses were measured on different windows. That is too large, and so a rise is found late rather than
wrongly. Training also shakes the loss on all windows alike, which no such error shows; that is told from the
curve itself.

What has been found stays: a rise or a fall is over when it has gone to a third of what made it count, and
what was once known by heart counts as known. So on a smooth curve nothing flickers.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from slm_core.config import ExperimentConfig
from slm_core.runs.history import History
from slm_core.text.report import TextReport
from slm_core.train.events import EvalDone, ExtractionDone

CLEAR = 3.0  # standard errors that a difference must have before it counts
BY_HEART = 0.5  # of the places tried, beyond what can be said of new text
GAP_SHARE = 0.1  # of what was learned; a good fit may lose so much on new text
RISE_SHARE = 0.01  # of what was learned; what is lost on new text below that is not worth a word
LITTLE_SHARE = 0.05  # of blind guessing; who learned less has learned next to nothing
UNDONE_SHARE = 0.5  # of what was learned; a run that forgets so much of its own text has gone wrong
_RECENT = 9  # measurements from which the shaking of a curve is told


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a run so far. Losses are nats per token.

    evaluations     in the order of steps
    loss_at_chance  of blind guessing
    train_tokens    unique tokens that it trains on: fewer than dataset_size if the text has no more
    leaking         the validation text stands in the training text, too
    floor           no model is below it on average; None if it is not known
    counting        what counting triples of tokens reaches on the validation text; None if not known
    extractions     in the order of steps; None if this run does not measure them
    ended           why the run ended, as in RunFinished; None while it goes on
    """

    config: ExperimentConfig
    evaluations: Sequence[EvalDone]
    loss_at_chance: float
    train_tokens: int
    leaking: bool = False
    floor: float | None = None
    counting: float | None = None
    extractions: Sequence[ExtractionDone] | None = None
    ended: str | None = None

    @property
    def ended_early(self) -> bool:
        """Whether its patience ended the run, as the validation loss had stopped falling."""
        steps = self.evaluations[-1].step
        return self.ended == "finished" and self.config.patience > 0 and steps < self.config.max_iters


def evidence_of(config: ExperimentConfig, history: History, report: TextReport | None) -> Evidence | None:
    """What a run's history and the report on its text tell of it; None before the run has begun."""
    if history.started is None:
        return None
    return Evidence(
        config=config,
        evaluations=[history.evaluations[step] for step in sorted(history.evaluations)],
        loss_at_chance=history.started.loss_at_chance,
        train_tokens=history.started.train_tokens,
        leaking=report is not None and report.leaks.leaking,
        floor=report.floor.nats_per_token if report is not None and report.floor else None,
        counting=report.yardsticks.trigram_nats if report is not None else None,
        extractions=[history.extractions[step] for step in sorted(history.extractions)] or None,
        ended=history.finished.reason if history.finished is not None else None,
    )


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A run's measurements in proportion to each other.

    best        the lowest validation loss
    turned      the step of the best, if validation has clearly risen since
    undone      the step of the lowest training loss, if half of what was learned by then is lost since
    falling     validation has clearly fallen over the second half of the steps done
    fall        by so much
    learned     how far the training loss has fallen
    margin      what a difference between two losses like the last must exceed to count
    by_heart    the first step at which much of the training text could be said by heart
    """

    start: EvalDone
    now: EvalDone
    best: EvalDone
    turned: int | None
    undone: int | None
    falling: bool
    fall: float
    learned: float
    margin: float
    by_heart: int | None

    @property
    def gap(self) -> float:
        """How much worse the model does on new text than on its own."""
        return self.now.validation_loss - self.now.train_loss

    @property
    def gap_margin(self) -> float:
        """What a gap must exceed to count. Only the validation loss stands for other text: the training loss
        is of the very text that was learned. Shaking moves both alike."""
        return CLEAR * self.now.validation_standard_error

    @property
    def rise_needed(self) -> float:
        """What a rise must exceed to count."""
        return max(self.margin, RISE_SHARE * self.learned)


class Fact(NamedTuple):
    """One number behind a verdict, in plain words."""

    name: str
    value: str
    meaning: str


def read(evidence: Evidence) -> Reading:
    """The measurements, of which there must be one or more, gone through in their order."""
    rows = evidence.evaluations
    steps = [row.step for row in rows]
    start = best = best_train = half = last = rows[0]
    turned = undone = falling = None
    learned, little = 0.0, LITTLE_SHARE * evidence.loss_at_chance
    margin = CLEAR * _doubt(start, start, rows[:1])
    for place, now in enumerate(rows[1:], start=1):
        best = min(best, now, key=lambda row: row.validation_loss)
        best_train = min(best_train, now, key=lambda row: row.train_loss)
        half = rows[max(0, bisect_right(steps, now.step / 2) - 1)]
        recent = rows[max(1, place + 1 - _RECENT) : place + 1]  # without the untrained model's, a large bend
        margin = CLEAR * _doubt(best, now, recent)
        # Of two measurements in a row the lower one, as one may be a stumble.
        rise = min(last.validation_loss, now.validation_loss) - best.validation_loss
        learned = start.train_loss - now.train_loss
        turned = _latched(turned, rise, max(margin, RISE_SHARE * learned), best.step)
        lost = min(last.train_loss, now.train_loss) - best_train.train_loss
        much = max(UNDONE_SHARE * (start.train_loss - best_train.train_loss), little)
        undone = _latched(undone, lost, much, best_train.step)
        falling = _latched(falling, half.validation_loss - now.validation_loss, margin, now.step)
        last = now
    return Reading(
        start=start,
        now=last,
        best=best,
        turned=turned,
        undone=undone,
        falling=falling is not None,
        fall=half.validation_loss - last.validation_loss,
        learned=learned,
        margin=margin,
        by_heart=_by_heart_since(evidence),
    )


def facts(evidence: Evidence, reading: Reading) -> tuple[Fact, ...]:
    """The numbers that a verdict follows from."""
    now, best = reading.now, reading.best
    found = [
        Fact(
            "Loss on its own text",
            f"{now.train_loss:.2f}",
            "How surprised the model is by a token of its training text, in nats. "
            f"Blind guessing: {evidence.loss_at_chance:.2f}.",
        ),
        Fact(
            "Loss on new text",
            f"{now.validation_loss:.2f} ± {now.validation_standard_error:.2f}",
            f"The same on text it never trains on. ± is how far other text of the kind might be from these "
            f"{now.windows:,} windows (standard error).",
        ),
        Fact(
            "Rise from its best",
            f"{now.validation_loss - best.validation_loss:.2f} since step {best.step:,}",
            f"It counts from {reading.rise_needed:.2f} on, two measurements in a row: {CLEAR:g} standard "
            f"errors of a difference, or {RISE_SHARE:.0%} of what was learned, whichever is more.",
        ),
        Fact(
            "Gap",
            f"{reading.gap:.2f}, with {reading.learned:.2f} learned",
            "New text minus its own, beside how far the loss on its own text has fallen. Up to "
            f"{GAP_SHARE:.0%} of that, {max(0.0, GAP_SHARE * reading.learned):.2f}, is a good fit.",
        ),
        Fact(
            "Fall over the second half",
            f"{reading.fall:.2f}",
            "How far the loss on new text fell over the second half of the steps so far; below 0, it rose.",
        ),
    ]
    if evidence.floor is not None:
        found.append(
            Fact(
                "Above the best possible",
                f"{now.validation_loss - evidence.floor:.2f}",
                "Who knows the story world, and nothing else, cannot on average stay below "
                f"{evidence.floor:.2f}.",
            )
        )
    elif evidence.counting is not None:
        found.append(
            Fact(
                "Counting reaches",
                f"{evidence.counting:.2f}",
                "The loss on new text of counting which token follows which two. A model should beat that.",
            )
        )
    if evidence.extractions:
        last = evidence.extractions[-1]
        found.append(
            Fact(
                "Said by heart",
                f"{last.train_rate:.0%} of its own text, {last.validation_rate:.0%} of new text",
                f"Share of {last.places_train:,} and {last.places_validation:,} places at which it goes on "
                f"word for word for {last.length_tokens} tokens. What it says of new text is no memory.",
            )
        )
    return tuple(found)


def _latched(state: int | None, value: float, level: float, step: int) -> int | None:
    """`step` once a value exceeds a level, until it has gone back to a third of it."""
    if value > level:
        return step
    return None if value <= level / 3 else state


def _doubt(one: EvalDone, other: EvalDone, recent: Sequence[EvalDone]) -> float:
    """The standard error of a difference between two validation losses: from window to window, and from step
    to step."""
    shaking = _shaking([row.validation_loss for row in recent])
    return math.hypot(one.validation_standard_error, other.validation_standard_error, math.sqrt(2) * shaking)


def _shaking(losses: Sequence[float]) -> float:
    """The standard deviation of what is not smooth in a curve: from its third differences, in which any
    parabola vanishes, and from their median, so that one bend or stumble does not count. 0 of too few."""
    thirds = [
        d - 3 * c + 3 * b - a for a, b, c, d in zip(losses, losses[1:], losses[2:], losses[3:], strict=False)
    ]
    return median(map(abs, thirds)) / (0.6745 * math.sqrt(20)) if len(thirds) >= 3 else 0.0


def _by_heart_since(evidence: Evidence) -> int | None:
    """The first step at which the text was known by heart. Where nothing was asked, a loss on its own text
    of half the floor shows it: who knows only the world is, on average, not below the floor."""
    if evidence.extractions is not None:
        return next((each.step for each in evidence.extractions if _knows_by_heart(each)), None)
    if evidence.floor is None:
        return None
    return next((row.step for row in evidence.evaluations if row.train_loss < evidence.floor / 2), None)


def _knows_by_heart(extraction: ExtractionDone) -> bool:
    """Whether it says clearly more of training text than of new text, and at half of the places or more."""
    excess = extraction.train_rate - extraction.validation_rate
    variance = 0.0
    for rate, places in (
        (extraction.train_rate, extraction.places_train),
        (extraction.validation_rate, extraction.places_validation),
    ):
        likely = (rate * places + 1) / (places + 2)  # never quite 0 or 1 (Laplace)
        variance += likely * (1 - likely) / (places + 2)
    return excess >= BY_HEART and excess > CLEAR * math.sqrt(variance)
