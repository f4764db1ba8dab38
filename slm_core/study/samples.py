"""What a text written by a model is: copied from its training text, new and possible, or impossible from some
place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from slm_core.text import stories
from slm_core.text.bins import read_tokenizer

COPIED, POSSIBLE, IMPOSSIBLE = "copied", "new and possible", "impossible"


@dataclass(frozen=True)
class Verdict:
    """What a text is, and for an impossible one the index of the character where it first becomes so."""

    kind: str
    impossible_from: int | None = None


def judge(text: str, size: str, training_texts: Sequence[str]) -> Verdict:
    """Compare the beginning of a story, or a whole one, with the story world of a size (see stories.SIZES)
    and with the stories that the model was trained on."""
    if any(each.startswith(text) for each in training_texts):
        return Verdict(COPIED)
    place = stories.score(text, size).first_impossible
    return Verdict(POSSIBLE) if place is None else Verdict(IMPOSSIBLE, place)


@lru_cache(maxsize=8)
def training_texts(folder: Path) -> tuple[str, ...]:
    """The documents that the run in a folder trains on, the last one as far as it goes. Raises
    CorpusError."""
    tokenizer = read_tokenizer(folder)
    ids = np.fromfile(folder / "train.bin", dtype="<u2")
    marks = np.flatnonzero(ids == tokenizer.end_of_text)
    return tuple(tokenizer.decode(part[1:]) for part in np.split(ids, marks)[1:] if len(part) > 1)
