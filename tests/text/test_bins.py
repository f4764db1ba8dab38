"""A dataset comes back from its folder as it was, or not at all."""

import numpy as np
import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import SlmError
from slm_core.text.bins import has_dataset, read_dataset, read_tokenizer, write_dataset
from slm_core.text.corpus import prepare

CONFIG = ExperimentConfig(corpus="tales", dataset_size=500, vocab_size=300, block_size=32)


@pytest.fixture(scope="module")
def dataset():
    return prepare(CONFIG)


@pytest.mark.parametrize("corpus", ["tales", "repeated"])
def test_a_dataset_comes_back_as_it_was(tmp_path, corpus):
    config = CONFIG.with_changes({"corpus": corpus})
    written = prepare(config)
    assert not has_dataset(tmp_path)
    write_dataset(written, tmp_path)
    assert has_dataset(tmp_path)
    read = read_dataset(tmp_path, config)
    assert np.array_equal(read.train, written.train) and np.array_equal(read.validation, written.validation)
    assert read.scored_from_starts == written.scored_from_starts == (corpus == "tales")
    assert read.sha256() == written.sha256()
    assert read.tokenizer.to_dict() == written.tokenizer.to_dict()


def test_bins_are_bare_little_endian_16_bit_ids(tmp_path, dataset):
    write_dataset(dataset, tmp_path)
    raw = (tmp_path / "train.bin").read_bytes()
    assert [raw[2 * place] + 256 * raw[2 * place + 1] for place in range(500)] == dataset.train.tolist()


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "emptied", "replaced"])
def test_damage_is_said(tmp_path, dataset, name, damage):
    write_dataset(dataset, tmp_path)
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(b"" if damage == "emptied" else b"\xff" * 100)
    with pytest.raises(SlmError, match=name.replace(".", r"\.")):
        read_dataset(tmp_path, CONFIG)


def test_a_half_written_dataset_is_none(tmp_path, dataset):
    write_dataset(dataset, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert not has_dataset(tmp_path)
    with pytest.raises(SlmError):
        read_tokenizer(tmp_path)
