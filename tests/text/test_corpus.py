"""From text to ids: no text on both sides, the same text for the same settings, and what cannot be read."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import corpus
from slm_core.text.corpus import (
    LARGEST_TEXT_BYTES,
    Dataset,
    get_sample_text,
    normalize,
    prepare,
    read_bins,
    read_text,
    split_text,
    write_bins,
)


def paragraphs_of(seed: int, count: int) -> list[str]:
    """Different paragraphs of about 130 characters, as nobody else writes them."""
    random = Random(seed)
    return [f"{number} " + " ".join(f"{random.random():.6f}" for _ in range(14)) for number in range(count)]


def words(paragraph: str) -> str:
    return " ".join(paragraph.lower().split())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(20, 120), st.integers(1, 4))
def test_no_paragraph_stands_on_both_sides_however_often_it_is_repeated(seed, count, times):
    paragraphs = paragraphs_of(seed, count)
    repeated = (paragraphs + [each.upper().replace(" ", "  ") for each in paragraphs]) * times
    Random(seed).shuffle(repeated)
    split = split_text("\n\n".join(repeated))
    train, validation = {words(each) for each in split.train}, {words(each) for each in split.validation}
    if len(split.train) > 1:  # by paragraphs
        assert len(train) == len(split.train) and len(validation) == len(split.validation), (
            "a duplicate stayed"
        )
        assert train.isdisjoint(validation)
        assert train | validation == set(map(words, paragraphs)), "a paragraph was lost"
    for side, other in ((split.train, split.validation), (split.validation, split.train)):
        whole = words(" ".join(side))
        assert not any(
            words(each) in whole for document in other for each in document.split("\n\n") if len(each) > 60
        )


def test_a_paragraph_stays_on_its_side_when_text_is_added():
    paragraphs = paragraphs_of(3, 400)
    few, many = split_text("\n\n".join(paragraphs[:150])), split_text("\n\n".join(paragraphs))
    assert set(few.train) <= set(many.train)
    assert set(few.validation) <= set(many.validation)


def test_about_a_tenth_is_held_out():
    split = split_text("\n\n".join(paragraphs_of(5, 2_000)))
    assert 0.08 < len(split.validation) / 2_000 < 0.12  # two standard deviations are 0.013


def test_a_text_without_paragraphs_is_cut_once_with_a_gap():
    text = " ".join(paragraphs_of(1, 40))
    split = split_text(text)
    (train,), (validation,) = split.train, split.validation
    assert text.startswith(train) and text.endswith(validation)
    assert 0 < len(text) - len(train) - len(validation) <= 600
    assert 0.05 < len(validation) / len(text) <= 0.26


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\n ",
        "word",
        "word" * 1_000,
        "a short text",
        ("again and again\n\n" * 1_000),
        "\n\n".join(["x"] * 3_000),
    ],
    ids=[
        "empty",
        "blank",
        "one word",
        "one long word",
        "short",
        "one paragraph repeated",
        "one letter repeated",
    ],
)
def test_texts_too_small_to_be_split_are_refused_with_what_is_needed(text):
    with pytest.raises(CorpusError, match="2,000"):
        split_text(text)


def test_normalizing_leaves_one_form_for_one_text():
    assert normalize("  e\u0301a \t\r\nb\rc \n") == "éa\nb\nc"
    assert normalize("a\ud800b") == "a?b"


@given(st.text())
def test_normalizing_twice_changes_nothing_more(text):
    once = normalize(text)
    assert normalize(once) == once and "\r" not in once
    once.encode("utf-8")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", r"note\.txt is empty"),
        (b" \n\t", r"note\.txt is empty"),
        (b"PK\x03\x04\x00\x00", r"note\.txt is not a text file"),
        ("Größe".encode("latin-1"), r"note\.txt is not UTF-8 text: byte 0xf6 at position 2"),
        ("Größe".encode("utf-16"), "note.txt is not"),
        (b"x" * (LARGEST_TEXT_BYTES + 1), "25 MB"),
    ],
    ids=["empty", "blank", "binary", "latin-1", "utf-16", "too large"],
)
def test_files_that_are_no_text_are_refused_by_name(content, answer):
    with pytest.raises(CorpusError, match=answer):
        read_text(content, "note.txt")


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert read_text(b"\xef\xbb\xbfGr\xc3\xb6\xc3\x9fe", "note.txt") == "Größe"


def test_own_text_comes_back_from_its_ids(tiny_config, tiny_dataset, own_text):
    whole = prepare(tiny_config.with_changes({"dataset_size": 1_000_000}), own_text)
    split = split_text(own_text)
    assert whole.tokenizer.decode(whole.train) == "\n\n" + "\n\n".join(split.train) + "\n\n"
    assert whole.tokenizer.decode(whole.validation) == "\n\n" + "\n\n".join(split.validation) + "\n\n"
    assert len(tiny_dataset.train) == tiny_config.dataset_size
    assert np.array_equal(tiny_dataset.train, whole.train[: tiny_config.dataset_size])
    assert "fewer than the 1,000,000 asked for" in whole.notices[0]
    assert not tiny_dataset.notices


def test_a_vocabulary_that_a_text_cannot_fill_is_a_notice():
    text = "\n\n".join(f"{chr(0x4E00 + place)} b" for place in range(800))
    config = ExperimentConfig(corpus="own", vocab_size=16_000)
    dataset = prepare(config, text)
    assert dataset.tokenizer.vocab_size < 16_000
    assert any("16,000" in notice for notice in dataset.notices)


def test_a_text_shorter_than_one_block_is_refused(own_text):
    config = ExperimentConfig(corpus="own", block_size=1024, dataset_size=2_000, vocab_size=4_096)
    with pytest.raises(CorpusError, match=r"lower block_size below [\d,]+"):
        prepare(config, "\n\n".join(f"the same few words {each % 10} {each}" for each in range(100)))


def test_own_text_that_is_not_given_is_asked_for():
    with pytest.raises(CorpusError, match="no text was given"):
        prepare(ExperimentConfig(corpus="own"))


@pytest.mark.parametrize("kind", ["tales", "stories"])
def test_a_larger_dataset_begins_with_the_smaller_one_and_is_tested_on_the_same_text(kind):
    small, large = (prepare(ExperimentConfig(corpus=kind, dataset_size=size)) for size in (200, 30_000))
    assert (len(small.train), len(large.train)) == (200, 30_000)
    assert np.array_equal(large.train[:200], small.train)
    assert np.array_equal(large.validation, small.validation)
    assert small.tokenizer.to_dict() == large.tokenizer.to_dict()
    assert small.scored_from_starts and len(small.validation) > 10_000


@pytest.mark.parametrize("kind", ["tales", "stories"])
def test_no_story_stands_on_both_sides_and_none_twice(kind):
    dataset = prepare(ExperimentConfig(corpus=kind, dataset_size=100_000))
    train, validation = (
        [each for each in dataset.tokenizer.decode(ids).split("\n\n") if each]
        for ids in (dataset.train, dataset.validation)
    )
    assert len(train) > 500 and len(validation) >= 100
    assert set(train).isdisjoint(validation)
    assert len(set(train)) == len(train) and len(set(validation)) == len(validation)


def test_a_story_held_out_for_validation_is_never_trained_on(monkeypatch):
    def draw(
        size: str, seed: int
    ) -> Iterator[str]:  # a small world in which both seeds tell the same stories
        return (f"Story {number} of {size}." for number in range(3_000))

    cached = corpus.story_tokenizer, corpus._validation_stories
    for each in cached:
        each.cache_clear()
    try:
        monkeypatch.setattr(corpus.stories, "draw", draw)
        dataset = prepare(ExperimentConfig(corpus="tales", dataset_size=2_000))
    finally:
        for each in cached:
            each.cache_clear()
    train, validation = (dataset.tokenizer.decode(ids) for ids in (dataset.train, dataset.validation))
    assert "Story 399 of tales." in validation and "Story 400 of tales." not in validation
    assert train.startswith("\n\nStory 400 of tales.") and "Story 399 of tales." not in train


def test_the_fingerprint_follows_every_id_on_both_sides(tiny_dataset):
    for side in ("train", "validation"):
        sides = {"train": tiny_dataset.train.copy(), "validation": tiny_dataset.validation.copy()}
        assert Dataset(**sides, tokenizer=tiny_dataset.tokenizer, scored_from_starts=False).sha256() == (
            tiny_dataset.sha256()
        )
        sides[side][-1] ^= 1
        changed = Dataset(**sides, tokenizer=tiny_dataset.tokenizer, scored_from_starts=False)
        assert changed.sha256() != tiny_dataset.sha256()


def test_sample_text_is_different_stories():
    assert len(set(get_sample_text(5, "tales").split("\n\n"))) == 5
    with pytest.raises(CorpusError, match="at least 1"):
        get_sample_text(0)


def test_bins_hold_bare_little_endian_ids_and_come_back(tiny_dataset, tmp_path):
    write_bins(tiny_dataset, tmp_path)
    assert (tmp_path / "train.bin").read_bytes() == b"".join(
        int(each).to_bytes(2, "little") for each in tiny_dataset.train
    )
    again = read_bins(tmp_path, tiny_dataset.tokenizer, scored_from_starts=False)
    assert again.sha256() == tiny_dataset.sha256()


@pytest.mark.parametrize(
    "damage", [None, b"", b"abc", b"\xff\xff"], ids=["missing", "empty", "odd", "foreign id"]
)
def test_damaged_bins_are_refused_by_name(tiny_dataset, tmp_path, damage):
    write_bins(tiny_dataset, tmp_path)
    (tmp_path / "validation.bin").unlink()
    if damage is not None:
        (tmp_path / "validation.bin").write_bytes(damage)
    with pytest.raises(CorpusError, match=r"validation\.bin"):
        read_bins(tmp_path, tiny_dataset.tokenizer, scored_from_starts=False)


@pytest.mark.parametrize("kind", ["bytes", "characters"])
@pytest.mark.parametrize("name", ["tales", "stories"])
def test_on_the_built_in_stories_a_tokenizer_of_another_kind_has_its_own_size_and_says_so(name, kind):
    asked = {size: ExperimentConfig(corpus=name, tokenizer=kind, vocab_size=size) for size in (257, 1_024)}
    silent, told = (prepare(config) for config in asked.values())
    assert silent.tokenizer.kind == kind
    assert silent.tokenizer.vocab_size == told.tokenizer.vocab_size == 257  # the stories are plain English
    assert not silent.notices
    assert "257" in told.notices[0] and "1,024 has no effect" in told.notices[0]
    assert silent.sha256() == told.sha256()


def test_characters_of_own_text_come_from_its_training_side_only():
    paragraphs = [f"Absatz {number} über {chr(0x4E00 + number)}." for number in range(300)]
    config = ExperimentConfig(corpus="own", tokenizer="characters", vocab_size=257, block_size=64)
    dataset, split = prepare(config, "\n\n".join(paragraphs)), split_text("\n\n".join(paragraphs))
    seen = {letter for text in split.train for letter in text if not letter.isascii()}
    unseen = {letter for text in split.validation for letter in text if not letter.isascii()} - seen
    assert unseen and dataset.tokenizer.vocab_size == 257 + len(seen)
    assert all(len(dataset.tokenizer.encode(letter)) == 1 for letter in seen)
    assert all(len(dataset.tokenizer.encode(letter)) > 1 for letter in unseen)
    assert dataset.tokenizer.decode(dataset.validation).split("\n\n")[1:-1] == split.validation


def test_the_text_that_vocabularies_are_measured_on_is_held_out():
    held_out = set(corpus.held_out_stories("stories").split("\n\n"))
    assert len(held_out) == 120 and held_out.isdisjoint(get_sample_text(2_000).split("\n\n"))


def test_the_gap_in_a_text_without_paragraphs_is_as_long_as_a_block():
    text = " ".join(paragraphs_of(1, 400))  # 6,000 words
    for block_size in (16, 128, 256):
        split = split_text(text, block_size)
        (train,), (validation,) = split.train, split.validation
        left_out = text[len(train) : len(text) - len(validation)]
        assert block_size <= len(left_out.split()) <= block_size + 2


@pytest.mark.parametrize(
    "text",
    [
        " ".join(["a\0b", "\ud800x", "é", "e\u0301", "\u2028", "🌱", "\r\n"] * 400),
        "".join(chr(0x4E00 + each % 700) + "，" * (each % 9 == 0) for each in range(9_000)),
        "first" + " word" * 1_000 + "\n<|endoftext|>\n" + "second" + " words" * 1_000,
        "the same line again\n" * 2_000,
        "x" * 300_000 + " " + "ab" * 150_000,
    ],
    ids=["odd characters", "without blanks", "two documents", "identical lines", "endless words"],
)
def test_whatever_can_be_read_can_be_prepared(text):
    dataset = prepare(ExperimentConfig(corpus="own", vocab_size=512, block_size=64), text)
    assert len(dataset.train) > 64 and len(dataset.validation) > 20
    assert "<|endoftext|>" not in dataset.tokenizer.decode(dataset.train)
    assert max(dataset.train.max(), dataset.validation.max()) <= dataset.tokenizer.end_of_text


def test_marks_between_documents_are_not_read_as_text_and_repeated_documents_are_dropped():
    documents = [f"{each}\n\nwith a second paragraph" for each in paragraphs_of(2, 60)]
    split = split_text("\n<|endoftext|>\n".join(documents * 3))
    assert sorted(split.train + split.validation) == sorted(documents) and split.duplicates == 120
