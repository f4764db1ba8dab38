"""A model as a folder for Hugging Face's transformers, in one .zip.

Their Qwen3 is ours. Two architectures of theirs compute what our gpt2 computes once their biases are zero:
GPT-NeoX with rotary positions, GPT-2 with learned ones. The configuration is written by hand, so this needs
no transformers.
"""

import io
import json
import re
import zipfile
from typing import Any

import safetensors.torch
from torch import Tensor

from slm_core.model.budget import budget
from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import Checkpoint
from slm_core.runs.export_tokenizer import tokenizer_json
from slm_core.runs.export_weights import renamed
from slm_core.text.tokenizer import END_OF_TEXT

_NEOX_WHOLE = {"embedding": "gpt_neox.embed_in", "norm": "gpt_neox.final_layer_norm"}
_NEOX_BLOCK = {
    "norm_1": "gpt_neox.layers.{}.input_layernorm",
    "attention.qkv": "gpt_neox.layers.{}.attention.query_key_value",
    "attention.out": "gpt_neox.layers.{}.attention.dense",
    "norm_2": "gpt_neox.layers.{}.post_attention_layernorm",
    "widen": "gpt_neox.layers.{}.mlp.dense_h_to_4h",
    "narrow": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
}
_GPT2_WHOLE = {
    "embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "norm": "transformer.ln_f",
}
_GPT2_BLOCK = {
    "norm_1": "transformer.h.{}.ln_1",
    "attention.qkv": "transformer.h.{}.attn.c_attn",
    "attention.out": "transformer.h.{}.attn.c_proj",
    "norm_2": "transformer.h.{}.ln_2",
    "widen": "transformer.h.{}.mlp.c_fc",
    "narrow": "transformer.h.{}.mlp.c_proj",
}
_QWEN3_WHOLE = {"embedding": "model.embed_tokens", "norm": "model.norm"}
_QWEN3_BLOCK = {
    "norm_1": "model.layers.{}.input_layernorm",
    "attention.q": "model.layers.{}.self_attn.q_proj",
    "attention.k": "model.layers.{}.self_attn.k_proj",
    "attention.v": "model.layers.{}.self_attn.v_proj",
    "attention.norm_q": "model.layers.{}.self_attn.q_norm",
    "attention.norm_k": "model.layers.{}.self_attn.k_norm",
    "attention.out": "model.layers.{}.self_attn.o_proj",
    "norm_2": "model.layers.{}.post_attention_layernorm",
    "gate": "model.layers.{}.mlp.gate_proj",
    "widen": "model.layers.{}.mlp.up_proj",
    "narrow": "model.layers.{}.mlp.down_proj",
}


def huggingface_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of the folder that `from_pretrained` opens, by name."""
    model, end = checkpoint.model, checkpoint.tokenizer.end_of_text
    if model.config.architecture == "qwen3":
        config, weights = _qwen3_config(model), renamed(model, _QWEN3_BLOCK, _QWEN3_WHOLE, biases=False)
    elif model.config.positions == "rotary":
        config, weights = _neox_config(model), _neox_weights(model)
    else:
        config, weights = _gpt2_config(model), _gpt2_weights(model)
    tensors = {name: weight.contiguous() for name, weight in weights.items()}
    return {
        "config.json": _json(config),
        "model.safetensors": safetensors.torch.save(tensors, {"format": "pt"}),
        "tokenizer.json": tokenizer_json(checkpoint.tokenizer).encode(),
        "tokenizer_config.json": _json(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": END_OF_TEXT,
                "eos_token": END_OF_TEXT,
                "pad_token": END_OF_TEXT,
                "model_max_length": model.config.block_size,
                "clean_up_tokenization_spaces": False,
                "split_special_tokens": True,  # text that spells out the mark is no mark
            }
        ),
        "generation_config.json": _json(
            {
                "bos_token_id": end,
                "eos_token_id": end,
                "pad_token_id": end,
                "max_length": model.config.block_size,
            }
        ),
        "README.md": model_card(checkpoint).encode(),
    }


def huggingface_zip(checkpoint: Checkpoint, folder: str) -> bytes:
    """The same files in a folder of that name, as a .zip. Weights hardly shrink, so nothing is compressed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in huggingface_files(checkpoint).items():
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}"), content)
    return packed.getvalue()


def model_card(checkpoint: Checkpoint) -> str:
    """What is known of a model, in Markdown: its measures, what it read, and how to open it."""
    config, metrics, cost = checkpoint.config, checkpoint.metrics, budget(checkpoint.config)
    facts = {
        "Parameters": f"{cost.parameters:,}, of them {cost.embedding_parameters:,} in the embedding",
        "Shape": f"{config.n_layer} layers, {config.n_head} heads, width {config.n_embd}",
        "Architecture": f"{config.architecture}, trained by {config.optimizer}",
        "Context": f"{config.block_size} tokens, {config.positions} positions",
        "Tokenizer": f"{config.tokenizer}, {config.vocab_size:,} tokens",
        "Training text": f"{config.corpus}, {config.dataset_size:,} tokens asked for",
        "Fingerprint of the text (SHA-256)": checkpoint.data_sha256,
        "Training": f"{config.batch_size * config.gradient_accumulation_steps} sequences a step, "
        f"learning rate {config.learning_rate:g}, seed {config.seed}",
        "Steps": f"{metrics['step']:,} of {config.max_iters:,}" if "step" in metrics else "",
        "Training loss": _nats(metrics, "train_loss"),
        "Validation loss": _nats(metrics, "validation_loss"),
        "Validation, bits per byte": _number(metrics, "validation_bits_per_byte"),
    }
    rows = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items() if fact)
    return _CARD.format(name=re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", checkpoint.name), rows=rows)


_CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A small language model that was trained from nothing, to learn how such models work. It knows only the text it
was trained on.

| | |
|---|---|
{rows}

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
prompt = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**prompt, do_sample=True)[0], skip_special_tokens=True))
```

The tokenizer puts the end mark before each text, as training did; `add_special_tokens=False` leaves it out.
"""


def _nats(metrics: Any, name: str) -> str:
    return f"{_number(metrics, name)} nats per token" if name in metrics else ""


def _number(metrics: Any, name: str) -> str:
    return f"{metrics[name]:.4f}" if name in metrics else ""


def _neox_config(model: GPT) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "hidden_size": config.n_embd,
        "intermediate_size": config.hidden_width,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "max_position_embeddings": config.block_size,
        "hidden_act": "gelu",
        "use_parallel_residual": False,
        "attention_bias": True,
        "layer_norm_eps": model.norm.eps,
        # The same twice: the first two for transformers 4, the third from 5 on.
        "rotary_pct": 1.0,
        "rotary_emb_base": 10_000,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
        **_common_config(model),
    }


def _qwen3_config(model: GPT) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": config.n_embd,
        "intermediate_size": config.hidden_width,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_head,
        "head_dim": config.n_embd // config.n_head,
        "max_position_embeddings": config.block_size,
        "hidden_act": "silu",
        "rms_norm_eps": model.norm.eps,
        "attention_bias": False,
        # The same twice: first for transformers 4, then from 5 on.
        "rope_theta": 10_000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        **_common_config(model),
    }


def _gpt2_config(model: GPT) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": config.n_embd,
        "n_inner": config.hidden_width,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_positions": config.block_size,
        "activation_function": "gelu",
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "resid_pdrop": config.dropout,
        "layer_norm_epsilon": model.norm.eps,
        **_common_config(model),
    }


def _common_config(model: GPT) -> dict[str, Any]:
    end = model.config.vocab_size - 1
    return {
        "vocab_size": model.config.vocab_size,
        "tie_word_embeddings": True,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "torch_dtype": "float32",
        "use_cache": True,
    }


def _neox_weights(model: GPT) -> dict[str, Tensor]:
    """GPT-NeoX keeps query, key and value of each head together; ours are all queries, then all keys, then
    all values."""
    heads = model.config.n_head
    weights = renamed(model, _NEOX_BLOCK, _NEOX_WHOLE)
    for name, weight in weights.items():
        if name.endswith("query_key_value.weight"):
            parts = weight.view(3, heads, -1, weight.size(1))  # (3, nh, hs, C)
            weights[name] = parts.transpose(0, 1).reshape(weight.shape)
    return weights


def _gpt2_weights(model: GPT) -> dict[str, Tensor]:
    """GPT-2's matrices in blocks are (in, out)."""
    weights = renamed(model, _GPT2_BLOCK, _GPT2_WHOLE)
    return {
        name: weight.T if ".h." in name and weight.dim() == 2 else weight for name, weight in weights.items()
    }


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode()
