"""How weights are changed: AdamW, and the learning rate over a run."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from slm_core.config import ExperimentConfig


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
    state         for each weight its step (float32 scalar, t above), exp_avg (m) and exp_avg_sq (v)
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        self.param_groups = [{"lr": lr, **group} for group in groups]
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self._betas = betas

    @torch.no_grad()
    def step(self) -> None:
        """Change every weight that has a gradient once."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight] = {
                        "step": torch.zeros((), device=weight.device),
                        "exp_avg": torch.zeros_like(weight),
                        "exp_avg_sq": torch.zeros_like(weight),
                    }
            if not weights:
                continue
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


def make_optimizer(model: nn.Module, config: ExperimentConfig) -> AdamW:
    """The optimizer of a model. Matrices decay; norms, which only scale, do not."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    scales = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": scales, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2))
