"""Two processes that train one model: the same losses as one, one run folder, and clear ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from slm_core.cli import main
from slm_core.config import ExperimentConfig
from slm_core.errors import ConfigError, RunError
from slm_core.runs.history import History
from slm_core.runs.store import RESUME, Run, create_run, list_runs, open_run
from slm_core.runs.work import train_run
from slm_core.train.events import StepDone
from slm_core.train.parallel import ALONE, Team, team_around

ROOT = Path(__file__).resolve().parents[2]
FAILING = """
import os, sys
from slm_core import cli
from slm_core.train.trainer import Trainer
backward = Trainer._backward
def fail(self, starts):
    if self.progress.step == 2 and self.team.rank == 1:
        raise RuntimeError("a planted failure")
    return backward(self, starts)
Trainer._backward = fail
sys.exit(cli.main(sys.argv[1:]))
"""


def torchrun(runs: Path, *program: str) -> subprocess.CompletedProcess:
    """Two processes on this machine's processor."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *program]
    environment = {**os.environ, "SLM_RUNS": str(runs), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, cwd=runs.parent, capture_output=True, text=True, check=False, timeout=240
    )


def started(runs: Path, config: ExperimentConfig, text: str) -> Run:
    return create_run(runs, config, name="Tiny", device="cpu", threads=1, text=text)


def losses(run: Run) -> tuple[list[float], list[float]]:
    """Each step's loss, and all measured ones."""
    history = History(run.folder).refresh()
    assert history.finished.reason == "finished" and history.damaged_lines == 0
    measured = [(each.train_loss, each.validation_loss) for each in history.evaluations.values()]
    return list(history.losses.values()), [loss for pair in measured for loss in pair]


@pytest.fixture
def config(tiny_config) -> ExperimentConfig:
    """Without dropout, of which each process draws its own; and with an odd batch, which only its two passes
    make divisible by two."""
    return tiny_config.with_changes({"dropout": 0.0, "batch_size": 3})


def test_two_processes_that_go_on_with_a_run_end_where_one_does(tmp_path, config, own_text):
    alone, together = (started(tmp_path / "runs", config, own_text) for _ in range(2))
    list(train_run(alone))
    begun = train_run(together)
    next(event for event in begun if isinstance(event, StepDone) and event.step == 2)
    begun.close()
    assert (together.folder / RESUME).exists()
    done = torchrun(tmp_path / "runs", "-m", "slm_core", "train", "--resume", together.id)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert done.stdout.count("Best validation loss") == 1, "one process speaks for all"
    for one, two in zip(losses(alone), losses(together), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    assert {run.id for run in list_runs(tmp_path / "runs")} == {alone.id, together.id}
    files = [sorted(path.name for path in run.folder.iterdir()) for run in (alone, together)]
    assert files[0] == files[1]


def test_a_process_that_fails_ends_all_with_a_sentence(tmp_path, config, own_text):
    run = started(tmp_path / "runs", config, own_text)
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    done = torchrun(tmp_path / "runs", str(script), "train", "--resume", run.id)
    assert done.returncode == 1
    assert "Process 2 of 2 cannot go on" in done.stderr and "a planted failure" in done.stderr
    assert "go on from there with --resume" in done.stderr
    assert open_run(tmp_path / "runs", run.id).resumable


def test_what_cannot_be_shared_evenly_is_refused_before_there_is_a_folder(tmp_path, monkeypatch, capsys):
    told = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "0", "SLM_RUNS": str(tmp_path / "runs")}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--set", "batch_size=3"]) == 2
    assert "which 2 processes cannot share evenly" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(("batch", "accumulated"), [(12, 1), (4, 3), (2, 6), (1, 12), (3, 4), (5, 12)])
def test_the_shares_of_all_are_the_whole_batch_in_equal_passes(size, batch, accumulated):
    whole = np.arange(batch * accumulated)
    shares = [Team(rank, size).share(whole, most=batch) for rank in range(size)]
    assert [each for share in shares for part in share for each in part] == whole.tolist()
    lengths = {len(part) for share in shares for part in share}
    assert len(lengths) == 1 and lengths.pop() <= batch


@pytest.mark.parametrize(("batch", "accumulated", "size"), [(8, 1, 3), (3, 1, 2), (5, 3, 4)])
def test_an_uneven_share_is_told_with_a_batch_that_fits(batch, accumulated, size):
    config = ExperimentConfig(batch_size=batch, gradient_accumulation_steps=accumulated)
    with pytest.raises(ConfigError, match=f"batch_size={-(-batch // size) * size}"):
        Team(0, size).check(config, "cpu")
    Team(0, size).check(config.with_changes({"batch_size": size}), "cpu")


def test_each_process_has_a_card_of_its_own_or_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Team(rank, 2).device("cuda:0") for rank in range(2)] == ["cuda:0", "cuda:1"]
    assert Team(1, 4).device("cpu") == "cpu" and Team(0, 1).device("mps") == "mps"
    for team, chosen in ((Team(0, 3), "cuda:0"), (Team(0, 2), "mps")):
        with pytest.raises(RunError, match="--nproc_per_node"):
            team.device(chosen)


def test_one_alone_waits_for_nobody(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert team_around() == ALONE and ALONE.leads and ALONE.alone
    model = torch.nn.Linear(2, 2)
    assert ALONE.averaging(model) is model and ALONE.mean(0.1) == 0.1 and ALONE.told("it") == "it"
