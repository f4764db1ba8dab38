"""Run folders: written whole, read back, and never lost to one damaged line."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.runs.store import (
    Run,
    change_run,
    create_run,
    delete_run,
    list_damaged,
    list_runs,
    open_run,
    runs_folder,
    write_atomically,
)
from slm_core.train.events import Notice, RunFinished, to_json


@pytest.fixture
def run(tmp_path) -> Run:
    return create_run(tmp_path, ExperimentConfig(n_layer=3), name="My run: Größe!", device="cpu", threads=2)


def ended(reason: str, text: str = "") -> RunFinished:
    return RunFinished(
        step=4, reason=reason, text=text, best_step=2, best_validation_loss=1.0, elapsed_seconds=1.0
    )


def rewrite(run: Run, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what a run's run.json says, behind the program's back."""
    settings = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(change(settings)))


def test_a_run_opens_as_it_was_made(run, tmp_path):
    assert open_run(tmp_path, run.id) == run
    assert run.name == "My run: Größe!" and run.config.n_layer == 3
    assert datetime.now(UTC) - run.created < timedelta(minutes=5)


@pytest.mark.parametrize("name", ["../../etc", "", "🌱", "a/b\\c", "x" * 500, "CON", "\ud800"])
def test_any_name_makes_a_safe_folder(tmp_path, name):
    made = create_run(tmp_path, ExperimentConfig(), name=name, device="cpu", threads=1)
    assert made.folder.parent == tmp_path and made.folder.is_dir()
    opened = open_run(tmp_path, made.id)
    assert opened == made and opened.config == ExperimentConfig()
    opened.name.encode()  # every name can be shown


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
        lambda settings: {**settings, "created": "9999-12-31T23:59:59-12:00"},
        lambda settings: {**settings, "created": "0001-01-01T00:00:00+12:00"},
        lambda settings: {**settings, "tags": 3},
        lambda settings: {**settings, "threads": "many"},
        lambda settings: {**settings, "threads": 0},
        lambda settings: {**settings, "threads": float("inf")},
    ],
)
def test_a_damaged_run_is_refused_and_the_others_are_still_listed(run, tmp_path, damage):
    other = create_run(tmp_path, ExperimentConfig(), name="b", device="cpu", threads=1)
    rewrite(run, damage)
    with pytest.raises(RunError, match=r"damaged run\.json"):
        open_run(tmp_path, run.id)
    assert list_runs(tmp_path) == [other]
    assert "damaged run.json" in list_damaged(tmp_path)[run.id] and len(list_damaged(tmp_path)) == 1
    delete_run(tmp_path, run.id)
    assert list_damaged(tmp_path) == {} and list_runs(tmp_path) == [other]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_run_json_that_is_no_json_is_refused(run, tmp_path, content):
    (run.folder / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"damaged run\.json"):
        open_run(tmp_path, run.id)
    assert list_runs(tmp_path) == []


def test_runs_are_listed_newest_first_and_strays_are_passed_over(tmp_path):
    made = []
    for day in (2, 3, 1):
        run = create_run(tmp_path, ExperimentConfig(), name=f"day {day}", device="cpu", threads=1)
        rewrite(run, lambda settings, day=day: {**settings, "created": f"2026-01-0{day}T00:00:00+00:00"})
        made.append(run.name)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes-and-more").write_text("mine")
    (tmp_path / "Mine").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["day 3", "day 2", "day 1"]
    assert list_damaged(tmp_path) == {}
    for nothing in (tmp_path / "nowhere", tmp_path / "notes.txt"):
        assert list_runs(nothing) == [] and list_damaged(nothing) == {}


def test_a_run_that_has_lost_its_settings_is_listed_as_damaged_and_can_be_deleted(run, tmp_path):
    (run.folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"lost its run\.json"):
        open_run(tmp_path, run.id)
    assert list_runs(tmp_path) == [] and "lost its run.json" in list_damaged(tmp_path)[run.id]
    delete_run(tmp_path, run.id)
    assert not run.folder.exists() and list_damaged(tmp_path) == {}


def test_a_disk_that_cannot_be_read_just_now_is_no_reason_to_delete_the_run(run, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        rewrite(run, lambda settings: {**settings, "name": "Other"})
        patched.setattr(Path, "read_text", fail)
        with pytest.raises(RunError, match="Permission denied") as told:
            open_run(tmp_path, run.id)
        assert "Delete" not in str(told.value)
    assert open_run(tmp_path, run.id).name == "Other"
    monkeypatch.setattr(Path, "iterdir", fail)
    for listing in (list_runs, list_damaged):
        with pytest.raises(RunError, match=f"folder {tmp_path} cannot be read"):
            listing(tmp_path)


def test_what_changes_on_the_disk_is_seen_though_settings_are_remembered(run, tmp_path):
    for number in range(20):  # of one length and within one tick of the file system's clock
        change_run(tmp_path, run.id, name=f"name {number:02}")
        assert open_run(tmp_path, run.id).name == f"name {number:02}"


def test_a_run_can_be_renamed_labelled_and_shown_and_all_else_stays(run, tmp_path):
    before = open_run(tmp_path, run.id)
    assert (before.owner, before.published, before.tags) == ("", False, ())
    assert change_run(tmp_path, run.id, name="  New <b>name</b> ").name == "New <b>name</b>"
    assert change_run(tmp_path, run.id, tags=[" warm ", "", "warm", "cold", "x" * 99]).tags == (
        "warm", "cold", "x" * 30,
    )  # fmt: skip
    assert change_run(tmp_path, run.id, published=True).published
    changed = open_run(tmp_path, run.id)
    assert (changed.name, changed.tags[:2], changed.published) == ("New <b>name</b>", ("warm", "cold"), True)
    assert (changed.config, changed.created, changed.threads) == (before.config, before.created, 2)
    back = change_run(tmp_path, run.id, name=before.name, tags=(), published=False)
    assert back == before == open_run(tmp_path, run.id)
    assert change_run(tmp_path, run.id, name="  ").name == before.name, "a run has to be called something"
    assert len(change_run(tmp_path, run.id, name="x" * 500, tags=map(str, range(99))).tags) == 8
    assert len(open_run(tmp_path, run.id).name) == 80
    with pytest.raises(RunError, match="no run"):
        change_run(tmp_path, "20260101-000000-a-abcdef", name="b")


def test_a_run_belongs_to_whoever_made_it(tmp_path):
    made = create_run(
        tmp_path,
        ExperimentConfig(),
        name="a",
        device="cpu",
        threads=1,
        owner="visitor-7",
        tags=[" a", "a", ""],
    )
    assert open_run(tmp_path, made.id) == made and (made.owner, made.tags) == ("visitor-7", ("a",))
    assert change_run(tmp_path, made.id, published=True).owner == "visitor-7"


def test_a_run_from_before_there_were_owners_is_nobodys_and_unpublished(run, tmp_path):
    old = ("name", "created", "config", "device", "threads", "imported")
    rewrite(run, lambda settings: {name: settings[name] for name in old})
    opened = open_run(tmp_path, run.id)
    assert (opened.owner, opened.published, opened.tags) == ("", False, ())


def test_a_deleted_run_is_gone_and_its_neighbour_is_not(run, tmp_path):
    other = create_run(tmp_path, ExperimentConfig(), name="b", device="cpu", threads=1)
    delete_run(tmp_path, run.id)
    assert list_runs(tmp_path) == [other] and not run.folder.exists()


def test_checkpoints_are_those_that_exist(run):
    assert run.checkpoints == {}
    (run.folder / "last.safetensors").touch()
    (run.folder / "resume.safetensors").touch()
    assert list(run.checkpoints) == ["last"]


@pytest.mark.parametrize(
    ("corpus", "files", "end", "expected"),
    [
        ("stories", [], None, True),  # interrupted before anything was saved: it begins anew
        ("stories", ["resume.safetensors"], None, True),
        ("stories", ["resume.safetensors"], "stopped", True),
        ("stories", [], "failed", True),
        ("stories", [], "finished", False),
        ("stories", [], "diverged", False),
        ("own", [], None, False),  # its text is gone
        ("own", ["text.txt"], None, True),
        ("own", ["train.bin", "validation.bin", "tokenizer.json"], "stopped", True),
        ("own", ["train.bin", "tokenizer.json", "resume.safetensors"], "stopped", False),
        ("own", ["text.txt"], "finished", False),
    ],
)
def test_a_run_can_go_on_unless_it_has_ended_for_good_or_its_text_is_gone(
    tmp_path, corpus, files, end, expected
):
    config = ExperimentConfig(corpus=corpus)
    run = create_run(tmp_path, config, name="a", device="cpu", threads=1)
    for name in files:
        (run.folder / name).touch()
    if end is not None:
        run.append(ended(end))
    assert run.resumable == expected
    imported = create_run(tmp_path, config, name="b", device="cpu", threads=1, imported=True)
    assert not imported.resumable


def test_the_last_end_is_the_historys_last_line_if_that_ends_the_run(run):
    assert run.last_end() is None
    run.append(Notice(step=0, text="x" * 50_000))
    assert run.last_end() is None
    run.append(ended("failed", "Größe\u2028" * 50))
    assert run.last_end() == ended("failed", "Größe\u2028" * 50)
    run.append(Notice(step=4, text="on it goes"))
    assert run.last_end() is None
    run.append(ended("stopped"))
    with open(run.folder / "events.jsonl", "ab") as file:
        file.write(to_json(ended("finished")).encode())  # cut off before its line break
    assert run.last_end() == ended("stopped")
    run.append(ended("diverged"))
    assert run.last_end() == ended("diverged")
    (run.folder / "events.jsonl").write_bytes(b"\xff\xfe\n")
    assert run.last_end() is None


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


@pytest.mark.parametrize("text", [None, "Once upon a time"])
def test_a_run_that_cannot_be_written_leaves_no_folder(tmp_path, monkeypatch, text):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"cannot be written.*No space left on device"):
        create_run(tmp_path, ExperimentConfig(), name="a", device="cpu", threads=1, text=text)
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_the_text_that_it_is_made_with(tmp_path):
    run = create_run(tmp_path, ExperimentConfig(), name="a", device="cpu", threads=1, text="Größe \ud800")
    assert (run.folder / "text.txt").read_text(encoding="utf-8") == "Größe ?"


def test_halves_of_files_are_swept_away_and_nothing_else(run):
    before = sorted(run.folder.iterdir())
    for name in (".best.safetensors.0a1b2c3d.part", ".report.json.ffffffff.part", ".tokenizer.json.part"):
        (run.folder / name).write_bytes(b"half")
    run.sweep()
    assert sorted(run.folder.iterdir()) == before
    renaming = run.folder / ".run.json.0a1b2c3d.part"
    renaming.write_bytes(b"half")
    run.sweep()
    assert renaming.exists(), "a page renames the run just now"


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
    shutil.rmtree(run.folder)
    with pytest.raises(RunError, match="cannot be written"):
        run.append(ended("stopped"))
    with pytest.raises(RunError, match="cannot be written"):
        run.write_text("text.txt", "text")
