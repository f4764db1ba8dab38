"""A disk that fails, in four ways, at every single write of a run in turn. The run ends with a sentence that
names the folder, nothing else comes to harm, and once the disk is well the run goes on as if nothing had
been."""

import builtins
import contextlib
import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import safetensors.torch

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError, SlmError
from slm_core.runs import work
from slm_core.runs.checkpoint import load_checkpoint
from slm_core.runs.history import History
from slm_core.runs.scheduler import Scheduler
from slm_core.runs.storage import run_bytes
from slm_core.runs.store import RESUME, Run, create_run, list_damaged, list_runs, open_run
from slm_core.text.bins import read_dataset, read_tokenizer, write_dataset
from slm_core.train.events import RunFinished, StepDone

OPEN, WRITE, FSYNC, REPLACE, MKDIR, UNLINK = "open", "write", "fsync", "replace", "mkdir", "unlink"
# Which of these each fault makes impossible, and whether for good or once.
FAULTS = {
    "full": (errno.ENOSPC, {WRITE, FSYNC, MKDIR}, True),
    "read-only": (errno.EACCES, {OPEN, REPLACE, MKDIR, UNLINK}, True),
    "broken": (errno.EIO, {OPEN, WRITE, FSYNC, REPLACE, MKDIR, UNLINK}, False),
    "gone": (errno.ENOENT, set(), True),
}
PARTS = 2  # of each fault's tests, for several processes


@dataclass
class Disk:
    """Stands between the program and the disk, below one folder: counts what is done there in order to write,
    and from a chosen moment on lets it fail."""

    root: Path
    done: list[str] = field(default_factory=list)  # what was done, by kind
    fault: str = ""
    at: int = 0  # which of them is the first that may fail
    failed: bool = False
    real: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            open=io.open, fsync=os.fsync, replace=os.replace, mkdir=os.mkdir, unlink=os.unlink
        )
    )

    def break_at(self, fault: str, number: int) -> None:
        """From the write of this number on, beginning with 0, the disk has this fault."""
        self.done.clear()
        self.fault, self.at, self.failed = fault, number, False

    def mend(self) -> None:
        """All is well again, and a folder that was gone is back."""
        self.fault = ""
        for away in self.root.parent.glob("away-*"):
            away.rename(self.root / away.name.removeprefix("away-"))

    def check(self, kind: str, path: Path) -> bool:
        """Count one thing done below the root; True if it has to fail."""
        if not Path(path).is_relative_to(self.root):
            return False
        number = len(self.done)
        self.done.append(kind)
        if not self.fault or number < self.at:
            return False
        _, kinds, lasting = FAULTS[self.fault]
        if self.fault == "gone":
            folder = self.root / Path(path).relative_to(self.root).parts[0]
            if folder.exists() and not self.failed:
                folder.rename(self.root.parent / f"away-{folder.name}")
                self.failed = True
            return False
        if kind in kinds and (lasting or not self.failed):
            self.failed = True
            return True
        return False

    def fail(self) -> None:
        number = FAULTS[self.fault][0]
        raise OSError(number, os.strerror(number))


class Written:
    """A file opened for writing. If the disk fails, half of what is written arrives."""

    def __init__(self, disk: Disk, path: Path, file: io.IOBase) -> None:
        self._disk, self._path, self._file = disk, path, file

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, content: bytes | str) -> int:
        if self._disk.check(WRITE, self._path):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            self._disk.fail()
        return self._file.write(content)


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    """The disk below tmp_path/runs, sound at first."""
    found = Disk(tmp_path / "runs")
    real = found.real

    def opened(path: object, mode: str = "r", *others: object, **more: object) -> object:
        if not isinstance(path, str | Path) or not set(mode) & set("wax"):
            return real.open(path, mode, *others, **more)
        if found.check(OPEN, path):
            found.fail()
        return Written(found, path, real.open(path, mode, *others, **more))

    def counted(kind: str) -> object:
        def call(path: object, *others: object, **more: object) -> object:
            if found.check(kind, found.root / "a" if kind == FSYNC else path):
                found.fail()
            return getattr(real, kind)(path, *others, **more)

        return call

    for module in (builtins, io):
        monkeypatch.setattr(module, "open", opened)
    for kind in (FSYNC, REPLACE, MKDIR, UNLINK):
        monkeypatch.setattr(os, kind, counted(kind))
    return found


@pytest.fixture
def config() -> ExperimentConfig:
    """One step, and everything that a run writes."""
    return ExperimentConfig(
        corpus="own", tokenizer="bytes", vocab_size=257, dataset_size=1_000, n_layer=1, n_head=1, n_embd=8,
        block_size=16, batch_size=1, max_iters=1, warmup_iters=0, eval_interval=1,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _saves_at_set_moments(monkeypatch) -> None:
    """A run is saved at every sixth event: its clock goes by one second each time it is looked at."""
    clock = iter(range(10**9))
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(work, "FIRST_SAVE_SECONDS", 6.0)
    monkeypatch.setattr(work, "SAVING_SHARE", 1 / 6)


@pytest.fixture
def scheduler(disk) -> Iterator[Scheduler]:
    made = Scheduler(disk.root)
    yield made
    disk.mend()
    made.shut_down()


def outcome(run: Run) -> tuple:
    """All that a finished run has to show for itself, without its times."""
    history = History(run.folder).refresh()
    models = {kind: safetensors.torch.load_file(path) for kind, path in run.checkpoints.items()}
    numbers = {
        kind: {name: tensor.numpy().tobytes() for name, tensor in model.items()}
        for kind, model in models.items()
    }
    ended = replace(history.finished, elapsed_seconds=0.0)
    names = {path.name for path in run.folder.iterdir()} - {RESUME}  # if that stays it only takes room
    return numbers, history.losses, history.evaluations, history.samples, ended, run.report(), names


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture
def begin(scheduler, config, own_text):
    """`begin()` starts the run and waits for its end; gives its id."""

    def start() -> str:
        run_id = scheduler.start(config, name="run", text=own_text[:6_000], threads=1)
        assert scheduler.wait(run_id, timeout=60)
        return run_id

    return start


def test_the_faults_reach_every_kind_of_write(disk, begin):
    begin()
    assert {OPEN, WRITE, FSYNC, REPLACE, MKDIR, UNLINK} == set(disk.done)
    assert len(disk.done) > 60 and disk.done[0] == MKDIR


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_any_write_costs_no_more_than_a_sentence(disk, begin, scheduler, fault, part):
    earlier = begin()
    sound, kept = outcome(open_run(disk.root, earlier)), fingerprint(disk.root / earlier)
    disk.done.clear()
    counted = begin()
    writes = len(disk.done)
    scheduler.delete(counted)
    for number in [each for each in range(writes) if fault in faults_of(each)][part::PARTS]:
        disk.break_at(fault, number)
        try:
            run_id, told = begin(), ""
        except RunError as error:
            run_id, told = "", str(error)
        disk.mend()
        told = told or failure(scheduler, run_id)
        where = f"{fault} at write {number}: {told}"
        assert scheduler.live() == [] and fingerprint(disk.root / earlier) == kept, where
        if not run_id:
            assert str(disk.root) in told, where
            run_id = begin()
        elif told:
            assert str(disk.root / run_id) in told and disk.failed, where
            scheduler.resume(run_id)
            assert scheduler.wait(run_id, timeout=60)
        assert outcome(open_run(disk.root, run_id)) == sound, where
        for each in {*(run.id for run in list_runs(disk.root)), *list_damaged(disk.root)} - {earlier}:
            scheduler.delete(each)
        assert [path.name for path in disk.root.iterdir()] == [earlier], where
    disk.break_at("", 0)
    assert outcome(open_run(disk.root, begin())) == sound


def faults_of(number: int) -> list[str]:
    """The two faults that are tried at this write; all four would take too long."""
    return Random(number).sample(list(FAULTS), k=2)


def failure(scheduler: Scheduler, run_id: str) -> str:
    """The sentence that tells a person why a run failed; empty if it finished."""
    if told := scheduler.failure(run_id):
        return told
    end = open_run(scheduler.root, run_id).last_end()
    assert end is not None and end.reason in ("finished", "failed")
    return end.text if end.reason == "failed" else ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("name", ["train.bin", "validation.bin"])
def test_ids_that_a_full_disk_does_not_take_are_not_believed_to_be_written(tmp_path, tiny_dataset, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_dataset(tiny_dataset, tmp_path)
    assert not (tmp_path / "tokenizer.json").exists(), "which would say that all is there"


FILES = [
    "run.json", "events.jsonl", "report.json", "tokenizer.json", "train.bin", "validation.bin",
    "best.safetensors", "last.safetensors", "resume.safetensors", "text.txt",
]  # fmt: skip
DATASET = {"tokenizer.json", "train.bin", "validation.bin"}


@pytest.mark.parametrize("state", ["new", "interrupted", "stopped", "finished"])
@pytest.mark.parametrize("corpus", ["own", "tales"])
def test_any_file_of_a_run_may_be_missing(scheduler, config, own_text, state, corpus):
    """Whatever is asked of the run then is answered, or refused in words."""
    config = config.with_changes({"corpus": corpus, "max_iters": 2, "vocab_size": 257})
    text = own_text[:6_000] if corpus == "own" else None
    whole = scheduler.start(config, name="whole", text=text, threads=1)
    assert scheduler.wait(whole, timeout=60)
    sound = outcome(open_run(scheduler.root, whole))
    made = create_run(scheduler.root, config, name="a", device="cpu", threads=1, text=text)
    leave_in(state, made)
    assert {path.name for path in made.folder.iterdir()} <= set(FILES)
    for name in [each for each in FILES if (made.folder / each).exists()]:
        copy = f"{made.id}-{FILES.index(name)}"
        shutil.copytree(made.folder, scheduler.root / copy)
        (scheduler.root / copy / name).unlink()
        can_go_on = state != "finished" and name != "text.txt" and (corpus == "tales" or name not in DATASET)
        if name == "run.json":
            assert copy in list_damaged(scheduler.root)
            for act in (scheduler.resume, lambda run_id: open_run(scheduler.root, run_id)):
                with pytest.raises(RunError, match=r"lost its run\.json"):
                    act(copy)
            scheduler.delete(copy)
            continue
        run = open_run(scheduler.root, copy)
        assert run in list_runs(scheduler.root) and run.resumable == can_go_on, name
        asked(run)
        if not can_go_on:
            with pytest.raises(RunError, match="nothing left"):
                scheduler.resume(copy)
            continue
        scheduler.resume(copy)
        assert scheduler.wait(copy, timeout=60)
        assert run.last_end().reason == "finished", (name, run.last_end())
        if name not in ("events.jsonl", "best.safetensors"):
            assert outcome(run) == sound, name
        else:  # what was before is lost, the last model is the same
            assert outcome(run)[0]["last"] == sound[0]["last"], name


def leave_in(state: str, run: Run) -> None:
    """Let a run come to a state, by training it as far as that takes."""
    if state == "new":
        return
    training = work.train_run(run)
    if state == "finished":
        assert isinstance(list(training)[-1], RunFinished)
        return
    next(event for event in training if isinstance(event, StepDone))
    kept = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    training.close()
    if state == "interrupted":  # put back what closing has added
        kept[RESUME] = (run.folder / RESUME).read_bytes()
        for path in run.folder.iterdir():
            path.unlink()
        for name, content in kept.items():
            (run.folder / name).write_bytes(content)


def asked(run: Run) -> None:
    """Ask for everything that a page asks about a run: an SlmError is an answer, nothing else is."""
    History(run.folder).refresh()
    assert run.has_report == (run.report() is not None)
    assert run_bytes(run) > 0
    for path in run.checkpoints.values():
        load_checkpoint(path)
    for read in (read_tokenizer, lambda folder: read_dataset(folder, run.config)):
        with contextlib.suppress(SlmError):
            read(run.folder)
