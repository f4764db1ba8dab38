"""Ways to train and to write that speed.py compares: this program's, Hugging Face's, nanoGPT's, llama.cpp's.

Every maker below gives a function that does one piece of work: one update of the weights, or one text of so
many tokens. All train models of one shape on one text, write with one model, and clip gradients alike.
"""

import io
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from slm_core.config import ExperimentConfig
from slm_core.model.generate import generate
from slm_core.model.gpt import GPT
from slm_core.model.sampling import Sampling
from slm_core.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from slm_core.runs.export_gguf import gguf_file
from slm_core.runs.export_huggingface import huggingface_zip
from slm_core.text.corpus import Dataset
from slm_core.train.events import StepDone
from slm_core.train.trainer import Trainer

TEMPERATURE = 0.8


def our_step(config: ExperimentConfig, dataset: Dataset, **how: Any) -> Callable[[], None]:
    """One step of the trainer, with everything that it does in one. how: what else a Trainer is told."""
    # So that nothing is measured but at the start, which is over when this returns.
    longest = config.with_changes({"max_iters": 200_000, "eval_interval": 20_000})
    events = Trainer(longest, dataset, **how).events()

    def step() -> None:
        while not isinstance(next(events), StepDone):
            pass

    step()
    return step


def transformers_step(config: ExperimentConfig, dataset: Dataset) -> Callable[[], None]:
    """GPT2LMHeadModel with torch's AdamW; the text is in memory, as ours is."""
    from transformers import GPT2Config, GPT2LMHeadModel

    end = dataset.tokenizer.end_of_text
    shape = {"n_positions": config.block_size, "n_embd": config.n_embd}
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=dataset.tokenizer.vocab_size,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=end,
            eos_token_id=end,
            **shape,
        )
    )
    ids, length = torch.from_numpy(dataset.train.astype(np.int64)), config.block_size

    def batch() -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(ids) - length, (config.batch_size,))
        text = ids[starts[:, None] + torch.arange(length + 1)]  # (B, T + 1)
        return text[:, :-1], text[:, 1:]

    return _step(model, lambda idx: model(idx).logits, batch, config)


def plain_step(config: ExperimentConfig, dataset: Dataset, folder: Path) -> Callable[[], None]:
    """As nanoGPT does it: biases everywhere, torch's AdamW, batches cut from a file in `folder`."""
    model = PlainGPT(config, dataset.tokenizer.vocab_size)
    file, length = folder / "train.bin", config.block_size
    dataset.train.astype(np.uint16).tofile(file)

    def batch() -> tuple[Tensor, Tensor]:
        ids = np.memmap(file, dtype=np.uint16, mode="r")  # opened anew each time, as it would grow otherwise
        starts = torch.randint(len(ids) - length, (config.batch_size,)).tolist()
        idx, targets = (
            torch.stack(
                [torch.from_numpy(ids[at + ahead : at + ahead + length].astype(np.int64)) for at in starts]
            )
            for ahead in (0, 1)
        )
        return idx, targets  # (B, T) each

    return _step(model, model, batch, config)


def _step(
    model: nn.Module,
    forward: Callable[[Tensor], Tensor],
    batch: Callable[[], tuple[Tensor, Tensor]],
    config: ExperimentConfig,
) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        foreach=True,
    )

    def step() -> None:
        for _ in range(config.gradient_accumulation_steps):
            idx, targets = batch()
            loss = F.cross_entropy(forward(idx).flatten(0, 1), targets.flatten())
            (loss / config.gradient_accumulation_steps).backward()
            loss.item()  # somebody looks at it
        clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    step()
    return step


class PlainBlock(nn.Module):
    """A block of GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        parts = self.qkv(self.norm_1(x)).split(C, dim=2)
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in parts)  # (B, nh, T, hs)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x))))


class PlainGPT(nn.Module):
    """GPT-2 as most people write it down."""

    def __init__(self, config: ExperimentConfig, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, config.n_embd)
        self.positions = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(
            *(PlainBlock(config.n_embd, config.n_head) for _ in range(config.n_layer))
        )
        self.norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, vocab_size, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, idx: Tensor) -> Tensor:
        x = self.tokens(idx) + self.positions(torch.arange(idx.size(1)))
        return self.head(self.norm(self.blocks(x)))


def untrained(config: ExperimentConfig, dataset: Dataset, folder: Path) -> Checkpoint:
    """A model that nobody trained: speed does not depend on its weights."""
    config = config.with_changes({"vocab_size": dataset.tokenizer.vocab_size})
    model, path = GPT(config, torch.Generator().manual_seed(0)), folder / "model.safetensors"
    save_checkpoint(path, model, dataset.tokenizer, name="speed", metrics={}, data_sha256="")
    return load_checkpoint(path)


def writers(checkpoint: Checkpoint, tokens: int) -> dict[str, Callable[[], None]]:
    """By name, functions that write one text of so many tokens each, those of programs that are installed."""
    found = {
        "ours": _our_writer(checkpoint, tokens, quick=True),
        "ours, plain path": _our_writer(checkpoint, tokens, quick=False),
    }
    if find_spec("transformers"):
        found["transformers"] = _transformers_writer(checkpoint, tokens)
    if find_spec("cyllama"):
        found["llama.cpp"] = _llama_writer(checkpoint, tokens)
    return found


def _our_writer(checkpoint: Checkpoint, tokens: int, quick: bool) -> Callable[[], None]:
    sampling, prompt = (
        Sampling(max_new_tokens=tokens, temperature=TEMPERATURE),
        [checkpoint.tokenizer.end_of_text],
    )

    def write() -> None:
        assert sum(1 for _ in generate(checkpoint.model, prompt, sampling, quick=quick)) == tokens

    return write


def _transformers_writer(checkpoint: Checkpoint, tokens: int) -> Callable[[], None]:
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(huggingface_zip(checkpoint, "model"))).extractall(folder)
        model = AutoModelForCausalLM.from_pretrained(Path(folder) / "model")
    prompt = torch.tensor([[checkpoint.tokenizer.end_of_text]])
    how = {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0, "use_cache": True, "max_length": None}
    ends = {"eos_token_id": None, "pad_token_id": checkpoint.tokenizer.end_of_text}
    model.generation_config.eos_token_id = None

    def write() -> None:
        mask = torch.ones_like(prompt)
        written = model.generate(prompt, attention_mask=mask, max_new_tokens=tokens, **how, **ends)
        assert written.size(1) == 1 + tokens

    return write


def _llama_writer(checkpoint: Checkpoint, tokens: int) -> Callable[[], None]:
    import cyllama.llama.llama_cpp as llama

    llama.disable_logging()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(gguf_file(checkpoint))
        model = llama.LlamaModel(str(path), llama.LlamaModelParams(), verbose=False)
    params = llama.LlamaContextParams()
    params.n_ctx, params.n_threads, params.n_threads_batch = checkpoint.config.block_size, 1, 1
    context = llama.LlamaContext(model, params, verbose=False)
    sampler = llama.LlamaSampler(llama.LlamaSamplerChainParams())
    sampler.add_temp(TEMPERATURE)
    sampler.add_dist(0)

    def write() -> None:
        context.kv_cache_clear()
        token = checkpoint.tokenizer.end_of_text
        for place in range(tokens):
            context.decode(llama.llama_batch_get_one([token], place))
            token = sampler.sample(context, -1)

    return write
