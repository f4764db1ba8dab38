"""How much of a text a model knows by heart: given some tokens of the text, does it go on with the very
tokens that follow there? It takes the likeliest each time (greedy decoding).

Nothing needs to be written for that. Up to its first mistake the model would read its own tokens, and they
are the text's; so one pass over the text itself says, for all places at once, where writing would first go
wrong.

Source: Carlini et al. 2022, "Quantifying Memorization Across Neural Language Models": strings extractable
with k tokens of context. They ask for 50 tokens; texts here are shorter, so it is 16 tokens after 16.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slm_core.model.gpt import GPT

LENGTH = 16  # tokens that are given, and as many that are asked for
MOST_PLACES = 32  # of one text: a rate's standard error is then at most 0.09
FEWEST_PLACES = 20  # fewer would say little


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a model knows by heart of a text, from so many places of it.

    rate         share of places (0..1) where every token asked for is right
    share_right  of the tokens asked for, the mean share (0..1) that comes before the first mistake; smoother
    """

    rate: float
    share_right: float
    places: int


def passage_length(block_size: int, fewest_ids: int) -> int:
    """How many tokens to give and to ask for: 16, or fewer if both do not fit into block_size or into the
    shorter text, which has `fewest_ids`. Only rates of one length can be compared."""
    return min(LENGTH, block_size // 2, fewest_ids // 2)


def passages_of(ids: np.ndarray, length: int, end_of_text: int) -> Tensor:
    """Passages of 2 * length tokens, int64 of shape (P, 2 * length), always the same ones: evenly spread over
    the places of a stream where a passage lies within one document. They may overlap; no two begin at one
    place.

    P is MOST_PLACES, or how many places there are. Where documents are so short that there are fewer than
    FEWEST_PLACES, passages may also run over end marks, from one document into the next.
    """
    ids = np.asarray(ids)
    marks = np.flatnonzero(ids == end_of_text)
    begins, ends = np.append(0, marks + 1), np.append(marks, len(ids))
    counts = np.maximum(0, ends - begins - 2 * length + 1)  # places in each document
    if counts.sum() < FEWEST_PLACES:
        begins, counts = np.array([0]), np.array([len(ids) - 2 * length + 1])
    before = np.cumsum(counts) - counts  # places in the documents before each one
    chosen = np.unique(np.linspace(0, counts.sum() - 1, MOST_PLACES).astype(int))  # (P,)
    document = np.searchsorted(before, chosen, side="right") - 1  # (P,)
    starts = begins[document] + chosen - before[document]  # (P,)
    return torch.from_numpy(ids[starts[:, None] + np.arange(2 * length)].astype(np.int64))


@torch.inference_mode()
def extraction_rate(model: GPT, passages: Tensor) -> Extraction:
    """Give the model the first half of each passage (P, 2 * length) and see how far it goes on with the
    second. passages are on the model's device. The model is left as it was found."""
    model_was_training, length = model.training, passages.size(1) // 2
    model.eval()
    likeliest = model(passages[:, :-1])[:, length - 1 :].argmax(dim=-1)  # (P, length)
    model.train(model_was_training)
    right = (likeliest == passages[:, length:]).cpu()  # (P, length)
    shares = right.cumprod(dim=1).double().mean(dim=1)  # (P,), of what comes before the first mistake
    return Extraction(
        rate=float((shares == 1).double().mean()), share_right=float(shares.mean()), places=len(passages)
    )
