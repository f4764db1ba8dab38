"""What is kept of a run: a folder with its settings, its history and its checkpoints. The folder is the
truth.

runs/<id>/  run.json  events.jsonl  report.json  tokenizer.json  train.bin  validation.bin  best.safetensors
last.safetensors resume.safetensors (only while there is something to go on with)  text.txt (own text, until
it is prepared)
"""

import json
import os
import re
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slm_core.config import ExperimentConfig, config_from_dict
from slm_core.errors import ConfigError, CorpusError, RunError
from slm_core.text.report import TextReport
from slm_core.train.events import (
    EvalDone,
    Event,
    Notice,
    RunFinished,
    RunStarted,
    SampleDrawn,
    StepDone,
    from_json,
    to_json,
)

LARGEST_FILE_BYTES = 250_000_000  # of a model file; the largest preset has 200 MB
CHECKPOINTS = {"best": "best.safetensors", "last": "last.safetensors"}
_REPORT = "report.json"
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{5,80}")


def runs_folder() -> Path:
    """Where runs are kept: the environment variable SLM_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("SLM_RUNS") or "runs").resolve()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one, never a half. Raises
    OSError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run's folder and what its run.json says. `config` is as asked for; imported runs came as a single
    file."""

    id: str
    folder: Path
    name: str
    created: datetime
    config: ExperimentConfig
    device: str
    threads: int
    imported: bool = False

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The model files there are: "best" (lowest validation loss) and "last"."""
        files = {kind: self.folder / name for kind, name in CHECKPOINTS.items()}
        return {kind: path for kind, path in files.items() if path.exists()}

    @property
    def resumable(self) -> bool:
        """Whether training can go on from where it was saved."""
        return (self.folder / "resume.safetensors").exists()

    @property
    def has_report(self) -> bool:
        """Whether the report on the run's text is written."""
        return (self.folder / _REPORT).exists()

    def write_report(self, report: TextReport) -> None:
        """Keep the report on the run's text. Raises RunError if it cannot be written."""
        self.write_text(_REPORT, report.to_json())

    def report(self) -> TextReport | None:
        """The report on the run's text; None before it is written, or if it is damaged."""
        try:
            return TextReport.from_json((self.folder / _REPORT).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, CorpusError):
            return None

    def write_text(self, name: str, text: str) -> None:
        """Write one file of the folder, whole or not at all. Raises RunError if it cannot be written."""
        try:
            write_atomically(self.folder / name, text.encode("utf-8", "replace"))
        except OSError as error:
            raise RunError(
                f"The run's folder {self.folder} cannot be written ({error.strerror}). {_ROOM}"
            ) from None

    def append(self, event: Event) -> None:
        """Add an event to the history. Raises RunError if it cannot be written."""
        line = to_json(event).encode("utf-8", "replace") + b"\n"
        try:
            with open(self.folder / "events.jsonl", "a+b") as file:
                if file.tell():  # a crash may have left half a line: this one must not be lost with it
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            raise RunError(
                f"The run's folder {self.folder} cannot be written ({error.strerror}). {_ROOM}"
            ) from None


_ROOM = "Free some room, or set SLM_RUNS to a folder that can be written."


def create_run(
    root: Path, config: ExperimentConfig, *, name: str, device: str, threads: int, imported: bool = False
) -> Run:
    """Make a run's folder under root, with its run.json. Raises RunError if that cannot be written."""
    created = datetime.now(UTC)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "run"
    run_id = f"{created:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(3)}"
    run = Run(
        id=run_id,
        folder=root / run_id,
        name=name[:80],
        created=created,
        config=config,
        device=device,
        threads=threads,
        imported=imported,
    )
    try:
        run.folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"No run can be kept in {root} ({error.strerror}). {_ROOM}") from None
    settings = {
        "name": run.name,
        "created": created.isoformat(),
        "config": config.to_dict(),
        "device": device,
        "threads": threads,
        "imported": imported,
    }
    run.write_text("run.json", json.dumps(settings, indent=1))
    return run


def open_run(root: Path, run_id: str) -> Run:
    """The run with this id. Raises RunError if there is none or its run.json is damaged."""
    if not _RUN_ID.fullmatch(run_id):  # an id comes from the URL: it must not become a path
        raise RunError(f"{run_id[:80]!r} is no run's id. Choose a run from the list.")
    folder = root / run_id
    try:
        settings: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        created, threads = datetime.fromisoformat(settings["created"]), int(settings["threads"])
        if created.tzinfo is None or threads < 1:  # such times could not be sorted among the others
            raise ValueError(f"created {created} without a time zone, or {threads} threads")
        return Run(
            id=run_id,
            folder=folder,
            name=str(settings["name"]),
            created=created,
            config=config_from_dict(settings["config"]),
            device=str(settings["device"]),
            threads=threads,
            imported=bool(settings["imported"]),
        )
    except OSError:
        raise RunError(
            f"There is no run {run_id} in {root}; it may have been deleted. Choose another."
        ) from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, ConfigError) as error:
        raise RunError(
            f"The run {run_id} has a damaged run.json ({error}). Delete the run, or train it anew."
        ) from None


def list_runs(root: Path) -> list[Run]:
    """All readable runs, newest first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        try:
            found.append(open_run(root, folder.name))
        except RunError:  # a stray folder, or a damaged run: opening it says so, listing goes on
            continue
    return sorted(found, key=lambda run: run.created, reverse=True)


def delete_run(root: Path, run_id: str) -> None:
    """Delete a run's folder with everything in it. Raises RunError if there is no such run."""
    folder = open_run(root, run_id).folder
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunError(f"The run {run_id} cannot be deleted ({error.strerror}).") from None


@dataclass
class History:
    """A run's events, read from its folder as they come. What a resumed run does again replaces what it did
    before."""

    folder: Path
    started: RunStarted | None = None
    finished: RunFinished | None = None
    last_step: StepDone | None = None
    losses: dict[int, float] = field(default_factory=dict)  # each step's batch loss
    evaluations: dict[int, EvalDone] = field(default_factory=dict)
    samples: dict[tuple[int, str], SampleDrawn] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    damaged_lines: int = 0
    _offset: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def best(self) -> EvalDone | None:
        """The evaluation with the lowest validation loss."""
        return min(self.evaluations.values(), key=lambda each: each.validation_loss, default=None)

    def refresh(self) -> "History":
        """Read what was appended since the last time; gives itself. A line half-written is left for the next
        time."""
        with self._lock:
            try:
                with open(self.folder / "events.jsonl", "rb") as file:
                    file.seek(self._offset)
                    added = file.read()
            except OSError:
                return self
            whole = added[: added.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.decode("utf-8", "replace").split("\n")[:-1]:  # splitlines cuts at U+2028 too
                try:
                    self._take(from_json(line))
                except RunError:
                    self.damaged_lines += 1
        return self

    def _take(self, event: Event) -> None:
        match event:
            case StepDone():
                self.losses[event.step] = event.loss
                self.last_step = event
            case EvalDone():
                self.evaluations[event.step] = event
            case SampleDrawn():
                self.samples[event.step, event.source] = event
            case Notice():
                self.notices.append(event)
            case RunFinished():
                self.finished = event
            case RunStarted():
                self.started, self.finished = event, None
                for kept in (self.losses, self.evaluations):
                    for step in [step for step in kept if step > event.step]:
                        del kept[step]
                for step, source in [key for key in self.samples if key[0] > event.step]:
                    del self.samples[step, source]
