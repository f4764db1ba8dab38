"""Sweeps that are kept: started, found again after a restart, guessed at, deleted; hostile files refused."""

import json
import queue
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import ConfigError, RunError, SlmError
from slm_core.runs.history import History
from slm_core.runs.limits import Limits
from slm_core.runs.scheduler import Scheduler
from slm_core.runs.store import Run, list_runs, open_run
from slm_core.study import experiments
from slm_core.study.experiments import create_experiment, go_on, list_experiments, open_experiment
from slm_core.study.findings import findings
from slm_core.study.sweep import Prediction, Sweep


@pytest.fixture
def sweep(tiny_config) -> Sweep:
    base = tiny_config.with_changes({"gradient_accumulation_steps": 1, "dropout": 0.0, "n_layer": 1})
    return Sweep(
        name="size", question="What does more text change?", vary="dataset_size",
        values=(100, 300, 900, 1_500), seeds=(1, 2), base=base,
    )  # fmt: skip


@pytest.fixture
def scheduler(tmp_path):
    made = Scheduler(tmp_path / "runs", Limits(active_runs=2))
    yield made
    made.shut_down()


def wait(scheduler: Scheduler, experiment: experiments.Experiment) -> None:
    assert all(scheduler.wait(run_id, timeout=60) for run_id in experiment.runs.values())


def history(run) -> History:
    return History(run.folder).refresh()


def guess_of(value: int, loss: float = 4.0) -> Prediction:
    return Prediction(value=value, guess=loss, made_at=datetime.now(UTC))


def test_a_sweep_trains_all_but_what_is_held_out_until_there_is_a_guess(scheduler, sweep, own_text):
    made = go_on(create_experiment(scheduler.root, sweep, held_out=1_500, text=own_text), scheduler)
    assert made.file.with_suffix(".txt").read_text() == own_text, "its runs will need it"
    assert set(made.runs) == {(value, seed) for value in (100, 300, 900) for seed in (1, 2)}
    wait(scheduler, made)
    before = findings(made, history)
    assert (
        [row.value for row in before.rows] == [100, 300, 900] and before.law is None and before.score is None
    )
    again = open_experiment(scheduler.root, made.id)  # as after a refresh, or a restart
    assert again == made
    guessed = experiments.guess(again, guess_of(1_500), scheduler)
    assert set(guessed.runs) - set(made.runs) == {(1_500, 1), (1_500, 2)}
    wait(scheduler, guessed)
    after = findings(open_experiment(scheduler.root, made.id), history)
    assert [row.value for row in after.rows] == [100, 300, 900, 1_500]
    assert after.law is not None or after.why_no_law
    with pytest.raises(RunError, match="guess already"):
        experiments.guess(guessed, guess_of(1_500), scheduler)


def test_the_runs_of_a_sweep_are_runs_like_all_others_and_bear_its_tag(scheduler, sweep, own_text):
    made = go_on(create_experiment(scheduler.root, sweep, text=own_text, owner="ann"), scheduler)
    runs = list_runs(scheduler.root)
    assert {run.id for run in runs} == set(made.runs.values())
    assert {run.tags for run in runs} == {(made.tag,)} and made.tag.startswith("sweep ")
    assert {run.owner for run in runs} == {"ann"} and {run.threads for run in runs} == {1}
    for cell, run_id in made.cells():
        assert open_run(scheduler.root, run_id).config == cell.config
    wait(scheduler, made)


@pytest.mark.parametrize(
    ("vary", "values", "at_once"), [("device", ("cpu", "cuda:0"), 1), ("n_layer", (1, 2), 3)]
)
def test_runs_whose_seconds_are_compared_follow_one_another(
    tmp_path, sweep, own_text, monkeypatch, vary, values, at_once
):
    monkeypatch.setattr(Scheduler, "_work", lambda self, job: None)  # what has begun never ends
    scheduler = Scheduler(tmp_path / "runs", Limits(active_runs=3))
    plan = Sweep(name="s", question="?", vary=vary, values=values, seeds=(1, 2), base=sweep.base)
    made = go_on(create_experiment(scheduler.root, plan, text=own_text), scheduler)
    begun = [scheduler.status(run_id).place == 0 for run_id in made.runs.values()]
    assert begun == [True] * at_once + [False] * (4 - at_once)


def test_what_a_limit_forbids_now_is_started_as_soon_as_a_run_has_ended(tmp_path, sweep, own_text):
    ended: queue.Queue[str] = queue.Queue()

    def after(scheduler: Scheduler, run: Run) -> None:
        experiments.after_run(scheduler, run)
        ended.put(run.id)

    scheduler = Scheduler(tmp_path / "runs", Limits(active_runs=2, runs_per_session=3), after)
    made = create_experiment(scheduler.root, sweep, text=own_text)
    with pytest.raises(RunError, match="3 runs"):
        go_on(made, scheduler)
    for _ in range(8):  # nobody looks: a run that has ended begins the next
        ended.get(timeout=60)
    made = open_experiment(scheduler.root, made.id)
    assert len(set(made.runs.values())) == 8
    assert {run.last_end().reason for run in list_runs(scheduler.root)} == {"finished"}
    scheduler.shut_down()


def test_a_sweep_that_a_killed_server_broke_off_goes_on_to_the_same_numbers(tmp_path, sweep, own_text):
    unbroken = Scheduler(tmp_path / "unbroken", Limits(active_runs=2))
    whole = go_on(create_experiment(unbroken.root, sweep, text=own_text), unbroken)
    wait(unbroken, whole)
    first = Scheduler(tmp_path / "runs", Limits(active_runs=2))
    made = go_on(create_experiment(first.root, sweep, text=own_text), first)
    wait(first, made)
    assert not experiments.is_interrupted(made, first) and not experiments.to_go_on(made, first)
    begun = [made.runs[300, 1], made.runs[1_500, 2]]
    for run_id in begun:  # as a kill leaves it: no end in the history, no last model, nothing saved yet
        folder = first.root / run_id
        lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
        (folder / "events.jsonl").write_text("".join(lines[: len(lines) // 2]))
        (folder / "last.safetensors").unlink()
    cells = json.loads(made.file.read_text())
    cells["runs"] = [each for each in cells["runs"] if each[:2] != [900, 2]]  # this one had not begun
    made.file.write_text(json.dumps(cells))
    made.file.with_suffix(".txt").write_text(own_text)
    restarted = Scheduler(first.root, Limits(active_runs=2))
    broken = open_experiment(restarted.root, made.id)
    assert experiments.is_interrupted(broken, restarted)
    assert {run.id for run in experiments.unfinished(broken, restarted)} == set(begun)
    gone_on = experiments.resume(broken, restarted)
    assert {key: gone_on.runs[key] for key in broken.runs} == broken.runs, "no run is begun twice"
    wait(restarted, gone_on)
    assert not experiments.to_go_on(gone_on, restarted)
    found, expected = (experiments.outcomes(each, history) for each in (gone_on, whole))
    assert [replace(each, seconds=0) for each in found] == [replace(each, seconds=0) for each in expected]


def test_a_stopped_sweep_begins_nothing_before_it_is_resumed(tmp_path, sweep, own_text):
    limits = Limits(active_runs=1, runs_per_session=3)
    scheduler = Scheduler(tmp_path / "runs", limits, experiments.after_run)
    made = create_experiment(scheduler.root, sweep, text=own_text)
    with pytest.raises(RunError, match="3 runs"):
        go_on(made, scheduler)
    experiments.stop(made, scheduler)
    made = open_experiment(scheduler.root, made.id)
    wait(scheduler, made)
    runs = dict(made.runs)
    assert go_on(made, scheduler).runs == runs, "asked by a page that looks at it"
    assert not experiments.is_interrupted(made, scheduler) and experiments.to_go_on(made, scheduler)
    with pytest.raises(RunError, match="3 runs"):
        experiments.resume(made, scheduler)
    assert len(open_experiment(scheduler.root, made.id).runs) >= len(runs) and scheduler.live()
    scheduler.shut_down()


def test_no_run_begins_when_the_server_ends(tmp_path, sweep, own_text):
    limits = Limits(active_runs=2, runs_per_session=3)
    scheduler = Scheduler(tmp_path / "runs", limits, experiments.after_run)
    made = create_experiment(scheduler.root, sweep, text=own_text)
    with pytest.raises(RunError, match="3 runs"):
        go_on(made, scheduler)
    scheduler.shut_down()
    assert not scheduler.live()


@pytest.mark.parametrize(("vary", "at_once"), [("device", 1), ("n_layer", 2)])
def test_runs_that_follow_one_another_do_so_when_they_are_resumed(
    tmp_path, sweep, own_text, monkeypatch, vary, at_once
):
    values = ("cpu", "cuda:0") if vary == "device" else (1, 2)
    plan = Sweep(name="s", question="?", vary=vary, values=values, seeds=(1,), base=sweep.base)
    monkeypatch.setattr(Scheduler, "_work", lambda self, job: None)
    made = go_on(create_experiment(tmp_path, plan, text=own_text), Scheduler(tmp_path))
    scheduler = Scheduler(tmp_path, Limits(active_runs=3))
    experiments.resume(made, scheduler)
    assert [scheduler.status(run_id).place == 0 for run_id in made.runs.values()].count(True) == at_once


def test_deleting_a_sweep_deletes_its_runs_and_its_text(scheduler, sweep, own_text):
    made = go_on(create_experiment(scheduler.root, sweep, text=own_text), scheduler)
    assert not made.file.with_suffix(".txt").exists(), "each run has its own by now"
    experiments.delete_experiment(made, scheduler)
    assert list_runs(scheduler.root) == [] and list_experiments(scheduler.root) == []
    assert not list(made.file.parent.iterdir())
    with pytest.raises(RunError, match="no sweep"):
        open_experiment(scheduler.root, made.id)


def test_a_run_that_was_deleted_is_left_out(scheduler, sweep, own_text):
    made = go_on(create_experiment(scheduler.root, sweep, text=own_text), scheduler)
    wait(scheduler, made)
    scheduler.delete(made.runs[100, 1])
    rows = findings(made, history).rows
    assert [(row.value, row.runs) for row in rows] == [(100, 1), (300, 2), (900, 2), (1_500, 2)]


def test_a_value_that_the_sweep_does_not_have_cannot_be_held_out(scheduler, sweep):
    with pytest.raises(ConfigError):
        create_experiment(scheduler.root, sweep, held_out=77)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "x", "20990101-000000-nothing-abcdef", "a" * 500, "_sweeps"]
)
def test_an_id_that_is_none_is_refused_and_never_a_path(scheduler, name):
    with pytest.raises(RunError):
        open_experiment(scheduler.root, name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: [],
        lambda kept: {**kept, "created": "2026-01-01"},
        lambda kept: {**kept, "sweep": {**kept["sweep"], "vary": "__class__"}},
        lambda kept: {**kept, "runs": [[1, 2]]},
        lambda kept: {**kept, "runs": 3},
        lambda kept: {**kept, "guess": {"value": 1}},
        lambda kept: {name: kept[name] for name in kept if name != "owner"},
    ],
)
def test_a_damaged_file_is_said_and_listing_goes_on(scheduler, sweep, spoil):
    good, bad = (create_experiment(scheduler.root, sweep) for _ in range(2))
    bad.file.write_text(json.dumps(spoil(json.loads(bad.file.read_text()))))
    with pytest.raises(SlmError):
        open_experiment(scheduler.root, bad.id)
    assert [each.id for each in list_experiments(scheduler.root)] == [good.id]


def test_a_folder_that_cannot_be_written_is_said(tmp_path, sweep):
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(RunError, match="Free some room"):
        create_experiment(Path(tmp_path / "runs"), sweep)


def test_the_sweep_that_comes_back_makes_the_same_configs(scheduler, sweep):
    made = create_experiment(scheduler.root, sweep)
    kept = open_experiment(scheduler.root, made.id)
    assert [cell.config for cell, _ in kept.cells()] == [cell.config for cell in sweep.cells()]
    assert isinstance(kept.sweep.base, ExperimentConfig)
