"""Products by oneDNN are those of arithmetic, and a run learns the same with either library."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from slm_core.model import linear
from slm_core.model.linear import Linear, OneDNNProduct, onednn_is_faster, plus_product, times_transposed
from slm_core.train.events import EvalDone, StepDone
from slm_core.train.trainer import Trainer

HAS_ONEDNN = torch.backends.mkldnn.is_available()


@pytest.fixture
def take(monkeypatch):
    """`take(True)` has layers multiply by oneDNN from now on, `take(False)` by what torch takes itself."""
    return lambda faster: monkeypatch.setattr(linear, "onednn_is_faster", lambda: faster and HAS_ONEDNN)


@pytest.mark.parametrize("shape", [(20, 24, 56), (20, 56, 24), (3, 100, 8, 12), (7, 5, 1)])
def test_products_and_gradients_are_those_of_arithmetic(shape):
    if not HAS_ONEDNN:
        assert not onednn_is_faster()
        return
    *rows, inputs, outputs = shape
    random = np.random.default_rng(1)
    x, weight = random.normal(size=(*rows, inputs)), random.normal(size=(outputs, inputs))
    grad = random.normal(size=(*rows, outputs))
    leaves = [torch.tensor(each, dtype=torch.float32, requires_grad=True) for each in (x, weight)]
    y = OneDNNProduct.apply(*leaves)
    y.backward(torch.tensor(grad, dtype=torch.float32))
    assert np.allclose(y.detach(), np.einsum("...k,nk->...n", x, weight), atol=1e-4)
    assert np.allclose(leaves[0].grad, np.einsum("...n,nk->...k", grad, weight), atol=1e-4)
    flat_x, flat_grad = x.reshape(-1, inputs), grad.reshape(-1, outputs)
    assert np.allclose(leaves[1].grad, np.einsum("rn,rk->nk", flat_grad, flat_x), atol=1e-4)


@pytest.mark.parametrize("rows", [8, 300])
def test_products_of_pairs_are_those_of_arithmetic(rows, take):
    take(True)
    random = np.random.default_rng(2)
    x, y = random.normal(size=(3, rows, 40)), random.normal(size=(3, 50, 40))
    found = times_transposed(*(torch.tensor(each, dtype=torch.float32) for each in (x, y)))
    assert np.allclose(found, np.einsum("prk,pnk->prn", x, y), atol=1e-4)


@pytest.mark.parametrize("rows", [8, 300])
def test_sums_with_products_are_those_of_arithmetic(rows, take):
    take(True)
    random = np.random.default_rng(3)
    z, x, y = (random.normal(size=size) for size in ((3, rows, 50), (3, rows, 40), (3, 50, 40)))
    z_, x_, y_ = (torch.tensor(each, dtype=torch.float32) for each in (z, x, y))
    expected = 2.5 * z - 0.5 * np.einsum("prk,pnk->prn", x, y)
    assert np.allclose(plus_product(2.5, z_, -0.5, x_, y_), expected, atol=1e-4)
    assert np.allclose(z_, z), "what is given must stay"


def test_a_run_has_the_same_losses_with_either_library(tiny_config, tiny_dataset, take):
    config = tiny_config.with_changes({"batch_size": 32, "max_iters": 20})
    found = []
    for faster in (True, False):
        take(faster)
        found.append([*Trainer(config, tiny_dataset).events()])
    for kind, name in ((StepDone, "loss"), (StepDone, "grad_norm"), (EvalDone, "validation_loss")):
        ours, theirs = ([getattr(e, name) for e in events if isinstance(e, kind)] for events in found)
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_with_onednn_two_runs_in_turns_are_each_as_alone(tiny_config, tiny_dataset, take):
    take(True)
    config = tiny_config.with_changes({"batch_size": 32})
    other = config.with_changes({"seed": 8, "n_embd": 32})
    alone = [
        [e.loss for e in Trainer(each, tiny_dataset).events() if isinstance(e, StepDone)]
        for each in (config, other)
    ]
    together = ([], [])
    for pair in zip(*(Trainer(each, tiny_dataset).events() for each in (config, other)), strict=True):
        for losses, event in zip(together, pair, strict=True):
            if isinstance(event, StepDone):
                losses.append(event.loss)
    assert list(together) == alone


def test_few_rows_and_other_numbers_are_left_to_torch(take, monkeypatch):
    take(True)
    monkeypatch.setattr(linear, "_product", None)  # whoever calls it fails
    layer, theirs = Linear(6, 9), nn.Linear(6, 9, bias=False)
    theirs.weight = layer.weight
    x = torch.randn(255, 6)
    assert torch.equal(layer(x), theirs(x))
    x = torch.randn(1_000, 6, dtype=torch.float64)
    assert torch.equal(layer.double()(x), theirs.double()(x))


def test_a_library_that_is_slower_is_not_taken(monkeypatch):
    monkeypatch.setattr(linear, "_product", lambda x, weight: time.sleep(0.02))
    onednn_is_faster.cache_clear()
    try:
        assert not onednn_is_faster()
    finally:
        onednn_is_faster.cache_clear()
