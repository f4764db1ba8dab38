"""The verdict on curves made by hand, whose answer is known because we made them.

`CURVES` is the oracle. Each entry draws a run from a process that says what happens in it (what a model
knows, when it stops learning, what it remembers), and knows no threshold of the verdict's. Losses are what
such a process would show, measured as the engine measures: on the same windows at every step, so that most
of the sampling error is one shift of the whole curve, and a little is new at each step. Training shakes both
losses, and may stumble.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from random import Random

import pytest

from slm_core.config import ExperimentConfig
from slm_core.study.evidence import Evidence
from slm_core.study.verdict import (
    CANT_TELL,
    DIVERGED,
    GOOD_FIT,
    LEAKING,
    LEARNING,
    MEMORIZED,
    OVERFITTING,
    TOO_LITTLE,
    UNDERFITTING,
    Verdict,
    verdict,
)
from slm_core.train.events import EvalDone, ExtractionDone

CONFIG = ExperimentConfig()
Loss = Callable[[float], float]  # of the share of all steps that is done, 0..1


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's true losses, how well they are measured, and what else is known of it."""

    train: Loss
    validation: Loss
    chance: float
    error: float
    noise: float  # of the windows' differences from step to step, in standard errors
    shaking: float  # of the model itself from step to step, which moves both losses
    stumble: int  # a measurement at which both losses are up, and back at the next one
    points: int
    interval: int
    shown: float = 1.0  # share of all steps done
    windows: int = 128
    floor: float | None = None
    counting: float | None = None
    by_heart: Loss | None = None  # share of the training text that can be said by heart
    leaking: bool = False
    ended: str | None = "finished"

    def evidence(self, random: Random) -> Evidence:
        """Measure it."""
        shifted = random.gauss(0, self.error)
        last = max(1, round(self.shown * (self.points - 1)))
        rows, extractions = [], []
        for place in range(last + 1):
            t = place / (self.points - 1)
            shake = random.gauss(0, self.shaking) + 0.05 * self.chance * (place == self.stumble > 0)
            shift = shifted + random.gauss(0, self.noise * self.error)
            rows.append(
                evaluated(
                    place * self.interval,
                    self.train(t) + shake,
                    self.validation(t) + shake + shift * (place > 0),
                    self.error,
                    self.windows,
                )
            )
            if self.by_heart is not None and place % 4 == 0:
                rates = [
                    sum(random.random() < share for _ in range(200)) / 200
                    for share in (self.by_heart(t), 0.02)
                ]
                extractions.append(extracted(place * self.interval, *rates))
        return Evidence(
            config=CONFIG,
            evaluations=rows,
            loss_at_chance=self.chance,
            train_tokens=CONFIG.dataset_size,
            leaking=self.leaking,
            floor=self.floor,
            counting=self.counting,
            extractions=None if self.by_heart is None else extractions,
            ended=self.ended,
        )


def evaluated(
    step: int, train: float, validation: float, error: float = 0.01, windows: int = 128
) -> EvalDone:
    return EvalDone(
        step=step, train_loss=train, train_bits_per_byte=1.0, validation_loss=validation,
        validation_standard_error=error, validation_bits_per_byte=1.0, windows=windows, is_best=False,
    )  # fmt: skip


def extracted(step: int, train: float, validation: float, places: int = 200) -> ExtractionDone:
    return ExtractionDone(
        step=step, train_rate=train, validation_rate=validation, places_train=places,
        places_validation=places, length_tokens=16,
    )  # fmt: skip


def falls(start: float, end: float, time: float) -> Loss:
    """Exponentially from start towards end, most of the way in `time`."""
    return lambda t: end + (start - end) * math.exp(-t / time)


def creeps(start: float, end: float, time: float) -> Loss:
    """From start towards end by a power law, as losses of large models do, until all steps are done."""
    left = (1 + 1 / time) ** -1.5
    return lambda t: end + (start - end) * ((1 + t / time) ** -1.5 - left) / (1 - left)


def losing(train: Loss, share: float) -> Loss:
    """The loss on new text if this share of what is learned of one's own text does not hold for it."""
    return lambda t: train(t) + share * (train(0) - train(t))


def measured(random: Random) -> dict:
    """A vocabulary, a text and a way to measure that a run may have. The floor is that of the text."""
    chance = math.log(random.choice([65, 257, 768, 1_024, 4_096, 50_257]))
    return {
        "chance": chance,
        "floor": chance * random.uniform(0.05, 0.3),
        "error": random.uniform(0.004, 0.04),
        "noise": random.uniform(0.0, 0.5),
        "shaking": random.uniform(0.0, 0.003) * chance,
        "stumble": random.choice([0, 3, 6, 9]),
        "points": random.randrange(10, 60),
        "interval": random.choice([1, 5, 20, 100, 250]),
    }


def stopped_short(random: Random) -> Curve:
    """Underfitting: the steps run out in the middle of the fall, whether or not the floor is known."""
    m = measured(random)
    end = falls(m["chance"], m["floor"], random.uniform(0.35, 2.0))
    return Curve(**m | {"floor": random.choice([m["floor"], None])}, train=end, validation=end)


def too_small(random: Random) -> Curve:
    """Underfitting: the model comes to rest far above the floor, or above what counting reaches."""
    m = measured(random)
    rest = m["floor"] + random.uniform(0.12, 0.5) * (m["chance"] - m["floor"])
    known = random.choice([{}, {"floor": None, "counting": rest - random.uniform(0.3, 0.5)}])
    train = random.choice([falls, creeps])(m["chance"], rest, random.uniform(0.03, 0.1))
    return Curve(**m | known, train=train, validation=losing(train, random.uniform(0.0, 0.02)))


def dead(random: Random) -> Curve:
    """Underfitting: the updates are so small that the losses stay where they began."""
    m = measured(random)
    train = falls(m["chance"], m["chance"] - random.uniform(0, m["error"]), 1.0)
    return Curve(**m | {"floor": None}, train=train, validation=train)


def seen_early(random: Random) -> Curve:
    """Learning: a run that goes on, seen during its fall, when what it learns holds for new text."""
    m = measured(random)
    time = random.uniform(0.2, 0.5)
    train = falls(m["chance"], m["floor"], time)
    ended = random.choice([None, None, "stopped"])
    shown = min(1.0, time * random.uniform(0.7, 2.0))
    return Curve(
        **m, train=train, validation=losing(train, random.uniform(0.0, 0.1)), shown=shown, ended=ended
    )


def fits(random: Random) -> Curve:
    """Good fit: both losses come to rest together, just above the floor, which may be known or not."""
    m = measured(random)
    way = m["chance"] - m["floor"]
    train = random.choice([falls, creeps])(
        m["chance"], m["floor"] + random.uniform(0.0, 0.03) * way, random.uniform(0.02, 0.1)
    )
    known = random.choice([{}, {"floor": None}, {"floor": None, "counting": m["floor"] + 0.3 * way}])
    return Curve(**m | known, train=train, validation=losing(train, random.uniform(0.0, 0.05)))


def turns(random: Random) -> Curve:
    """Overfitting: from some step on new text pays for what the model learns of its own. Some of that it can
    say by heart, most it cannot; its loss stays at or above what the floor asks."""
    m = measured(random)
    time, turn = random.uniform(0.03, 0.1), random.uniform(0.1, 0.6)
    train = falls(m["chance"], m["floor"] * random.uniform(0.9, 2.0), time)
    climb, bend = random.uniform(0.4, 4.0), random.uniform(0.7, 1.5)
    best = random.uniform(0.3, 0.8) * m["chance"]

    def validation(t: float) -> float:
        return falls(m["chance"], best, time)(t) + climb * max(0.0, (t - turn) / (1 - turn)) ** bend

    share = random.uniform(0.0, 0.3)
    by_heart = random.choice([None, lambda t: share * t])
    ended = random.choice([None, "finished", "stopped"])
    return Curve(**m, train=train, validation=validation, by_heart=by_heart, ended=ended)


def parts(random: Random) -> Curve:
    """Overfitting: new text gains nothing more while the model goes on with its own."""
    m = measured(random)
    rest = m["floor"] + random.uniform(0.3, 0.6) * (m["chance"] - m["floor"])
    train = falls(m["chance"], m["floor"], random.uniform(0.1, 0.2))
    return Curve(**m, train=train, validation=falls(m["chance"], rest, random.uniform(0.03, 0.1)))


def remembers(random: Random) -> Curve:
    """Memorized: passage after passage is known by heart, in the end nearly all of them. Passages that are
    known cost nothing; new text costs more and more."""
    m = measured(random)
    time, most = random.uniform(0.05, 0.25), random.uniform(0.75, 1.0)

    def known(t: float) -> float:
        return most * (1 - math.exp(-t / time))

    def validation(t: float) -> float:
        return m["chance"] * (0.8 + 0.2 * math.exp(-t / 0.03) + random_rise * t)

    random_rise = random.uniform(0.1, 1.0)
    asked = random.random() < 0.7
    most = most if asked else 0.95 + 0.05 * most  # without asking, only a loss next to nothing tells
    by_heart = known if asked else None
    train = falls(m["chance"], 0.0, time)
    return Curve(**m, train=train, validation=validation, by_heart=by_heart)


def breaks(random: Random) -> Curve:
    """Diverged: the loss jumps up at some step, and stays there; or it is no number any more."""
    whole = fits(random)
    if random.random() < 0.4:
        return replace(whole, shown=random.uniform(0.1, 0.9), ended="diverged")
    at, height = random.uniform(0.2, 0.7), whole.chance * random.uniform(0.9, 3.0)
    train, validation = (
        lambda t, loss=loss: loss(t) if t < at else height for loss in (whole.train, whole.validation)
    )
    return replace(whole, train=train, validation=validation, ended=random.choice([None, "finished"]))


def leaks(random: Random) -> Curve:
    """Leaking: both losses measure memory of the same text."""
    m = measured(random)
    both = falls(m["chance"], 0.02, random.uniform(0.05, 0.3))
    shown, ended = random.uniform(0.0, 1.0), random.choice([None, "finished"])
    return Curve(**m, train=both, validation=both, leaking=True, shown=shown, ended=ended)


def hardly_tested(random: Random) -> Curve:
    """Too little validation: what matters, whether a part of what was learned holds for new text, is smaller
    than the chance of which text was held out."""
    m = measured(random)
    learned = m["chance"] - m["floor"]
    train = falls(m["chance"], m["floor"], random.uniform(0.03, 0.1))
    few = {"windows": random.randrange(20, 40), "error": random.uniform(0.08, 0.25) * learned, "noise": 0.1}
    return Curve(**m | few, train=train, validation=losing(train, random.uniform(0.0, 0.2)))


def hardly_any_windows(random: Random) -> Curve:
    """Too little validation: a handful of windows, whatever the curve."""
    kind = random.choice([fits, turns, too_small, seen_early])
    return replace(kind(random), windows=random.randrange(1, 20))


CURVES: dict[str, list[Callable[[Random], Curve]]] = {
    UNDERFITTING: [stopped_short, too_small, dead],
    LEARNING: [seen_early],
    GOOD_FIT: [fits],
    OVERFITTING: [turns, parts],
    MEMORIZED: [remembers],
    DIVERGED: [breaks],
    LEAKING: [leaks],
    TOO_LITTLE: [hardly_tested, hardly_any_windows],
}
PROCESSES = [(kind, process) for kind, processes in CURVES.items() for process in processes]
EACH = pytest.mark.parametrize(("kind", "process"), PROCESSES, ids=[p.__name__ for _, p in PROCESSES])


@EACH
def test_curves_with_a_known_answer_are_judged_right(kind, process):
    found = []
    for seed in range(300):
        random = Random(f"{process.__name__} {seed}")
        found.append(verdict(process(random).evidence(random)).kind)
    right = found.count(kind) / len(found)
    assert right >= 0.95, (right, {each: found.count(each) for each in set(found)})


def smooth(process: Callable[[Random], Curve], seed: int) -> Evidence:
    """A curve measured without noise, though not on all the text there is."""
    random = Random(f"{process.__name__} smooth {seed}")
    return replace(process(random), noise=0.0, shaking=0.0, stumble=0).evidence(random)


def one_by_one(whole: Evidence) -> list[Verdict]:
    """The verdicts that somebody sees who looks after each measurement, and after the end."""
    told = []
    for count in range(1, len(whole.evaluations) + 1):
        rows = whole.evaluations[:count]
        known = whole.extractions and [each for each in whole.extractions if each.step <= rows[-1].step]
        told.append(verdict(replace(whole, evaluations=rows, extractions=known, ended=None)))
    return [*told, verdict(whole)]


@EACH
def test_on_a_smooth_curve_the_verdict_changes_at_most_once(kind, process):
    for seed in range(12):
        told = [each for each in one_by_one(smooth(process, seed)) if each.kind != CANT_TELL]
        decided = [name for name, _ in groupby(each.kind for each in told)]
        assert LEARNING not in decided[1:], decided  # what is decided stays decided
        assert len([name for name in decided if name != LEARNING]) <= 2, decided
        for one, other in pairwise(told):
            assert one.kind != other.kind or one.since_step == other.since_step


def test_overfitting_begins_where_validation_was_lowest():
    for seed in range(40):
        whole = smooth(turns, seed)
        lowest = min(whole.evaluations, key=lambda row: row.validation_loss)
        assert verdict(whole).since_step == lowest.step


def moved(whole: Evidence, up: float = 0.0, slower: int = 1) -> Evidence:
    """The same run with all losses higher by a constant, and each step made of several."""
    rows = [
        replace(
            row,
            step=row.step * slower,
            train_loss=row.train_loss + up,
            validation_loss=row.validation_loss + up,
        )
        for row in whole.evaluations
    ]
    known = whole.extractions and [
        extracted(each.step * slower, each.train_rate, each.validation_rate) for each in whole.extractions
    ]
    return replace(whole, evaluations=rows, extractions=known)


@EACH
def test_how_high_the_losses_are_makes_no_difference(kind, process):
    for seed in range(25):
        random = Random(seed)
        whole = replace(process(random).evidence(random), floor=None, counting=None)
        here, there = verdict(whole), verdict(moved(whole, up=3.0))
        assert (here.kind, here.since_step) == (there.kind, there.since_step)


@EACH
def test_how_long_a_step_is_makes_no_difference(kind, process):
    for seed in range(25):
        random = Random(seed)
        whole = process(random).evidence(random)
        here, there = verdict(whole), verdict(moved(whole, slower=8))
        assert here.kind == there.kind
        assert there.since_step == (None if here.since_step is None else 8 * here.since_step)


# Runs that were trained, as the engine measured them: the interval, training and validation losses, the last
# standard error, the floor, what was said by heart of the training text (step, share); and what a teacher who
# knows what these models write would say.
TRAINED = {
    "TINY_CPU": (  # half a million parameters, 200 tokens, each read a thousand times
        20, [6.95, 2.20, 0.22, 0.08, 0.05, 0.03, 0.02, 0.01, 0.01, 0.00, 0.00],
        [6.97, 6.44, 7.44, 8.34, 7.99, 8.17, 8.42, 8.45, 8.63, 8.77, 8.69],
        0.066, 0.486, [(0, 0.0), (20, 0.10), (40, 0.66), (60, 0.66), (200, 0.70)], (MEMORIZED, 40),
    ),
    "ULTRA_TINY at step 300": (  # a fifth of that, 2,000 tokens: new text suffers first
        20, [6.65, 5.29, 3.73, 2.70, 2.02, 1.54, 1.15, 0.89, 0.70, 0.56, 0.47, 0.39, 0.34, 0.32, 0.28, 0.25],
        [6.65, 5.47, 4.18, 3.41, 2.98, 2.71, 2.52, 2.42, 2.40, 2.39, 2.45, 2.53, 2.59, 2.70, 2.80, 2.88],
        0.068, 0.450, [(0, 0.0), (80, 0.0), (160, 0.06), (240, 0.47)], (OVERFITTING, 180),
    ),
    "ULTRA_TINY, 300,000 tokens": (  # the same model
        100, [6.65, 2.08, 0.96, 0.76, 0.71, 0.68, 0.67, 0.66, 0.65, 0.63, 0.63],
        [6.65, 2.04, 0.95, 0.75, 0.70, 0.67, 0.66, 0.64, 0.64, 0.63, 0.63],
        0.006, 0.450, [(0, 0.0), (400, 0.0), (800, 0.0), (1000, 0.01)], (GOOD_FIT, None),
    ),
    "eight numbers wide": (  # one layer, and the same text
        100, [6.65, 5.12, 4.22, 3.58, 3.17, 2.94, 2.80, 2.71, 2.66, 2.62, 2.61],
        [6.65, 5.11, 4.19, 3.55, 3.14, 2.91, 2.77, 2.68, 2.63, 2.59, 2.57],
        0.017, 0.450, [(0, 0.0), (500, 0.0), (1000, 0.0)], (UNDERFITTING, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_runs_that_were_trained(name):
    interval, train, validation, error, floor, by_heart, answer = TRAINED[name]
    rows = zip(range(0, 9_999, interval), train, validation, strict=False)
    known = [extracted(step, rate, 0.0) for step, rate in by_heart]
    found = verdict(evidence(*rows, error=error, floor=floor, extractions=known))
    assert (found.kind, found.since_step) == answer


def evidence(*rows: tuple[int, float, float], error: float = 0.01, windows: int = 128, **known) -> Evidence:
    """Of a run with these (step, training loss, validation loss)."""
    settings = {"config": CONFIG, "loss_at_chance": 6.93, "train_tokens": 200, "ended": "finished"}
    return Evidence(evaluations=[evaluated(*row, error, windows) for row in rows], **settings | known)


START = (0, 6.95, 6.94)
FELL = [
    START,
    (20, 3.0, 3.1),
    (40, 2.0, 2.1),
    (60, 1.5, 1.6),
    (80, 1.2, 1.4),
    (100, 1.1, 1.35),
    (120, 1.1, 1.34),
]
ROSE = [START, (20, 2.0, 6.4), (40, 0.9, 7.0), (60, 0.5, 7.4), (80, 0.4, 8.0)]


def config(**changes: object) -> ExperimentConfig:
    return CONFIG.with_changes(changes)


def test_before_the_first_measurement_and_after_it():
    nothing = verdict(evidence(ended=None))
    assert nothing.kind == CANT_TELL and "Measuring the untrained model" in nothing.sentence
    assert nothing.facts == ()
    untrained = verdict(evidence(START, ended=None))
    assert untrained.kind == CANT_TELL and untrained.since_step is None
    assert all(word in untrained.sentence for word in ("6.94", "6.93", "knows nothing"))


def test_a_run_that_ends_before_anything_is_measured():
    assert verdict(evidence(ended="diverged")).kind == DIVERGED


def test_a_rise_names_its_step_in_the_title():
    found = verdict(evidence(*ROSE))
    assert found.title == "overfitting since step 20"
    assert all(word in found.sentence for word in ("0.40", "8.00", "1.60 above its best at step 20"))
    assert verdict(evidence(*FELL)).title == GOOD_FIT


def test_one_stumble_is_no_rise_and_a_rise_within_the_noise_is_none():
    stumbled = [START, (20, 3.0, 3.1), (40, 2.0, 2.1), (60, 1.6, 1.7), (80, 1.6, 3.5)]
    assert verdict(evidence(*stumbled, ended=None)).kind != OVERFITTING
    assert verdict(evidence(*ROSE, error=0.5, ended=None)).kind == CANT_TELL


def test_a_rise_that_is_sure_but_not_worth_a_word_is_none():
    """0.04 of the 5.85 learned, twenty standard errors."""
    rows = [*FELL, (140, 1.1, 1.36), (160, 1.1, 1.38), (180, 1.1, 1.38), (200, 1.1, 1.38)]
    assert verdict(evidence(*rows, error=0.001)).kind == GOOD_FIT


def test_a_rise_that_has_come_back_is_forgotten():
    rows = [*ROSE, (100, 0.4, 6.5), (120, 0.4, 6.35), (140, 0.4, 6.3)]
    assert verdict(evidence(*ROSE, ended=None)).kind == OVERFITTING
    assert verdict(evidence(*rows, ended=None)).kind != OVERFITTING


def test_a_leaking_text_is_never_praised():
    early = verdict(evidence(START, leaking=True, ended=None))
    late = verdict(evidence(START, (20, 1.0, 1.0), (40, 0.1, 0.1), leaking=True))
    assert early.kind == late.kind == LEAKING
    assert "memory" in early.sentence and "memory" in late.sentence and "0.10" in late.sentence
    assert "Remove" in late.advice
    exhibit = verdict(evidence(START, leaking=True, config=config(corpus="repeated")))
    assert "corpus from repeated to stories" in exhibit.advice


def test_what_is_worse_is_said_first():
    assert verdict(evidence(*FELL, leaking=True, windows=3)).kind == LEAKING
    assert verdict(evidence(*FELL, leaking=True, ended="diverged")).kind == DIVERGED
    assert verdict(evidence(*ROSE, windows=3)).kind == TOO_LITTLE


def test_without_a_test_of_memory_a_loss_below_the_floor_gives_it_away():
    rows = [START, (20, 2.0, 6.4), (40, 0.5, 7.0), (60, 0.1, 7.4), (80, 0.1, 7.5)]
    found = verdict(evidence(*rows, floor=0.49))
    assert (found.kind, found.since_step) == (MEMORIZED, 60) and "0.49" in found.sentence
    asked = [extracted(80, 0.1, 0.0)]
    assert verdict(evidence(*rows, floor=0.49, extractions=asked)).kind == OVERFITTING  # asking is better
    assert verdict(evidence(*rows)).kind == OVERFITTING  # nothing is known of the floor


@pytest.mark.parametrize("ended", ["stopped", "failed", None])
def test_a_run_that_may_go_on_is_not_judged_as_if_it_were_done(ended):
    assert verdict(evidence(*FELL[:4], ended=ended)).kind == LEARNING
    flat = [START, *((step, 2.0, 2.0) for step in range(20, 300, 20))]
    assert verdict(evidence(*flat, ended=ended)).kind == CANT_TELL


def test_a_run_that_its_patience_ended_was_not_still_falling():
    """Half-way it stood at 4, and was best at 3; then new text gained no more, while its own went on."""
    rows = [START, (20, 5.0, 5.0), (40, 4.0, 4.0), (60, 2.9, 3.0), (80, 1.5, 3.01), (100, 1.2, 3.01)]
    without, with_patience = (
        verdict(evidence(*rows, config=config(max_iters=200, patience=times))) for times in (0, 2)
    )
    assert without.kind == CANT_TELL and "as the steps ran out" in without.sentence
    assert with_patience.kind == OVERFITTING and "steps ran out" not in with_patience.sentence


def test_too_few_measurements_say_how_often_to_measure():
    found = verdict(evidence(START, (20, 3.0, 3.0), config=config(max_iters=20)))
    assert found.kind == CANT_TELL and "eval_interval from 20 to 2" in found.advice


def test_a_run_cut_short_while_both_losses_part_cannot_be_told():
    rows = [START, (2, 6.5, 6.6), (4, 6.0, 6.4), (6, 5.5, 6.2), (8, 5.0, 5.9), (10, 4.5, 5.6)]
    found = verdict(evidence(*rows))
    assert found.kind == CANT_TELL and "max_iters from 200 to 400" in found.advice


@pytest.mark.parametrize(
    ("rows", "known", "kind", "words"),
    [
        (ROSE, {}, OVERFITTING, ["dataset_size from 200 to 1,000", "stop at step 20"]),
        (ROSE, {"config": config(dataset_size=10_000)}, OVERFITTING, ["All 200 tokens", "5 times"]),
        (ROSE, {"config": config(dataset_size=500_000_000), "train_tokens": 500_000_000}, OVERFITTING,
         ["dataset_size beyond 500,000,000"]),
        (ROSE, {"extractions": [extracted(80, 0.9, 0.0)]}, MEMORIZED, ["dataset_size from 200 to 1,000"]),
        (FELL[:3], {"ended": "diverged"}, DIVERGED, ["learning_rate from 0.003 to 0.001"]),
        (FELL[:3], {"ended": "diverged", "config": config(learning_rate=0.0006)}, DIVERGED,
         ["learning_rate from 0.0006 to 0.0002", "min_lr from 0.0003 to 2e-05"]),
        (FELL, {}, GOOD_FIT, ["max_iters from 200 to 400", "n_embd from 128 to 256"]),
        (FELL, {"config": config(n_embd=640, n_head=10)}, GOOD_FIT, ["n_layer from 2 to 4"]),
        (FELL, {"floor": 0.1}, UNDERFITTING, ["n_embd from 128 to 256", "more steps: max_iters from 200"]),
        (FELL, {"floor": 0.1, "config": config(dropout=0.5)}, UNDERFITTING, ["dropout from 0.5 to 0"]),
        (FELL, {"floor": 0.1, "config": config(learning_rate=1.0)}, UNDERFITTING,
         ["learning_rate from 1 to 0.003"]),
        (FELL, {"floor": 0.1, "config": config(learning_rate=1e-6, min_lr=0.0)}, UNDERFITTING,
         ["learning_rate from 1e-06 to 0.001"]),
        (FELL, {"counting": 0.8}, UNDERFITTING, ["A larger model"]),
        ([(step, 6.9 - step / 40, 6.9 - step / 40) for step in range(0, 200, 20)], {}, UNDERFITTING,
         ["More steps: max_iters from 200 to 400"]),
        (FELL, {"config": config(max_iters=200_000)}, GOOD_FIT, ["max_iters beyond 200,000", "n_embd from"]),
        (FELL, {"windows": 5}, TOO_LITTLE, ["about 4 times as much"]),
        (FELL, {"error": 0.3}, TOO_LITTLE, ["Add text"]),
    ],
)  # fmt: skip
def test_advice_names_a_setting_and_a_value_that_can_be_set(rows, known, kind, words):
    found = verdict(evidence(*rows, **known))
    assert found.kind == kind
    assert all(word in found.advice for word in words), found.advice
    run = known.get("config", CONFIG)
    tried = run.with_changes(found.changes)  # raises if they do not fit each other
    for name, value in found.changes.items():
        assert getattr(run, name) != value == getattr(tried, name)
        assert f"{name} from " in found.advice
    assert bool(found.changes) == (" from " in found.advice)


@EACH
def test_whatever_is_said_is_said_in_whole_sentences(kind, process):
    for seed in range(5):
        random = Random(seed)
        found = verdict(process(random).evidence(random))
        texts = [found.sentence, found.advice, *(fact.meaning for fact in found.facts)]
        assert all(text.endswith(".") and "  " not in text and "!" not in text for text in texts)
        assert all(fact.name and fact.value for fact in found.facts) and len(found.facts) >= 5
