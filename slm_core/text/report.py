"""All that can be said of a run's text before the run: how low a loss can get, what simple counting scores,
leaks."""

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np

from slm_core.caching import computed_once
from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import stories
from slm_core.text.baselines import Yardsticks, yardsticks
from slm_core.text.corpus import Dataset
from slm_core.text.floor import Floor, irreducible_loss
from slm_core.text.overlap import LeakReport, leak_report
from slm_core.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextReport:
    """The floor (None where the text's own chances are not known), the yardsticks, and what stands on both
    sides."""

    floor: Floor | None
    yardsticks: Yardsticks
    leaks: LeakReport

    def references(self) -> dict[str, float]:
        """What a validation loss can be compared with, in nats per token, by the name a chart gives it."""
        lines = {
            "guessing blindly (ln V)": self.yardsticks.uniform_nats,
            "counting token triples": self.yardsticks.trigram_nats,
        }
        if self.floor is not None:
            lines["best possible"] = self.floor.nats_per_token
        return lines

    def to_json(self) -> str:
        """Plain JSON that `from_json` reads back."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report that `to_json` wrote. Raises CorpusError for anything else."""
        try:
            stored: Mapping[str, Any] = json.loads(text)
            floor = stored["floor"]
            return cls(
                floor=None if floor is None else _checked(Floor, floor),
                yardsticks=_checked(Yardsticks, stored["yardsticks"]),
                leaks=_checked(LeakReport, stored["leaks"]),
            )
        except (ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorpusError(f"The report on this run's text cannot be read ({error}).") from None


Part = TypeVar("Part", Floor, Yardsticks, LeakReport)


def _checked(kind: type[Part], stored: Mapping[str, Any]) -> Part:
    """A part of a report, its values of the right types and its numbers finite. Raises what `from_json`
    catches."""
    part = kind(**stored)
    for each in fields(part):
        value = stored[each.name]
        if each.type is float:
            right = type(value) in (int, float) and math.isfinite(value)
        else:
            right = type(value) is each.type
        if type(value) is str:
            value.encode()  # a ValueError if there are halves of characters, which no page could show
        if not right:
            raise TypeError(f"{each.name} is {reprlib.repr(value):.200}")
    return part


@computed_once(maxsize=8)  # all sizes of training text have one
def _floor(validation: bytes, tokenizer: Tokenizer, block_size: int, corpus: str) -> Floor:
    return irreducible_loss(np.frombuffer(validation, "<u2"), tokenizer, block_size, corpus)


def text_report(dataset: Dataset, config: ExperimentConfig) -> TextReport:
    """The report on a dataset that a model of this config is measured on. Takes a second for a million
    tokens."""
    floor = None
    if config.corpus in stories.SIZES:
        told = dataset.validation.astype("<u2").tobytes()
        floor = _floor(told, dataset.tokenizer, config.block_size, config.corpus)
    return TextReport(
        floor=floor,
        yardsticks=yardsticks(dataset, config.block_size),
        leaks=leak_report(dataset),
    )
