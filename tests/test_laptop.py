"""A model carried home: it proves itself, writes what the original writes, and says how fast."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from slm_core import laptop
from slm_core.errors import CheckpointError, ConfigError
from slm_core.laptop import LaptopSLM
from slm_core.model.generate import write_text
from slm_core.model.gpt import GPT
from slm_core.model.sampling import Sampling
from slm_core.runs.checkpoint import FORMAT, read_tensors, save_checkpoint, write_tensors


@pytest.fixture
def file(tiny_config, tiny_dataset, tmp_path) -> Path:
    tokenizer = tiny_dataset.tokenizer
    config = tiny_config.with_changes({"vocab_size": tokenizer.vocab_size})
    model = GPT(config, torch.Generator().manual_seed(0))
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, tokenizer, name="a", metrics={"step": 6, "train_loss": 1.5}, data_sha256="")
    return path


def test_it_writes_what_the_model_in_the_file_writes(file):
    slm = LaptopSLM(str(file))
    kept = slm._checkpoint
    sampling = Sampling(max_new_tokens=12, temperature=0.5, seed=3)
    expected = list(write_text(kept.model, kept.tokenizer, "The cat", sampling))
    assert list(slm.stream("The cat", max_tokens=12, temperature=0.5, seed=3)) == expected
    assert slm.generate("The cat", 12, temperature=0.5, seed=3) == "".join(expected)
    assert slm.generate("The cat", 12, seed=4) != "".join(expected)


def test_it_says_what_it_is_and_that_it_is_the_same(file):
    slm = LaptopSLM(file)
    assert slm.config.n_embd == 16 and dict(slm.metrics) == {"step": 6, "train_loss": 1.5}
    assert slm.proof.same and str(slm.proof).startswith("Same model: largest difference 0 ")


def test_it_says_so_when_a_weight_was_changed_on_the_way(file):
    tensors, facts = read_tensors(file, FORMAT)
    tensors["norm.weight"][3] += 1e-6
    write_tensors(file, tensors, FORMAT, facts)
    slm = LaptopSLM(file)
    assert slm.proof.broken and str(slm.proof).startswith("Not the same model")


def test_the_speed_is_counted_in_tokens_and_leaves_the_readers_time_out(file, monkeypatch):
    """On a clock by which the model takes half a second for a token."""
    now = [0.0]

    def slow(*_: object):
        for piece in ("a", "b", "c", ""):
            now[0] += 0.5 if piece else 0.0
            yield piece

    monkeypatch.setattr(laptop, "write_text", slow)
    monkeypatch.setattr(laptop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    slm = LaptopSLM(file)
    assert slm.tokens_per_second is None
    for _ in slm.stream("The"):
        now[0] += 60  # the reader reads
    assert slm.tokens_per_second == 2.0


def test_mistakes_are_told_at_once(file, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        LaptopSLM(tmp_path / "nowhere.safetensors")
    with pytest.raises(ConfigError, match="temperature is -1"):
        LaptopSLM(file).stream("The", temperature=-1)
