"""The sentence under the chart follows from planted numbers."""

import pytest

from slm_core.study.commentary import commentary
from slm_core.train.events import EvalDone


def curve(*losses: tuple[float, float], error: float = 0.01) -> list[EvalDone]:
    """Evaluations every 100 steps from pairs of training and validation loss."""
    return [
        EvalDone(
            step=100 * place, train_loss=train, train_bits_per_byte=1.0, validation_loss=validation,
            validation_standard_error=error, validation_bits_per_byte=1.0, windows=100, is_best=False,
        )
        for place, (train, validation) in enumerate(losses)
    ]  # fmt: skip


def test_before_the_first_measurement():
    assert "Measuring the untrained model" in commentary([], 6.93)


def test_the_untrained_model_is_compared_with_guessing():
    said = commentary(curve((6.95, 6.94)), 6.93)
    assert "6.94" in said and "6.93" in said and "knows nothing" in said


@pytest.mark.parametrize(
    ("losses", "error", "words"),
    [
        ([(7, 7), (3, 5), (0.1, 6)], 0.01, ["by heart", "0.10", "6.00", "1.00 above", "step 100"]),
        ([(7, 7), (3, 5), (2, 4)], 0.01, ["2.00 better", "not become worse"]),
        ([(7, 7), (3, 3.02), (2, 2.01)], 0.01, ["as well on new text"]),
        (
            [(7, 7), (3, 5), (0.1, 6)],
            0.5,
            ["5.90 better", "not become worse"],
        ),  # a rise within the noise is none
        ([(7, 7), (2, 3)], 0.5, ["as well on new text"]),  # so is a gap
        ([(7, 7), (2, 1.0)], 0.01, ["as well on new text"]),
        ([(7, 7), (3, 5), (0.1, 6), (0.1, 5.0)], 0.01, ["4.90 better"]),  # it has come back
        ([(7, 7), (3, 5), (1, 5.01)], 0.0, ["by heart"]),
    ],
)
def test_what_the_latest_losses_show(losses, error, words):
    said = commentary(curve(*losses, error=error), 6.93)
    assert all(word in said for word in words), said
    assert said.endswith(".") and "  " not in said


def test_of_a_leaking_text_it_says_nothing_good():
    said = commentary(curve((7, 7), (1, 1), (0.1, 0.1)), 6.93, leaking=True)
    assert "memory" in said and "holds" not in said and "0.10" in said
