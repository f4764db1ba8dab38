"""Statistics of a dataset, against texts whose numbers are known beforehand."""

import numpy as np
import pytest

from slm_core.config import ExperimentConfig
from slm_core.text.corpus import Dataset, get_sample_text, prepare
from slm_core.text.statistics import Histogram, Side, describe, length_histogram, size_ends
from slm_core.text.tokenizer import make_tokenizer

BYTES = make_tokenizer("bytes", [], 0)  # a token is a byte: lengths can be counted by hand


def side(*documents: str) -> Side:
    return Side(BYTES.encode_documents(documents), BYTES)


def dataset(train: list[str], validation: list[str]) -> Dataset:
    return Dataset(BYTES.encode_documents(train), BYTES.encode_documents(validation), BYTES, False)


def test_documents_come_back_one_by_one():
    documents = ["One.", "", "Größe 猫 🐱\n\nTwo", "x"]
    found = side(*documents)
    assert len(found) == 4 and list(found.texts()) == documents
    assert found.lengths.tolist() == [len(each.encode()) for each in documents]


def test_a_beginning_never_ends_within_a_character():
    assert [side("a猫🐱").text(0, tokens) for tokens in range(9)] == [
        "", "a", "a", "a", "a猫", "a猫", "a猫", "a猫", "a猫🐱"
    ]  # fmt: skip


def test_a_document_cut_off_is_left_out_unless_it_is_the_only_one():
    ids = BYTES.encode_documents(["One", "Two"])
    assert list(Side(ids[:-2], BYTES).texts()) == ["One"]
    assert list(Side(ids[:3], BYTES).texts()) == ["On"]


def test_a_stream_may_begin_within_a_document():
    ids = BYTES.encode_documents(["One", "Two"])
    assert list(Side(ids[2:], BYTES).texts()) == ["ne", "Two"]
    assert list(Side(ids[1:3], BYTES).texts()) == ["On"]


def test_words_are_counted_in_every_script():
    found = describe(dataset(["The cat saw the cat's hat 12 times", "春天 來了 🐱"], ["A DOG saw 春"]))
    # the cat saw the cat's hat times + 春 天 來 了, and a dog saw 春
    assert (found.words, found.word_types) == (7 + 4 + 4, 6 + 4 + 2)
    assert found.unseen_words == 2 / 4
    assert dict(found.commonest)["the"] == dict(found.commonest)["saw"] == dict(found.commonest)["春"] == 2
    assert found.characters == 34 + 7 + 11


def test_a_size_ends_where_its_tokens_end():
    found = side("abc", "dé", "fgh")  # marks at 0, 4, 8 and 12
    ends = {end.size: (end.document, end.characters, end.ending) for end in size_ends(found, range(20))}
    assert ends == {
        1: (0, 0, ""), 2: (0, 1, "a"), 3: (0, 2, "ab"), 4: (0, 3, "abc"), 5: (1, 0, ""), 6: (1, 1, "d"),
        7: (1, 1, "d"), 8: (1, 2, "dé"), 9: (2, 0, ""), 10: (2, 1, "f"), 11: (2, 2, "fg"), 12: (2, 3, "fgh"),
    }  # fmt: skip


def test_the_end_of_a_preset_is_the_last_that_its_run_reads():
    config = ExperimentConfig(dataset_size=20_000)
    (end,) = size_ends(Side(prepare(config).train, prepare(config).tokenizer), [1_000])
    read = prepare(config.with_changes({"dataset_size": 1_000}))
    stories = get_sample_text(end.document + 1).split("\n\n")
    assert read.tokenizer.decode(read.train[-20:]).rstrip("\ufffd")[-20:] == end.ending[-20:]
    assert stories[end.document][: end.characters].endswith(end.ending)


def test_lengths_are_counted_in_bars_that_hold_everything():
    train, validation = ["x" * (1 + number % 50) for number in range(500)], ["x" * 7, "x" * 7, "x" * 9]
    found = length_histogram(describe(dataset(train, validation)))
    assert sum(found.train_shares) == pytest.approx(1) and sum(found.validation_shares) == pytest.approx(1)
    place = next(i for i, edge in enumerate(found.edges) if edge > 7) - 1
    assert found.validation_shares[place] >= 2 / 3
    assert found.edges[0] == 0 and found.edges[-1] > 50 and not found.longer


def test_a_few_long_documents_do_not_squeeze_the_others():
    found = length_histogram(describe(dataset(["x" * 20] * 300 + ["x" * 9_000], ["x" * 20])))
    assert found.longer and found.edges[-1] < 100 and found.train_shares[-1] == pytest.approx(1 / 301)


def test_one_document_makes_a_histogram():
    found = length_histogram(describe(dataset(["abc"], ["d"])))
    assert isinstance(found, Histogram) and len(found.edges) == len(found.train_shares) + 1
    assert all(isinstance(edge, int) for edge in found.edges)


def test_memory_mapped_ids_are_read_too(tmp_path):
    ids = BYTES.encode_documents(["One", "Two"])
    ids.astype("<u2").tofile(tmp_path / "ids.bin")
    assert list(Side(np.memmap(tmp_path / "ids.bin", dtype="<u2", mode="r"), BYTES).texts()) == ["One", "Two"]
