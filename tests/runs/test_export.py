"""Exports: what is refused, how large files are, and the bare weights. And what tests of all kinds share."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm_core.config import ExperimentConfig
from slm_core.errors import CheckpointError
from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from slm_core.runs.export import export
from slm_core.runs.formats import FORMATS, expected_bytes
from slm_core.text.tokenizer import make_tokenizer

KINDS = [
    {"architecture": "gpt2", "positions": "rotary"},
    {"architecture": "gpt2", "positions": "learned"},
    {"architecture": "qwen3", "positions": "rotary"},
]
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
TEXTS = ["The cat's hat, the dog's hat and 1234 hats.\n\n" * 3, "Größe, naïve café — 你好 world 🌱 ▁ " * 3]
HARD_TEXTS = [
    *TEXTS,
    "",
    " x",
    "  two  spaces\t\n \r\n",
    "<|endoftext|>",
    "a<|endoftext|>b",
    "a\x00b\x01\x7f",
    "e\u0301 é 你\u00a0\u2028\u200d👍🏽 \U0010ffff",
    "Привет, I'll we've 'S ½ ٣ <0x80>",
    "١٢٣abc\u3000你１",
]


def made_model(folder: Path, tokenizer: str = "bpe", **settings: object) -> Checkpoint:
    """A model file, written and read; its weights are large enough that a swapped one changes the logits."""
    learned = make_tokenizer(tokenizer, TEXTS, 310)
    shape = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 32, **settings}
    config = ExperimentConfig(tokenizer=tokenizer, vocab_size=learned.vocab_size, **shape)
    generator = torch.Generator().manual_seed(0)
    model = GPT(config, generator).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.empty_like(weight).normal_(0, 0.15, generator=generator))
    path = folder / "model.safetensors"
    save_checkpoint(path, model, learned, name="A *b*", metrics={"step": 3}, data_sha256="ab")
    return load_checkpoint(path)


@torch.no_grad()
def logits_of(checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids (1, T) over the whole context, and the model's logits (1, T, V) for them."""
    config = checkpoint.config
    shape, generator = (1, config.block_size), torch.Generator().manual_seed(1)
    idx = torch.randint(config.vocab_size, shape, generator=generator)
    return idx, checkpoint.model(idx)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    return made_model(tmp_path_factory.mktemp("model"))


@EACH_KIND
def test_the_bare_weights_make_the_same_model(tmp_path, kind):
    checkpoint = made_model(tmp_path, **kind)
    weights = torch.load(io.BytesIO(export(checkpoint, "pt")), weights_only=True)
    again = GPT(checkpoint.config).eval()
    again.load_state_dict(weights, assign=True)
    idx, expected = logits_of(checkpoint)
    with torch.no_grad():
        assert torch.equal(again(idx), expected)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("tokenizer", "architecture"), [("bytes", "gpt2"), ("bpe", "gpt2"), ("bpe", "qwen3")]
)
def test_files_are_about_as_large_as_foretold(tmp_path, kind, tokenizer, architecture):
    checkpoint = made_model(tmp_path, tokenizer, n_embd=128, architecture=architecture)
    size = len(export(checkpoint, kind))
    assert expected_bytes(checkpoint.config)[kind] == pytest.approx(size, rel=0.05, abs=5_000)


def test_unknown_formats_and_impossible_models_are_refused_in_words(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"'onnx'.*huggingface, gguf, pt"):
        export(checkpoint, "onnx")
    with pytest.raises(CheckpointError, match="heads of one number"):
        export(made_model(tmp_path, n_head=8, n_embd=8, positions="learned"), "gguf")


def changed(make: Callable[[], bytes], checkpoint: Checkpoint) -> bool:
    """Whether a file differs when one weight of the model does."""
    before = make()
    weight = checkpoint.model.blocks[1].attention.qkv.weight
    weight[0, 0] += 1
    after = make()
    weight[0, 0] -= 1
    return before != after


@pytest.mark.parametrize("kind", FORMATS)
def test_a_changed_weight_changes_the_file_and_nothing_else_does(checkpoint, kind):
    assert export(checkpoint, kind) == export(checkpoint, kind)
    assert changed(lambda: export(checkpoint, kind), checkpoint)
