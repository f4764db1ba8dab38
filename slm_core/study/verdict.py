"""The verdict on a run: what its measurements show so far, in a sentence, with advice and the numbers behind
it.

Nothing follows from how high a loss is, as that depends on text and tokenizer. What counts is how far the
loss on new text has risen from its best, how much of what was learned holds for new text, what the model can
say by heart of its own text and of new text, the floor where it is known, and whether the loss still falls.

While a run goes on, it is only ever said to be learning, to have turned, to know its text by heart or to have
gone wrong; how well it fits is said at its end. So on a smooth curve the verdict changes at most once, from
overfitting to memorized.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slm_core.study import remedies
from slm_core.study.evidence import GAP_SHARE, LITTLE_SHARE, Evidence, Fact, Reading, facts, read
from slm_core.study.remedies import Remedy
from slm_core.text.spans import FEWEST_SPANS
from slm_core.train.events import EvalDone

UNDERFITTING, LEARNING, GOOD_FIT, OVERFITTING = "underfitting", "learning", "good fit", "overfitting"
MEMORIZED, DIVERGED, LEAKING = "memorized", "diverged", "leaking"
TOO_LITTLE, CANT_TELL = "too little validation to tell", "can't tell yet"

FLOOR_SHARE = 0.05  # of the way from blind guessing to the floor; a good fit may have so much left to go
FALL_SHARE = 0.1  # of what was learned; who gains more over the second half of all steps is not done
FEWEST_MEASUREMENTS = 5  # before the end of a run says anything


@dataclass(frozen=True)
class Verdict:
    """What a run's measurements show.

    kind         one of the nine above
    since_step   from where on it is so; None if that is no question
    sentence     for somebody who sees such a chart for the first time
    advice       what to try
    changes      the settings that the advice names first, with the values it names; they fit the run's config
    facts        the numbers it follows from
    """

    kind: str
    since_step: int | None
    sentence: str
    advice: str
    changes: Mapping[str, Any]
    facts: tuple[Fact, ...]

    @property
    def title(self) -> str:
        """The kind, with the step from which on it is so."""
        since = "" if self.since_step is None else f" since step {self.since_step:,}"
        return self.kind + since


def verdict(evidence: Evidence) -> Verdict:
    """The verdict on a run. It is "can't tell yet" wherever the evidence is not enough."""
    if evidence.evaluations:
        reading = read(evidence)
        found = next(found for judge in _JUDGES if (found := judge(evidence, reading)))
        behind = facts(evidence, reading)
    else:
        found, behind = _diverged(evidence, None) or _nothing_measured(), ()
    kind, since_step, sentence, remedy = found
    return Verdict(kind, since_step, sentence, remedy.text, remedy.changes, behind)


# ---------------------------------------------------------------- the judges, the first one to speak decides

_Found = tuple[str, int | None, str, Remedy]  # kind, since_step, sentence, advice


def _nothing_measured() -> _Found:
    sentence = "Measuring the untrained model first: it should guess no better than chance."
    return CANT_TELL, None, sentence, Remedy("Wait for the first measurement.")


def _diverged(evidence: Evidence, reading: Reading | None) -> _Found | None:
    if evidence.ended == "diverged":
        since, what = None, "The loss is no longer a finite number"
    elif reading is not None and reading.undone is not None:
        since = reading.undone
        lowest = next(row.train_loss for row in evidence.evaluations if row.step == since)
        now = reading.now.train_loss
        what = f"On its own text the loss was {lowest:.2f} at step {since:,} and is {now:.2f} now"
    else:
        return None
    return (
        DIVERGED,
        since,
        f"{what}: the updates are too large, and each one spoils what those before it had learned.",
        remedies.smaller_updates(evidence.config),
    )


def _leaking(evidence: Evidence, reading: Reading) -> _Found | None:
    if not evidence.leaking:
        return None
    sentence = "Part of the validation text stands in the training text, too, so both losses measure memory."
    if reading.learned > reading.margin:
        sentence = f"{_losses(reading.now)}: here this looks like understanding and is not. {sentence}"
    return LEAKING, None, sentence, remedies.honest_text(evidence.config)


def _too_few_windows(evidence: Evidence, reading: Reading) -> _Found | None:
    if reading.now.windows >= FEWEST_SPANS:
        return None
    return _too_little(reading, FEWEST_SPANS / max(1, reading.now.windows))


def _too_little(reading: Reading, times: float) -> _Found:
    low, high = (
        reading.now.validation_loss + side * 2 * reading.now.validation_standard_error for side in (-1, 1)
    )
    return (
        TOO_LITTLE,
        None,
        f"The text held out for testing is too short: by its {reading.now.windows:,} windows the loss on new "
        f"text is anything from {low:.2f} to {high:.2f}, and what matters here is smaller than that.",
        Remedy(
            f"Add text: about {math.ceil(times):,} times as much is needed, as a tenth of it is held out."
        ),
    )


def _before_training(evidence: Evidence, reading: Reading) -> _Found | None:
    if len(evidence.evaluations) > 1:
        return None
    return (
        CANT_TELL,
        None,
        f"Before training the loss is {reading.now.validation_loss:.2f}; guessing blindly among all tokens "
        f"costs {evidence.loss_at_chance:.2f}. The model knows nothing yet.",
        Remedy("Wait for the next measurements."),
    )


def _memorized(evidence: Evidence, reading: Reading) -> _Found | None:
    if reading.by_heart is None:
        return None
    if evidence.extractions:
        last = evidence.extractions[-1]
        said = (
            f"given a few words of it, it goes on word for word in {last.train_rate:.0%} of "
            f"{last.places_train:,} places, and in new text in {last.validation_rate:.0%}"
        )
    else:
        said = (
            f"its loss there is down to {reading.now.train_loss:.2f}, and whoever knows only what such "
            f"stories are like cannot stay below about {evidence.floor:.2f}"
        )
    return (
        MEMORIZED,
        reading.by_heart,
        f"The model knows its own text by heart: {said}.",
        remedies.more_text(evidence.config, evidence.train_tokens),
    )


def _risen(evidence: Evidence, reading: Reading) -> _Found | None:
    if reading.turned is None:
        return None
    now, best, more = reading.now, reading.best, remedies.more_text(evidence.config, evidence.train_tokens)
    return (
        OVERFITTING,
        reading.turned,
        f"On its own text the loss is down to {now.train_loss:.2f}, on new text it has climbed to "
        f"{now.validation_loss:.2f}, {now.validation_loss - best.validation_loss:.2f} above its best at step "
        f"{best.step:,}: what the model has learned since then helps with its own text only.",
        replace(more, text=f"{more.text} Or stop at step {best.step:,}: the model kept as best is that one."),
    )


def _still_running(evidence: Evidence, reading: Reading) -> _Found | None:
    """What can be said before all steps are done, or if they are done and were measured too seldom."""
    if evidence.ended == "finished" and len(evidence.evaluations) >= FEWEST_MEASUREMENTS:
        return None
    now = reading.now
    if evidence.ended == "finished":
        sentence = f"Only {len(evidence.evaluations)} measurements were made, too few to see where it goes."
        return CANT_TELL, None, sentence, remedies.more_measurements(evidence.config)
    go_on = Remedy("Wait for more measurements." if evidence.ended is None else "Let it go on to see more.")
    if reading.falling:
        mostly_its_own = reading.gap - reading.gap_margin > GAP_SHARE * reading.learned
        sentence = (
            f"{_losses(now)}, where it fell by {reading.fall:.2f} over the second half of the steps so far: "
            + (
                "what the model learns helps most with its own text, and with new text a little, too."
                if mostly_its_own
                else "what the model learns holds for new text, too."
            )
        )
        return LEARNING, None, sentence, go_on
    sentence = f"{_losses(now)}: on new text it has lately become neither clearly better nor clearly worse."
    return CANT_TELL, None, sentence, go_on


def _unfinished(evidence: Evidence, reading: Reading) -> _Found | None:
    """What has not been learned though the run has come to its end."""
    now, limit = reading.now, GAP_SHARE * reading.learned
    if reading.learned <= LITTLE_SHARE * evidence.loss_at_chance:
        sentence = f"{_losses(now)}: they have hardly moved. The model has learned next to nothing."
        return UNDERFITTING, None, sentence, remedies.learn_more(evidence.config, falling=False)
    sizable = reading.falling and reading.fall > FALL_SHARE * reading.learned and not evidence.ended_early
    if reading.gap - reading.gap_margin > limit:  # it learns its own text faster than what texts share
        if not sizable:
            return None
        sentence = (
            f"{_losses(now)}, and still falling as the steps ran out: what it learns helps most with its "
            "own text, but with new text, too. Which of the two wins would have shown later."
        )
        return CANT_TELL, None, sentence, remedies.more_steps(evidence.config)
    if sizable:
        sentence = (
            f"{_losses(now)}: over the second half of the steps the loss on new text still fell by "
            f"{reading.fall:.2f}. The model had not yet learned what it can."
        )
        return UNDERFITTING, None, sentence, remedies.learn_more(evidence.config, falling=True)
    reachable, limit, which = _reachable(evidence)
    if now.train_loss - reachable - reading.margin <= limit:
        return None
    sentence = (
        f"Even on its own text the loss stays at {now.train_loss:.2f}, while {which} {reachable:.2f}: there "
        "is more to learn than this model has learned."
    )
    return UNDERFITTING, None, sentence, remedies.learn_more(evidence.config, falling=False)


def _reachable(evidence: Evidence) -> tuple[float, float, str]:
    """A loss that can be reached, how far above it a good fit may be, and what reaches it."""
    if evidence.floor is not None:
        allowed = FLOOR_SHARE * (evidence.loss_at_chance - evidence.floor)
        return evidence.floor, allowed, "the best possible is about"
    if evidence.counting is not None:
        return evidence.counting, 0.0, "merely counting which token follows which two reaches"
    return math.inf, 0.0, ""


def _at_the_end(evidence: Evidence, reading: Reading) -> _Found:
    now, limit = reading.now, GAP_SHARE * reading.learned
    certain = abs(reading.gap - limit) > reading.gap_margin
    if not certain and reading.gap_margin > limit / 2:
        return _too_little(reading, (2 * reading.gap_margin / limit) ** 2)  # errors fall with the square root
    if reading.gap > limit:
        return (
            OVERFITTING,
            None,  # a gap grows from the first step on
            f"{_losses(now)}: {reading.gap / reading.learned:.0%} of what the model learned of its own text "
            "does not hold for new text, though there it has not clearly become worse.",
            remedies.more_text(evidence.config, evidence.train_tokens),
        )
    floor = "" if evidence.floor is None else f" The best possible is about {evidence.floor:.2f}."
    return (
        GOOD_FIT,
        None,
        f"{_losses(now)}: what the model learned holds for new text nearly as well as for its own.{floor}",
        remedies.lower_still(evidence.config),
    )


_JUDGES: tuple[Callable[[Evidence, Reading], _Found | None], ...] = (
    _diverged,
    _leaking,
    _too_few_windows,
    _before_training,
    _memorized,
    _risen,
    _still_running,
    _unfinished,
    _at_the_end,
)


# ---------------------------------------------------------------- words


def _losses(now: EvalDone) -> str:
    return f"Loss {now.train_loss:.2f} on its own text, {now.validation_loss:.2f} on new text"
