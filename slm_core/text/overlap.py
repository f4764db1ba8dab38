"""The leak guard: how much of the validation text a model could have learned by heart, because it stands in
the training text.

Some of it always does: people, and story worlds, say the same things again. So the measure is what
independent documents of the same source share. It is taken from the training text itself: documents of it,
compared with all its other documents, exactly as validation documents are compared with training.

Passages are runs of 13 and of 25 tokens within one document. They are compared as 64-bit numbers: a
polynomial (Karp and Rabin 1987) over a random number for each token. Two different ones among the 10^6 x
10^5 pairs of a large report agree by chance in one of 10^8 reports; equal ones always do.
"""

import math
from dataclasses import dataclass

import numpy as np

from slm_core.text.corpus import Dataset
from slm_core.text.tokenizer import Tokenizer

SHORT, LONG = 13, 25  # tokens of a passage
REPEAT = 100  # a passage of so many tokens, seen before in the training text, is a repetition and not chance
MOST_COMPARED = 10_000_000  # training tokens, the first ones: bounds memory and time
MOST_ASKED = 200_000  # tokens of independent documents that are looked for
MARGIN = 0.05  # of validation passages that may be found beyond what independent documents share
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that powers of it never vanish


@dataclass(frozen=True, kw_only=True)
class LeakReport:
    """What of the validation text stands in the training text. Shares are 0..1, of passages by their length
    in tokens; 0 where no document is so long.

    training_tokens          how many were compared: the first ten million, if there are more
    unique_training_tokens   training tokens without repeated documents and repeated passages of 100 tokens
    duplicate_documents      validation documents whose words, whatever their case and spacing, are those of a
                             training document
    share_13, share_25       of validation passages that stand in the training text
    independent_13, _25      the same for documents of the training text and its other documents; 0 if it has
                             no two to compare
    leaking                  a document stands on both sides, or share_25 is above independent_25 by more than
                             0.05
    sentence                 what was found, and what to do
    """

    training_tokens: int
    unique_training_tokens: int
    training_documents: int
    validation_documents: int
    duplicate_documents: int
    share_13: float
    share_25: float
    independent_13: float
    independent_25: float
    leaking: bool
    sentence: str


def leak_report(dataset: Dataset) -> LeakReport:
    """Compare both sides of a dataset."""
    end = dataset.tokenizer.end_of_text
    train, validation = np.asarray(dataset.train[:MOST_COMPARED]), np.asarray(dataset.validation)
    numbers = np.random.default_rng(0).integers(2**64, size=dataset.tokenizer.vocab_size, dtype=np.uint64)
    train_words, validation_words = (_documents(ids, dataset.tokenizer) for ids in (train, validation))
    known = set(train_words)
    duplicates = sum(each in known for each in validation_words if each)
    mine, theirs = Passages(train, end, numbers), Passages(validation, end, numbers)
    fresh = _first_told(mine, train_words)
    shares, independent = {}, {}
    for length in (SHORT, LONG):
        shares[length] = share_found(theirs.hashes(length, theirs.inside), mine.hashes(length, mine.inside))
        independent[length] = _share_elsewhere(mine, fresh, length, min(len(validation), MOST_ASKED))
    leaking = duplicates > 0 or shares[LONG] > independent[LONG] + MARGIN
    return LeakReport(
        training_tokens=len(train),
        unique_training_tokens=int(fresh.sum()),
        training_documents=sum(map(bool, train_words)),
        validation_documents=sum(map(bool, validation_words)),
        duplicate_documents=duplicates,
        share_13=shares[SHORT],
        share_25=shares[LONG],
        independent_13=independent[SHORT],
        independent_25=independent[LONG],
        leaking=leaking,
        sentence=_sentence(duplicates, len(validation_words), shares[LONG], independent[LONG], leaking),
    )


def _sentence(duplicates: int, documents: int, share: float, independent: float, leaking: bool) -> str:
    found = (
        f"{share:.0%} of the validation text's passages of {LONG} tokens also stand in the training text; "
        f"of independent documents it would be {independent:.0%}."
    )
    if duplicates:
        found = f"{duplicates:,} of {documents:,} validation documents stand in the training text. {found}"
    if leaking:
        return (
            f"This data leaks: {found} The validation loss measures memory and must not be trusted. Remove "
            "duplicates first, then split by document, and repeat nothing before the split."
        )
    if share > 0.5:
        return (
            f"No leak, but little to learn: {found} Documents of this source repeat each other, so a low "
            "validation loss needs no understanding. Add text that says other things."
        )
    return f"No leak: {found} The validation loss is measured on text that the model has not seen."


class Passages:
    """A stream of ids of shape (N,), the document each belongs to, and the hashes of its passages."""

    def __init__(self, ids: np.ndarray, end_of_text: int, numbers: np.ndarray) -> None:
        marks = ids == end_of_text
        self.document = np.cumsum(marks)  # (N,)
        self.inside = ~marks  # (N,) bool
        self._numbers = numbers[ids]  # (N,) uint64

    def all_hashes(self, length: int) -> np.ndarray:
        """The hash of the passage from each place on, uint64 of shape (N - length + 1,): of passages of
        twice the length in turn, those of which `length` is the sum put together."""
        doubled, size = self._numbers, 1
        hashes, done = np.zeros_like(doubled), 0
        while True:
            if length & size:  # the passages of `done` tokens, and behind each one of `size` tokens
                kept = max(0, len(doubled) - done)
                hashes = hashes[:kept] * _power(size) + doubled[done:]
                done += size
            if done == length:
                return hashes
            doubled = doubled[: max(0, len(doubled) - size)] * _power(size) + doubled[size:]
            size *= 2

    def whole(self, length: int, allowed: np.ndarray) -> np.ndarray:
        """Whether the passage from each place on has allowed tokens only, bool of shape (N - length + 1,)."""
        banned = np.concatenate([[0], np.cumsum(~allowed)])
        return banned[length:] == banned[: max(0, len(banned) - length)]

    def hashes(self, length: int, allowed: np.ndarray) -> np.ndarray:
        """The hashes of the passages that have allowed tokens only."""
        return self.all_hashes(length)[self.whole(length, allowed)]


def share_found(passages: np.ndarray, text: np.ndarray) -> float:
    """The share of passages that occur in a text, both as hashes."""
    if not len(passages):
        return 0.0
    return float(_among(passages, np.sort(text[_among(text, np.sort(passages))])).mean())


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_FACTOR, exponent, 2**64))


def _among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the hashes are among `known`, which are in order."""
    beginnings = np.zeros(1 << 24, dtype=bool)  # of known hashes; rules most others out faster than a search
    beginnings[known >> np.uint64(40)] = True
    found = beginnings[hashes >> np.uint64(40)]
    candidates = hashes[found]
    found[found] = known[np.searchsorted(known, candidates).clip(max=max(0, len(known) - 1))] == candidates
    return found


def _first_told(passages: Passages, words: list[str]) -> np.ndarray:
    """Which tokens of a text, bool (N,), stand in no document and no passage of REPEAT tokens that came
    before."""
    seen: set[str] = set()
    repeated = [each in seen or seen.add(each) is not None for each in words]
    before = [False] * int(passages.document[0])  # documents count from 1 if the text begins with an end mark
    fresh = passages.inside & ~np.array([*before, *repeated, False])[passages.document]
    hashes = passages.all_hashes(REPEAT)
    again = np.ones(len(hashes), dtype=bool)
    again[np.unique(hashes, return_index=True)[1]] = False
    covered = np.zeros(len(fresh) + 1, dtype=np.int64)  # +1 where a repetition starts, -1 behind its end
    starts = np.flatnonzero(again)
    covered[starts] += 1
    covered[starts + REPEAT] -= 1
    return fresh & (np.cumsum(covered)[:-1] == 0)


def _share_elsewhere(passages: Passages, fresh: np.ndarray, length: int, tokens: int) -> float:
    """The share of a text's passages that stand in another document of it, too. Documents from all over it
    are asked for, `tokens` tokens of them. A text that is one document is cut into pieces as long as
    `tokens`."""
    whole = passages.whole(length, fresh)
    hashes, places = passages.all_hashes(length)[whole], np.flatnonzero(whole)
    document = passages.document[places]
    if not len(document) or document[0] == document[-1]:
        document = places // max(1, tokens)
    documents = np.unique(document)
    if len(documents) < 2:
        return 0.0
    asked = documents[:: max(1, math.floor(len(fresh) / max(1, tokens)))]
    of_asked = np.isin(document, asked)
    known = np.sort(hashes[of_asked])
    found = _among(hashes, known)
    passage = np.searchsorted(known, hashes[found])  # its first place in `known` is its number
    pairs = np.unique(passage * (documents[-1] + 1) + document[found])  # passages and documents they stand in
    in_documents = np.bincount(pairs // (documents[-1] + 1), minlength=len(known))
    return float((in_documents[np.searchsorted(known, hashes[of_asked])] > 1).mean())


def _documents(ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """The words of each document, without regard to case and spacing; empty documents, too."""
    tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    tokens[tokenizer.end_of_text] = b"\xff"  # stands in no text
    if len(ids) and ids[0] == tokenizer.end_of_text:
        ids = ids[1:]
    texts = b"".join(map(tokens.__getitem__, ids.tolist())).split(b"\xff")
    if len(ids) and ids[-1] == tokenizer.end_of_text:
        texts.pop()
    return [" ".join(text.decode("utf-8", "replace").lower().split()) for text in texts]
