"""A model's weights under the names that other programs give them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from slm_core.model.gpt import GPT


def renamed(model: GPT, block: Mapping[str, str], whole: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights of a model on the CPU, under other names, with a bias of zeros beside each norm and matrix:
    other programs expect one, ours has none.

    block: what they call each part of a block, by our name, with {} for the block's number. whole: the same
    for the parts outside the blocks. A part that the model does not have is left out.
    """
    names = dict(whole)
    for layer in range(model.config.n_layer):
        names.update((f"blocks.{layer}.{ours}", theirs.format(layer)) for ours, theirs in block.items())
    weights = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        weight = weights.get(f"{ours}.weight")
        if weight is None:
            continue
        found[f"{theirs}.weight"] = weight.detach().cpu()
        if ours not in ("embedding", "position_embedding", "head"):
            found[f"{theirs}.bias"] = torch.zeros(weight.size(0))  # (out,), as matrices are (out, in)
    return found
