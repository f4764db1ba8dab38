"""How weights are changed: AdamW, and the learning rate over a run."""

import math

import torch
from torch import nn

from slm_core.config import ExperimentConfig


def learning_rate_at(config: ExperimentConfig, step: int) -> float:
    """The learning rate of update `step`, counted from 1: a straight climb over warmup_iters, then half a
    cosine down to min_lr at max_iters (Loshchilov and Hutter 2017)."""
    if step <= config.warmup_iters:
        return config.learning_rate * step / config.warmup_iters
    share = (step - config.warmup_iters) / max(1, config.max_iters - config.warmup_iters)
    return config.min_lr + (config.learning_rate - config.min_lr) * (1 + math.cos(math.pi * share)) / 2


def make_optimizer(model: nn.Module, config: ExperimentConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) in its fused form. Matrices decay; norms, which only scale, do
    not."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    scales = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": scales, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)
