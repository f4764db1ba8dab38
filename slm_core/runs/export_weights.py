"""A model's weights under the names that other programs give them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from slm_core.model.gpt import GPT


def renamed(
    model: GPT, block: Mapping[str, str], whole: Mapping[str, str], biases: bool = True
) -> dict[str, Tensor]:
    """The weights of a model on the CPU, under other names.

    block: what they call each part of a block, by our name, with {} for the block's number. whole: the same
    for the parts outside the blocks. A part that the model does not have is left out. Queries, keys and
    values are one matrix of ours, "attention.qkv", and may be named apart: "attention.q" and so on. biases:
    whether a bias of zeros goes beside each norm and matrix, as some programs expect one; ours has none.
    """
    names = dict(whole)
    for layer in range(model.config.n_layer):
        names.update((f"blocks.{layer}.{ours}", theirs.format(layer)) for ours, theirs in block.items())
    weights, found = _by_part(model), {}
    for ours, theirs in names.items():
        weight = weights.get(ours)
        if weight is None:
            continue
        found[f"{theirs}.weight"] = weight
        if biases and ours not in ("embedding", "position_embedding", "head"):
            found[f"{theirs}.bias"] = torch.zeros(weight.size(0))  # (out,), as matrices are (out, in)
    return found


def _by_part(model: GPT) -> dict[str, Tensor]:
    """Each part's weight by our name of the part; queries, keys and values together and apart."""
    found: dict[str, Tensor] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        part, weight = name.removesuffix(".weight"), weight.detach().cpu()
        found[part] = weight
        if part.endswith("qkv"):
            apart = zip("qkv", weight.chunk(3), strict=True)  # (C, C) each
            found.update((part.removesuffix("qkv") + letter, own) for letter, own in apart)
    return found
