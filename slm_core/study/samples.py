"""What a text written by a model is: copied from its training text, new and possible, or impossible from some
place; and which passages of it were copied, and from where."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from slm_core.caching import computed_once
from slm_core.errors import CorpusError, SlmError
from slm_core.study.memorization import TrainingIndex, beyond_chance, novelty
from slm_core.text import stories
from slm_core.text.bins import read_tokenizer

NEWNESS_LENGTHS = (2, 4, 8)  # tokens
_MOST_HELD_OUT = 20_000  # tokens of held-out text that are compared
MOST_COMPARED = 1_000_000  # characters of a training text, the first ones: bounds memory
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


@lru_cache(maxsize=4_096)  # a live page asks again each second
def judged(folder: Path, size: str, text: str) -> Verdict:
    """`judge` a text by the model of the run in a folder. Of a model that came as a file the training text
    stayed behind: nothing then counts as copied."""
    try:
        known = training_texts(folder)
    except SlmError:
        known = ()
    return judge(text, size, known)


@dataclass(frozen=True)
class Passage:
    """A part of a text, and where the training text has it, with a few words around; "" if it is new."""

    text: str
    source: str = ""


@dataclass(frozen=True)
class Copying:
    """Which passages of a written text stand word for word in the training text.

    passages   prompt and text, cut up
    share      of the written characters that are copied, 0 to 1
    longest    characters of the longest match, however short
    at_least   characters that a match must have to count as copied: fewer would be chance
    whole      whether the whole training text was compared, or only its beginning
    """

    passages: tuple[Passage, ...]
    share: float
    longest: int
    at_least: int
    whole: bool


@lru_cache(maxsize=256)  # a live page asks again each second
def copying(folder: Path, prompt: str, text: str) -> Copying:
    """Compare what a model wrote after a prompt with the training text of its run, which lies in a folder.
    Raises CorpusError or TokenizerError if that is not there."""
    index, at_least = _memory(folder)
    pieces = index.pieces(prompt + text, at_least)
    copied = sum(
        max(0, piece.end - max(piece.start, len(prompt))) for piece in pieces if piece.match is not None
    )
    longest = index.longest(prompt + text)
    return Copying(
        passages=tuple(
            Passage(
                (prompt + text)[piece.start : piece.end],
                index.excerpt(piece.match) if piece.match is not None else "",
            )
            for piece in pieces
        ),
        share=copied / max(1, len(text)),
        longest=longest.length if longest is not None else 0,
        at_least=at_least,
        whole=index.whole,
    )


@lru_cache(maxsize=256)
def newness(folder: Path, text: str) -> dict[int, tuple[float, float]]:
    """Of the token passages of a few lengths in what a model wrote, without its prompt: the share that stands
    nowhere in its training text, and the same share of held-out text, which nobody copied. By length; without
    those that the text is too short for. Raises CorpusError or TokenizerError if there is no training text.

    Source: novelty of n-grams beside a human baseline (Merrill, Smith and Elazar 2024).
    """
    tokenizer = read_tokenizer(folder)
    written = tokenizer.encode_documents([text])
    of_written = novelty(written, _ids(folder, "train.bin"), tokenizer.end_of_text, NEWNESS_LENGTHS)
    of_others = _newness_held_out(folder)
    return {length: (share, of_others[length]) for length, share in of_written.items() if length in of_others}


@computed_once(maxsize=256)
def _newness_held_out(folder: Path) -> dict[int, float]:
    end_of_text = read_tokenizer(folder).end_of_text
    held_out, training = _ids(folder, "validation.bin"), _ids(folder, "train.bin")
    return novelty(held_out[:_MOST_HELD_OUT], training, end_of_text, NEWNESS_LENGTHS)


@computed_once(maxsize=32)  # a class looks at its runs by turns; each takes up to 8 bytes a character
def _memory(folder: Path) -> tuple[TrainingIndex, int]:
    """The index of a run's training text, and how long a match must be to be beyond chance."""
    index = TrainingIndex(training_texts(folder), MOST_COMPARED)
    return index, beyond_chance(index, _texts(folder, "validation.bin"))


@computed_once(maxsize=32)
def training_texts(folder: Path) -> tuple[str, ...]:
    """The documents that the run in a folder trains on, the last one as far as it goes. Raises CorpusError or
    TokenizerError."""
    return _texts(folder, "train.bin")


def _texts(folder: Path, name: str) -> tuple[str, ...]:
    tokenizer, ids = read_tokenizer(folder), _ids(folder, name)
    if len(ids) and ids.max() >= tokenizer.vocab_size:
        raise CorpusError(f"{folder / name} does not belong to its tokenizer. Start the run anew.")
    marks = np.flatnonzero(ids == tokenizer.end_of_text)
    return tuple(tokenizer.decode(part[1:]) for part in np.split(ids, marks)[1:] if len(part) > 1)


def _ids(folder: Path, name: str) -> np.ndarray:
    try:
        return np.fromfile(folder / name, dtype="<u2", count=MOST_COMPARED)  # a token is a character or more
    except OSError as error:
        raise CorpusError(f"{folder / name} cannot be read ({error.strerror}). Start the run anew.") from None
