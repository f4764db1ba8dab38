"""Which tokens are scored, and the numbers made of their losses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.model.gpt import GPT
from slm_core.model.loss import IGNORED
from slm_core.text.spans import MOST_TOKENS, span_length
from slm_core.train import evaluate
from slm_core.train.evaluate import (
    Measured,
    Windows,
    check_validation,
    consecutive_windows,
    measure,
    windows_from_starts,
)

E = 9  # the end mark in the planted texts


def test_windows_from_starts_by_hand():
    windows = windows_from_starts(np.array([E, 1, 2, 3, E, 4, E], dtype=np.uint16), 3, E)
    assert windows.inputs.tolist() == [[E, 1, 2], [E, 4, E]]
    assert windows.targets.tolist() == [[1, 2, 3], [4, E, IGNORED]]
    assert windows.tokens == 5


def test_a_document_cut_off_is_scored_to_its_cut():
    windows = windows_from_starts(np.array([E, 1, E, 2, 3], dtype=np.uint16), 4, E)
    assert windows.targets.tolist() == [[1, E, IGNORED, IGNORED], [2, 3, IGNORED, IGNORED]]


@given(st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=12), st.integers(1, 8))
def test_each_document_is_scored_once_from_its_start(documents, block_size):
    ids = [E]
    for document in documents:
        ids += [*document, E]
    windows = windows_from_starts(np.array(ids, dtype=np.uint16), block_size, E)
    expected = [([E, *document, E])[: block_size + 1] for document in documents]
    assert len(windows) == len(documents)
    for inputs, targets, document in zip(windows.inputs, windows.targets, expected, strict=True):
        scored = targets != IGNORED
        assert [E, *targets[scored].tolist()] == document
        assert inputs[scored].tolist() == document[:-1]


@given(st.integers(2, 200), st.integers(1, 50))
def test_consecutive_windows_score_every_token_but_the_first(length, window):
    ids = np.arange(length, dtype=np.uint16)
    windows = consecutive_windows(ids, window)
    assert torch.equal(windows.targets, windows.inputs + 1)
    assert set(windows.targets.flatten().tolist()) == set(range(1, length))
    assert len(windows) == math.ceil((length - 1) / window)


def test_long_texts_are_sampled_from_end_to_end():
    ids = np.arange(60_000, dtype=np.uint16)
    windows = consecutive_windows(ids, 128)
    assert windows.tokens == MOST_TOKENS
    assert windows.inputs[0, 0] == 0 and windows.targets[-1, -1] == 59_999


@given(st.integers(22, 3_000), st.integers(16, 256))
def test_a_short_validation_text_still_fills_twenty_windows(tokens, block_size):
    ids = np.arange(tokens, dtype=np.uint16)
    length = span_length(ids, block_size)
    assert 1 <= length <= block_size
    assert len(consecutive_windows(ids, length)) >= 20


def test_too_few_windows_are_refused_with_how_many_are_needed():
    windows = consecutive_windows(np.arange(20, dtype=np.uint16), 1)
    with pytest.raises(CorpusError, match=r"gives 19 windows.*at least 20"):
        check_validation(windows)


@pytest.fixture(scope="module")
def model() -> GPT:
    config = ExperimentConfig(vocab_size=300, n_embd=16, n_head=2, block_size=16, dropout=0.5)
    model = GPT(config, torch.Generator().manual_seed(0))
    for weight in model.parameters():
        weight.data.mul_(5)
    return model


@pytest.fixture(scope="module")
def windows() -> Windows:
    """120 windows, each with its own number of scored targets."""
    random = np.random.default_rng(0)
    inputs, targets = random.integers(0, 300, (120, 16)), random.integers(0, 300, (120, 16))
    targets[np.arange(16) >= random.integers(1, 17, (120, 1))] = IGNORED
    return Windows(torch.from_numpy(inputs), torch.from_numpy(targets))


def window_losses(model: GPT, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Nats and number of scored tokens of each window, from the logits in float64."""
    with torch.no_grad():
        logits = model.eval()(windows.inputs).double().numpy()
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    targets = windows.targets.numpy()
    scored = targets != IGNORED
    nats = -np.log(np.take_along_axis(chances, targets.clip(0)[..., None], -1)[..., 0]) * scored
    return nats.sum(1), scored.sum(1)


def measured(model: GPT, windows: Windows, lengths: torch.Tensor) -> Measured:
    *shares, result = measure(model, windows, lengths, lambda work: work())
    assert shares == sorted(shares) and shares[-1] == 1.0
    return result


def test_loss_and_bits_per_byte_by_hand(model, windows):
    lengths = torch.arange(300) % 7
    result = measured(model, windows, lengths)
    sums, counts = window_losses(model, windows)
    targets = windows.targets.flatten().tolist()
    total_bytes = sum(target % 7 for target in targets if target != IGNORED)
    assert result.loss == pytest.approx(sums.sum() / counts.sum(), rel=1e-5)
    assert result.bits_per_byte == pytest.approx(sums.sum() / math.log(2) / total_bytes, rel=1e-5)
    assert result.windows == 120


def test_the_standard_error_is_that_of_a_bootstrap_over_windows(model, windows):
    sums, counts = window_losses(model, windows)
    drawn = np.random.default_rng(1).integers(0, 120, (20_000, 120))
    losses = sums[drawn].sum(1) / counts[drawn].sum(1)
    assert measured(model, windows, torch.ones(300)).standard_error == pytest.approx(losses.std(), rel=0.05)


def test_what_is_measured_does_not_depend_on_how_it_is_cut_into_passes(model, windows, monkeypatch):
    whole = measured(model, windows, torch.ones(300))
    monkeypatch.setattr(evaluate, "TOKENS_A_PASS", 16 * 7)
    assert measured(model, windows, torch.ones(300)).loss == pytest.approx(whole.loss, rel=1e-6)


def test_between_two_passes_the_model_trains_and_no_global_state_has_changed(
    model, windows, monkeypatch, random_state_kept
):
    monkeypatch.setattr(evaluate, "TOKENS_A_PASS", 160)
    model.train()
    seen = 0
    for _ in measure(model, windows, torch.ones(300), lambda work: work()):
        assert model.training and not torch.is_inference_mode_enabled()
        seen += 1
    assert seen > 5


def test_of_short_windows_little_is_computed_that_is_not_scored(model, windows):
    """By hand: no pass is wider than its longest window, rounded up to an eighth of T, 2 of 16 here."""
    read = []
    watching = model.register_forward_pre_hook(lambda model, given: read.append(given[0]))
    measured(model, windows, torch.ones(300))
    watching.remove()
    lengths = sorted((windows.targets != IGNORED).sum(1).tolist(), reverse=True)
    assert sum(map(len, read)) == len(windows)
    for inputs in read:
        longest, lengths = lengths[0], lengths[len(inputs) :]
        assert inputs.size(1) == longest + longest % 2
        assert inputs.numel() <= evaluate.TOKENS_A_PASS
    assert len({inputs.size(1) for inputs in read}) > 1


def test_what_lies_behind_a_window_changes_nothing(model, windows):
    behind = windows.targets == IGNORED
    other = Windows(torch.where(behind, 7, windows.inputs), windows.targets)
    assert measured(model, other, torch.ones(300)) == measured(model, windows, torch.ones(300))
