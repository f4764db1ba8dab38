"""The GGUF file, opened by llama.cpp itself: nearly the same logits, the same choices, the same ids.

llama.cpp computes GELU by its approximation with tanh, from a table in 16 bits: so "nearly". It computes
SwiGLU in 32 bits, and attention too if it is asked to.
"""

from pathlib import Path

import numpy as np
import pytest

from slm_core.runs.checkpoint import Checkpoint
from slm_core.runs.export_gguf import gguf_file
from tests.runs.test_export import EACH_KIND, HARD_TEXTS, logits_of, made_model

llama = pytest.importorskip("cyllama.llama.llama_cpp", reason="llama.cpp is not here: cyllama brings it")
CLOSE = {"gpt2": 0.01, "qwen3": 1e-4}  # logits here are up to 5; the approximation moves them by 0.002


class Model(llama.LlamaModel):
    """The binding asks its model for n_vocab, which it forgot to give (0.2.18)."""

    n_vocab = 0


def opened(checkpoint: Checkpoint, folder: Path) -> Model:
    llama.disable_logging()
    path = folder / "model.gguf"
    path.write_bytes(gguf_file(checkpoint))
    model = Model(str(path), llama.LlamaModelParams(), verbose=False)
    model.n_vocab = checkpoint.config.vocab_size
    return model


def logits(model: Model, ids: list[int]) -> np.ndarray:
    """What llama.cpp computes for ids: (T, V)."""
    params = llama.LlamaContextParams()
    params.n_ctx, params.n_threads, params.n_threads_batch = len(ids), 1, 1
    params.type_k = params.type_v = 0  # keys and values in 32 bits; 16 are its default
    params.flash_attn_type = 0  # nor flash attention, which computes in 16
    context = llama.LlamaContext(model, params, verbose=False)
    batch = llama.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
    for place, token in enumerate(ids):
        batch.add(token, place, [0], True)
    context.decode(batch)
    return np.array([context.get_logits_ith(place) for place in range(len(ids))])


@EACH_KIND
@pytest.mark.parametrize(
    "shape", [{}, {"n_layer": 4, "n_head": 3, "n_embd": 24}, {"n_layer": 1, "n_head": 1, "n_embd": 8}]
)
def test_logits_are_nearly_the_same_over_the_whole_context(tmp_path, kind, shape):
    checkpoint, close = made_model(tmp_path, **kind, **shape), CLOSE[kind["architecture"]]
    idx, ours = logits_of(checkpoint)
    theirs = logits(opened(checkpoint, tmp_path), idx[0].tolist())
    assert np.abs(theirs - ours[0].numpy()).max() < close
    assert (theirs.argmax(-1) == ours[0].numpy().argmax(-1)).mean() > 0.95
    checkpoint.model.blocks[-1].attention.qkv.weight[:] *= 2  # changed weights are noticed
    assert np.abs(theirs - logits_of(checkpoint)[1][0].numpy()).max() > 10 * close


@pytest.mark.parametrize("tokenizer", ["bpe", "bytes", "characters"])
def test_ids_are_the_same_after_an_end_mark(tmp_path, tokenizer):
    checkpoint = made_model(tmp_path, tokenizer)
    model = opened(checkpoint, tmp_path)  # to be kept: its vocabulary is a part of it
    vocabulary = model.get_vocab()
    end = checkpoint.tokenizer.end_of_text
    assert vocabulary.token_bos() == vocabulary.token_eos() == end and vocabulary.is_eog(end)
    for text in HARD_TEXTS:
        read = text.replace("▁", " ") if tokenizer == "characters" else text  # `reads_otherwise` says it
        assert list(vocabulary.tokenize(text, True, False)) == [end, *checkpoint.tokenizer.encode(read)]
