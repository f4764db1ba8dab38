"""Writing text with a model: one token at a time, each drawn from what the model thinks comes next."""

import codecs
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from slm_core.errors import CheckpointError
from slm_core.model.gpt import GPT, Cache
from slm_core.model.sampling import Sampling
from slm_core.text.tokenizer import Tokenizer


def generate(
    model: GPT, prompt_ids: list[int], sampling: Sampling, stop_at: int | None = None
) -> Iterator[int]:
    """New token ids after a prompt of at least one id, until `stop_at` is drawn (it is not given) or enough
    are.

    The model must be in evaluation mode. A text longer than block_size is read through a window: when it is
    full, the older half is dropped and the rest is read anew. The same seed gives the same tokens. Raises
    CheckpointError if the model's weights are such that its numbers overflow.
    """
    assert prompt_ids and not model.training
    device = model.embedding.weight.device
    generator = torch.Generator().manual_seed(sampling.seed)
    block_size = model.config.block_size
    window = prompt_ids[-(block_size - 1) :]
    fresh, cache = window, Cache(model.config, 1, device)
    for _ in range(sampling.max_new_tokens):
        logits = _next_logits(model, fresh, cache)
        if not logits.isfinite().all():
            raise CheckpointError("The model cannot write: its numbers grow too large. Take another one.")
        token = draw(logits, sampling, generator)
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
def _next_logits(model: GPT, fresh: list[int], cache: Cache) -> Tensor:
    idx = torch.tensor([fresh], device=model.embedding.weight.device)  # (1, T)
    return model(idx, cache)[0, -1].float().cpu()  # (V,)


@torch.inference_mode()
def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token id drawn from logits (V,).

    temperature divides the logits; top_k keeps the k likeliest; top_p keeps the fewest likeliest tokens whose
    probabilities reach p together (Holtzman et al. 2020), at least one.
    """
    if sampling.temperature < 1e-6:  # 0, or so little that the division would overflow
        return int(logits.argmax())
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.numel():
        logits = logits.where(logits >= logits.topk(sampling.top_k).values[-1], -math.inf)
    probabilities = logits.softmax(dim=-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        ordered[ordered.cumsum(dim=-1) - ordered >= sampling.top_p] = 0  # those before it already reach p
        probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered)
    return int(torch.multinomial(probabilities, 1, generator=generator))


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
