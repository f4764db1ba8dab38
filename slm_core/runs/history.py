"""What a run has told so far: its events, read from its folder as they come."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from slm_core.errors import RunError
from slm_core.train.events import (
    EvalDone,
    Event,
    ExtractionDone,
    Notice,
    RunFinished,
    RunStarted,
    SampleDrawn,
    StepDone,
    from_json,
)


@dataclass
class History:
    """A run's events, read from its folder as they come. What a resumed run does again replaces what it did
    before."""

    folder: Path
    started: RunStarted | None = None
    finished: RunFinished | None = None
    last_step: StepDone | None = None
    losses: dict[int, float] = field(default_factory=dict)  # each step's batch loss
    elapsed: dict[int, float] = field(default_factory=dict)  # seconds spent computing, up to each step
    evaluations: dict[int, EvalDone] = field(default_factory=dict)
    extractions: dict[int, ExtractionDone] = field(default_factory=dict)
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
                    if file.seek(0, 2) < self._offset:  # the file was lost, and the run began another
                        self._offset = 0
                    file.seek(self._offset)
                    added = file.read()
            except OSError:
                return self
            whole = added[: added.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.decode("utf-8", "replace").split("\n")[:-1]:  # splitlines cuts at U+2028 too
                try:
                    self.take(from_json(line))
                except RunError:
                    self.damaged_lines += 1
        return self

    def take(self, event: Event) -> None:
        """Remember one more event; of a run that goes on, it replaces what is done again."""
        match event:
            case StepDone():
                self.losses[event.step] = event.loss
                self.elapsed[event.step] = event.elapsed_seconds
                self.last_step = event
            case EvalDone():
                self.evaluations[event.step] = event
            case ExtractionDone():
                self.extractions[event.step] = event
            case SampleDrawn():
                self.samples[event.step, event.source] = event
            case Notice() if event not in self.notices:  # a run that begins anew says it again
                self.notices.append(event)
            case RunFinished():
                self.finished = event
            case RunStarted():
                self.started, self.finished = event, None
                if event.step == 0:
                    self.last_step = None
                for kept in (self.losses, self.elapsed, self.evaluations, self.extractions):
                    for step in [step for step in kept if step > event.step]:
                        del kept[step]
                for step, source in [key for key in self.samples if key[0] > event.step]:
                    del self.samples[step, source]
