"""A model as one GGUF file, which llama.cpp and the programs around it open.

llama.cpp's architecture "qwen3" is ours. Its "gptneox" and "gpt2" compute what our gpt2 computes, with rotary
and with learned positions, once their biases are zero, but for GELU: there it is the approximation by tanh,
in 16 bits, so logits differ a little.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import Checkpoint
from slm_core.runs.export_tokenizer import merges, token_texts
from slm_core.runs.export_weights import renamed
from slm_core.text.tokenizer import Characters, Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

_WHOLE = {
    "embedding": "token_embd",
    "position_embedding": "position_embd",
    "norm": "output_norm",
    "head": "output",
}
_BLOCK = {
    "norm_1": "blk.{}.attn_norm",
    "attention.qkv": "blk.{}.attn_qkv",
    "attention.out": "blk.{}.attn_output",
    "norm_2": "blk.{}.ffn_norm",
    "widen": "blk.{}.ffn_up",
    "narrow": "blk.{}.ffn_down",
}
_QWEN3_WHOLE = {"embedding": "token_embd", "norm": "output_norm"}  # without a head it takes the embedding
_QWEN3_BLOCK = {
    "norm_1": "blk.{}.attn_norm",
    "attention.q": "blk.{}.attn_q",
    "attention.k": "blk.{}.attn_k",
    "attention.v": "blk.{}.attn_v",
    "attention.norm_q": "blk.{}.attn_q_norm",
    "attention.norm_k": "blk.{}.attn_k_norm",
    "attention.out": "blk.{}.attn_output",
    "norm_2": "blk.{}.ffn_norm",
    "gate": "blk.{}.ffn_gate",
    "widen": "blk.{}.ffn_up",
    "narrow": "blk.{}.ffn_down",
}
_NEVER = ("þ", "ÿ")  # llama.cpp wants at least one merge; these two bytes, FE and FF, stand in no text
_BLANK = "▁"  # how llama.cpp's "llama" tokenizer writes a blank


def gguf_file(checkpoint: Checkpoint) -> bytes:
    """The model with its tokenizer, every weight in 32 bits."""
    from gguf import GGUFWriter

    config, model = checkpoint.config, checkpoint.model
    modern, rotary = config.architecture == "qwen3", config.positions == "rotary"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = GGUFWriter(path, "qwen3" if modern else "gptneox" if rotary else "gpt2")
        writer.add_name(checkpoint.name)
        writer.add_context_length(config.block_size)
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(config.hidden_width)
        writer.add_block_count(config.n_layer)
        writer.add_head_count(config.n_head)
        writer.add_file_type(0)  # all weights are float32
        if modern:
            writer.add_head_count_kv(config.n_head)
            writer.add_layer_norm_rms_eps(model.norm.eps)
        else:
            writer.add_layer_norm_eps(model.norm.eps)
        if rotary:
            writer.add_rope_dimension_count(config.n_embd // config.n_head)
            writer.add_rope_freq_base(10_000.0)
        if rotary and not modern:
            writer.add_parallel_residual(False)
        _add_tokenizer(writer, checkpoint.tokenizer)
        for name, weight in _weights(model).items():
            writer.add_tensor(name, weight.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def _weights(model: GPT) -> dict[str, Tensor]:
    if model.config.architecture == "qwen3":
        return renamed(model, _QWEN3_BLOCK, _QWEN3_WHOLE, biases=False)
    return renamed(model, _BLOCK, _WHOLE)


def _add_tokenizer(writer: "GGUFWriter", tokenizer: Tokenizer) -> None:
    from gguf import TokenType

    texts, kinds = token_texts(tokenizer), [TokenType.NORMAL] * tokenizer.vocab_size
    kinds[tokenizer.end_of_text] = TokenType.CONTROL
    if isinstance(tokenizer, Characters):
        texts[0] = "<0x00>"  # llama.cpp ends a name at a zero
        for token in (0, *range(0x80, 0x100)):
            kinds[token] = TokenType.BYTE
        if _BLANK in texts:  # the sign itself: to llama.cpp it is a blank, whatever its name
            texts[texts.index(_BLANK)] = "<U+2581>"
        texts[ord(" ")] = _BLANK
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([0.0] * len(texts))
        writer.add_add_space_prefix(False)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        pairs = merges(tokenizer) or [_NEVER]
        writer.add_token_merges([f"{left} {right}" for left, right in pairs])
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(tokenizer.end_of_text)
    writer.add_eos_token_id(tokenizer.end_of_text)
    writer.add_add_bos_token(True)  # our models have read an end mark before each text
