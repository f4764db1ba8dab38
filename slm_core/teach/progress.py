"""How far somebody has come in a lesson: one small file for each person and lesson, beside the runs.

<runs>/_lessons/<owner, or "laptop">/<lesson>.json
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slm_core.errors import RunError
from slm_core.runs.store import short_text, write_atomically

FOLDER = "_lessons"  # no run's id begins so
HERE, RECORDED = "here", "recording"
LONGEST_NOTE = 1_000  # characters
_MOST, _LONGEST_WORD, _MOST_BYTES = 200, 80, 200_000
_OWNER = re.compile(r"[a-z0-9]{1,40}")
_LESSON = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What somebody has done in a lesson.

    begun     when this pass through the lesson began
    step      the step that is shown, from 0
    answers   to questions, by their ids
    runs      ids of the runs trained here, by the lesson's names
    sources   whether a run is one trained here or a recording, by the lesson's names
    notes     what the person wrote, by the step's id
    besides   numbers measured on this machine, by run and measure
    """

    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    step: int = 0
    answers: Mapping[str, int | float | str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    besides: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def answered(self, question_id: str, answer: int | float | str) -> "Progress":
        """With an answer. The first one counts: a later one changes nothing."""
        return replace(self, answers={question_id: answer, **self.answers})

    def noted(self, step_id: str, note: str) -> "Progress":
        """With what somebody wrote to a step, cut where it is too long."""
        return replace(self, notes={**self.notes, step_id: short_text(note, LONGEST_NOTE)})

    def with_besides(self, run: str, numbers: Mapping[str, float]) -> "Progress":
        """With numbers measured of a run on this machine."""
        return replace(self, besides={**self.besides, run: {**self.besides.get(run, {}), **numbers}})


def load_progress(root: Path, owner: str, lesson_id: str) -> Progress | None:
    """How far an owner has come; None if nothing is kept, or what is kept is damaged."""
    try:
        content = kept_file(root, owner, lesson_id).read_bytes()
        return _from_dict(json.loads(content)) if len(content) <= _MOST_BYTES else None
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
        return None


def keep_progress(root: Path, owner: str, lesson_id: str, progress: Progress) -> None:
    """Keep it. Raises RunError if it cannot be written."""
    kept = {
        "begun": progress.begun.isoformat(),
        "step": progress.step,
        **{name: dict(getattr(progress, name)) for name in ("answers", "runs", "sources", "notes")},
        "besides": {run: dict(numbers) for run, numbers in progress.besides.items()},
    }
    write_kept(kept_file(root, owner, lesson_id), json.dumps(kept, indent=1))


def forget_progress(root: Path, owner: str, lesson_id: str) -> None:
    """Begin a lesson anew. Its runs stay."""
    kept_file(root, owner, lesson_id).unlink(missing_ok=True)


def forget_everything(root: Path, owner: str) -> None:
    """Forget all that an owner has done in all lessons."""
    shutil.rmtree(kept_file(root, owner, "any").parent, ignore_errors=True)


def write_kept(file: Path, text: str) -> None:
    """Write a small file, making its folder. Raises RunError if it cannot be written or is too large."""
    content = text.encode("utf-8", "replace")
    if len(content) > _MOST_BYTES:
        raise RunError(f"{file.name} would be larger than {_MOST_BYTES:,} bytes. Begin the lesson anew.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
    except OSError as error:
        raise RunError(
            f"No progress can be kept in {file.parent} ({error.strerror}). Free some room."
        ) from None


def kept_file(root: Path, owner: str, name: str) -> Path:
    """The file in which something of an owner is kept. Raises RunError for names that are none."""
    owner = owner or "laptop"
    if not _OWNER.fullmatch(owner) or not _LESSON.fullmatch(name):  # must not become another path
        raise RunError(f"{owner[:40]!r} and {name[:40]!r} name no lesson's progress.")
    return root / FOLDER / owner / f"{name}.json"


def _from_dict(kept: Mapping[str, Any]) -> Progress:
    begun, step = datetime.fromisoformat(kept["begun"]), kept["step"]
    if begun.tzinfo is None or type(step) is not int or not 0 <= step < _MOST:
        raise ValueError("begun or step")
    return Progress(
        begun=begun,
        step=step,
        answers={name: each for name, each in _few(kept["answers"]) if _is_answer(each)},
        runs={name: str(each) for name, each in _few(kept["runs"])},
        sources={name: each for name, each in _few(kept["sources"]) if each in (HERE, RECORDED)},
        notes={name: short_text(str(each), LONGEST_NOTE) for name, each in _few(kept["notes"])},
        besides={
            run: {name: float(number) for name, number in _few(numbers) if math.isfinite(number)}
            for run, numbers in _few(kept["besides"])
        },
    )


def _few(kept: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(short_text(name, _LONGEST_WORD), value) for name, value in list(kept.items())[:_MOST]]


def _is_answer(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_WORD
    return type(value) in (int, float) and math.isfinite(value)
