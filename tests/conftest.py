"""What the engine's tests share: a text, a config and a dataset so small that a run takes a moment."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: hardware.let_waiting_threads_sleep

import numpy as np
import pytest
import torch

from slm_core.config import ExperimentConfig
from slm_core.hardware import use_threads
from slm_core.runs.store import Run, create_run
from slm_core.text.corpus import Dataset, prepare


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Each test begins with one thread: their number decides the last bits."""
    use_threads(1)


@pytest.fixture(scope="session")
def own_text() -> str:
    """150 different paragraphs of plain English words, about 14,000 characters."""
    random = Random(7)
    who, did, what = (
        ["cat", "dog", "girl", "boy", "owl"],
        ["saw", "hid", "took", "lost"],
        ["ball", "hat", "key"],
    )
    paragraphs = []
    for number in range(150):
        said = [
            f"The {random.choice(who)} {random.choice(did)} the {random.choice(what)}"
            for _ in range(random.randint(2, 5))
        ]
        paragraphs.append(f"Day {number}. " + ". ".join(said) + ".")
    return "\n\n".join(paragraphs)


@pytest.fixture(scope="session")
def tiny_config() -> ExperimentConfig:
    """Six steps with everything on that could go wrong: dropout, gradient accumulation, evaluations."""
    return ExperimentConfig(
        corpus="own",
        dataset_size=1_000,
        vocab_size=300,
        n_layer=2,
        n_head=2,
        n_embd=16,
        block_size=16,
        dropout=0.1,
        batch_size=4,
        gradient_accumulation_steps=2,
        max_iters=6,
        warmup_iters=2,
        eval_interval=3,
    )


@pytest.fixture(scope="session")
def tiny_dataset(tiny_config: ExperimentConfig, own_text: str) -> Dataset:
    """The text of `own_text`, prepared for `tiny_config`."""
    return prepare(tiny_config, own_text)


@pytest.fixture
def new_run(tmp_path: Path, tiny_config: ExperimentConfig, own_text: str) -> Callable[..., Run]:
    """`new_run(**changes)` makes a run's folder for the tiny config with some settings changed."""

    def make(**changes: object) -> Run:
        config = tiny_config.with_changes(changes)
        run = create_run(tmp_path / "runs", config, name="Tiny", device="cpu", threads=1)
        run.write_text("text.txt", own_text)
        return run

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """`until(condition)` waits for something that another thread does; fails after a minute."""

    def wait(condition: Callable[[], object]) -> None:
        end, tick = time.monotonic() + 60, threading.Event()
        while not condition():
            assert time.monotonic() < end, "the condition did not come true in 60 seconds"
            tick.wait(0.005)

    return wait


@pytest.fixture
def random_state_kept() -> Iterator[None]:
    """Fails if the test changes a global random state of torch or numpy."""
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
