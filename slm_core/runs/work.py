"""The work of one run, from its folder to its folder: prepare the text, train, keep what came of it.

`train_run` is a generator like the trainer's own: at rest between two events, it may be paused, stopped or
left.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from slm_core.errors import CheckpointError, CorpusError
from slm_core.hardware import choose_device, pace_on
from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import read_tensors, save_checkpoint, write_tensors
from slm_core.runs.history import History
from slm_core.runs.store import CHECKPOINTS, RESUME, Run
from slm_core.text.bins import has_dataset, read_dataset, write_dataset
from slm_core.text.corpus import Dataset, preparing
from slm_core.text.report import text_report
from slm_core.text.shared import is_shared, shared_dataset, shared_report
from slm_core.train.events import EvalDone, Event, RunFinished, Working
from slm_core.train.parallel import ALONE, Team
from slm_core.train.trainer import Progress, Trainer

_RESUME_FORMAT = "slm-resume-1"
SAVING_SHARE = 0.03  # of the time, at most, goes into saves that only a crash would need
FIRST_SAVE_SECONDS = 10.0


def train_run(run: Run, team: Team = ALONE) -> Iterator[Event]:
    """Train a run from where its folder stands, writing each event and each better model into it. In a team,
    this is the leader's part; the others `follow_run`.

    Closing the generator saves what is needed to go on later, bit for bit as if it had never stopped. Raises
    SlmError if the text cannot be trained on or the folder cannot be used, and OSError if the disk fails.
    """
    yield Working(step=0, doing="reading the text", share=0.0)
    run.sweep()
    dataset, shared = yield from _dataset(run)
    device = choose_device(run.device, "cpu")  # refuses one that is not here: the run may come from elsewhere
    team.told()  # that the text is prepared
    trainer = Trainer(run.config, dataset, device, team, pace_on(device, run.config, team.alone))
    data_sha256 = dataset.sha256()
    _go_on(run, trainer, data_sha256)
    team.told()  # that everybody stands where the run was saved: from now on that file changes
    saver = _Saver(run, trainer, dataset, data_sha256)
    try:
        for event in trainer.events():
            if isinstance(event, RunFinished) and event.reason == "finished":
                saver.save_model("last")  # first: a crash must not leave a finished run without its model
            if not isinstance(event, Working):
                run.append(event)
            if isinstance(event, EvalDone):
                saver.measured(event)
                if not run.has_report:  # not before the first measurement: the chart should begin at once
                    report = (shared_report if shared else text_report)(dataset, run.config)
                    run.write_report(report)
            if isinstance(event, RunFinished):  # there is nothing to go on with
                with suppress(OSError):  # what is left of it only takes room
                    (run.folder / RESUME).unlink(missing_ok=True)
            else:
                saver.now_and_then()
            yield event
    except GeneratorExit:  # stopped from outside
        if not isinstance(event, RunFinished):
            saver.save_to_resume()
            saver.save_model("last")
            run.append(trainer.stopped())


def follow_run(run: Run, team: Team) -> None:
    """Train a run together with a leader that does `train_run`, and write nothing. Raises SlmError."""
    team.told()
    dataset = read_dataset(run.folder, run.config)
    device = team.device(run.device)
    trainer = Trainer(run.config, dataset, device, team, pace_on(device, run.config, team.alone))
    _go_on(run, trainer, dataset.sha256())
    team.told()
    for _ in trainer.events():
        pass


def _dataset(run: Run) -> Generator[Event, None, tuple[Dataset, bool]]:
    """From the bins in the folder if they are there, else prepared and written there; and whether it is one
    that runs share. Raises SlmError, OSError."""
    text_file = run.folder / "text.txt"
    if has_dataset(run.folder):
        dataset = read_dataset(run.folder, run.config)
        if len(dataset.train) <= run.config.block_size:
            raise CorpusError(f"A part of {run.folder / 'train.bin'} is lost. Start a new run on its text.")
        text_file.unlink(missing_ok=True)  # a crash may have come before
        return dataset, False  # a kept text may be of another version
    text = text_file.read_text(encoding="utf-8", errors="replace") if text_file.exists() else None
    shared = is_shared(run.config, text)
    for prepared in (shared_dataset(run.config, text),) if shared else preparing(run.config, text):
        if isinstance(prepared, Dataset):
            dataset = prepared
        else:
            yield Working(step=0, doing="reading the text", share=prepared)
    write_dataset(dataset, run.folder)
    text_file.unlink(missing_ok=True)
    return dataset, shared


def _go_on(run: Run, trainer: Trainer, data_sha256: str) -> None:
    """Put the trainer where the run was saved, if it was. Raises CheckpointError if that is damaged."""
    if not (run.folder / RESUME).exists():
        return
    cure = "Start a new run with these settings."
    tensors, facts = read_tensors(run.folder / RESUME, _RESUME_FORMAT, cure)
    try:
        progress = facts["progress"]
        sound = _is_sound(progress, run.config.max_iters) and _are_whole(tensors, progress["step"], trainer)
        same_text = facts.get("data_sha256", data_sha256) == data_sha256
    except (ArithmeticError, AttributeError, LookupError, TypeError):
        sound, same_text = False, True
    if not sound:
        raise CheckpointError(f"Where {run.name} was saved, {RESUME} is damaged. {cure}")
    if not same_text:
        raise CheckpointError(f"The text of {run.name} is no longer the one it was trained on. {cure}")
    trainer.restore(tensors, progress)


def _is_sound(progress: dict[str, Any], max_iters: int) -> bool:
    """Whether this could be where a trainer stands: counts are whole, times are finite, no step too many."""
    fresh = asdict(Progress())
    for name, at_first in fresh.items():
        value = progress.get(name, at_first)
        if type(value) is not int and (isinstance(at_first, int) or type(value) is not float):
            return False
        if not math.isfinite(value) and (name, value) != ("best_validation_loss", math.inf):
            return False
    return progress.keys() <= fresh.keys() and 0 <= progress["step"] <= max_iters


def _are_whole(tensors: dict[str, torch.Tensor], step: int, trainer: Trainer) -> bool:
    """Whether these are by name and type a trainer's tensors; the optimizer has none before the first
    step."""
    expected = set()
    for name, weight in trainer.model.named_parameters():
        kinds = ["model", *(f"optimizer.{kept}" for kept in trainer.optimizer.keeps(weight) if step)]
        expected |= {f"{kind}.{name}" for kind in kinds}
    return tensors.keys() == expected and {each.dtype for each in tensors.values()} == {torch.float32}


class _Saver:
    """Writes a run's model files when they are due."""

    def __init__(self, run: Run, trainer: Trainer, dataset: Dataset, data_sha256: str) -> None:
        self._run, self._trainer, self._dataset = run, trainer, dataset
        self._data_sha256 = data_sha256
        # Of a run that goes on: its history may know of later ones that a crash has made undone.
        last = History(run.folder).refresh().evaluations.get(trainer.progress.evaluated)
        self._metrics = _metrics(last) if last else {}
        self._saved_at, self._save_seconds = time.monotonic(), FIRST_SAVE_SECONDS * SAVING_SHARE

    def measured(self, event: EvalDone) -> None:
        """Remember the losses, and keep the model if it is the best so far."""
        self._metrics = _metrics(event)
        if event.is_best:
            self.save_model("best")

    def now_and_then(self) -> None:
        """Save for a crash, if the last such save is long enough ago to keep their cost below
        SAVING_SHARE."""
        if time.monotonic() - self._saved_at < self._save_seconds / SAVING_SHARE:
            return
        began = time.monotonic()
        self.save_to_resume()
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began

    def save_to_resume(self) -> None:
        tensors, progress = self._trainer.state()
        facts = {"progress": progress, "data_sha256": self._data_sha256}
        write_tensors(self._run.folder / RESUME, tensors, _RESUME_FORMAT, facts)

    def save_model(self, kind: str) -> None:
        model: GPT = self._trainer.model
        metrics = {**self._metrics, "step": self._trainer.progress.step}
        save_checkpoint(
            self._run.folder / CHECKPOINTS[kind],
            model,
            self._dataset.tokenizer,
            name=self._run.name,
            metrics=metrics,
            data_sha256=self._data_sha256,
        )


def _metrics(event: EvalDone) -> dict[str, float]:
    return {
        "step": event.step,
        "train_loss": event.train_loss,
        "validation_loss": event.validation_loss,
        "validation_bits_per_byte": event.validation_bits_per_byte,
    }
