"""The folder for transformers, opened by transformers itself: the same logits, the same ids."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from random import Random

import pytest
import torch

from slm_core.model.generate import write_text
from slm_core.model.sampling import Sampling
from slm_core.runs.checkpoint import Checkpoint
from slm_core.runs.export_huggingface import huggingface_files, huggingface_zip, model_card
from tests.runs.test_export import EACH_KIND, HARD_TEXTS, logits_of, made_model


@pytest.fixture(scope="module")
def transformers():
    """The library, which takes a second to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what it uses of others may warn on import
        import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def unpacked(checkpoint: Checkpoint, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(huggingface_zip(checkpoint, "mine"))) as archive:
        archive.extractall(folder)
    return folder / "mine"


def shapes(count: int) -> list[dict[str, int]]:
    """Random shapes of models whose heads are of even size, as rotary positions need."""
    random, found = Random(5), []
    for _ in range(count):
        heads = random.choice([1, 2, 3, 4, 8])
        width = heads * 8 * random.randint(1, 5)
        found.append(
            {"n_layer": random.randint(1, 4), "n_head": heads, "n_embd": width, "block_size": 16 * heads}
        )
    return found


@EACH_KIND
@pytest.mark.parametrize("shape", shapes(4), ids=lambda shape: "-".join(map(str, shape.values())))
def test_logits_are_the_same_over_the_whole_context(transformers, tmp_path, kind, shape):
    checkpoint = made_model(tmp_path, **kind, **shape)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(unpacked(checkpoint, tmp_path))
    classes = {"rotary": "GPTNeoXForCausalLM", "learned": "GPT2LMHeadModel", "qwen3": "Qwen3ForCausalLM"}
    assert type(theirs).__name__ == classes["qwen3" if "qwen3" in kind.values() else kind["positions"]]
    idx, ours = logits_of(checkpoint)
    with torch.inference_mode():
        assert (theirs(idx).logits - ours).abs().max() < 1e-4
    checkpoint.model.blocks[-1].attention.qkv.weight[0] += 1  # a changed weight is noticed
    with torch.inference_mode():
        assert (theirs(idx).logits - checkpoint.model(idx)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("tokenizer", "architecture"), [("bpe", "gpt2"), ("bytes", "qwen3"), ("characters", "gpt2")]
)
def test_ids_are_the_same_and_greedy_text_too(transformers, tmp_path, tokenizer, architecture):
    checkpoint = made_model(tmp_path, tokenizer, architecture=architecture)
    folder = unpacked(checkpoint, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in HARD_TEXTS:
        ids = checkpoint.tokenizer.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs(text).input_ids == [checkpoint.tokenizer.end_of_text, *ids]
        assert theirs.decode(ids) == text
    assert theirs.eos_token_id == checkpoint.tokenizer.end_of_text
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    written = model.generate(**theirs("The cat", return_tensors="pt"), max_new_tokens=12, max_length=None)
    sampling = Sampling(max_new_tokens=12, temperature=0)
    ours = "".join(write_text(checkpoint.model, checkpoint.tokenizer, "The cat", sampling))
    assert checkpoint.tokenizer.decode(written[0, 1:].tolist()).rstrip("\n") == ("The cat" + ours).rstrip(
        "\n"
    )


def test_the_folder_holds_what_transformers_looks_for(tmp_path):
    files = huggingface_files(made_model(tmp_path))
    assert set(files) == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "generation_config.json", "README.md",
    }  # fmt: skip
    assert json.loads(files["config.json"])["vocab_size"] == 310


def test_the_model_card_says_what_was_measured_and_formats_nothing(tmp_path):
    card = model_card(made_model(tmp_path))
    assert "# A \\*b\\*" in card
    assert "| Steps | 3 of 200 |" in card and "| Shape | 2 layers, 4 heads, width 32 |" in card
    assert "Validation loss" not in card  # it was not measured
