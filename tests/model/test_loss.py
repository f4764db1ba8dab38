"""The loss and its gradient, against arithmetic and against torch's own."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from slm_core.model.loss import IGNORED, token_losses


def planted(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (3, 7, 40) and targets (3, 7), some of which are not scored."""
    random = torch.Generator().manual_seed(3)
    logits = spread * torch.randn(3, 7, 40, generator=random)
    targets = torch.randint(40, (3, 7), generator=random)
    targets[1, 4:] = IGNORED
    return logits, targets


def test_losses_are_minus_log_probabilities_and_nothing_where_ignored():
    logits = torch.tensor([[[0.0, math.log(3)], [5.0, 5.0], [9.0, 1.0]]])
    losses = token_losses(logits, torch.tensor([[1, 0, IGNORED]]))
    expected = torch.tensor([[-math.log(0.75), math.log(2), 0.0]])
    torch.testing.assert_close(losses, expected)


def test_the_gradient_is_the_probability_less_one_for_the_target():
    logits, targets = planted(2.0)
    weights = np.random.default_rng(0).normal(size=(3, 7))  # each loss counts differently
    logits.requires_grad_()
    (token_losses(logits, targets) * torch.tensor(weights, dtype=torch.float32)).sum().backward()
    chances = np.exp(logits.detach().double().numpy())
    chances /= chances.sum(-1, keepdims=True)
    expected = (chances - np.eye(40)[targets.clamp(min=0)]) * weights[..., None]
    expected[1, 4:] = 0
    np.testing.assert_allclose(logits.grad, expected, atol=1e-6)


@pytest.mark.parametrize("spread", [0.1, 5.0, 500.0])
def test_it_is_torchs_own_cross_entropy_however_sure_the_model_is(spread):
    logits, targets = planted(spread)
    found = []
    for losses in (
        token_losses,
        lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), ignore_index=-1, reduction="none"),
    ):
        leaf = logits.clone().requires_grad_()
        nats = losses(leaf, targets).flatten()
        nats.mean().backward()
        found.append((nats.detach(), leaf.grad))
    torch.testing.assert_close(*(nats for nats, _ in found), rtol=0, atol=0)
    torch.testing.assert_close(*(grad for _, grad in found), rtol=1e-5, atol=1e-8)


def test_a_loss_that_is_no_number_stays_one():
    logits, targets = planted(1.0)
    logits[0, 0, 0], logits[2, 2, 5] = math.nan, math.inf
    losses = token_losses(logits, targets)
    assert not losses[0, 0].isfinite() and not losses[2, 2].isfinite()
    assert losses.isfinite().sum() == losses.numel() - 2


def test_what_is_kept_for_the_gradient_serves_once():
    logits, targets = planted(1.0)
    loss = token_losses(logits.requires_grad_(), targets).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_model_that_computes_in_half_precision_is_graded_in_whole():
    logits, targets = planted(5.0)
    half = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        losses = token_losses(half, targets)
    losses.sum().backward()
    torch.testing.assert_close(losses, token_losses(half.detach().float(), targets), rtol=0, atol=0)
    assert half.grad.dtype == torch.bfloat16
