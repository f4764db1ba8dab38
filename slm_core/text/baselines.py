"""Yardsticks: what knowing nothing, counting tokens, counting triples and compressing a file score on the
very tokens that the validation loss is the mean of. A model that is worth its parameters is below all of
them.

Sources: Jelinek and Mercer, "Interpolated estimation of Markov source parameters from sparse data" (1980),
for the trigram; Laplace's rule of succession, add one, for the unigram.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from slm_core.text.corpus import Dataset
from slm_core.text.spans import Spans, validation_spans
from slm_core.text.tokenizer import Tokenizer

MOST_COUNTED = 5_000_000  # training tokens that are counted, the first ones: bounds time and memory
_ROUNDS = 100  # of expectation and maximization, which is slow where a weight goes towards 1
_MOST_HELD_OUT = 50_000  # tokens that the weights are fitted on
_LARGEST_BUCKET = 16  # contexts seen 2^15 times and more share their weight
_ZLIB_REACH = 32_768  # bytes; zlib looks back no further


@dataclass(frozen=True, kw_only=True)
class Yardsticks:
    """Losses on the scored validation tokens, in nats per token and in bits per byte.

    uniform         ln V: every token equally likely, which an untrained model scores
    unigram         each token as often as in the training text
    trigram         each token as often as after the two tokens before it, mixed with shorter contexts
    gzip            the scored text compressed by itself; has no loss per token. gzip_after_training: with the
                    last 32 KB of the training text known beforehand
    scored_tokens, scored_bytes     what is scored; training_tokens: what was counted
    """

    uniform_nats: float
    uniform_bits_per_byte: float
    unigram_nats: float
    unigram_bits_per_byte: float
    trigram_nats: float
    trigram_bits_per_byte: float
    gzip_bits_per_byte: float
    gzip_after_training_bits_per_byte: float
    scored_tokens: int
    scored_bytes: int
    training_tokens: int


def yardsticks(dataset: Dataset, block_size: int) -> Yardsticks:
    """The yardsticks of a dataset, on the tokens that a model with this block_size is measured on."""
    tokenizer, end = dataset.tokenizer, dataset.tokenizer.end_of_text
    train = np.asarray(dataset.train[:MOST_COUNTED], dtype=np.int64)
    validation = np.asarray(dataset.validation, dtype=np.int64)
    spans = validation_spans(validation, block_size, end, dataset.scored_from_starts)
    scored = validation[spans.scored()]
    scored_bytes = max(1, int(tokenizer.byte_lengths()[scored].sum()))
    unigram = _Unigram(train, tokenizer.vocab_size)
    trigram = Trigram(train, tokenizer.vocab_size, end)
    uniform_nats = math.log(tokenizer.vocab_size)
    unigram_nats = float(-np.log(unigram.probabilities(scored)).mean())
    in_context = _contexts(validation, spans, end, trigram.nothing)
    trigram_nats = float(-np.log(trigram.probabilities(*in_context)).mean())
    to_bits = len(scored) / (math.log(2) * scored_bytes)
    text = _bytes(scored, tokenizer)
    known = _bytes(train[-_ZLIB_REACH:], tokenizer)[-_ZLIB_REACH:]
    return Yardsticks(
        uniform_nats=uniform_nats,
        uniform_bits_per_byte=uniform_nats * to_bits,
        unigram_nats=unigram_nats,
        unigram_bits_per_byte=unigram_nats * to_bits,
        trigram_nats=trigram_nats,
        trigram_bits_per_byte=trigram_nats * to_bits,
        gzip_bits_per_byte=8 * _compressed(text, b"") / scored_bytes,
        gzip_after_training_bits_per_byte=8 * _compressed(text, known) / scored_bytes,
        scored_tokens=len(scored),
        scored_bytes=scored_bytes,
        training_tokens=len(train),
    )


def _contexts(
    ids: np.ndarray, spans: Spans, end: int, nothing: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each scored token the two before it and itself, (tokens,) each. The second last is `nothing`
    where the model sees none: at a span's first token, and right behind an end mark."""
    places = spans.scored()
    before = ids[places - 1]
    second = np.where(spans.first() | (before == end), nothing, ids[places - 2])
    return second, before, ids[places]


def _bytes(ids: np.ndarray, tokenizer: Tokenizer) -> bytes:
    return b"".join(map(tokenizer.token_bytes, ids.tolist()))


def _compressed(text: bytes, known: bytes) -> int:
    """Bytes that DEFLATE, as in gzip, needs for a text when `known` has gone before; its header left out."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=known)  # -15: without header and checksum
    return len(compressor.compress(text) + compressor.flush())


class _Unigram:
    """Each token's share of a text, as if each had been seen once more than it was."""

    def __init__(self, ids: np.ndarray, vocab_size: int) -> None:
        counts = np.bincount(ids[1:], minlength=vocab_size) + 1  # the first id is never to be predicted
        self._shares = counts / counts.sum()  # (V,)

    def probabilities(self, targets: np.ndarray) -> np.ndarray:
        return self._shares[targets]


class Trigram:
    """Chances of the next token from the two before it: counts of triples, mixed with counts of pairs, of
    single tokens, and with "all alike", so that nothing is impossible.

    How much a count is trusted depends on how often its context was seen: contexts seen 0, 1, 2-3, 4-7 ...
    times have one weight each, and one never seen has none. The weights are those under which documents
    that were left out of the counting are most probable (expectation maximization); then everything is
    counted.
    """

    def __init__(self, ids: np.ndarray, vocab_size: int, end_of_text: int) -> None:
        """ids (N,): the training text, an end mark before each document."""
        self.nothing = vocab_size  # stands for "no token"
        self._base = vocab_size + 1
        self._uniform = 1 / vocab_size
        targets, before = ids[1:], ids[:-1]
        second = np.concatenate([[self.nothing], ids[:-2]])
        second = np.where(before == end_of_text, self.nothing, second)
        held_out = _held_out(ids, end_of_text)[1:]
        kept = ~held_out
        self._count(second[kept], before[kept], targets[kept])
        self._weights = np.full((3, _LARGEST_BUCKET + 1), 0.5)  # of triples, pairs, single tokens
        if held_out.any() and kept.any():
            places = np.flatnonzero(held_out)
            places = places[:: math.ceil(len(places) / _MOST_HELD_OUT)]
            self._fit(second[places], before[places], targets[places])
            self._count(second, before, targets)

    def probabilities(self, second: np.ndarray, before: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """p(target | second, before), float64; (n,) each. `second` may be `self.nothing`."""
        shares, buckets = self._shares(second, before, targets)
        return self._mixtures(shares, buckets)[0]

    def _count(self, second: np.ndarray, before: np.ndarray, targets: np.ndarray) -> None:
        """Count triples, pairs and tokens, and how often each context has a token behind it."""
        base = self._base
        self._triples = np.unique((second * base + before) * base + targets, return_counts=True)
        contexts, first = np.unique(self._triples[0] // base, return_index=True)
        self._pair_contexts = contexts, np.add.reduceat(self._triples[1], first) if len(first) else first
        self._pairs = np.unique(before * base + targets, return_counts=True)
        self._before = np.bincount(before, minlength=base)
        self._single = np.bincount(targets, minlength=base)

    def _shares(
        self, second: np.ndarray, before: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each target's share of what followed its context of two, one and no tokens, and the bucket of that
        context: both (3, n)."""
        base = self._base
        seen = np.stack([
            _look_up(self._pair_contexts, second * base + before) * (second != self.nothing),
            self._before[before],
            np.full(len(targets), self._single.sum()),
        ])  # fmt: skip
        together = np.stack([
            _look_up(self._triples, (second * base + before) * base + targets),
            _look_up(self._pairs, before * base + targets),
            self._single[targets],
        ])  # fmt: skip
        buckets = np.ceil(np.log2(seen + 1)).astype(int).clip(max=_LARGEST_BUCKET)
        return np.where(seen > 0, together / np.maximum(seen, 1), 0.0), buckets

    def _mixtures(self, shares: np.ndarray, buckets: np.ndarray) -> np.ndarray:
        """The chance of each target from contexts of at most two, one, no tokens, and all alike: (4, n)."""
        mixed = [np.full(shares.shape[1], self._uniform)]
        for order in (2, 1, 0):
            weight = np.where(buckets[order] > 0, self._weights[order, buckets[order]], 0.0)
            mixed.append(weight * shares[order] + (1 - weight) * mixed[-1])
        return np.stack(mixed[::-1])

    def _fit(self, second: np.ndarray, before: np.ndarray, targets: np.ndarray) -> None:
        """Set the weights from held-out text."""
        shares, buckets = self._shares(second, before, targets)
        for _ in range(_ROUNDS):
            mixed = self._mixtures(shares, buckets)
            reached = np.ones(len(targets))  # the chance that the token came from this order or a shorter one
            for order in range(3):
                weight = np.where(buckets[order] > 0, self._weights[order, buckets[order]], 0.0)
                taken = reached * weight * shares[order] / mixed[order]
                # Half an observation each way keeps a weight that little speaks for away from 0 and 1.
                size = _LARGEST_BUCKET + 1
                self._weights[order] = (np.bincount(buckets[order], taken, size) + 0.5) / (
                    np.bincount(buckets[order], reached, size) + 1
                )
                reached = reached - taken


def _held_out(ids: np.ndarray, end_of_text: int) -> np.ndarray:
    """Which ids, bool (N,), belong to every tenth document, or every second of fewer than ten, or if there
    is one only, to its last fifth."""
    marks = ids == end_of_text
    document = np.cumsum(marks) - marks  # from 1 on; an end mark belongs to what it ends
    if document[-1] > 1:
        return document % (10 if document[-1] >= 10 else 2) == 1
    return np.arange(len(ids)) >= len(ids) - len(ids) // 5


def _look_up(counted: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> np.ndarray:
    """How often each key was counted; `counted` are keys in order, and their counts."""
    known, counts = counted
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64)
    places = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return np.where(known[places] == keys, counts[places], 0)
