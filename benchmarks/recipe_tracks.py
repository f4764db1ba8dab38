"""Trainings that recipe.py compares: each goes on from one measurement of its losses to the next, in turn."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from slm_core.config import ExperimentConfig
from slm_core.text.corpus import Dataset
from slm_core.train.events import EvalDone, RunFinished, StepDone, Working
from slm_core.train.trainer import Trainer


class Bare(Trainer):
    """A trainer that only trains and measures losses: the rest is half of what a small run costs."""

    def _test_memory(self):
        yield from ()

    def _write_samples(self):
        yield from ()


@dataclass
class Track:
    """One training under way: steps, seconds of updates and validation loss at each measurement."""

    config: ExperimentConfig
    dataset: Dataset
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False

    def __post_init__(self) -> None:
        self._trainer = Bare(self.config, self.dataset)
        self._events, self._spent = self._trainer.events(), 0.0

    def advance(self) -> None:
        """Train up to the next measurement, if there is one."""
        before = self._trainer.progress.elapsed_seconds
        for event in self._events:
            now = self._trainer.progress.elapsed_seconds
            if isinstance(event, StepDone):
                self._spent += now - before
            if not isinstance(event, Working):  # which comes in the middle of a step
                before = now
            if isinstance(event, RunFinished):
                self.diverged = event.reason == "diverged"
            if isinstance(event, EvalDone):
                self.steps.append(event.step)
                self.seconds.append(self._spent)
                self.losses.append(event.validation_loss)
                return

    @property
    def best(self) -> float:
        """The lowest validation loss so far."""
        return min(self.losses)

    @property
    def step_milliseconds(self) -> float:
        """Time of an update."""
        return 1_000 * self._spent / max(1, self._trainer.progress.step)

    def time_to(self, target: float) -> float:
        """Seconds of updates until the validation loss is `target`; infinite if it never is."""
        return self._until(target, self.seconds)

    def steps_to(self, target: float) -> float:
        """Updates until then."""
        return self._until(target, self.steps)

    def _until(self, target: float, clock: Sequence[float]) -> float:
        # On straight lines between measurements.
        for place, loss in enumerate(self.losses):
            if loss <= target:
                if place == 0:
                    return 0.0
                above, began = self.losses[place - 1], clock[place - 1]
                return began + (above - target) / (above - loss) * (clock[place] - began)
        return math.inf


def train_in_turns(tracks: Sequence[Track], deadline: float) -> None:
    """Train all to their ends, each up to its next measurement in turn. Exits if that would take longer than
    to the deadline (a time of time.monotonic)."""
    rounds = 1 + max(math.ceil(each.config.max_iters / each.config.eval_interval) for each in tracks)
    for done in range(rounds):
        began = time.monotonic()
        for track in tracks:
            track.advance()
        left = (time.monotonic() - began) * (rounds - done - 1)
        if done == 1 and time.monotonic() + left > deadline:
            sys.exit(f"This would take {left / 60:.0f} minutes. Allow more --minutes or fewer --steps.")
        print(f"\r{len(tracks)} runs, {left / 60:5.1f} minutes left ", end="", file=sys.stderr, flush=True)
    for track in tracks:  # its last event says whether it diverged
        track.advance()
    print(file=sys.stderr)
