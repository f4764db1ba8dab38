"""The work of one run, from its folder to its folder: prepare the text, train, keep what came of it.

`train_run` is a generator like the trainer's own: at rest between two events, it may be paused, stopped or
left.
"""

import time
from collections.abc import Generator, Iterator

from slm_core.hardware import choose_device
from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import read_tensors, save_checkpoint, write_tensors
from slm_core.runs.store import CHECKPOINTS, History, Run
from slm_core.text.bins import has_dataset, read_dataset, write_dataset
from slm_core.text.corpus import Dataset, preparing
from slm_core.text.report import text_report
from slm_core.train.events import EvalDone, Event, RunFinished, Working
from slm_core.train.trainer import Trainer

_RESUME_FORMAT = "slm-resume-1"
_RESUME_FILE = "resume.safetensors"
SAVING_SHARE = 0.03  # of the time, at most, goes into saves that only a crash would need
FIRST_SAVE_SECONDS = 10.0


def train_run(run: Run) -> Iterator[Event]:
    """Train a run from where its folder stands, writing each event and each better model into it.

    Closing the generator saves what is needed to go on later, bit for bit as if it had never stopped. Raises
    SlmError if the text cannot be trained on or the folder cannot be used, and OSError if the disk fails.
    """
    yield Working(step=0, doing="reading the text", share=0.0)
    dataset = yield from _dataset(run)
    device = choose_device(run.device, "cpu")  # refuses one that is not here: the run may come from elsewhere
    trainer = Trainer(run.config, dataset, device)
    if run.resumable:
        tensors, facts = read_tensors(run.folder / _RESUME_FILE, _RESUME_FORMAT)
        trainer.restore(tensors, facts["progress"])
    saver = _Saver(run, trainer, dataset)
    try:
        for event in trainer.events():
            if not isinstance(event, Working):
                run.append(event)
            if isinstance(event, EvalDone):
                saver.measured(event)
                if not run.has_report:  # not before the first measurement: the chart should begin at once
                    run.write_report(text_report(dataset, trainer.config))
            if isinstance(event, RunFinished) and event.reason == "finished":
                saver.finished()
            else:
                saver.now_and_then()
            yield event
    except GeneratorExit:  # stopped from outside
        saver.save_to_resume()
        saver.save_model("last")
        run.append(trainer.stopped())


def _dataset(run: Run) -> Generator[Event, None, Dataset]:
    """From the bins in the folder if they are there, else prepared and written there. Raises SlmError,
    OSError."""
    if has_dataset(run.folder):
        return read_dataset(run.folder, run.config)
    text_file = run.folder / "text.txt"
    text = text_file.read_text(encoding="utf-8") if text_file.exists() else None
    for prepared in preparing(run.config, text):
        if isinstance(prepared, Dataset):
            dataset = prepared
        else:
            yield Working(step=0, doing="reading the text", share=prepared)
    write_dataset(dataset, run.folder)
    text_file.unlink(missing_ok=True)
    return dataset


class _Saver:
    """Writes a run's model files when they are due."""

    def __init__(self, run: Run, trainer: Trainer, dataset: Dataset) -> None:
        self._run, self._trainer, self._dataset = run, trainer, dataset
        self._data_sha256 = dataset.sha256()
        evaluations = History(run.folder).refresh().evaluations  # of a run that goes on; else there are none
        self._metrics = _metrics(evaluations[max(evaluations)]) if evaluations else {}
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

    def finished(self) -> None:
        """Keep the last model; there is nothing to go on with."""
        self.save_model("last")
        (self._run.folder / _RESUME_FILE).unlink(missing_ok=True)

    def save_to_resume(self) -> None:
        tensors, progress = self._trainer.state()
        write_tensors(self._run.folder / _RESUME_FILE, tensors, _RESUME_FORMAT, {"progress": progress})

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
