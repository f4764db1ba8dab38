"""What stands in a text that is read: its documents one by one, how long they are, how many words differ.

All of it is told from the ids of a dataset, so it is about exactly what a model is given.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slm_core.text.corpus import Dataset
from slm_core.text.tokenizer import Tokenizer

_BARS = 40  # of a histogram of lengths
_CHARACTERS_ARE_WORDS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Japanese and Chinese have no spaces
_WORD = re.compile(rf"[{_CHARACTERS_ARE_WORDS}]|[^\W\d_{_CHARACTERS_ARE_WORDS}]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True)
class Side:
    """One side of a dataset, document by document. A last document that is cut off is left out, unless it is
    the only one; documents are counted from 0."""

    ids: np.ndarray
    tokenizer: Tokenizer

    @cached_property
    def _marks(self) -> np.ndarray:
        marks = np.flatnonzero(np.asarray(self.ids) == self.tokenizer.end_of_text)
        if not len(marks) or marks[0] > 0:  # it begins within a document
            marks = np.insert(marks, 0, -1)
        return marks if len(marks) > 1 else np.append(marks, len(self.ids))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, without end marks; int64 of shape (documents,)."""
        return np.diff(self._marks) - 1

    def __len__(self) -> int:
        return len(self._marks) - 1

    def text(self, document: int, most_tokens: int | None = None) -> str:
        """One document as its tokens write it, or no more than the beginning of it."""
        start, end = self._marks[document] + 1, self._marks[document + 1]
        if most_tokens is not None and end - start > most_tokens:
            return self._decode(start, start + most_tokens).rstrip("\ufffd")
        return self._decode(start, end)

    def texts(self) -> Iterator[str]:
        """All documents, one after another."""
        return map(self.text, range(len(self)))

    def end_of(self, size: int) -> "SizeEnd | None":
        """Where the first `size` ids end; None if that is beyond the last document."""
        if not 0 < size <= self._marks[-1]:
            return None
        document = int(np.searchsorted(self._marks, size)) - 1
        start = self._marks[document] + 1
        read = self._decode(start, size).rstrip("\ufffd")
        return SizeEnd(size, document, len(read), read[-100:])

    def _decode(self, start: int, end: int) -> str:
        return self.tokenizer.decode(self.ids[start:end].tolist())


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a dataset holds, both sides together where no side is named.

    words         number of words: runs of letters, and single Chinese and Japanese characters
    word_types    how many of them differ, upper and lower case being the same
    unseen_words  share of the words held out that training never shows, 0 to 1
    commonest     the commonest words with their counts, the first first
    """

    train: Side
    validation: Side
    words: int
    word_types: int
    unseen_words: float
    commonest: tuple[tuple[str, int], ...]
    characters: int

    @property
    def tokens(self) -> int:
        """Unique tokens to train on: what an epoch of all the text has."""
        return len(self.train.ids)


def describe(dataset: Dataset) -> Description:
    """Count what a dataset holds; about a second for 10 MB."""
    sides = [Side(ids, dataset.tokenizer) for ids in (dataset.train, dataset.validation)]
    counts, characters = [Counter[str](), Counter[str]()], 0
    for side, counter in zip(sides, counts, strict=True):
        for text in side.texts():
            counter.update(_WORD.findall(text.lower()))
            characters += len(text)
    train, validation = counts
    unseen = sum(count for word, count in validation.items() if word not in train)
    return Description(
        train=sides[0],
        validation=sides[1],
        words=train.total() + validation.total(),
        word_types=len(train.keys() | validation.keys()),
        unseen_words=unseen / max(1, validation.total()),
        commonest=tuple((train + validation).most_common(10)),
        characters=characters,
    )


@dataclass(frozen=True)
class SizeEnd:
    """Where a dataset_size ends: after `characters` of a training document, counted from 0. `ending` is what
    it reads last."""

    size: int
    document: int
    characters: int
    ending: str


def size_ends(side: Side, sizes: Sequence[int]) -> list[SizeEnd]:
    """Where each dataset_size (tokens) ends within a text; those beyond its end are left out."""
    return [end for size in sorted(set(sizes)) if (end := side.end_of(size)) is not None]


@dataclass(frozen=True)
class Histogram:
    """Lengths in bars: `edges` in tokens, one more than bars, and each side's share of documents in each.

    If there are documents beyond the last edge, `longer` is true and they are counted in the last bar.
    """

    edges: tuple[int, ...]
    train_shares: tuple[float, ...]
    validation_shares: tuple[float, ...]
    longer: bool


def length_histogram(description: Description) -> Histogram:
    """How long the documents of both sides are; the longest hundredth may lie beyond the last edge."""
    sides = [side.lengths for side in (description.train, description.validation)]
    both = np.concatenate(sides)
    top, longest = int(np.ceil(np.quantile(both, 0.99))) + 1, int(both.max()) + 1
    if longest <= 1.5 * top:
        top = longest
    width = max(1, -(-top // _BARS))
    edges = np.arange(0, top + width, width)
    if longest > edges[-1]:
        edges = np.append(edges, edges[-1] + width)  # a bar for all longer ones
    shares = []
    for lengths in sides:
        counts, _ = np.histogram(np.minimum(lengths, edges[-1] - 1), edges)
        shares.append(tuple((counts / max(1, len(lengths))).tolist()))
    return Histogram(tuple(edges.tolist()), shares[0], shares[1], bool(longest > edges[-1]))
