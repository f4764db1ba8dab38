"""The learning rate at named steps, and what one update does."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from slm_core.config import ExperimentConfig
from slm_core.model.gpt import GPT
from slm_core.train.optim import AdamW, learning_rate_at, make_optimizer, orthogonalized

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
        "from slm_core.model.gpt import GPT\n"
        "from slm_core.train.optim import make_optimizer\n"
        "for architecture, optimizer in ('gpt2', 'adamw'), ('qwen3', 'muon'):\n"
        "    config = ExperimentConfig(n_embd=8, architecture=architecture, optimizer=optimizer)\n"
        "    model = GPT(config, torch.Generator().manual_seed(0))\n"
        "    model(torch.zeros(1, 2, dtype=torch.long)).sum().backward()\n"
        "    make_optimizer(model, config).step()\n"
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


@pytest.mark.parametrize(
    "shape", [(1, 24, 24), (3, 40, 40), (1, 64, 16), (2, 16, 56), (1, 1, 8), (2, 256, 300)]
)
def test_directions_stay_and_become_equally_strong(shape):
    random = torch.Generator().manual_seed(2)
    left, right = (torch.linalg.qr(torch.randn(shape[0], n, n, generator=random))[0] for n in shape[1:])
    short = min(shape[1:])
    strengths = torch.logspace(0, -1.5, short).expand(shape[0], short)  # the weakest is 1/32 of the strongest
    planted = left[:, :, :short] * (1_000 * strengths[:, None]) @ right[:, :short]
    found = orthogonalized(planted)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.65 and values.max() < 1.25
    within = left[:, :, :short].mT @ found @ right[:, :short].mT  # diagonal, if the directions are the same
    torch.testing.assert_close(within, torch.diag_embed(within.diagonal(dim1=1, dim2=2)), atol=1e-4, rtol=0)
    assert torch.equal(orthogonalized(torch.zeros(shape)), torch.zeros(shape))


def test_in_sixteen_bits_directions_become_nearly_as_equally_strong():
    random = torch.Generator().manual_seed(2)
    found = orthogonalized(torch.randn(2, 24, 64, generator=random).bfloat16())
    values = torch.linalg.svdvals(found.float())
    assert found.dtype == torch.bfloat16 and values.min() > 0.6 and values.max() < 1.3


def test_matrices_below_each_other_are_orthogonalized_apart():
    parts = (
        torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(3))
        * torch.tensor([1, 9, 99])[:, None, None]
    )
    alone = torch.cat([orthogonalized(part[None]) for part in parts])
    torch.testing.assert_close(orthogonalized(parts), alone)


def muon_model(**changes: object) -> tuple[GPT, ExperimentConfig]:
    """A small model with planted gradients."""
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "vocab_size": 300}
    config = ExperimentConfig(optimizer="muon", learning_rate=0.1, weight_decay=0.5, **shape, **changes)
    random = torch.Generator().manual_seed(5)
    model = GPT(config, random)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=random)
    return model, config


def by_singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """Newton and Schulz's five steps, done on the singular values alone: left a(a(a(...s))) right."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.square().sum().sqrt()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ torch.diag(values) @ right


@pytest.mark.parametrize(
    "kind", [{"architecture": "gpt2", "positions": "learned"}, {"architecture": "qwen3"}]
)
def test_muons_first_two_updates_are_those_of_the_formula(kind):
    model, config = muon_model(**kind)
    optimizer = make_optimizer(model, config)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for count in (1, 2):
        optimizer.step()
        for name, weight in model.named_parameters():
            old, g = before[name], weight.grad
            if name.startswith("blocks.") and weight.dim() == 2:
                momentum = g if count == 1 else 0.95 * g + g
                parts = (g + 0.95 * momentum).chunk(3 if "qkv" in name else 1)
                step = torch.cat([by_singular_values(part) for part in parts])
                size = 0.5 * math.sqrt(max(parts[0].shape))
                expected = old * (1 - 0.1 * 0.5) - 0.1 * size * step
            else:  # AdamW: with the same gradient twice, both moments' ratio is its sign
                decay = 0.5 if weight.dim() == 2 else 0.0
                expected = old * (1 - 0.1 * decay) - 0.1 * g / (g.abs() + 1e-8)
            torch.testing.assert_close(weight.detach(), expected, rtol=1e-3, atol=1e-4, msg=name)
            before[name] = weight.detach().clone()


def test_muons_updates_are_half_as_large_as_adamws_first_whatever_the_shape():
    sizes = {}
    for optimizer in ("adamw", "muon"):
        model, config = muon_model()
        config = config.with_changes({"optimizer": optimizer, "weight_decay": 0.0})
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        make_optimizer(model, config).step()
        for name, weight in model.named_parameters():
            sizes.setdefault(name, []).append((weight - before[name]).square().mean().sqrt().item() / 0.1)
    for name, (adamw, muon) in sizes.items():
        assert adamw == pytest.approx(1, rel=1e-3)  # the first one, which only follows signs
        inside = name.startswith("blocks.") and name.split(".")[-2] not in ("norm_1", "norm_2")
        assert muon == pytest.approx(0.5 if inside else 1, rel=0.25), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_optimizer_keeps_what_it_says(optimizer):
    model, config = muon_model(architecture="qwen3")
    updates = make_optimizer(model, config.with_changes({"optimizer": optimizer}))
    updates.step()
    kept = {name: updates.keeps(weight) for name, weight in model.named_parameters()}
    assert kept == {name: tuple(updates.state[weight]) for name, weight in model.named_parameters()}
    assert ("momentum",) in kept.values() or optimizer == "adamw"
