"""What a sweep has found: planted laws are found, guesses scored against planted truths."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from slm_core.config import ExperimentConfig
from slm_core.model.budget import budget
from slm_core.runs.history import History
from slm_core.runs.store import create_run
from slm_core.study.experiments import Experiment, create_experiment
from slm_core.study.findings import findings
from slm_core.study.sweep import Prediction, Sweep
from slm_core.train.events import EvalDone, RunFinished, RunStarted

CHANCE = math.log(768)
SIZES = (200, 1_000, 3_000, 10_000, 30_000, 100_000)


def planted(size: float) -> float:
    """Bryant and Liu's form with an exponent of 0.7 and an end of 0.9."""
    h = 180 * size**-0.7
    return 0.9 + (CHANCE - 0.9) * h / (1 + h)


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """A data sweep with three seeds whose runs have all ended, with losses within 1 % of the planted law."""
    base = ExperimentConfig(corpus="tales", vocab_size=768, n_embd=48, block_size=64)
    sweep = Sweep(name="n", question="q?", vary="dataset_size", values=SIZES, seeds=(1, 2, 3), base=base)
    made = create_experiment(tmp_path, sweep)
    runs = {}
    for cell in sweep.cells():
        run = create_run(tmp_path, cell.config, name="r", device="cpu", threads=1)
        runs[cell.value, cell.seed] = run.id
        loss = planted(cell.value) * (1 + 0.01 * (cell.seed - 2))
        run.append(RunStarted(
            step=0, max_iters=9, device="cpu", threads=1, parameters=budget(cell.config).parameters,
            train_tokens=cell.value, validation_tokens=99, loss_at_chance=CHANCE,
        ))  # fmt: skip
        run.append(EvalDone(
            step=9, train_loss=loss / 2, train_bits_per_byte=1.0, validation_loss=loss, windows=30,
            validation_standard_error=0.01, validation_bits_per_byte=loss / 3, is_best=True,
        ))  # fmt: skip
        run.append(RunFinished(
            step=9, reason="finished", text="", best_step=9, best_validation_loss=loss, elapsed_seconds=4.0
        ))  # fmt: skip
    return replace(made, runs=runs)


def history(run) -> History:
    return History(run.folder).refresh()


def test_the_planted_law_is_found(experiment):
    found = findings(experiment, history)
    assert found.law.exponent.low <= 0.7 <= found.law.exponent.high
    assert found.line.x[0] == pytest.approx(SIZES[0]) and found.line.x[-1] == pytest.approx(SIZES[-1])
    for size, low, high in zip(found.line.x, found.line.low, found.line.high, strict=True):
        assert low * 0.97 <= planted(size) <= high * 1.03
    assert [row.value for row in found.rows] == list(SIZES)
    low, high = found.suited
    assert (low, high) == (
        10 * budget(experiment.sweep.base).parameters,
        20 * budget(experiment.sweep.base).parameters,
    )


def test_before_the_guess_there_is_no_law_to_copy_from(experiment):
    waiting = {key: run for key, run in experiment.runs.items() if key[0] != 100_000}
    found = findings(replace(experiment, held_out=100_000, runs=waiting), history)
    assert found.law is None and found.line is None and found.score is None and found.rows


def test_a_guess_is_scored_against_the_truth_and_a_law_that_did_not_see_it(experiment):
    guess = Prediction(value=100_000, guess=planted(100_000) + 0.5, made_at=datetime.now(UTC))
    found = findings(replace(experiment, held_out=100_000, guess=guess), history)
    assert found.score.your_error == pytest.approx(0.5, abs=1e-9)
    assert found.score.nearer == "the law"
    assert all(point.x != 100_000 for point in found.law.points)


def test_losses_that_do_not_fall_get_no_law(experiment, monkeypatch):
    monkeypatch.setattr(__name__ + ".planted", lambda size: 3.0)
    flat = {key: run for key, run in experiment.runs.items() if key[0] <= 1_000}
    found = findings(replace(experiment, runs=flat), history)
    assert found.law is None and found.why_no_law
