"""The learning rate at named steps, and what one update does."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from slm_core.config import ExperimentConfig
from slm_core.train.optim import AdamW, learning_rate_at, make_optimizer

CONFIG = ExperimentConfig(max_iters=110, warmup_iters=10, learning_rate=1e-2, min_lr=1e-3)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, 1e-3), (5, 5e-3), (10, 1e-2),  # a straight climb
        (35, 1e-3 + 9e-3 * (1 + math.sqrt(0.5)) / 2), (60, 5.5e-3),  # a quarter and half way down
        (85, 1e-3 + 9e-3 * (1 - math.sqrt(0.5)) / 2), (110, 1e-3),
    ],
)  # fmt: skip
def test_the_learning_rate_at_named_steps(step, expected):
    assert learning_rate_at(CONFIG, step) == pytest.approx(expected, rel=1e-12)


def test_without_warmup_the_first_step_is_almost_the_largest():
    config = CONFIG.with_changes({"warmup_iters": 0})
    rates = [learning_rate_at(config, step) for step in range(1, 111)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-2, rel=1e-3) and rates[-1] == pytest.approx(1e-3)


def test_with_warmup_to_the_end_the_rate_only_climbs():
    config = CONFIG.with_changes({"warmup_iters": 110})
    assert learning_rate_at(config, 110) == 1e-2
    assert learning_rate_at(config, 55) == 5e-3


def test_the_first_update_is_that_of_adamw_and_only_matrices_decay():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LayerNorm(2, bias=False))
    config = ExperimentConfig(learning_rate=0.1, weight_decay=0.5)
    before = [weight.detach().clone() for weight in model.parameters()]
    model(torch.tensor([[1.0, -2.0, 0.5]])).square().sum().backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    make_optimizer(model, config).step()
    for old, gradient, new in zip(before, gradients, model.parameters(), strict=True):
        decay = 0.5 if old.dim() == 2 else 0.0
        # with both moments freshly corrected, their ratio is the gradient's sign
        expected = old * (1 - 0.1 * decay) - 0.1 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(new.detach(), expected)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_twenty_updates_are_those_of_torchs_own_adamw(decay):
    ours, theirs = (nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    groups = [{"params": list(ours.parameters()), "weight_decay": decay}]
    optimizer = AdamW(groups, lr=0.02, betas=(0.8, 0.9))
    reference = torch.optim.AdamW(
        theirs.parameters(), lr=0.02, betas=(0.8, 0.9), weight_decay=decay, fused=True
    )
    random = torch.Generator().manual_seed(4)
    for step in range(20):
        batch = torch.randn(6, 5, generator=random)
        for model, updates in ((ours, optimizer), (theirs, reference)):
            updates.zero_grad()
            model(batch).square().sum().backward()
            updates.param_groups[0]["lr"] = 0.02 / (1 + step)
            updates.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_training_does_not_load_torchs_compiler():
    script = (
        "import sys, torch\n"
        "from slm_core.config import ExperimentConfig\n"
        "from slm_core.train.optim import make_optimizer\n"
        "model = torch.nn.Linear(2, 2)\n"
        "optimizer = make_optimizer(model, ExperimentConfig())\n"
        "model(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "False", answer.stderr


def test_the_betas_of_the_config_are_used():
    model = nn.Linear(2, 2, bias=False)
    optimizer = make_optimizer(model, ExperimentConfig(beta1=0.5, beta2=0.25))
    for gradient in (1.0, 3.0):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
    moments = optimizer.state[model.weight]
    torch.testing.assert_close(moments["exp_avg"], torch.full((2, 2), 0.5 * 0.5 * 1 + 0.5 * 3))
    torch.testing.assert_close(moments["exp_avg_sq"], torch.full((2, 2), 0.25 * 0.75 * 1 + 0.75 * 9))
