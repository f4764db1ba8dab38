"""Costs in closed form against what torch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from slm_core.config import ExperimentConfig, load_presets
from slm_core.model import linear
from slm_core.model.budget import budget
from slm_core.model.gpt import GPT
from slm_core.model.loss import token_losses
from slm_core.train.optim import make_optimizer

PRESETS = load_presets()
PROMISED = {
    "ULTRA_TINY": 100e3, "TINY_CPU": 500e3, "SMALL_CPU": 3e6, "MEDIUM_CPU": 5e6,
    "LARGE_CPU": 10e6, "TINY_GPU": 500e3, "MEDIUM_GPU": 3e6, "LARGE_GPU": 50e6,
}  # fmt: skip


@pytest.mark.parametrize("name", PROMISED)
def test_presets_are_as_large_as_promised(name):
    assert budget(PRESETS[name].config).parameters == pytest.approx(PROMISED[name], rel=0.15)


KINDS = pytest.mark.parametrize(
    "kind",
    [
        {"architecture": "gpt2", "positions": "rotary"},
        {"architecture": "gpt2", "positions": "learned"},
        {"architecture": "qwen3", "positions": "rotary"},
    ],
    ids=lambda kind: "-".join(kind.values()),
)


@KINDS
@pytest.mark.parametrize("name", PROMISED)
def test_parameters_are_those_of_the_model(name, kind):
    config = PRESETS[name].config.with_changes(kind)
    model = GPT(config)  # shapes only
    cost = budget(config)
    assert cost.parameters == sum(weight.numel() for weight in model.parameters())
    embeddings = [w.numel() for n, w in model.named_parameters() if "embedding" in n]
    assert cost.embedding_parameters == sum(embeddings)
    assert cost.checkpoint_bytes == 4 * cost.parameters


@pytest.mark.parametrize("width", [8, 24, 40, 104, 128, 320, 640, 1_024])
def test_both_architectures_have_about_as_many_weights(width):
    gpt2 = budget(ExperimentConfig(n_embd=width))
    qwen3 = budget(ExperimentConfig(n_embd=width, architecture="qwen3"))
    most = 0.1 if width < 100 else 0.01
    assert qwen3.block_parameters == pytest.approx(gpt2.block_parameters, rel=most)
    assert qwen3.embedding_parameters == gpt2.embedding_parameters


@KINDS
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_arithmetic_is_what_torch_counts_in_a_training_step(kind, optimizer, monkeypatch):
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: False)  # whose products torch does not count
    config = ExperimentConfig(n_layer=3, n_embd=64, batch_size=2, optimizer=optimizer, **kind)
    model = GPT(config, torch.Generator().manual_seed(0))
    updates = make_optimizer(model, config)
    idx = torch.zeros((config.batch_size, config.block_size), dtype=torch.long)
    with (
        FlopCounterMode(display=False) as counted,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        token_losses(model(idx), idx).mean().backward()
        updates.step()
    assert budget(config).flops_per_step == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_a_run_costs_its_steps():
    config = ExperimentConfig(max_iters=70, gradient_accumulation_steps=3)
    cost = budget(config)
    assert cost.training_flops == 70 * cost.flops_per_step
    assert (
        cost.flops_per_step
        == 3 * budget(config.with_changes({"gradient_accumulation_steps": 1})).flops_per_step
    )


@pytest.mark.parametrize("architecture", ["gpt2", "qwen3"])
def test_muon_keeps_one_number_where_adamw_keeps_two(architecture):
    config = ExperimentConfig(architecture=architecture)
    saved, kept = [], {}
    for optimizer in ("adamw", "muon"):
        config = config.with_changes({"optimizer": optimizer})
        model = GPT(config, torch.Generator().manual_seed(0))
        updates = make_optimizer(model, config)
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        updates.step()
        states = [tensor for state in updates.state.values() for tensor in state.values()]
        kept[optimizer] = sum(tensor.numel() for tensor in states if tensor.dim())
        saved.append(budget(config).training_memory_bytes)
    assert kept["adamw"] == 2 * budget(config).parameters
    assert saved[0] - saved[1] == 4 * (kept["adamw"] - kept["muon"]) > 0


def test_memory_is_at_least_weights_gradients_and_moments():
    config = ExperimentConfig()
    cost = budget(config)
    logits_bytes = 4 * config.batch_size * config.block_size * config.vocab_size
    assert cost.training_memory_bytes > 16 * cost.parameters + 3 * logits_bytes
    larger = budget(config.with_changes({"batch_size": 16}))
    assert larger.training_memory_bytes - cost.training_memory_bytes == (
        cost.training_memory_bytes - 16 * cost.parameters
    )


def test_tokens_per_parameter_are_unique_tokens_over_all_parameters():
    config = ExperimentConfig(dataset_size=1_000_000)
    assert budget(config).tokens_per_parameter == 1_000_000 / budget(config).parameters
