"""Which tokens are scored: by hand, and the spread over long texts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slm_core.text.spans import (
    FEWEST_SPANS,
    MOST_TOKENS,
    consecutive_spans,
    mean_and_error,
    span_length,
    spans_from_starts,
    validation_spans,
)

E = 9  # the end mark in the planted texts
DOCUMENTS = st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=12)


def stream(documents: list[list[int]]) -> np.ndarray:
    return np.array([E, *(each for document in documents for each in [*document, E])], dtype=np.uint16)


def test_documents_and_a_cut_one_by_hand():
    ids = np.array([E, 1, 2, 3, E, E, 4, E, 5], dtype=np.uint16)
    spans = spans_from_starts(ids, 3, E)
    assert spans.starts.tolist() == [0, 4, 5, 7]
    assert ids[spans.scored()].tolist() == [1, 2, 3, E, 4, E, 5]
    assert spans.lengths.tolist() == [3, 1, 2, 1]
    assert spans.first().tolist() == [True, False, False, True, True, False, True]


@given(DOCUMENTS, st.integers(1, 8))
def test_each_document_is_scored_up_to_the_block_and_with_its_end(documents, block_size):
    ids = stream(documents)
    spans = spans_from_starts(ids, block_size, E)
    expected = [[*document, E][:block_size] for document in documents]
    assert ids[spans.scored()].tolist() == [token for document in expected for token in document]
    assert spans.tokens == sum(map(len, expected)) and len(spans) == len(documents)


def test_a_stream_without_documents_has_no_spans():
    spans = spans_from_starts(np.array([E], dtype=np.uint16), 3, E)
    assert len(spans) == spans.tokens == len(spans.scored()) == len(spans.first()) == 0


@given(st.integers(2, 300), st.integers(1, 50))
def test_consecutive_spans_score_every_token_but_the_first(tokens, length):
    spans = consecutive_spans(np.arange(tokens), length)
    assert set(spans.scored().tolist()) == set(range(1, tokens))
    assert set(spans.lengths.tolist()) == {min(length, tokens - 1)}


def test_long_texts_are_scored_in_spans_from_end_to_end():
    many = spans_from_starts(stream([[1, 2]] * 9_000), 8, E)
    assert len(many) == MOST_TOKENS // 8 and many.starts[0] == 0 and many.starts[-1] == 3 * 8_999


@given(st.integers(22, 3_000), st.integers(16, 256), st.booleans())
def test_validation_spans_are_of_the_kind_that_the_dataset_asks_for(tokens, block_size, from_starts):
    ids = np.where(np.arange(tokens) % 7 == 0, E, 1)
    spans = validation_spans(ids, block_size, E, from_starts)
    if from_starts:
        assert (ids[spans.starts] == E).all()
    else:
        assert set(spans.lengths.tolist()) == {span_length(ids, block_size)}
        assert len(spans) >= FEWEST_SPANS


def test_the_error_of_a_mean_is_that_of_a_bootstrap_over_spans():
    random = np.random.default_rng(0)
    tokens = random.integers(20, 200, size=150)
    nats = tokens * random.normal(1, 0.1, size=150) + random.normal(0, 3, size=150)
    drawn = random.integers(0, 150, size=(20_000, 150))
    means = nats[drawn].sum(1) / tokens[drawn].sum(1)
    mean, error = mean_and_error(nats, tokens)
    assert mean == nats.sum() / tokens.sum()
    assert abs(error / means.std() - 1) < 0.05
