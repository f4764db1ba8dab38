"""A run's losses in the unit that a person wants to see them in."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slm_core.train.events import EvalDone

UNITS = {
    "nats per token": "How surprised the model is by a token: 0 if it was sure and right.",
    "bits per byte": "The size to which the model could compress the text, whatever its tokenizer.",
    "perplexity": "Between how many equally likely tokens the model wavers, on average.",
}


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Losses over steps in one unit, and what to compare them with: references by name, on the validation
    text."""

    unit: str
    steps: Sequence[int]
    train: Sequence[float]
    validation: Sequence[float]
    batches: Mapping[int, float]
    references: Mapping[str, float]


def curves(
    evaluations: Sequence[EvalDone],
    batch_losses: Mapping[int, float],
    references: Mapping[str, float],
    unit: str,
) -> Curves:
    """Evaluations in the order of steps, each batch's loss and the references, from nats per token into a
    unit of UNITS.

    Nats per token become bits per byte by a factor that each side's own text decides: its tokens per byte /
    ln 2.
    """
    of_train, of_validation = _converters(evaluations, unit)
    return Curves(
        unit=unit,
        steps=[each.step for each in evaluations],
        train=[of_train(each.train_loss) for each in evaluations],
        validation=[of_validation(each.validation_loss) for each in evaluations],
        batches={step: of_train(loss) for step, loss in batch_losses.items()},
        references={name: of_validation(loss) for name, loss in references.items()},
    )


def _converters(
    evaluations: Sequence[EvalDone], unit: str
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    if unit == "perplexity":
        return math.exp, math.exp
    if unit == "bits per byte" and evaluations:
        first = evaluations[0]
        train = first.train_bits_per_byte / first.train_loss
        validation = first.validation_bits_per_byte / first.validation_loss
        return lambda loss: loss * train, lambda loss: loss * validation
    return lambda loss: loss, lambda loss: loss
