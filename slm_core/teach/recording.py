"""A run of a lesson, recorded: one small file that plays back at any speed, for a room without time, power or
network. It says which machine made it, and when.
"""

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slm_core.config import ExperimentConfig, config_from_dict
from slm_core.errors import ConfigError, CorpusError, RunError
from slm_core.figures import thinned
from slm_core.runs.history import History
from slm_core.study.samples import Copying, Passage
from slm_core.teach.lesson import LessonRun
from slm_core.text.report import TextReport
from slm_core.train.events import (
    Event,
    RunFinished,
    SampleDrawn,
    StepDone,
    from_json,
    to_json,
)

SPEEDS = {"1×": 1.0, "10×": 10.0, "100×": 100.0, "at once": float("inf")}
_FORMAT = "slm-recording-1"
_MOST_BYTES = 5_000_000  # unpacked
_SAMPLED_STEPS = 3  # the first, a middle one and the last


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A run as it went. device: the machine, for people. besides: measures that no event holds. copying: what
    the samples copied from the training text, by step and source."""

    config: ExperimentConfig
    device: str
    made: datetime
    events: tuple[Event, ...]
    report: TextReport | None = None
    besides: Mapping[str, float] = field(default_factory=dict)
    copying: Mapping[tuple[int, str], Copying] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return max((at for at, _ in _timed(self.events)), default=0.0)

    def history(self, seconds: float = float("inf")) -> History:
        """What the run had told after so many seconds of computing."""
        return told(event for at, event in _timed(self.events) if at <= seconds)

    def to_bytes(self) -> bytes:
        """The file that `from_bytes` reads; the same recording gives the same bytes."""
        kept = {
            "format": _FORMAT,
            "config": self.config.to_dict(),
            "device": self.device,
            "made": self.made.isoformat(),
            "besides": dict(self.besides),
            "report": json.loads(self.report.to_json()) if self.report else None,
            "copying": [[step, source, _plain(each)] for (step, source), each in self.copying.items()],
            "events": [json.loads(to_json(event)) for event in self.events],
        }
        return gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), compresslevel=9, mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Recording":
        """The recording in a file. Raises RunError for anything else."""
        try:
            unpacked = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_MOST_BYTES + 1)
            kept = json.loads(unpacked)
            if len(unpacked) > _MOST_BYTES or kept["format"] != _FORMAT:
                raise ValueError("it is of another kind")
            made = datetime.fromisoformat(kept["made"])
            if made.tzinfo is None:
                raise ValueError("its time has no time zone")
            report = kept["report"]
            return cls(
                config=config_from_dict(kept["config"]),
                device=str(kept["device"])[:200],
                made=made,
                besides={str(name): float(number) for name, number in kept["besides"].items()},
                report=None if report is None else TextReport.from_json(json.dumps(report)),
                copying={(int(at), str(source)): _copying(each) for at, source, each in kept["copying"]},
                events=tuple(from_json(json.dumps(row)) for row in kept["events"]),
            )
        except (AttributeError, ConfigError, CorpusError, EOFError, LookupError, OSError, RecursionError,
                RunError, TypeError, ValueError) as error:  # fmt: skip
            raise RunError(f"This recording cannot be read ({str(error)[:200]}). Record it anew.") from None


def recording_file(folder: Path, lesson_id: str, run_name: str) -> Path:
    """Where the recording of a lesson's run is kept."""
    return folder / f"{lesson_id}.{run_name}.json.gz"


def find_recording(folder: Path, lesson_id: str, run: LessonRun) -> Recording | None:
    """The recording of a lesson's run; None if there is none, or it is damaged, or of other settings."""
    try:
        found = Recording.from_bytes(recording_file(folder, lesson_id, run.name).read_bytes())
    except (OSError, RunError):
        return None
    return found if found.config == run.config else None


def thin(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events that a recording keeps: all measurements, some of the steps, and a few texts."""
    kept = list(events)
    steps = set(thinned([event.step for event in kept if isinstance(event, StepDone)]))
    texts = sorted({event.step for event in kept if isinstance(event, SampleDrawn)})
    places = {round(part * (len(texts) - 1) / (_SAMPLED_STEPS - 1)) for part in range(_SAMPLED_STEPS)}
    shown = {texts[place] for place in places} if texts else set()
    return tuple(
        event
        for event in kept
        if not (isinstance(event, StepDone) and event.step not in steps)
        and not (isinstance(event, SampleDrawn) and event.step not in shown)
    )


def told(events: Iterable[Event]) -> History:
    """The history of a run that has told these events and was never resumed."""
    history = History(Path())
    for event in events:
        history.take(event)
    return history


def _timed(events: Iterable[Event]) -> Iterable[tuple[float, Event]]:
    """Each event with the seconds of computing that had passed; what follows a step came right after it."""
    now = 0.0
    for event in events:
        if isinstance(event, StepDone | RunFinished):
            now = max(now, event.elapsed_seconds)
        yield now, event


def _plain(copying: Copying) -> dict[str, Any]:
    passages = [[passage.text, passage.source] for passage in copying.passages]
    numbers = {name: getattr(copying, name) for name in ("share", "longest", "at_least", "whole")}
    return {"passages": passages, **numbers}


def _copying(kept: Mapping[str, Any]) -> Copying:
    return Copying(
        passages=tuple(Passage(str(text), str(source)) for text, source in kept["passages"]),
        share=float(kept["share"]),
        longest=int(kept["longest"]),
        at_least=int(kept["at_least"]),
        whole=bool(kept["whole"]),
    )
