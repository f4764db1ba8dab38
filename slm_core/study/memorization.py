"""Which passages of a text stand word for word in the training text, and where; and how much is new.

The training text is indexed once by a suffix array: all its places, in the order of the text that follows
them. Whatever begins alike then stands side by side, and any passage is found by halving, about twenty looks
for a million characters. Unlike a table of hashed passages it finds the longest match, whatever its length.

It counts in code points, not in UTF-8 bytes: they are what Python's strings are indexed by and compared by,
so the numbers here cut a sample as they are, and no match can end within a character.

Sources: Manber and Myers, "Suffix Arrays" (1993); Larsson and Sadakane, "Faster Suffix Sorting" (2007), of
which we keep that only places still tied are sorted again. Novelty: Merrill et al., "Evaluating n-Gram
Novelty of Language Models" (2024).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from slm_core.text.overlap import MOST_COMPARED, Passages, share_found

# Characters, about ten words. Of held-out chapters of the King James Bible, 0.2 % stand in matches so long
# with 4 MB of it, and none with 1 MB. Texts that repeat themselves need more: see beyond_chance.
FEWEST = 50
LONGEST_CHANCE = 200  # what shares longer passages with the training text is not independent of it
CHANCE = 0.01  # of the characters of independent text that may pass for copied
MOST_ASKED = 50_000  # characters of held-out text that are looked for
MOST_INDEXED = 5_000_000  # characters, the first ones: bounds time and memory
SIZES = range(1, 11)  # of n-grams


@dataclass(frozen=True)
class Match:
    """sample[start:end] stands in the training text, and neither with the character before it nor with the
    one behind it.

    Its source is documents[source_document] from source_start on: the first of `times` places with all of it.
    """

    start: int
    end: int
    source_document: int
    source_start: int
    times: int

    @property
    def length(self) -> int:
        """Characters."""
        return self.end - self.start


@dataclass(frozen=True)
class Piece:
    """sample[start:end] and the longest match that covers it, which may reach beyond; None if it is new."""

    start: int
    end: int
    match: Match | None


class TrainingIndex:
    """An index of documents, in which passages are looked for. No match crosses from one into the next.

    characters   how many are indexed: the first five million, if there are more
    whole        whether that is all of them

    Takes less than a second for a million characters, 50 bytes for each while it works, and keeps 5 to 8.
    """

    def __init__(self, documents: Iterable[str], most: int = MOST_INDEXED) -> None:
        assert not isinstance(documents, str), "one text is a list of one document"
        given = list(documents)
        indexed = list(_first(given, most))
        self.characters = sum(map(len, indexed))
        self.whole = self.characters == sum(map(len, given))
        self._separator, self._foreign = _absent(indexed)
        self._text = self._separator.join(indexed)
        self._ends = np.cumsum([len(each) + 1 for each in indexed], dtype=np.int64) - 1  # (documents,)
        self._order = suffix_array(self._text)
        self._places = memoryview(self._order)  # gives single places as plain numbers, and so much faster

    def matches(self, sample: str, at_least: int = FEWEST) -> list[Match]:
        """All matches of at least so many characters, from left to right; none lies within another, but they
        may overlap. Covers each place of the sample with the longest passage that can cover it."""
        known = sample.replace(self._separator, self._foreign)
        found: list[Match] = []
        reached = 0  # the end of the match found last; one that starts later must reach further
        for start in range(len(known)):
            fewest = max(1, at_least, reached + 1 - start)
            if start + fewest > len(known):
                break
            if length := self._longest(known, start, fewest):
                reached = start + length
                found.append(self._match(known[start:reached], start))
        return found

    def pieces(self, sample: str, at_least: int = FEWEST) -> list[Piece]:
        """A sample cut up for a page to colour: pieces that follow each other and make up all of it. Where
        matches overlap, the longer one has the piece."""
        matches = self.matches(sample, at_least)
        owners = np.full(len(sample), -1)  # of each character; no match lies within another, so none is split
        for number in sorted(range(len(matches)), key=lambda each: matches[each].length):
            owners[matches[number].start : matches[number].end] = number
        cuts = np.flatnonzero(np.diff(owners, prepend=-2, append=-2)).tolist()  # -2 owns nothing
        return [
            Piece(start, end, matches[owners[start]] if owners[start] >= 0 else None)
            for start, end in pairwise(cuts)
        ]

    def share_copied(self, sample: str, at_least: int = FEWEST) -> float:
        """The share of a sample's characters that lie in matches, 0 to 1; 0 for an empty sample."""
        copied = sum(piece.end - piece.start for piece in self.pieces(sample, at_least) if piece.match)
        return copied / max(1, len(sample))

    def longest(self, sample: str) -> Match | None:
        """The longest match, however short, and of several the first; None if not even one character is
        known."""
        matches = self.matches(sample) or self.matches(sample, at_least=1)
        return max(matches, key=lambda match: match.length, default=None)

    def excerpt(self, match: Match, around: int = 60) -> str:
        """A match where the training text has it, with up to so many characters before and behind it; of a
        match of more than twice as many only the ends. "…" stands for what is left out."""
        start_of_document = self._start_of(match.source_document)
        end_of_document = int(self._ends[match.source_document])
        start = start_of_document + match.source_start
        end = start + match.length
        first, last = max(start_of_document, start - around), min(end_of_document, end + around)
        passage = self._text[start:end]
        if match.length > 2 * around:
            passage = f"{passage[:around]} … {passage[match.length - around :]}"
        before, behind = self._text[first:start], self._text[end:last]
        if first > start_of_document:  # whole words, if there is one
            before = "…" + (before.partition(" ")[2] or before)
        if last < end_of_document:
            behind = (behind.rpartition(" ")[0] or behind) + "…"
        return before + passage + behind

    def _longest(self, sample: str, start: int, fewest: int) -> int:
        """The length of the longest prefix of sample[start:] that stands in the text; 0 if below `fewest`."""
        length = fewest
        while True:
            passage = sample[start : start + length]
            row = bisect_left(self._places, passage, key=self._reader(len(passage)))
            if row == len(self._places) or not self._text.startswith(passage, self._places[row]):
                break
            if start + length >= len(sample):
                return len(passage)
            length *= 2
        if length == fewest:
            return 0
        beside = self._places[max(0, row - 1) : row + 1]  # what agrees with it furthest stands here
        return max(_agreement(passage, self._text[place : place + length]) for place in beside)

    def _match(self, passage: str, start: int) -> Match:
        """The match of a passage that stands in the text."""
        read = self._reader(len(passage))
        first = bisect_left(self._places, passage, key=read)
        behind = bisect_right(self._places, passage, lo=first, key=read)
        place = int(self._order[first:behind].min())
        document = int(np.searchsorted(self._ends, place))
        return Match(start, start + len(passage), document, place - self._start_of(document), behind - first)

    def _reader(self, length: int) -> Callable[[int], str]:
        """What the text reads from a place on."""
        return lambda place: self._text[place : place + length]

    def _start_of(self, document: int) -> int:
        return int(self._ends[document - 1]) + 1 if document else 0


def beyond_chance(index: TrainingIndex, held_out: Iterable[str]) -> int:
    """How many characters a match must have to count as copied: so many that at most 1 in 100 characters of
    held-out text lies in such a match. Between FEWEST and LONGEST_CHANCE.

    Of prose it is FEWEST. Texts that tell the same things again, as stories of a small world do, share
    longer passages, the longer the more text there is; only what is longer still shows copying. Held-out
    text that stands in the training text itself (see slm_core/text/overlap.py) says nothing about chance.
    """
    asked = list(_first(held_out, MOST_ASKED))
    copied = [piece for text in asked for piece in index.pieces(text) if piece.match]
    left = CHANCE * sum(map(len, asked))  # characters that may still pass for copied
    for piece in sorted(copied, key=lambda piece: -piece.match.length):
        left -= piece.end - piece.start
        if left < 0:
            return min(piece.match.length + 1, LONGEST_CHANCE)
    return FEWEST


def novelty(
    sample_ids: Sequence[int], training_ids: Sequence[int], end_of_text: int, sizes: Iterable[int] = SIZES
) -> dict[int, float]:
    """The share, 0 to 1, of a sample's n-grams that stand nowhere in the training text, by size; without the
    sizes that no document of the sample is long enough for. To be shown beside that of held-out text.

    n-grams are of token ids, within one document. A model writes tokens, so an n-gram is n of its decisions;
    words would leave open what a word of Chinese, or of a program, is. Runs with different tokenizers cannot
    be compared by it, but each with its held-out text. Encode the sample anew (`encode_documents`): a model
    may spell a text in other tokens than the tokenizer does, and nothing of it would be found.
    Of more than ten million training tokens the first are compared.
    """
    sample, training = (np.asarray(ids, dtype=np.int32) for ids in (sample_ids, training_ids[:MOST_COMPARED]))
    vocab_size = 1 + max(end_of_text, sample.max(initial=0), training.max(initial=0))
    numbers = np.random.default_rng(0).integers(2**64, size=vocab_size, dtype=np.uint64)
    asked, known = (Passages(ids, end_of_text, numbers) for ids in (sample, training))
    shares = {}
    for size in sizes:
        passages = asked.hashes(size, asked.inside)
        if len(passages):  # those of the training text that have an end mark in them are like none of these
            shares[size] = 1 - share_found(passages, known.all_hashes(size))
    return shares


def suffix_array(text: str) -> np.ndarray:
    """The places of a text in the order of what follows them, int32 of shape (characters,): what
    sorted(range(len(text)), key=lambda place: text[place:]) gives, for any text."""
    keys, size = _packed(text)
    order = np.argsort(keys).astype(np.int32)
    keys = keys[order]
    tied = np.arange(len(order), dtype=np.int32)  # rows of `order`; at first, all
    rank = np.empty(len(order) + 1, dtype=np.int32)  # the first row of those alike by their first `size`
    rank[-1] = -1  # the end of the text comes before everything
    while True:
        new = np.ones(len(keys) + 1, dtype=bool)  # where a key differs from the one before
        np.not_equal(keys[1:], keys[:-1], out=new[1:-1])
        rank[order[tied]] = np.maximum.accumulate(np.where(new[:-1], tied, 0))
        tied = tied[~(new[:-1] & new[1:])]
        if not len(tied):
            return order
        # Sorted by their first `size` characters already, and so are the places `size` further on: together
        # these sort by twice as many.
        places = order[tied]
        keys = rank[places].astype(np.int64) << 32
        keys += rank[np.minimum(places + size, len(order))] + 1
        by_key = np.argsort(keys)
        keys = keys[by_key]
        order[tied] = places[by_key]
        size *= 2


def _packed(text: str) -> tuple[np.ndarray, int]:
    """The first few characters from each place on as one number, uint64 of shape (characters,), and how many
    they are: eight in English, 64 if there is but one letter. Numbers are in the order of the texts."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    present = np.zeros(0x110000, dtype=bool)
    present[points] = True
    letters = np.cumsum(present, dtype=np.uint32)  # numbered from 1; 0 is what follows the end
    bits = max(1, int(letters[-1]).bit_length())
    keys, size = letters[points].astype(np.uint64), 1
    while 2 * size * bits <= 64:
        behind = keys[size:]
        keys = keys << np.uint64(size * bits)
        keys[: len(behind)] |= behind
        size *= 2
    return keys, size


def _agreement(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    shorter = min(len(one), len(other))
    return bisect_left(range(shorter), True, key=lambda n: one[: n + 1] != other[: n + 1])


def _first(documents: Iterable[str], most: int) -> Iterator[str]:
    """The first documents that have `most` characters together, the last one as far as it goes."""
    for document in documents:
        if most <= 0:
            return
        yield document[:most]
        most -= len(document)


def _absent(documents: list[str]) -> tuple[str, str]:
    """Two characters that stand in no document: one to stand between them, and one for where a sample has
    that."""
    taken = set().union(*documents)
    separator, foreign = islice((each for each in map(chr, range(0x110000)) if each not in taken), 2)
    return separator, foreign
