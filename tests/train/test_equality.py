"""However a run is computed, it is the same run: on one thread or two, on the processor or a graphics card,
and on the very tokens that lie in its file."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slm_core.config import ExperimentConfig
from slm_core.hardware import use_threads
from slm_core.model import gpt
from slm_core.model.gpt import GPT
from slm_core.text import spans
from slm_core.text.bins import write_dataset
from slm_core.text.corpus import prepare
from slm_core.train import optim
from slm_core.train import trainer as trainer_module
from slm_core.train.accelerate import PLAIN, Pace
from slm_core.train.events import EvalDone, RunStarted, StepDone
from slm_core.train.trainer import Trainer

# Wide enough that two threads share the work of a step.
CONFIG = ExperimentConfig(
    corpus="tales", dataset_size=3_000, vocab_size=512, n_embd=64, n_head=4, block_size=64, batch_size=16,
    max_iters=20, eval_interval=10, warmup_iters=4, learning_rate=3e-3,
)  # fmt: skip
MODERN = {"architecture": "qwen3", "optimizer": "muon"}


@pytest.fixture(autouse=True)
def _few_windows(monkeypatch) -> None:
    monkeypatch.setattr(spans, "MOST_TOKENS", 2_560)


def losses(config: ExperimentConfig, **how) -> np.ndarray:
    """All losses of a run: of each step, and each that was measured."""
    found = []
    for event in Trainer(config, prepare(config), **how).events():
        if isinstance(event, StepDone):
            found.append(event.loss)
        elif isinstance(event, EvalDone):
            found += [event.train_loss, event.validation_loss]
    return np.array(found)


@pytest.mark.parametrize("changes", [{}, MODERN], ids=["gpt2", "qwen3"])
def test_one_thread_and_two_give_the_same_losses_up_to_rounding(changes):
    config, found = CONFIG.with_changes(changes), {}
    for threads in (1, 2):
        use_threads(threads)
        started = next(Trainer(config, prepare(config)).events())
        assert isinstance(started, RunStarted) and started.threads == threads
        found[threads] = losses(config)
    assert len(found[1]) == 20 + 2 * 3 and found[1][-1] < found[1][0] - 1, "nothing was learned"
    np.testing.assert_allclose(found[1], found[2], rtol=1e-4)


@pytest.mark.parametrize("passes", [1, 3])
def test_batches_are_windows_cut_by_hand_from_the_file(tmp_path, monkeypatch, passes):
    """At the places that follow from (seed, purpose, step), where batches are purpose 1."""
    changes = {"max_iters": 3, "warmup_iters": 0, "gradient_accumulation_steps": passes, "seed": 11}
    config = CONFIG.with_changes(changes)
    dataset = prepare(config)
    write_dataset(dataset, tmp_path)
    text = np.fromfile(tmp_path / "train.bin", dtype="<u2")
    trainer, read, asked = Trainer(config, dataset), [], []
    score = trainer_module.token_losses

    def watch_inputs(model: GPT, given: tuple[Tensor]) -> None:
        if model.training:
            read.append(given[0])

    def watch_targets(logits: Tensor, targets: Tensor) -> Tensor:
        asked.append(targets)
        return score(logits, targets)

    trainer.model.register_forward_pre_hook(watch_inputs)
    monkeypatch.setattr(trainer_module, "token_losses", watch_targets)
    steps = [event.step for event in trainer.events() if isinstance(event, StepDone)]
    expected = []
    for step in steps:
        random = np.random.default_rng([11, 1, step])
        for place in random.integers(0, len(text) - 64, size=16 * passes):
            expected.append([int(text[place + ahead]) for ahead in range(64 + 1)])
    expected = np.array(expected)  # (steps * B, T + 1)
    assert len(steps) == 3 and len(read) == 3 * passes
    np.testing.assert_array_equal(torch.cat(read), expected[:, :-1])
    np.testing.assert_array_equal(torch.cat(asked), expected[:, 1:])


@pytest.mark.parametrize("changes", [{}, MODERN], ids=["gpt2", "qwen3"])
def test_a_run_computed_as_textbooks_write_it_has_the_same_losses(changes, monkeypatch):
    """Rotary positions by complex numbers, torch's cross-entropy, Muon's matrices one at a time."""
    ours = losses(CONFIG.with_changes(changes))

    def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        pairs = torch.complex(*x.chunk(2, dim=-1)) * torch.complex(*angles)[:, None]  # (B, T, nh, hs / 2)
        return torch.cat((pairs.real, pairs.imag), dim=-1)

    def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")

    def orthogonalized(matrices: Tensor) -> Tensor:
        return torch.stack([one_orthogonalized(matrix) for matrix in matrices])

    monkeypatch.setattr(gpt, "for_each_head", lambda angles, n_head: angles)
    monkeypatch.setattr(gpt, "rotate", rotate)
    monkeypatch.setattr(trainer_module, "token_losses", token_losses)
    monkeypatch.setattr(optim, "orthogonalized", orthogonalized)
    theirs = losses(CONFIG.with_changes(changes))
    assert (ours != theirs).any(), "nothing was computed in another way"
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def one_orthogonalized(matrix: Tensor) -> Tensor:
    """Newton and Schulz's iteration as Jordan et al. print it."""
    x = matrix / matrix.norm()
    for _ in range(5):
        squares = x @ x.T
        x = 3.4445 * x + (-4.7750 * squares + 2.0315 * squares @ squares) @ x
    return x


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA graphics card")
@pytest.mark.parametrize("changes", [{}, MODERN], ids=["gpt2", "qwen3"])
@pytest.mark.parametrize(
    ("pace", "apart"), [(PLAIN, 2e-3), (Pace(bfloat16=True), 2e-2)], ids=["float32", "bfloat16"]
)
def test_a_graphics_card_gives_the_losses_of_the_processor(changes, pace, apart):
    if changes and pace is PLAIN:
        apart = 2e-2  # Muon multiplies in bfloat16 there
    config = CONFIG.with_changes(changes)
    np.testing.assert_allclose(losses(config, device="cuda:0", pace=pace), losses(config), rtol=apart)
