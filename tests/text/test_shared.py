"""What is shared is what each would have made alone, is made once, and nobody can change it."""

import weakref

import numpy as np
import pytest

from slm_core.config import KNOBS, ExperimentConfig
from slm_core.text import shared
from slm_core.text.corpus import prepare
from slm_core.text.report import text_report
from slm_core.text.shared import (
    MOST_CHARACTERS,
    MOST_TOKENS,
    is_shared,
    shared_dataset,
    shared_report,
)

BASE = ExperimentConfig(corpus="tales", dataset_size=700, vocab_size=300, block_size=32)
OWN = BASE.with_changes({"corpus": "own"})
OTHERS = {
    "corpus": "stories", "dataset_size": 900, "tokenizer": "characters", "vocab_size": 320, "block_size": 48,
}  # fmt: skip


@pytest.mark.parametrize("changes", [{}, *({name: value} for name, value in OTHERS.items())], ids=str)
def test_what_is_shared_is_what_each_would_have_made(changes):
    check_shared(BASE.with_changes(changes), None)


@pytest.mark.parametrize(
    "changes", [{}, *({name: value} for name, value in OTHERS.items() if name != "corpus")], ids=str
)
def test_what_is_shared_of_own_text_is_what_each_would_have_made(changes, own_text):
    check_shared(OWN.with_changes(changes), own_text)


def check_shared(config: ExperimentConfig, text: str | None) -> None:
    alone, common = prepare(config, text), shared_dataset(config, text)
    np.testing.assert_array_equal(alone.train, common.train)
    np.testing.assert_array_equal(alone.validation, common.validation)
    assert alone.tokenizer.to_dict() == common.tokenizer.to_dict()
    assert (alone.notices, alone.scored_from_starts) == (common.notices, common.scored_from_starts)
    assert shared_report(common, config) == text_report(alone, config)


def test_one_text_is_made_for_all_settings_that_it_does_not_depend_on(monkeypatch):
    made = []
    watch(monkeypatch, made)
    changes = [{"seed": 5}, {"n_layer": 3}, {"learning_rate": 0.01}, {"max_iters": 900}, {"patience": 2}]
    texts = {id(shared_dataset(BASE.with_changes(each))) for each in [{}, *changes]}
    assert len(texts) == len(made) == 1
    for each in ({name: value} for name, value in OTHERS.items()):
        texts.add(id(shared_dataset(BASE.with_changes(each))))
    assert len(texts) == len(made) == 6


def watch(monkeypatch, made: list) -> None:
    """Whatever is prepared from now on is noted in `made`; what was kept is forgotten."""
    monkeypatch.setattr(shared, "prepare", lambda *asked: made.append(asked) or prepare(*asked))
    shared._dataset.cache_clear()


def test_own_text_is_made_once_for_each_content_and_setting(monkeypatch, own_text):
    made = []
    watch(monkeypatch, made)
    copies = ["".join(own_text) for _ in range(2)]  # two strings of one content, as two runs read them
    texts = {id(shared_dataset(OWN.with_changes({"seed": seed}), copies[seed])) for seed in range(2)}
    assert len(texts) == len(made) == 1
    other = shared_dataset(OWN, f"Before all. {own_text}")
    assert other.sha256() != shared_dataset(OWN, own_text).sha256() and len(made) == 2
    for name in set(OTHERS) - {"corpus"}:
        texts.add(id(shared_dataset(OWN.with_changes({name: OTHERS[name]}), own_text)))
    assert len(texts) == 5 and len(made) == 6


def test_a_text_that_was_read_is_not_kept(own_text):
    class Content(str):
        """A text of which it can be asked whether somebody holds it."""

    content = Content(f"Kept by nobody. {own_text}")
    gone = weakref.ref(content)
    shared_dataset(OWN, content)
    del content
    assert gone() is None


def test_one_report_is_made_for_one_dataset(monkeypatch, own_text):
    made = []
    monkeypatch.setattr(shared, "text_report", lambda *asked: made.append(asked) or text_report(*asked))
    shared._report.cache_clear()
    dataset = shared_dataset(OWN, own_text)
    reports = [shared_report(dataset, OWN.with_changes({"seed": seed})) for seed in range(3)]
    assert len(made) == 1 and reports[0] == reports[2]
    larger = OWN.with_changes({"dataset_size": 1_500})
    assert shared_report(shared_dataset(larger, own_text), larger) != reports[0]


def test_every_setting_of_the_text_counts():
    """A new one must not be forgotten: two runs would then read one and the same text."""
    assert {knob.name for knob in KNOBS.values() if knob.group == "data"} <= set(OTHERS)


def test_a_shared_text_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        shared_dataset(BASE).train[0] = 1


@pytest.mark.parametrize(
    ("characters", "expected"), [(None, False), (MOST_CHARACTERS, True), (MOST_CHARACTERS + 1, False)]
)
def test_only_small_texts_of_ones_own_are_shared(characters, expected):
    text = characters and "a" * characters
    assert is_shared(OWN, text) == expected
    assert not is_shared(OWN.with_changes({"dataset_size": MOST_TOKENS + 1}), text)
    assert not is_shared(OWN.with_changes({"corpus": "repeated"}), text)


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
