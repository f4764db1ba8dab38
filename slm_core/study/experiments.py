"""Sweeps that are kept: the plan, which run belongs to which cell, what was guessed; one small file each,
beside the runs.

The runs are ordinary runs, on the scheduler like all others. This module starts them and finds them again.
"""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slm_core.errors import ConfigError, RunError
from slm_core.runs.history import History
from slm_core.runs.scheduler import Scheduler
from slm_core.runs.store import Run, open_run, write_atomically
from slm_core.study.axes import AXES, Value
from slm_core.study.outcomes import Outcome, outcome
from slm_core.study.sweep import Cell, Prediction, Sweep, next_to_train

TAG = "sweep"  # the first word of the tag that all runs of a sweep bear
_FOLDER = "_sweeps"  # no run's id begins so
_ID = re.compile(r"[a-z0-9-]{6,80}")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A sweep under way. held_out: the value that is not trained before there is a guess for it. runs: the id
    of the run of each cell that was started, by (value, seed)."""

    id: str
    file: Path
    created: datetime
    sweep: Sweep
    owner: str
    device: str
    held_out: Value | None
    guess: Prediction | None
    runs: dict[tuple[Value, int], str]

    @property
    def tag(self) -> str:
        """What its runs are labelled with."""
        return f"{TAG} {self.id[-6:]}"

    def cells(self) -> list[tuple[Cell, str | None]]:
        """All cells in the sweep's order, each with the id of its run, or None before it is started."""
        return [(cell, self.runs.get((cell.value, cell.seed))) for cell in self.sweep.cells(self.device)]


def create_experiment(
    root: Path,
    sweep: Sweep,
    *,
    device: str = "cpu",
    held_out: Value | None = None,
    owner: str = "",
    text: str | None = None,
) -> Experiment:
    """Keep a sweep under the folder of the runs; `go_on` starts it. `text` is read when its corpus is "own".
    Raises RunError if it cannot be kept, ConfigError if held_out is no value of it."""
    next_to_train(sweep, (), held_out)
    created = datetime.now(UTC)
    experiment_id = f"{created:%Y%m%d-%H%M%S}-{sweep.vary.replace('_', '-')}-{secrets.token_hex(3)}"
    made = Experiment(
        id=experiment_id,
        file=root / _FOLDER / f"{experiment_id}.json",
        created=created,
        sweep=sweep,
        owner=owner,
        device=device,
        held_out=held_out,
        guess=None,
        runs={},
    )
    if text is not None:
        _write(_text_file(made), text)
    _keep(made)
    return made


def open_experiment(root: Path, experiment_id: str) -> Experiment:
    """The sweep with this id. Raises RunError if there is none, or its file is damaged."""
    if not _ID.fullmatch(experiment_id):  # an id comes from the URL: it must not become a path
        raise RunError(f"{experiment_id[:80]!r} is no sweep's id. Choose one from the list.")
    file = root / _FOLDER / f"{experiment_id}.json"
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        created = datetime.fromisoformat(kept["created"])
        if created.tzinfo is None:
            raise ValueError("its time has no time zone")
        return Experiment(
            id=experiment_id,
            file=file,
            created=created,
            sweep=Sweep.from_json(json.dumps(kept["sweep"])),
            owner=str(kept["owner"]),
            device=str(kept["device"]),
            held_out=kept["held_out"],
            guess=None if kept["guess"] is None else Prediction.from_json(json.dumps(kept["guess"])),
            runs={(value, int(seed)): str(run_id) for value, seed, run_id in kept["runs"]},
        )
    except FileNotFoundError:
        raise RunError(f"There is no sweep {experiment_id}; it may have been deleted.") from None
    except (ConfigError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise RunError(f"The file of the sweep {experiment_id} is damaged ({error}). Delete it.") from None


def list_experiments(root: Path) -> list[Experiment]:
    """All readable sweeps, newest first."""
    found = []
    for file in (root / _FOLDER).glob("*.json"):
        try:
            found.append(open_experiment(root, file.stem))
        except RunError:  # opening it says what is wrong; listing goes on
            continue
    return sorted(found, key=lambda each: each.created, reverse=True)


def go_on(experiment: Experiment, scheduler: Scheduler) -> Experiment:
    """Start all runs that may be trained now and were not started yet; gives the sweep as it then is.

    Each run computes with one thread, so that its numbers do not depend on what else runs. Where it is
    seconds that are compared, they follow one another, as each would slow the other. Raises RunError if a run
    cannot be started; those before it go on.
    """
    timed = AXES[experiment.sweep.vary].compared_by == "seconds"
    text_file = _text_file(experiment)
    text = text_file.read_text(encoding="utf-8") if text_file.exists() else None
    waiting = next_to_train(
        experiment.sweep, experiment.runs.keys(), experiment.held_out, experiment.guess, experiment.device
    )
    for cell in waiting:
        run_id = scheduler.start(
            cell.config,
            name=f"{experiment.sweep.vary} {cell.value}",
            device=cell.device,
            text=text,
            threads=1,
            owner=experiment.owner,
            tags=[experiment.tag],
            series=experiment.id if timed else "",
        )
        experiment = replace(experiment, runs={**experiment.runs, (cell.value, cell.seed): run_id})
        _keep(experiment)  # after each: a run that nobody knows would be lost
    return experiment


def with_guess(experiment: Experiment, guess: Prediction) -> Experiment:
    """The sweep with a guess for the value held out, kept. Raises ConfigError if the guess is for another,
    RunError if there is a guess already: looking first and guessing then would be no guess."""
    if experiment.guess is not None:
        raise RunError("There is a guess already, and its run has begun.")
    next_to_train(experiment.sweep, experiment.runs.keys(), experiment.held_out, guess, experiment.device)
    guessed = replace(experiment, guess=guess)
    _keep(guessed)
    return guessed


def outcomes(experiment: Experiment, history_of: Callable[[Run], History]) -> list[Outcome]:
    """What the runs that have ended found, in the sweep's order; runs that were deleted are left out."""
    found = []
    for cell, run_id in experiment.cells():
        if run_id is None:
            continue
        try:
            result = outcome(cell, history_of(open_run(experiment.file.parent.parent, run_id)))
        except RunError:
            continue
        if result is not None:
            found.append(result)
    return found


def delete_experiment(experiment: Experiment, scheduler: Scheduler) -> None:
    """Stop and delete a sweep and all its runs. Raises RunError if one is still being saved."""
    for run_id in reversed(list(experiment.runs.values())):  # the queued ones first, or they would begin
        scheduler.stop(run_id)
    for run_id in experiment.runs.values():
        try:
            open_run(scheduler.root, run_id)
        except RunError:  # deleted before
            continue
        scheduler.delete(run_id)
    experiment.file.unlink(missing_ok=True)
    _text_file(experiment).unlink(missing_ok=True)


def _keep(experiment: Experiment) -> None:
    kept = {
        "created": experiment.created.isoformat(),
        "sweep": json.loads(experiment.sweep.to_json()),
        "owner": experiment.owner,
        "device": experiment.device,
        "held_out": experiment.held_out,
        "guess": None if experiment.guess is None else json.loads(experiment.guess.to_json()),
        "runs": [[value, seed, run_id] for (value, seed), run_id in experiment.runs.items()],
    }
    _write(experiment.file, json.dumps(kept, indent=1))


def _text_file(experiment: Experiment) -> Path:
    return experiment.file.with_suffix(".txt")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode("utf-8", "replace"))
    except OSError as error:
        raise RunError(f"No sweep can be kept in {file.parent} ({error.strerror}). Free some room.") from None
