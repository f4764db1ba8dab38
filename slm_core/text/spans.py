"""Which tokens are scored. Losses, the floor beneath them and the yardsticks beside them all ask here, so
they speak of the same tokens.

A span is a stretch of ids: the first is only read, each later one is to be predicted from those before it.
"""

from dataclasses import dataclass

import numpy as np

MOST_TOKENS = 16_384  # of one side; more would cost time and change the third digit
FEWEST_SPANS = 20


@dataclass(frozen=True)
class Spans:
    """Stretches of a stream of ids, int64 of shape (S,) each: span s reads ids[starts[s]] and scores the
    lengths[s] ids behind it."""

    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def tokens(self) -> int:
        """How many tokens are scored."""
        return int(self.lengths.sum())

    def scored(self) -> np.ndarray:
        """Places in the stream of all scored ids, int64 of shape (tokens,), span after span."""
        ends = np.cumsum(self.lengths)
        return np.arange(self.tokens) + np.repeat(self.starts + 1 - (ends - self.lengths), self.lengths)

    def first(self) -> np.ndarray:
        """Which of `scored` are the first of their span, bool of shape (tokens,)."""
        return np.concatenate([np.arange(length) == 0 for length in self.lengths] or [np.zeros(0, bool)])


def spans_from_starts(ids: np.ndarray, block_size: int, end_of_text: int) -> Spans:
    """One span per document: it reads the end mark before it and scores its first block_size tokens, to which
    the end mark behind it belongs; what lies beyond is not scored."""
    marks = np.flatnonzero(np.asarray(ids) == end_of_text)
    starts = marks[marks < len(ids) - 1]
    ends = np.append(marks[1:], len(ids) - 1)[: len(starts)]  # the last document may be cut off, markless
    starts, ends = spread(starts, block_size), spread(ends, block_size)
    return Spans(starts, np.minimum(block_size, ends - starts))


def consecutive_spans(ids: np.ndarray, length: int) -> Spans:
    """Spans that score `length` tokens each, one after another, the last one drawn back so that the end of
    the text is scored too."""
    starts = spread(np.arange(0, len(ids) - 1, length), length).clip(max=max(0, len(ids) - 1 - length))
    return Spans(starts, np.full(len(starts), min(length, len(ids) - 1), dtype=np.int64))


def span_length(validation_ids: np.ndarray, block_size: int) -> int:
    """block_size, or what a short validation text can fill 20 spans with. Both sides are then measured with
    it, since a model predicts better the more it sees."""
    return max(1, min(block_size, (len(validation_ids) - 1) // FEWEST_SPANS))


def validation_spans(
    validation_ids: np.ndarray, block_size: int, end_of_text: int, scored_from_starts: bool
) -> Spans:
    """The spans whose tokens the validation loss is the mean of."""
    if scored_from_starts:
        return spans_from_starts(validation_ids, block_size, end_of_text)
    return consecutive_spans(validation_ids, span_length(validation_ids, block_size))


def mean_and_error(nats: np.ndarray, tokens: np.ndarray) -> tuple[float, float]:
    """Mean nats per token over spans and its standard error, from the nats and the tokens of each span.

    Spans are independent, tokens within one are not: the error of a ratio of sums over spans.
    Source: Cochran, "Sampling Techniques" (1977), equation 6.13.
    """
    mean = float(nats.sum() / tokens.sum())
    spread_sum = float(np.square(nats - mean * tokens).sum()) * len(nats) / max(1, len(nats) - 1)
    return mean, float(np.sqrt(spread_sum) / tokens.sum())


def spread(items: np.ndarray, length: int) -> np.ndarray:
    """As many items, evenly spread, as give MOST_TOKENS when each has `length` tokens."""
    most = max(FEWEST_SPANS, MOST_TOKENS // length)
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).astype(int)]
