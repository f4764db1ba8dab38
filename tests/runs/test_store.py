"""Run folders: written whole, read back, and never lost to one damaged line."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.runs import store
from slm_core.runs.store import (
    History,
    Run,
    create_run,
    delete_run,
    list_runs,
    open_run,
    runs_folder,
    write_atomically,
)
from slm_core.train.events import EvalDone, Notice, RunFinished, RunStarted, SampleDrawn, StepDone, to_json


@pytest.fixture
def run(tmp_path) -> Run:
    return create_run(tmp_path, ExperimentConfig(n_layer=3), name="My run: Größe!", device="cpu", threads=2)


def started(step: int = 0) -> RunStarted:
    return RunStarted(
        step=step, max_iters=9, device="cpu", threads=1, parameters=5, train_tokens=6, validation_tokens=7,
        loss_at_chance=2.0,
    )  # fmt: skip


def stepped(step: int, loss: float = 1.0) -> StepDone:
    return StepDone(
        step=step, loss=loss, learning_rate=0.1, grad_norm=1.0, tokens_per_second=1.0, elapsed_seconds=1.0,
        remaining_seconds=1.0,
    )  # fmt: skip


def evaluated(step: int, validation: float) -> EvalDone:
    return EvalDone(
        step=step, train_loss=1.0, train_bits_per_byte=1.0, validation_loss=validation,
        validation_standard_error=0.1, validation_bits_per_byte=1.0, windows=20, is_best=False,
    )  # fmt: skip


def finished(reason: str = "finished") -> RunFinished:
    return RunFinished(
        step=4, reason=reason, text="", best_step=2, best_validation_loss=1.0, elapsed_seconds=1.0
    )


def test_a_run_opens_as_it_was_made(run, tmp_path):
    assert open_run(tmp_path, run.id) == run
    assert run.name == "My run: Größe!" and run.config.n_layer == 3
    assert datetime.now(UTC) - run.created < timedelta(minutes=5)


@pytest.mark.parametrize("name", ["../../etc", "", "🌱", "a/b\\c", "x" * 500, "CON", "\ud800"])
def test_any_name_makes_a_safe_folder(tmp_path, name):
    made = create_run(tmp_path, ExperimentConfig(), name=name, device="cpu", threads=1)
    assert made.folder.parent == tmp_path and made.folder.is_dir()
    assert open_run(tmp_path, made.id).config == ExperimentConfig()


def test_two_runs_of_one_name_and_moment_are_two(tmp_path):
    ids = {create_run(tmp_path, ExperimentConfig(), name="a", device="cpu", threads=1).id for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize(
    "run_id",
    [
        "../secret",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "%2e%2e%2f",
        "A" * 20,
        "x" * 200,
        "run\n",
        "ä" * 9,
    ],
)
def test_an_id_is_never_a_path(tmp_path, run_id):
    root = tmp_path / "runs"
    create_run(root, ExperimentConfig(), name="a", device="cpu", threads=1).folder.rename(tmp_path / "secret")
    for use in (open_run, delete_run):
        with pytest.raises(RunError, match="is no run's id"):
            use(root, run_id)
    assert (tmp_path / "secret").exists()


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="no run 20260101-000000-a-abcdef"):
        open_run(tmp_path, "20260101-000000-a-abcdef")


@pytest.mark.parametrize(
    "damage",
    [
        lambda settings: None,
        lambda settings: [],
        lambda settings: {},
        lambda settings: {**settings, "config": {"n_layer": 0}},
        lambda settings: {**settings, "config": {"n_layer": 10**400}},
        lambda settings: {**settings, "config": None},
        lambda settings: {**settings, "created": "yesterday"},
        lambda settings: {**settings, "created": 3},
        lambda settings: {**settings, "created": "2026-01-01T00:00:00"},
        lambda settings: {**settings, "threads": "many"},
        lambda settings: {**settings, "threads": 0},
        lambda settings: {**settings, "threads": float("inf")},
    ],
)
def test_a_damaged_run_is_refused_and_the_others_are_still_listed(run, tmp_path, damage):
    other = create_run(tmp_path, ExperimentConfig(), name="b", device="cpu", threads=1)
    settings = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(damage(settings)))
    with pytest.raises(RunError, match=r"damaged run\.json"):
        open_run(tmp_path, run.id)
    assert list_runs(tmp_path) == [other]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_run_json_that_is_no_json_is_refused(run, tmp_path, content):
    (run.folder / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"damaged run\.json"):
        open_run(tmp_path, run.id)
    assert list_runs(tmp_path) == []


def test_runs_are_listed_newest_first_and_strays_are_passed_over(tmp_path, monkeypatch):
    made = []
    for day in (2, 3, 1):
        run = create_run(tmp_path, ExperimentConfig(), name=f"day {day}", device="cpu", threads=1)
        settings = json.loads((run.folder / "run.json").read_text())
        settings["created"] = f"2026-01-0{day}T00:00:00+00:00"
        (run.folder / "run.json").write_text(json.dumps(settings))
        made.append(run.name)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty-folder").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["day 3", "day 2", "day 1"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_deleted_run_is_gone_and_its_neighbour_is_not(run, tmp_path):
    other = create_run(tmp_path, ExperimentConfig(), name="b", device="cpu", threads=1)
    delete_run(tmp_path, run.id)
    assert list_runs(tmp_path) == [other] and not run.folder.exists()


def test_checkpoints_are_those_that_exist(run):
    assert run.checkpoints == {} and not run.resumable
    (run.folder / "last.safetensors").touch()
    (run.folder / "resume.safetensors").touch()
    assert list(run.checkpoints) == ["last"] and run.resumable


def test_the_runs_folder_is_the_one_set_else_beside_us(monkeypatch, tmp_path):
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "kept"))
    assert runs_folder() == tmp_path / "kept"
    monkeypatch.setenv("SLM_RUNS", "")
    monkeypatch.chdir(tmp_path)
    assert runs_folder() == tmp_path / "runs"


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"No run can be kept in .*file.*SLM_RUNS"):
        create_run(tmp_path / "file", ExperimentConfig(), name="a", device="cpu", threads=1)


def test_a_write_that_fails_leaves_the_old_file_and_no_parts(tmp_path, monkeypatch):
    path = tmp_path / "model"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("replace", "fsync"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space"):
                write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["model"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_has_gone_is_told_in_words(run):
    store.shutil.rmtree(run.folder)
    with pytest.raises(RunError, match="cannot be written"):
        run.append(started())
    with pytest.raises(RunError, match="cannot be written"):
        run.write_text("text.txt", "text")


def test_a_history_is_what_was_appended(run):
    sample = SampleDrawn(step=2, source="training", prompt="Once", text="upon\na\u2028time\x85\x0b\x1d")
    notice = Notice(step=0, text="lone \ud800")
    events = [started(), notice, stepped(1, 3.0), stepped(2, 2.5), evaluated(2, 1.5), sample, finished()]
    for event in events:
        run.append(event)
    history = History(run.folder).refresh()
    assert (history.started, history.finished, history.last_step) == (started(), finished(), stepped(2, 2.5))
    assert history.losses == {1: 3.0, 2: 2.5}
    assert history.evaluations == {2: evaluated(2, 1.5)} and history.best == evaluated(2, 1.5)
    assert history.samples == {(2, "training"): sample}
    assert [each.text for each in history.notices] == ["lone ?"]
    assert history.damaged_lines == 0


def test_the_best_is_the_lowest_validation_loss(run):
    for step, loss in enumerate([3.0, 1.0, 2.0]):
        run.append(evaluated(step, loss))
    assert History(run.folder).refresh().best.step == 1
    assert History(Path("nowhere")).refresh().best is None


def test_a_history_read_in_bits_is_the_one_read_at_once(run):
    written = "".join(
        to_json(event) + "\n" for event in [started(), stepped(1), Notice(step=1, text="é\u2028")]
    )
    file, growing = run.folder / "events.jsonl", History(run.folder)
    for byte in written.encode():
        with open(file, "ab") as opened:
            opened.write(bytes([byte]))
        growing.refresh()
    whole = History(run.folder).refresh()
    assert (growing.started, growing.losses, growing.notices) == (whole.started, whole.losses, whole.notices)
    assert whole.notices == [Notice(step=1, text="é\u2028")] and growing.damaged_lines == 0


@pytest.mark.parametrize("damage", [b"{", b'{"event": "StepDone"}\n', b"\xff\xfe\n", b"\0\0\n", b"\n"])
def test_a_damaged_line_costs_that_line_only(run, damage):
    run.append(started())
    with open(run.folder / "events.jsonl", "ab") as file:
        file.write(damage)
    run.append(stepped(1))
    run.append(finished("stopped"))
    history = History(run.folder).refresh()
    assert history.losses == {1: 1.0} and history.finished.reason == "stopped"
    assert history.damaged_lines == 1


def test_what_a_resumed_run_does_again_replaces_what_it_did_before(run):
    for event in [
        started(),
        *(stepped(step, 9.0) for step in (1, 2, 3)),
        evaluated(2, 9.0),
        evaluated(3, 0.1),
    ]:
        run.append(event)
    run.append(SampleDrawn(step=3, source="training", prompt="", text="old"))
    run.append(finished("stopped"))
    run.append(started(2))
    history = History(run.folder).refresh()
    assert history.finished is None
    assert list(history.losses) == [1, 2] and list(history.evaluations) == [2] and not history.samples
    run.append(stepped(3, 1.0))
    assert history.refresh().losses == {1: 9.0, 2: 9.0, 3: 1.0}
