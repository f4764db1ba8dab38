"""One run from its folder to its folder: stopped and resumed it ends where the unbroken run ends."""

import itertools
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from slm_core.errors import CheckpointError, CorpusError, RunError, SlmError
from slm_core.runs import work
from slm_core.runs.checkpoint import load_checkpoint, read_tensors, write_tensors
from slm_core.runs.history import History
from slm_core.runs.store import RESUME, Run, create_run, open_run
from slm_core.runs.work import train_run
from slm_core.text import shared
from slm_core.text.corpus import prepare, split_text
from slm_core.text.report import text_report
from slm_core.train.events import EvalDone, Event, RunFinished, StepDone, Working


def finish(run: Run) -> None:
    for _ in train_run(run):
        pass


def stop_after(run: Run, events: int) -> list[Event]:
    """Ask for so many events, then close the run as a stop does."""
    going = train_run(run)
    seen = list(itertools.islice(after_reading(going), events))
    going.close()
    return seen


def after_reading(going: Iterator[Event]) -> Iterator[Event]:
    """The events of a run without those that only say how much of its text is read."""
    return (event for event in going if not (isinstance(event, Working) and "reading" in event.doing))


def outcome(run: Run) -> tuple:
    """All that a finished run has to show for itself, without its times."""
    history = History(run.folder).refresh()
    models = {kind: safetensors.torch.load_file(path) for kind, path in run.checkpoints.items()}
    numbers = {
        kind: {name: tensor.numpy().tobytes() for name, tensor in model.items()}
        for kind, model in models.items()
    }
    ended = replace(history.finished, elapsed_seconds=0.0)
    return numbers, history.losses, history.evaluations, history.samples, ended, history.damaged_lines


@pytest.fixture
def unbroken(new_run) -> tuple:
    run = new_run()
    finish(run)
    return outcome(run)


def test_a_finished_run_leaves_its_best_and_its_last_model_and_nothing_to_resume(new_run, tiny_config):
    run = new_run()
    finish(run)
    history = History(run.folder).refresh()
    best, last = (load_checkpoint(run.checkpoints[kind]) for kind in ("best", "last"))
    assert history.finished.reason == "finished" and not run.resumable
    assert last.metrics == {
        "step": 6,
        "train_loss": history.evaluations[6].train_loss,
        "validation_loss": history.evaluations[6].validation_loss,
        "validation_bits_per_byte": history.evaluations[6].validation_bits_per_byte,
    }
    assert best.metrics["step"] == history.finished.best_step == history.best.step
    assert best.metrics["validation_loss"] == history.best.validation_loss
    assert last.config == tiny_config.with_changes({"vocab_size": last.tokenizer.vocab_size})
    assert (best.name, last.data_sha256) == ("Tiny", best.data_sha256)
    assert not (run.folder / "text.txt").exists(), "own text is gone once it is ids"
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "best.safetensors", "events.jsonl", "last.safetensors", "report.json", "run.json", "tokenizer.json",
        "train.bin", "validation.bin",
    ]  # fmt: skip


def test_a_run_stopped_at_any_moment_and_resumed_ends_as_the_unbroken_one(new_run, unbroken):
    length = len(list(train_run(new_run())))
    doings = set()
    for stop in (1, 2, *range(3, length, 3)):
        run = new_run()
        seen = stop_after(run, stop)
        doings.add(seen[-1].doing if isinstance(seen[-1], Working) else type(seen[-1]).__name__)
        finish(open_run(run.folder.parent, run.id))
        assert outcome(run) == unbroken, f"stopped after {stop} events"
    assert {"adding up gradients", "StepDone"} <= doings
    assert doings & {"measuring the training loss", "measuring the validation loss"}


def test_a_run_trained_by_muon_goes_on_as_well_and_from_no_state_of_adamw(new_run):
    settings = {"architecture": "qwen3", "optimizer": "muon"}
    whole, run, other = new_run(**settings), new_run(**settings), new_run(architecture="qwen3")
    finish(whole)
    for each in (run, other):
        stop_after(each, 25)
    kept = (run.folder / RESUME).read_bytes()
    shutil.copy(other.folder / RESUME, run.folder)
    with pytest.raises(CheckpointError, match="damaged"):
        finish(run)
    (run.folder / RESUME).write_bytes(kept)
    finish(run)
    assert outcome(run) == outcome(whole)


def test_a_run_stopped_while_it_reads_its_text_begins_anew(new_run, unbroken):
    run = new_run()
    going = train_run(run)
    assert next(going).doing == "reading the text"
    going.close()
    assert run.resumable and not run.checkpoints and run.last_end() is None
    finish(open_run(run.folder.parent, run.id))
    assert outcome(run) == unbroken


def test_a_run_stopped_again_and_again_ends_as_the_unbroken_one(new_run, unbroken):
    run, stops = new_run(), 0
    while not (ended := History(run.folder).refresh().finished) or ended.reason != "finished":
        stop_after(run, 7)
        stops += 1
        assert stops < 40
    assert stops > 4
    assert outcome(run) == unbroken


def test_a_stopped_run_keeps_its_model_and_says_that_it_can_go_on(new_run):
    run = new_run()
    seen = stop_after(run, 20)
    steps = max(event.step for event in seen if isinstance(event, StepDone))
    ended = History(run.folder).refresh().finished
    assert (ended.reason, ended.step) == ("stopped", steps) and "can go on" in ended.text
    assert run.resumable and load_checkpoint(run.checkpoints["last"]).metrics["step"] == steps


def test_a_run_killed_after_a_save_goes_on_from_there(new_run, unbroken, monkeypatch):
    monkeypatch.setattr(work, "FIRST_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(work, "SAVING_SHARE", 1e9)  # save after every event
    run = new_run()
    going = train_run(run)
    seen = [event for event in itertools.islice(after_reading(going), 25) if isinstance(event, StepDone)]
    killed = run.folder.with_name(run.id[:-1] + "0-killed")
    shutil.copytree(run.folder, killed)
    going.close()
    with open(killed / "events.jsonl", "ab") as file:
        file.write(b'{"event": "StepDo')  # the line that was being written
    assert seen
    again = open_run(killed.parent, killed.name)
    finish(again)
    assert outcome(again)[:5] == unbroken[:5]
    assert History(killed).refresh().damaged_lines == 1


def killed_after(run: Run, events: int) -> Run:
    """A copy of the run's folder as it stood after so many events, as a crash would leave it."""
    going = train_run(run)
    list(itertools.islice(after_reading(going), events))
    killed = run.folder.with_name(f"{run.id}-killed")
    shutil.copytree(run.folder, killed)
    going.close()
    return open_run(killed.parent, killed.name)


def test_a_run_killed_before_anything_was_saved_begins_anew(new_run, unbroken):
    killed = killed_after(new_run(), 25)
    assert killed.resumable and not (killed.folder / RESUME).exists()
    assert max(History(killed.folder).refresh().losses) > 1
    finish(killed)
    assert outcome(killed) == unbroken


def test_what_a_crash_has_left_half_written_is_gone_when_the_run_goes_on(new_run, unbroken):
    run = new_run()
    stop_after(run, 20)
    for name in (".best.safetensors.0a1b2c3d.part", ".resume.safetensors.00000000.part"):
        (run.folder / name).write_bytes(b"half")
    finish(run)
    assert outcome(run) == unbroken and not list(run.folder.glob(".*"))


def test_a_model_says_nothing_of_losses_that_a_crash_has_undone(new_run, monkeypatch):
    monkeypatch.setattr(work, "FIRST_SAVE_SECONDS", 0.0)
    run = new_run()
    going = train_run(run)
    for event in going:
        if isinstance(event, StepDone) and event.step == 4:
            break
    going.close()  # saved at step 4; measured at step 3
    state = (run.folder / RESUME).read_bytes()
    finish(run)
    assert max(History(run.folder).refresh().evaluations) == 6
    (run.folder / RESUME).write_bytes(state)  # as if the crash had come between
    going = train_run(run)
    next(event for event in going if not isinstance(event, Working))
    going.close()
    told = load_checkpoint(run.checkpoints["last"]).metrics
    measured = History(run.folder).refresh().evaluations[3]
    assert (told["step"], told["validation_loss"]) == (4, measured.validation_loss)


@pytest.mark.parametrize("reason", ["finished", "diverged"])
def test_a_run_that_is_stopped_when_it_has_just_ended_has_ended(new_run, monkeypatch, reason):
    if reason == "diverged":
        monkeypatch.setattr(work.Trainer, "_backward", lambda *_: math.nan)
    run = new_run()
    going = train_run(run)
    next(event for event in going if isinstance(event, RunFinished))
    going.close()
    assert run.last_end().reason == reason and not run.resumable and not (run.folder / RESUME).exists()


def test_a_finished_run_has_its_last_model_before_it_says_that_it_is_finished(new_run, monkeypatch):
    class Killed(BaseException):
        pass

    def append(run: Run, event: Event) -> None:
        if isinstance(event, RunFinished):
            raise Killed
        appended(run, event)

    appended = Run.append
    monkeypatch.setattr(Run, "append", append)
    run = new_run()
    with pytest.raises(Killed):
        finish(run)
    assert load_checkpoint(run.checkpoints["last"]).metrics["step"] == 6


def test_while_training_saves_for_a_crash_are_not_due_at_every_event(new_run):
    run = new_run()
    going = train_run(run)
    for event in going:
        assert not (run.folder / RESUME).exists()
        if isinstance(event, StepDone) and event.step == 2:
            break
    going.close()
    assert (run.folder / RESUME).exists()


def test_a_run_touches_no_global_random_state(new_run, random_state_kept):
    finish(new_run())


def test_own_text_is_prepared_once_and_read_from_its_ids_later(new_run, own_text):
    run = new_run()
    stop_after(run, 2)
    tokenizer = json.loads((run.folder / "tokenizer.json").read_text())
    train = (run.folder / "train.bin").read_bytes()
    assert len(train) == 2 * run.config.dataset_size and tokenizer["kind"] == "bpe"
    assert split_text(own_text).train
    finish(run)
    assert (run.folder / "train.bin").read_bytes() == train


def test_two_runs_on_one_text_prepare_it_once_and_keep_the_same_files(new_run, monkeypatch):
    made = []
    monkeypatch.setattr(shared, "prepare", lambda *asked: made.append("ids") or prepare(*asked))
    monkeypatch.setattr(shared, "text_report", lambda *asked: made.append("report") or text_report(*asked))
    shared._dataset.cache_clear()
    runs = [new_run(seed=seed) for seed in (1, 2)]
    for run in (*runs, new_run(dataset_size=1_100)):
        finish(run)
    assert made == ["ids", "report"] * 2
    for name in ("train.bin", "validation.bin", "tokenizer.json", "report.json"):
        assert (runs[0].folder / name).read_bytes() == (runs[1].folder / name).read_bytes()


@pytest.mark.parametrize("text", ["", "word", "a short text"])
def test_a_text_that_cannot_be_trained_on_is_told(new_run, text):
    run = new_run()
    run.write_text("text.txt", text)
    with pytest.raises(CorpusError, match="2,000"):
        finish(run)


def test_a_run_on_own_text_without_a_text_is_told(new_run):
    run = new_run()
    (run.folder / "text.txt").unlink()
    with pytest.raises(CorpusError, match="no text was given"):
        finish(run)


def test_a_run_from_a_machine_with_another_device_is_told(tmp_path, tiny_config, own_text):
    run = create_run(tmp_path, tiny_config, name="far", device="cuda:77", threads=1)
    run.write_text("text.txt", own_text)
    with pytest.raises(RunError, match=r"no device 'cuda:77'.*cpu"):
        finish(run)


@pytest.mark.parametrize("file", ["resume.safetensors", "train.bin", "tokenizer.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 64], ids=["empty", "other", "binary"])
def test_a_run_whose_files_are_damaged_is_refused(new_run, file, damage):
    run = new_run()
    stop_after(run, 20)
    (run.folder / file).write_bytes(damage)
    with pytest.raises(SlmError):
        finish(run)


def test_a_resume_file_of_another_run_is_refused(new_run):
    run, wider = new_run(), new_run(n_embd=32)
    for each in (run, wider):
        stop_after(each, 20)
    shutil.copy(wider.folder / "resume.safetensors", run.folder)
    with pytest.raises(SlmError, match="does not fit"):
        finish(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: {},
        lambda facts: [],
        lambda facts: {"progress": None},
        lambda facts: {"progress": {}},
        lambda facts: {"progress": {**facts["progress"], "step": "3"}},
        lambda facts: {"progress": {**facts["progress"], "step": 3.0}},
        lambda facts: {"progress": {**facts["progress"], "step": -1}},
        lambda facts: {"progress": {**facts["progress"], "step": 7}},
        lambda facts: {"progress": {**facts["progress"], "step": True}},
        lambda facts: {"progress": {**facts["progress"], "steps": 3}},
        lambda facts: {"progress": {**facts["progress"], "elapsed_seconds": math.nan}},
        lambda facts: {"progress": {**facts["progress"], "elapsed_seconds": 10**400}},
        lambda facts: {"progress": {**facts["progress"], "best_validation_loss": -math.inf}},
        lambda facts: {**facts, "data_sha256": "0" * 64},
    ],
)
def test_a_state_that_no_trainer_was_in_is_refused(new_run, change):
    run = new_run()
    stop_after(run, 20)
    tensors, facts = read_tensors(run.folder / RESUME, "slm-resume-1")
    write_tensors(run.folder / RESUME, tensors, "slm-resume-1", change(facts))
    with pytest.raises(CheckpointError, match=r"[Ss]tart (a new run|the run anew)"):
        finish(run)


def test_a_run_whose_text_has_changed_does_not_go_on(new_run):
    run = new_run()
    stop_after(run, 20)
    ids = (run.folder / "train.bin").read_bytes()
    (run.folder / "train.bin").write_bytes(ids[:-2])
    with pytest.raises(CheckpointError, match="no longer the one it was trained on"):
        finish(run)
    (run.folder / RESUME).unlink()
    (run.folder / "train.bin").write_bytes(ids[:20])
    with pytest.raises(CorpusError, match=r"train\.bin.* lost"):
        finish(run)


def test_a_text_that_is_no_longer_unicode_is_read_all_the_same(new_run):
    run = new_run()
    text = (run.folder / "text.txt").read_bytes()
    (run.folder / "text.txt").write_bytes(text[:500] + b"\xff\xfe" + text[500:])
    finish(run)
    assert run.last_end().reason == "finished"


def test_a_run_that_diverges_keeps_its_best_model_whole(new_run, monkeypatch):
    measure = work.Trainer._backward
    monkeypatch.setattr(
        work.Trainer,
        "_backward",
        lambda self, random: measure(self, random) + (math.nan if self.progress.step == 4 else 0),
    )
    run = new_run()
    finish(run)
    history = History(run.folder).refresh()
    assert (history.finished.reason, history.finished.step) == ("diverged", 4)
    best = load_checkpoint(run.checkpoints["best"])
    assert all(weight.isfinite().all() for weight in best.model.parameters())


def test_each_event_is_in_the_folder_before_it_is_seen(new_run):
    run = new_run()
    for event in train_run(run):
        history = History(run.folder).refresh()
        if isinstance(event, StepDone):
            assert history.last_step == event
        if isinstance(event, EvalDone) and event.is_best:
            assert load_checkpoint(run.checkpoints["best"]).metrics["step"] == event.step


def test_closing_a_run_lets_nothing_of_torch_behind(new_run):
    stop_after(new_run(), 12)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_disk_that_fails_is_told_by_the_system(new_run, monkeypatch):
    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slm_core.runs.checkpoint.write_atomically", fail)
    run = new_run()
    going: Iterator[Event] = train_run(run)
    with pytest.raises(OSError, match="No space"):
        list(going)
    assert not run.checkpoints and not list(run.folder.glob(".*"))
