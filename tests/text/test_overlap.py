"""The leak guard: shares as sets count them, planted leaks found, honest splits left in peace."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.text.corpus import Dataset, prepare
from slm_core.text.overlap import MARGIN, leak_report
from slm_core.text.tokenizer import Bytes

BYTES = Bytes()
END = BYTES.end_of_text


def dataset_of(train: list[str], validation: list[str]) -> Dataset:
    sides = map(BYTES.encode_documents, (train, validation))
    return Dataset(*sides, tokenizer=BYTES, scored_from_starts=True)


def passages(text: str, length: int) -> list[str]:
    return [text[place : place + length] for place in range(len(text) - length + 1)]


def in_others(texts: list[str], others: list[list[str]], length: int) -> float:
    """The share of the passages of texts that stand in one of the others, by plain sets."""
    found = [
        passage in {each for other in known for each in passages(other, length)}
        for text, known in zip(texts, others, strict=True)
        for passage in passages(text, length)
    ]
    return sum(found) / max(1, len(found))


# Two letters only: among so few different passages, many are shared, and a wrong hash would show.
SIDES = st.lists(st.text("ab", max_size=60), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES)
def test_shares_are_those_of_sets(train, validation):
    report = leak_report(dataset_of(train, validation))
    different = list(dict.fromkeys(train))
    for length in (13, 25):
        share = in_others(validation, [train] * len(validation), length)
        assert getattr(report, f"share_{length}") == pytest.approx(share)
        asked = sum(map(len, validation)) + len(validation) + 1
        if (
            asked > (sum(map(len, train)) + len(train) + 1) / 2 and len(different) > 1
        ):  # then all are asked for
            others = [[other for other in different if other is not each] for each in different]
            share = in_others(different, others, length)
            has_two = sum(len(each) >= length for each in different) > 1
            assert getattr(report, f"independent_{length}") == pytest.approx(share if has_two else 0)
    assert report.duplicate_documents == sum(bool(each) and each in train for each in validation)
    assert report.unique_training_tokens == sum(map(len, different))


@pytest.fixture(scope="module")
def honest() -> Dataset:
    return prepare(ExperimentConfig(dataset_size=150_000, vocab_size=512))


@pytest.mark.parametrize(
    ("corpus", "size"), [("tales", 200_000), ("tales", 200), ("stories", 200), ("stories", 3_000)]
)
def test_built_in_texts_do_not_leak(corpus, size):
    report = leak_report(prepare(ExperimentConfig(corpus=corpus, dataset_size=size)))
    assert not report.leaking and report.duplicate_documents == 0
    assert report.sentence.startswith("No leak")
    assert abs(report.share_25 - report.independent_25) < MARGIN / 2


def test_independent_stories_share_as_much_as_the_two_sides_do(honest):
    report = leak_report(honest)
    assert not report.leaking
    assert report.share_13 == pytest.approx(report.independent_13, rel=0.1) and report.share_13 > 0.05
    assert report.training_tokens == 150_000 and report.unique_training_tokens > 148_000


def with_first(ids: np.ndarray, count: int, planted_in: np.ndarray) -> np.ndarray:
    """A training text with the first `count` documents of another put in front."""
    end = ids[0]
    return np.concatenate([ids[: np.flatnonzero(ids == end)[count]], planted_in])


def test_one_planted_story_is_counted(honest):
    train = with_first(honest.validation, 1, honest.train)
    report = leak_report(Dataset(train, honest.validation, honest.tokenizer, True))
    assert report.leaking and report.duplicate_documents == 1
    assert "1 of 120 validation documents" in report.sentence and "must not be trusted" in report.sentence


def test_a_story_in_another_case_and_spacing_is_the_same_story():
    texts = [f"{Random(seed).random()} and {Random(-seed).random()}" for seed in range(1, 30)]
    report = leak_report(dataset_of(texts[:25], [texts[0].upper().replace(" ", "\n  "), *texts[25:]]))
    assert report.duplicate_documents == 1 and report.leaking


def test_planted_passages_are_found_without_a_whole_document(honest):
    """A tenth of the validation stories, each without its first and last words."""
    end, tokenizer = honest.tokenizer.end_of_text, honest.tokenizer
    marks = np.flatnonzero(honest.validation == end)
    planted = [honest.validation[marks[each] + 10 : marks[each + 1] - 10] for each in range(12)]
    train = np.concatenate([honest.train, *(np.append(each, end) for each in planted)]).astype(np.uint16)
    report = leak_report(Dataset(train, honest.validation, tokenizer, True))
    clean = leak_report(honest)
    assert report.duplicate_documents == 0 and report.leaking and not clean.leaking
    assert report.share_25 - clean.share_25 == pytest.approx(0.1 * 0.9, abs=0.02)


@pytest.mark.parametrize("size", [200, 1_000, 40_000])
def test_the_exhibit_leaks_all_of_it(size):
    config = ExperimentConfig(corpus="repeated", dataset_size=size)
    report = leak_report(prepare(config))
    assert report.leaking and report.share_13 == report.share_25 == 1.0 and report.independent_25 < 0.05
    assert 0.98 * size < report.unique_training_tokens <= size


def test_one_long_document_is_compared_with_pieces_of_itself():
    text = " ".join(f"{Random(seed).random():.6f}" for seed in range(4_000))
    fair = leak_report(dataset_of([text[:30_000]], [text[31_000:]]))
    assert (fair.share_25, fair.independent_25, fair.leaking) == (0, 0, False)
    assert fair.training_documents == fair.validation_documents == 1
    repeated = leak_report(dataset_of([text[:3_000] * 5], [text[1_000:2_500]]))
    assert repeated.leaking and repeated.share_25 == 1.0 and repeated.independent_25 == 0
    assert repeated.unique_training_tokens == 3_000


def test_documents_that_repeat_each_other_are_no_leak_but_are_told():
    form = "Report of the day. All machines have been looked after and are in good order. Signed by hand: "
    texts = [f"{form}{Random(seed).randrange(10**6)}" for seed in range(200)]
    report = leak_report(dataset_of(texts[:180], texts[180:]))
    assert not report.leaking and report.share_25 > 0.5 and "little to learn" in report.sentence


@pytest.mark.parametrize(
    ("train", "validation", "leaking"),
    [
        (["the same line"] * 500, ["the same line"] * 50, True),
        ([""], [""], False),
        (["a"], ["b"], False),
        (["a", "b"], ["c"], False),
        (["x" * 200], ["y" * 30], False),
    ],
    ids=["identical lines", "empty", "one letter", "two letters", "one document"],
)
def test_odd_texts_have_a_report(train, validation, leaking):
    assert leak_report(dataset_of(train, validation)).leaking == leaking


def test_a_text_cut_off_without_an_end_mark_has_a_report():
    ids = np.array(list(b"no mark at all, neither before nor behind"), dtype=np.uint16)
    report = leak_report(Dataset(ids, ids[:30], BYTES, False))
    assert report.share_13 == 1.0 and report.leaking
    assert (report.training_documents, report.validation_documents) == (1, 1)
