"""How weights are changed: AdamW, Muon, and the learning rate over a run."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from slm_core.config import ExperimentConfig
from slm_core.model.linear import plus_product, times_transposed

_MOMENTUM = 0.95  # Muon's memory; both papers' number
_MUON_SIZE = 0.5  # of an update by Muon, where one by AdamW has from 1 at first to 0.2 later


def learning_rate_at(config: ExperimentConfig, step: int) -> float:
    """The learning rate of update `step`, counted from 1: a straight climb over warmup_iters, then half a
    cosine down to min_lr at max_iters (Loshchilov and Hutter 2017)."""
    if step <= config.warmup_iters:
        return config.learning_rate * step / config.warmup_iters
    share = (step - config.warmup_iters) / max(1, config.max_iters - config.warmup_iters)
    return config.min_lr + (config.learning_rate - config.min_lr) * (1 + math.cos(math.pi * share)) / 2


class AdamW:
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019, algorithm 2).

    Each weight goes against a running mean of its gradients m, divided by the root of a running mean of their
    squares v, so that all weights move about equally fast; apart from that, it shrinks:

        w = w - lr * weight_decay * w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + 1e-8)

    torch.optim has the same. It loads torch's compiler with it, though: 75 MB and more than a second, for
    nothing that is used here. The arithmetic is torch's, one call for all tensors of a group.

    param_groups  dicts of params, lr and weight_decay; lr may be changed between steps
    state         for each weight what `keeps` names: its step (float32 scalar, t above), exp_avg (m) and
                  exp_avg_sq (v)
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        self.param_groups = [{"lr": lr, **group} for group in groups]
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self._betas = betas

    def keeps(self, weight: Tensor) -> tuple[str, ...]:
        """What `state` holds of a weight from its first update on."""
        return ("step", "exp_avg", "exp_avg_sq")

    @torch.no_grad()
    def step(self) -> None:
        """Change every weight that has a gradient once."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, group)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {
                    "step": torch.zeros((), device=weight.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        states = [self.state[weight] for weight in weights]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            weights,
            [weight.grad for weight in weights],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None


class Muon(AdamW):
    """Muon for the matrices of the blocks (Jordan et al. 2024), AdamW for all else: a matrix turns vectors
    into vectors, but embeddings and positions are looked up, and norms only scale.

    The gradient of a matrix changes a few directions much and most hardly at all. Muon gives it back with all
    directions equally strong (`orthogonalized`), so that what is rare in a text is learned, too:

        m = 0.95 m + g
        w = w - lr * weight_decay * w - lr * 0.5 * sqrt(max(rows, columns)) * orthogonalized(g + 0.95 m)

    g + 0.95 m looks one step ahead (Nesterov). The factor before it makes updates about as large as AdamW's
    whatever the shape, so that one learning rate suits both (Liu et al. 2025, equation 4). They have 0.2 in
    place of 0.5, AdamW's size late in a long run; the short runs here learn faster with more.

    param_groups  as in AdamW, with parts: of how many matrices, one below the other, each weight is made;
                  0 leaves it to AdamW. Query, key and value are 3, and orthogonalized apart. All weights of
                  a group with parts have one shape
    state         as in AdamW; of a matrix of the blocks, its momentum (m)
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, lr, betas)
        self._matrices = {weight for group in groups if group["parts"] for weight in group["params"]}

    def keeps(self, weight: Tensor) -> tuple[str, ...]:
        """What `state` holds of a weight from its first update on."""
        return ("momentum",) if weight in self._matrices else super().keeps(weight)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        if not group["parts"]:
            super()._update(weights, group)
            return
        steps = []
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {"momentum": torch.zeros_like(weight)}
            momentum = self.state[weight]["momentum"]
            momentum.mul_(_MOMENTUM).add_(weight.grad)
            steps.append(weight.grad.add(momentum, alpha=_MOMENTUM).unflatten(0, (group["parts"], -1)))
        steps = orthogonalized(torch.cat(steps))  # (all parts, rows, columns): together is faster
        size = _MUON_SIZE * math.sqrt(max(steps.shape[1:]))
        for weight, step in zip(weights, steps.split(group["parts"]), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(step.flatten(0, 1), alpha=group["lr"] * size)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Each matrix with its directions kept and all its singular values brought near 1, to between about 0.7
    and 1.2. matrices: (parts, rows, columns).

    A singular value decomposition would do it exactly, and slowly. This is Newton and Schulz's iteration with
    the numbers of Jordan et al. (2024): five times, X becomes a X + (b A + c A A) X with A = X X^T, which
    turns each singular value s into a s + b s^3 + c s^5 and leaves the directions alone. Graphics cards do
    it in 16 bits, which is exact enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.bfloat16() if matrices.device.type == "cuda" else matrices
    x = x.mT if tall else x  # so that A is the smaller of X X^T and X^T X
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # then no singular value is above 1
    for _ in range(5):
        products = times_transposed(x, x)  # A: (parts, short, short), and its own transpose
        polynomial = plus_product(b, products, c, products, products)
        x = plus_product(a, x, 1.0, polynomial, x.mT)  # (parts, short, long)
    return (x.mT if tall else x).to(matrices.dtype)


def make_optimizer(model: nn.Module, config: ExperimentConfig) -> AdamW:
    """The optimizer that a config asks for. Matrices decay; norms, which only scale, do not."""
    muon = config.optimizer == "muon"
    groups: dict[tuple[bool, int, tuple[int, ...]], dict[str, Any]] = {}
    for name, weight in model.named_parameters():
        matrix, parts = weight.dim() >= 2, 0
        if muon and matrix and name.startswith("blocks."):
            parts = 3 if name.endswith("qkv.weight") else 1
        decay = config.weight_decay if matrix else 0.0
        group = {"params": [], "weight_decay": decay, "parts": parts}
        shape = tuple(weight.shape) if parts else ()
        groups.setdefault((matrix, parts, shape), group)["params"].append(weight)
    kind = Muon if muon else AdamW
    return kind(list(groups.values()), lr=config.learning_rate, betas=(config.beta1, config.beta2))
