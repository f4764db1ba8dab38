"""What is shared is what each would have made alone, is made once, and nobody can change it."""

import numpy as np
import pytest

from slm_core.config import KNOBS, ExperimentConfig
from slm_core.text import shared
from slm_core.text.corpus import prepare
from slm_core.text.report import text_report
from slm_core.text.shared import MOST_TOKENS, is_shared, shared_dataset, shared_report

BASE = ExperimentConfig(corpus="tales", dataset_size=700, vocab_size=300, block_size=32)
OTHERS = {
    "corpus": "stories", "dataset_size": 900, "tokenizer": "characters", "vocab_size": 320, "block_size": 48,
}  # fmt: skip


@pytest.mark.parametrize("changes", [{}, *({name: value} for name, value in OTHERS.items())], ids=str)
def test_what_is_shared_is_what_each_would_have_made(changes):
    config = BASE.with_changes(changes)
    alone, common = prepare(config), shared_dataset(config)
    np.testing.assert_array_equal(alone.train, common.train)
    np.testing.assert_array_equal(alone.validation, common.validation)
    assert alone.tokenizer.to_dict() == common.tokenizer.to_dict()
    assert (alone.notices, alone.scored_from_starts) == (common.notices, common.scored_from_starts)
    assert shared_report(config) == text_report(alone, config)


def test_one_text_is_made_for_all_settings_that_it_does_not_depend_on(monkeypatch):
    made = []
    monkeypatch.setattr(shared, "prepare", lambda config: made.append(config) or prepare(config))
    shared._dataset.cache_clear()
    changes = [{"seed": 5}, {"n_layer": 3}, {"learning_rate": 0.01}, {"max_iters": 900}, {"patience": 2}]
    texts = {id(shared_dataset(BASE.with_changes(each))) for each in [{}, *changes]}
    assert len(texts) == len(made) == 1
    for each in ({name: value} for name, value in OTHERS.items()):
        texts.add(id(shared_dataset(BASE.with_changes(each))))
    assert len(texts) == len(made) == 6


def test_every_setting_of_the_text_counts():
    """A new one must not be forgotten: two runs would then read one and the same text."""
    assert {knob.name for knob in KNOBS.values() if knob.group == "data"} <= set(OTHERS)


def test_a_shared_text_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        shared_dataset(BASE).train[0] = 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"corpus": "stories", "dataset_size": MOST_TOKENS}, True),
        ({"dataset_size": MOST_TOKENS + 1}, False),
        ({"corpus": "own"}, False),
        ({"corpus": "repeated"}, False),
    ],
)
def test_only_small_texts_of_the_built_in_stories_are_shared(changes, expected):
    assert is_shared(BASE.with_changes(changes)) == expected
