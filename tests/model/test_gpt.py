"""The model against a second one written out by hand, and against what must hold for any such model."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.model.gpt import GPT, Cache, Dropout, for_each_head, rotary_angles, rotate
from slm_core.model.loss import token_losses

KINDS = {
    "gpt2, rotary": {"architecture": "gpt2", "positions": "rotary"},
    "gpt2, learned": {"architecture": "gpt2", "positions": "learned"},
    "qwen3": {"architecture": "qwen3", "positions": "rotary"},
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def config_of(kind: str = "gpt2, rotary", **changes: object) -> ExperimentConfig:
    settings = {"vocab_size": 300, "n_layer": 3, "n_head": 4, "n_embd": 32, "block_size": 32, **changes}
    return ExperimentConfig(dataset_size=1_000, **KINDS[kind], **settings)


def model_of(config: ExperimentConfig, seed: int = 0, spread: float = 1.0) -> GPT:
    """A model in evaluation mode, its weights `spread` times as large as fresh ones, its norms no ones."""
    generator = torch.Generator().manual_seed(seed)
    model = GPT(config, generator).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.mul_(spread) if weight.dim() == 2 else weight.uniform_(0.5, 1.5, generator=generator)
    return model


def random_ids(config: ExperimentConfig, length: int, batch: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def written_out(model: GPT, ids: np.ndarray) -> np.ndarray:
    """Logits (T, V) for ids (T,), in float64 with loops: softmax attention head by head, rotary positions as
    complex numbers, GELU from the error function, SiLU as x / (1 + exp(-x))."""
    weights = {name: weight.double().numpy() for name, weight in model.named_parameters()}
    config, T = model.config, len(ids)
    hs = config.n_embd // config.n_head

    def norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        if config.architecture == "qwen3":
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale

    def turned(x: np.ndarray) -> np.ndarray:
        if config.positions == "learned":
            return x
        pairs = x[:, : hs // 2] + 1j * x[:, hs // 2 :]
        speeds = np.array([10_000 ** (-2 * pair / hs) for pair in range(hs // 2)])
        pairs = pairs * np.exp(1j * np.arange(T)[:, None] * speeds)
        return np.concatenate([pairs.real, pairs.imag], axis=1)

    x = weights["embedding.weight"][ids]
    if config.positions == "learned":
        x = x + weights["position_embedding.weight"][:T]
    for layer in range(config.n_layer):
        own = {name.partition(f"blocks.{layer}.")[2]: weight for name, weight in weights.items()}
        read = norm(x, own["norm_1.weight"]) @ own["attention.qkv.weight"].T
        q, k, v = np.split(read, 3, axis=1)
        said = np.zeros_like(x)
        for head in range(config.n_head):
            part = slice(head * hs, (head + 1) * hs)
            queries, keys = q[:, part], k[:, part]
            if config.architecture == "qwen3":
                queries = norm(queries, own["attention.norm_q.weight"])
                keys = norm(keys, own["attention.norm_k.weight"])
            queries, keys = turned(queries), turned(keys)
            for t in range(T):
                scores = np.exp(keys[: t + 1] @ queries[t] / math.sqrt(hs))
                said[t, part] = scores / scores.sum() @ v[: t + 1, part]
        x = x + said @ own["attention.out.weight"].T
        read = norm(x, own["norm_2.weight"])
        wide = read @ own["widen.weight"].T
        if config.architecture == "qwen3":
            gate = read @ own["gate.weight"].T
            wide = wide * gate / (1 + np.exp(-gate))
        else:
            wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = x + wide @ own["narrow.weight"].T
    return norm(x, weights["norm.weight"]) @ weights["embedding.weight"].T


@EACH_KIND
def test_the_model_is_the_one_written_out_by_hand(kind):
    model = model_of(config_of(kind), spread=8)
    ids = random_ids(model.config, 20)
    expected = np.stack([written_out(model, row.numpy()) for row in ids])
    assert expected.std() > 0.5, "the comparison needs logits that say something"
    np.testing.assert_allclose(model(ids).numpy(), expected, rtol=1e-4, atol=1e-4)


@EACH_KIND
@pytest.mark.parametrize("prompt", [1, 7, 31])
def test_reading_from_a_cache_is_reading_everything(kind, prompt):
    model = model_of(config_of(kind), spread=4)
    ids = random_ids(model.config, 32)
    cache = Cache(model.config, 2, torch.device("cpu"))
    logits = [model(ids[:, :prompt], cache)]
    logits += [model(ids[:, place : place + 1], cache) for place in range(prompt, 32)]
    torch.testing.assert_close(torch.cat(logits, dim=1), model(ids), rtol=1e-4, atol=1e-5)


@EACH_KIND
@settings(deadline=None, max_examples=25)
@given(place=st.integers(1, 31), seed=st.integers(0, 1000))
def test_a_changed_token_leaves_what_came_before_exactly_alone(kind, place, seed):
    model = model_of(config_of(kind))
    ids = random_ids(model.config, 32, seed=seed)
    changed = ids.clone()
    changed[:, place] = (changed[:, place] + 1) % model.config.vocab_size
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.isclose(before[:, place:], after[:, place:]).all(dim=-1).any(), (
        "what follows must notice"
    )


@EACH_KIND
def test_a_sequence_does_not_see_its_neighbours(kind):
    model = model_of(config_of(kind))
    ids = random_ids(model.config, 32, batch=3)
    torch.testing.assert_close(model(ids)[1:2], model(ids[1:2]), rtol=1e-4, atol=1e-5)


@EACH_KIND
@pytest.mark.parametrize("vocab_size", [300, 4096])
def test_the_first_loss_is_that_of_guessing(kind, vocab_size):
    config = config_of(kind, vocab_size=vocab_size, n_embd=64)
    model = GPT(config, torch.Generator().manual_seed(0)).eval()
    ids = random_ids(config, 32, batch=64)
    targets = random_ids(config, 32, batch=64, seed=2)
    assert token_losses(model(ids), targets).mean().item() == pytest.approx(math.log(vocab_size), abs=0.1)


def test_turned_vectors_keep_their_length_and_know_only_their_distance():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0)).double()

    def at(place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return for_each_head(rotary_angles(torch.tensor([place]), 8), 1)

    def score(at_q: int, at_k: int) -> float:
        return float((rotate(q, at(at_q)) * rotate(k, at(at_k))).sum())

    assert score(5, 5) == pytest.approx(score(0, 0), rel=1e-5)
    assert score(9, 4) == pytest.approx(score(105, 100), rel=1e-4)
    assert score(9, 4) != pytest.approx(score(9, 5), rel=1e-2)
    assert rotate(q, at(77)).norm() == pytest.approx(float(q.norm()), rel=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_another(random_state_kept):
    config = config_of()
    first, second, other = (GPT(config, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


@EACH_KIND
def test_fresh_weights_have_the_spread_of_gpt2(kind):
    model = GPT(config_of(kind, n_embd=256, n_layer=8), torch.Generator().manual_seed(0))
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            residual = name.endswith(("attention.out.weight", "narrow.weight"))
            assert weight.std().item() == pytest.approx(0.02 / (4 if residual else 1), rel=0.02), name
        else:
            assert torch.equal(weight, torch.ones_like(weight)), name


def test_long_queries_and_keys_change_nothing_where_they_are_normalized():
    changed = {}
    for kind in KINDS:
        model = model_of(config_of(kind), spread=4)
        ids = random_ids(model.config, 20)
        before = model(ids)
        for block in model.blocks:
            block.attention.qkv.weight[: 2 * model.config.n_embd] *= 10  # queries and keys
        changed[kind] = (model(ids) - before).abs().max().item()
    assert changed["qwen3"] < 1e-3 < changed["gpt2, rotary"] / 100


def test_head_and_embedding_are_one():
    model = model_of(config_of())
    assert model.head.weight is model.embedding.weight
    assert "head.weight" not in dict(model.named_parameters())


def test_positions_beyond_the_block_are_our_own_mistake():
    model = model_of(config_of())
    with pytest.raises(AssertionError, match="33 positions"):
        model(random_ids(model.config, 33))
    cache = Cache(model.config, 1, torch.device("cpu"))
    model(random_ids(model.config, 3, batch=1), cache)
    with pytest.raises(AssertionError, match="start of a cache"):
        model(random_ids(model.config, 2, batch=1), cache)


def test_dropout_keeps_its_share_and_its_sum_and_follows_its_generator(random_state_kept):
    dropout, ones = Dropout(0.25), torch.ones(100_000)
    dropped = []
    for seed in (1, 1, 2):
        dropout.generator = torch.Generator().manual_seed(seed)
        dropped.append(dropout(ones))
    torch.testing.assert_close(dropped[0].unique(), torch.tensor([0.0, 4 / 3]))
    assert (dropped[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.006)  # four standard errors
    assert torch.equal(dropped[0], dropped[1]) and not torch.equal(dropped[0], dropped[2])
    assert dropout.eval()(ones) is ones


def test_dropout_is_at_work_in_training_only():
    model = GPT(config_of(dropout=0.5), torch.Generator().manual_seed(0))
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = torch.Generator().manual_seed(0)
    ids = random_ids(model.config, 16)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
