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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from slm_core.config import ExperimentConfig, config_from_dict
from slm_core.errors import ConfigError, CorpusError, RunError
from slm_core.text.bins import has_dataset
from slm_core.text.report import TextReport
from slm_core.train.events import Event, RunFinished, from_json, to_json

CHECKPOINTS = {"best": "best.safetensors", "last": "last.safetensors"}
RESUME = "resume.safetensors"
_SETTINGS, _REPORT = "run.json", "report.json"
_LONGEST_LINE = 20_000  # bytes, of an event that ends a run
LONGEST_NAME, _LONGEST_TAG, _MOST_TAGS = 80, 30, 8
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
    file. owner: the visitor whose run it is, on a shared server; others see it once it is published."""

    id: str
    folder: Path
    name: str
    created: datetime
    config: ExperimentConfig
    device: str
    threads: int
    imported: bool = False
    owner: str = ""
    published: bool = False
    tags: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The model files there are: "best" (lowest validation loss) and "last"."""
        files = {kind: self.folder / name for kind, name in CHECKPOINTS.items()}
        return {kind: path for kind, path in files.items() if path.exists()}

    @property
    def resumable(self) -> bool:
        """Whether training can go on: from where it was saved, or, if nothing was, from the beginning."""
        if self.imported:
            return False
        finished = self.last_end()
        if self.history_lost or (finished is not None and finished.reason in ("finished", "diverged")):
            return False
        own_text = (self.folder / "text.txt").exists() or has_dataset(self.folder)
        return self.config.corpus != "own" or own_text

    @property
    def history_lost(self) -> bool:
        """Whether the run was over, as far as its files tell, and its history is gone."""
        over = (self.folder / CHECKPOINTS["last"]).exists() and not (self.folder / RESUME).exists()
        return over and not (self.folder / "events.jsonl").exists()

    def last_end(self) -> RunFinished | None:
        """The event that ended the run, if its history ends with one: else it is live, or was interrupted."""
        try:
            with open(self.folder / "events.jsonl", "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE))
                *whole, _ = file.read().split(b"\n")  # what follows the last line break is half a line
            last = from_json(whole[-1].decode("utf-8", "replace")) if whole else None
        except (OSError, RunError):
            return None
        return last if isinstance(last, RunFinished) else None

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

    def sweep(self) -> None:
        """Delete the halves of files that a crash or a failed disk has left. To be called before training,
        which writes all files but run.json; that one a page may be writing just now. Raises OSError."""
        for part in self.folder.glob(".*.part"):
            if not part.name.startswith(f".{_SETTINGS}."):
                part.unlink(missing_ok=True)

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
    root: Path,
    config: ExperimentConfig,
    *,
    name: str,
    device: str,
    threads: int,
    imported: bool = False,
    owner: str = "",
    tags: Sequence[str] = (),
    text: str | None = None,
) -> Run:
    """Make a run's folder under root, with its run.json and the text it is to read, if that is its own.
    Raises RunError if they cannot be written; then there is no folder."""
    created = datetime.now(UTC)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "run"
    run_id = f"{created:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(3)}"
    run = Run(
        id=run_id,
        folder=root / run_id,
        name=short_text(name, LONGEST_NAME),
        created=created,
        config=config,
        device=device,
        threads=threads,
        imported=imported,
        owner=owner,
        tags=_labels(tags),
    )
    try:
        run.folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"No run can be kept in {root} ({error.strerror}). {_ROOM}") from None
    try:
        if text is not None:
            run.write_text("text.txt", text)
        _write_settings(run)
    except RunError:
        shutil.rmtree(run.folder, ignore_errors=True)  # no half of a run
        raise
    return run


def change_run(
    root: Path,
    run_id: str,
    *,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    published: bool | None = None,
) -> Run:
    """Rename a run, label it, or show it to everybody; give it as it then is. Raises RunError."""
    run = open_run(root, run_id)
    if name is not None:
        run = replace(run, name=short_text(name.strip(), LONGEST_NAME) or run.name)
    if tags is not None:
        run = replace(run, tags=_labels(tags))
    if published is not None:
        run = replace(run, published=published)
    _write_settings(run)
    return run


def _labels(tags: Sequence[str]) -> tuple[str, ...]:
    shortened = (short_text(tag.strip(), _LONGEST_TAG) for tag in tags if tag.strip())
    return tuple(dict.fromkeys(shortened))[:_MOST_TAGS]


def short_text(text: str, most: int) -> str:
    """At most so many characters of a text, and no halves of characters, which no page could show."""
    return text.encode("utf-8", "replace").decode()[:most]


def _write_settings(run: Run) -> None:
    settings = {
        "name": run.name,
        "created": run.created.isoformat(),
        "config": run.config.to_dict(),
        "device": run.device,
        "threads": run.threads,
        "imported": run.imported,
        "owner": run.owner,
        "published": run.published,
        "tags": list(run.tags),
    }
    run.write_text(_SETTINGS, json.dumps(settings, indent=1))


def open_run(root: Path, run_id: str) -> Run:
    """The run with this id. Raises RunError if there is none or its run.json is damaged."""
    file = _folder_of(root, run_id) / _SETTINGS
    try:
        state = file.stat()
        return _read_settings(file, state.st_mtime_ns, state.st_size, state.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        if file.parent.is_dir():
            raise RunError(
                f"The run {run_id} has lost its run.json, without which nobody knows what it was. Delete it."
            ) from None
        raise _no_such_run(root, run_id) from None
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error.strerror}). Look after that disk or folder.") from None


def _folder_of(root: Path, run_id: str) -> Path:
    if not _RUN_ID.fullmatch(run_id):  # an id comes from the URL: it must not become a path
        raise RunError(f"{run_id[:80]!r} is no run's id. Choose a run from the list.")
    return root / run_id


def _no_such_run(root: Path, run_id: str) -> RunError:
    return RunError(f"There is no run {run_id} in {root}; it may have been deleted. Choose another.")


@lru_cache(maxsize=20_000)  # a page lists all runs; few of them change between two visits
def _read_settings(file: Path, changed_ns: int, size: int, inode: int) -> Run:
    folder, run_id = file.parent, file.parent.name
    try:
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        created, threads = datetime.fromisoformat(settings["created"]), int(settings["threads"])
        if created.tzinfo is None or not 1970 < created.year < 9999:  # these have no place among the others
            raise ValueError(f"created {created}")
        if threads < 1:
            raise ValueError(f"{threads} threads")
        return Run(
            id=run_id,
            folder=folder,
            name=short_text(str(settings["name"]), LONGEST_NAME),
            created=created,
            config=config_from_dict(settings["config"]),
            device=short_text(str(settings["device"]), LONGEST_NAME),
            threads=threads,
            imported=bool(settings["imported"]),
            owner=short_text(str(settings.get("owner", "")), LONGEST_NAME),
            published=bool(settings.get("published", False)),
            tags=tuple(short_text(str(tag), _LONGEST_TAG) for tag in settings.get("tags", ()))[:_MOST_TAGS],
        )
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, ConfigError) as error:
        raise RunError(
            f"The run {run_id} has a damaged run.json ({str(error)[:200]}). Delete the run, or train it anew."
        ) from None


def list_runs(root: Path) -> list[Run]:
    """All readable runs, newest first. Raises RunError if the folder itself cannot be read."""
    return sorted(_look_through(root)[0], key=lambda run: run.created, reverse=True)


def list_damaged(root: Path) -> dict[str, str]:
    """The ids of runs that cannot be read, each with a sentence why. Raises RunError as `list_runs` does."""
    return _look_through(root)[1]


def _look_through(root: Path) -> tuple[list[Run], dict[str, str]]:
    runs, damaged = [], {}
    try:  # anything else is not ours
        folders = [each for each in root.iterdir() if _RUN_ID.fullmatch(each.name) and each.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        folders = []
    except OSError as error:
        raise RunError(f"The folder {root} cannot be read ({error.strerror}). {_ROOM}") from None
    for folder in folders:
        try:
            runs.append(open_run(root, folder.name))
        except RunError as error:
            damaged[folder.name] = str(error)
    return runs, damaged


def delete_run(root: Path, run_id: str) -> None:
    """Delete a run's folder with everything in it, damaged or not. Raises RunError if there is no such
    run."""
    try:
        shutil.rmtree(_folder_of(root, run_id))
    except FileNotFoundError:
        raise _no_such_run(root, run_id) from None
    except OSError as error:
        raise RunError(f"The run {run_id} cannot be deleted ({error.strerror}).") from None
