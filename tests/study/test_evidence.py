"""Measurements in proportion: against closed forms, on curves whose every number is planted."""

import math
from collections.abc import Callable
from random import Random
from statistics import mean

import pytest

from slm_core.config import ExperimentConfig
from slm_core.study.evidence import CLEAR, Evidence, Reading, facts, read
from slm_core.train.events import EvalDone, ExtractionDone

ERROR = 0.01
DIFFERENCE = CLEAR * math.sqrt(2) * ERROR  # what a difference of two losses must exceed


def evidence(train: list[float], validation: list[float], error: float = ERROR, **known) -> Evidence:
    """Losses measured every 10 steps."""
    rows = [
        EvalDone(
            step=10 * place, train_loss=one, train_bits_per_byte=1.0, validation_loss=other,
            validation_standard_error=error, validation_bits_per_byte=1.0, windows=128, is_best=False,
        )
        for place, (one, other) in enumerate(zip(train, validation, strict=True))
    ]  # fmt: skip
    return Evidence(
        config=ExperimentConfig(), evaluations=rows, loss_at_chance=7.0, train_tokens=200, **known
    )


def reading(validation: list[float], error: float = ERROR) -> Reading:
    """Of a run whose training loss falls from 7 to 6, much less than would matter."""
    count = len(validation)
    return read(evidence([7.0 - place / count for place in range(count)], validation, error))


def curve(count: int, loss: Callable[[int], float]) -> list[float]:
    return [7.0, *(loss(place) for place in range(1, count))]


def test_one_measurement_alone():
    found = read(evidence([7.0], [6.9]))
    assert found.start == found.now == found.best and found.turned is None and not found.falling
    assert (found.learned, found.fall, found.gap) == (0.0, 0.0, pytest.approx(-0.1))
    assert found.margin == pytest.approx(DIFFERENCE) and found.gap_margin == pytest.approx(CLEAR * ERROR)


def test_what_was_learned_and_how_it_falls():
    found = read(evidence([7.0, 5.0, 4.0, 3.5, 3.25], [7.0, 5.5, 5.0, 4.5, 4.0]))
    assert found.learned == 3.75 and found.gap == 0.75
    assert found.fall == 1.0 and found.falling  # from step 20 to step 40


@pytest.mark.parametrize("power", [0, 1, 2])
def test_a_smooth_curve_does_not_shake(power):
    found = reading(curve(12, lambda place: 5.0 + 0.01 * (place - 4) ** power))
    assert found.margin == pytest.approx(DIFFERENCE)


def test_what_shakes_a_curve_is_told_from_the_curve():
    """Noise of 0.2 added to a parabola, measured without any error of its own."""
    margins = []
    for seed in range(400):
        random = Random(seed)
        rows = curve(11, lambda place, r=random: 5 + 0.1 * (place - 5) ** 2 + r.gauss(0, 0.2))
        margins.append(reading(rows, error=0.0).margin)
    assert mean(margins) / (CLEAR * math.sqrt(2)) == pytest.approx(0.2, rel=0.15)


@pytest.mark.parametrize(("above", "turned"), [(1.05, 20), (0.95, None)])
def test_a_rise_counts_from_three_standard_errors_on(above, turned):
    high = 5.0 + above * DIFFERENCE
    assert reading([7.0, 5.1, 5.0, high, high]).turned == turned


def test_of_two_measurements_in_a_row_the_lower_counts():
    assert reading([7.0, 5.1, 5.0, 5.0, 6.0]).turned is None
    assert reading([7.0, 5.1, 5.0, 5.0, 6.0, 6.0]).turned == 20  # the first of two that are lowest


def test_a_rise_stays_until_a_third_of_what_made_it_count():
    high, little, less = (5.0 + part * DIFFERENCE for part in (1.1, 0.5, 0.2))
    assert reading([7.0, 5.0, high, high]).turned == 10
    assert reading([7.0, 5.0, little, little]).turned is None
    falls_back = [7.0, 5.0, *[high] * 9]  # long enough for the way back not to pass for shaking
    assert reading([*falls_back, *[little] * 9]).turned == 10
    assert reading([*falls_back, *[less] * 9]).turned is None


def test_a_rise_of_less_than_a_hundredth_of_what_was_learned_is_none():
    train = [7.0, 4.0, 2.0, 2.0, 2.0]
    for rise, turned in ((0.06, 20), (0.04, None)):
        rows = [7.0, 5.1, 5.0, 5.0 + rise, 5.0 + rise]
        found = read(evidence(train, rows, error=0.001))
        assert found.turned == turned and found.rise_needed == pytest.approx(0.05)


@pytest.mark.parametrize(("back_to", "undone"), [(5.0, 20), (4.0, None)])
def test_half_of_what_was_learned_must_be_lost_for_it_to_be_undone(back_to, undone):
    train = [7.0, 4.0, 2.0, back_to, back_to]
    assert read(evidence(train, train)).undone == undone


def test_losses_above_the_first_one_are_undone_from_the_first_step():
    train = [7.0, 9.0, 9.0, 9.0]
    assert read(evidence(train, train)).undone == 0
    shaken = [7.0, 7.1, 7.1, 7.1]
    assert read(evidence(shaken, shaken)).undone is None


def extraction(train: float, validation: float, places: int) -> ExtractionDone:
    return ExtractionDone(
        step=30, train_rate=train, validation_rate=validation, places_train=places,
        places_validation=places, length_tokens=16,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("train", "validation", "places", "known"),
    [
        (0.9, 0.0, 200, True),
        (0.55, 0.02, 200, True),
        (0.45, 0.0, 200, False),
        (0.95, 0.6, 200, False),  # so much can be said of any such text
        (1.0, 1.0, 200, False),
        (0.6, 0.0, 5, False),  # three of five may be luck
        (0.0, 0.0, 0, False),
    ],
)
def test_what_counts_as_known_by_heart(train, validation, places, known):
    told = evidence([7.0, 6.0], [7.0, 6.0], extractions=[extraction(train, validation, places)])
    assert read(told).by_heart == (30 if known else None)


def test_what_was_once_known_by_heart_counts_as_known():
    once = [extraction(0.9, 0.0, 100), extraction(0.1, 0.0, 100)]
    assert read(evidence([7.0, 6.0], [7.0, 6.0], extractions=once)).by_heart == 30


def test_where_nothing_was_asked_half_the_floor_tells():
    losses = [7.0, 0.5, 0.2], [7.0, 6.0, 6.0]
    assert read(evidence(*losses, floor=0.5)).by_heart == 20
    assert read(evidence(*losses)).by_heart is None
    assert read(evidence(*losses, floor=0.5, extractions=[])).by_heart is None  # it will be asked


def test_the_facts_are_the_planted_numbers():
    told = evidence(
        [7.0, 3.0, 2.0, 1.0], [7.0, 4.0, 5.0, 5.5], floor=0.25, extractions=[extraction(0.9, 0.05, 120)]
    )
    values = {fact.name: fact.value for fact in facts(told, read(told))}
    assert values == {
        "Loss on its own text": "1.00",
        "Loss on new text": "5.50 ± 0.01",
        "Rise from its best": "1.50 since step 10",
        "Gap": "4.50, with 6.00 learned",
        "Fall over the second half": "-1.50",
        "Above the best possible": "5.25",
        "Said by heart": "90% of its own text, 5% of new text",
    }


def test_counting_is_told_only_where_the_floor_is_not_known():
    names = [
        {fact.name for fact in facts(told, read(told))}
        for told in (
            evidence([7.0], [7.0], counting=2.0),
            evidence([7.0], [7.0], counting=2.0, floor=1.0),
        )
    ]
    assert "Counting reaches" in names[0] and "Counting reaches" not in names[1]
