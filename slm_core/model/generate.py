"""Writing text with a model: one token at a time, each drawn from what the model thinks comes next."""

import codecs
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from slm_core.errors import CheckpointError
from slm_core.model.decoder import Decoder
from slm_core.model.gpt import GPT, Cache
from slm_core.model.sampling import Sampling
from slm_core.text.tokenizer import Tokenizer


def generate(
    model: GPT, prompt_ids: list[int], sampling: Sampling, stop_at: int | None = None, *, quick: bool = True
) -> Iterator[int]:
    """New token ids after a prompt of at least one id, until `stop_at` is drawn (it is not given) or enough
    are.

    The model must be in evaluation mode. A text longer than block_size is read through a window: when it is
    full, the older half is dropped and the rest is read anew. The same seed gives the same tokens. On the
    CPU, single tokens go through a `Decoder`; quick=False leaves that out, to compare with. Raises
    CheckpointError if the model's weights are such that its numbers overflow.
    """
    assert prompt_ids and not model.training
    device = model.embedding.weight.device
    decoder = Decoder(model) if quick and device.type == "cpu" else None
    random = np.random.default_rng(sampling.seed)
    block_size = model.config.block_size
    window = prompt_ids[-(block_size - 1) :]
    fresh, cache = window, Cache(model.config, 1, device)
    for _ in range(sampling.max_new_tokens):
        logits = _next_logits(model, decoder, fresh, cache)
        if not np.isfinite(logits).all():
            raise CheckpointError("The model cannot write: its numbers grow too large. Take another one.")
        token = draw(logits, sampling, random)
        if token == stop_at:
            return
        yield token
        window = [*window, token]
        fresh = [token]
        if len(window) > block_size:
            window = window[-(block_size // 2) :]
            fresh, cache = window, Cache(model.config, 1, device)


# Not a `with` block in `generate`: between two tokens, the caller would then run in inference mode too.
@torch.inference_mode()
def _next_logits(model: GPT, decoder: Decoder | None, fresh: list[int], cache: Cache) -> np.ndarray:
    if decoder is not None and len(fresh) == 1:
        return decoder.next_logits(fresh[0], cache)
    idx = torch.tensor([fresh], device=model.embedding.weight.device)  # (1, T)
    return model(idx, cache)[0, -1].float().cpu().numpy()  # (V,)


@np.errstate(over="ignore")  # a logit so far below the largest is no chance at all
def draw(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """One token id drawn from logits (V,): that at which the summed chances pass a random number.

    temperature divides the logits; top_k keeps the k likeliest; top_p keeps the fewest likeliest tokens whose
    probabilities reach p together (Holtzman et al. 2020), at least one.
    """
    if sampling.temperature < 1e-6:  # 0, or so little that the division would overflow
        return int(logits.argmax())
    chances = np.exp((logits - logits.max()) / sampling.temperature)  # (V,), not yet divided by their sum
    if 0 < sampling.top_k < len(logits):
        chances[logits < np.partition(logits, -sampling.top_k)[-sampling.top_k]] = 0
    if sampling.top_p < 1:
        order = np.argsort(-chances)
        before = np.cumsum(chances[order]) - chances[order]  # together, of all that are likelier
        chances[order[before >= sampling.top_p * chances.sum()]] = 0
    summed = np.cumsum(chances, dtype=np.float64)
    return int(np.searchsorted(summed, random.random() * summed[-1], side="right"))


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Text as it comes, one piece per id, never half a character: bytes wait until they make one."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        yield decoder.decode(tokenizer.token_bytes(token))
    yield decoder.decode(b"", final=True)


def write_text(model: GPT, tokenizer: Tokenizer, prompt: str, sampling: Sampling) -> Iterator[str]:
    """Pieces of new text after a prompt, which is read as the beginning of a document; ends where the model
    ends it."""
    prompt_ids = [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    return stream_text(tokenizer, generate(model, prompt_ids, sampling, stop_at=tokenizer.end_of_text))
