"""One run in three units."""

import math

import pytest

from slm_core.study.curves import UNITS, curves
from slm_core.train.events import EvalDone

# A text of 1,000 tokens that are 2,500 bytes long (training) or 4,000 (validation).
TRAIN_BYTES, VALIDATION_BYTES = 2.5, 4.0


def evaluated(step: int, train: float, validation: float) -> EvalDone:
    return EvalDone(
        step=step,
        train_loss=train,
        train_bits_per_byte=train / math.log(2) / TRAIN_BYTES,
        validation_loss=validation,
        validation_standard_error=0.01,
        validation_bits_per_byte=validation / math.log(2) / VALIDATION_BYTES,
        windows=100,
        is_best=False,
    )


EVALUATIONS = [evaluated(0, 6.9, 6.9), evaluated(10, 2.0, 3.0)]
GUESSING = {"guessing blindly": math.log(1024)}


def test_nats_stay_as_they_were_measured():
    found = curves(EVALUATIONS, {1: 5.0}, GUESSING, "nats per token")
    assert (found.steps, found.train, found.validation) == ([0, 10], [6.9, 2.0], [6.9, 3.0])
    assert found.batches == {1: 5.0} and found.references == GUESSING


def test_bits_per_byte_use_each_sides_own_bytes():
    found = curves(EVALUATIONS, {1: 5.0}, GUESSING, "bits per byte")
    assert found.train[1] == pytest.approx(EVALUATIONS[1].train_bits_per_byte)
    assert found.validation[1] == pytest.approx(EVALUATIONS[1].validation_bits_per_byte)
    assert found.batches[1] == pytest.approx(5.0 / math.log(2) / 2.5)
    assert found.references["guessing blindly"] == pytest.approx(10 / 4.0)  # 10 bits for 4 bytes


def test_perplexity_of_a_blind_guess_is_the_vocabulary():
    found = curves(EVALUATIONS, {}, GUESSING, "perplexity")
    assert found.references["guessing blindly"] == pytest.approx(1024)
    assert found.validation[1] == pytest.approx(math.exp(3.0))


@pytest.mark.parametrize("unit", UNITS)
def test_there_may_be_nothing_yet(unit):
    assert curves([], {}, {}, unit).validation == []
