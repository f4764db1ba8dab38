"""The recipe that leaks does leak, and is cut as it says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.text.corpus import prepare, scored_from_starts
from slm_core.text.exhibit import repeat_then_split
from slm_core.text.spans import span_length
from slm_core.train.trainer import Trainer


@given(st.integers(1, 4_000), st.integers(16, 256))
def test_both_sides_together_are_the_text_over_and_over(tokens, block_size):
    ids = np.arange(tokens, dtype=np.uint16)
    train, validation, times = repeat_then_split(ids, block_size)
    assert times >= 5
    assert np.array_equal(np.concatenate([train, validation]), np.arange(tokens * times) % tokens)
    assert 0 <= len(validation) - (len(train) + len(validation)) / 10 < 1
    assert span_length(validation, block_size) == block_size, "fewer than 20 whole blocks"
    assert times == 5 or len(ids) * (times - 1) < 200 * block_size + 10, "repeated more often than needed"


def test_it_can_be_trained_on_and_says_what_it_is():
    config = ExperimentConfig(corpus="repeated", dataset_size=400, vocab_size=512, n_embd=16, block_size=32)
    dataset = prepare(config)
    honest = prepare(config.with_changes({"corpus": "stories"}))
    assert np.array_equal(dataset.train[:400], honest.train) and len(dataset.train) > 5 * 400
    assert dataset.tokenizer.to_dict() == honest.tokenizer.to_dict(), "else losses could not be compared"
    assert any("recipe that leaks: 400 tokens" in notice for notice in dataset.notices)
    assert not any("recipe that leaks" in notice for notice in honest.notices)
    assert not dataset.scored_from_starts and len(Trainer(config, dataset).validation_windows) >= 20


def test_only_stories_are_scored_from_their_starts():
    assert [scored_from_starts(each) for each in ("tales", "stories", "own", "repeated")] == [
        True,
        True,
        False,
        False,
    ]
