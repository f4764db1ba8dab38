"""Sweeps that are kept: the plan, which run belongs to which cell, what was guessed; one small file each,
beside the runs.

The runs are ordinary runs, on the scheduler like all others. This module starts them and finds them again.
"""

import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slm_core.errors import ConfigError, RunError, SlmError
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
    of the run of each cell that was started, by (value, seed). stopped: a person has, and no run begins
    before they resume it."""

    id: str
    file: Path
    created: datetime
    sweep: Sweep
    owner: str
    device: str
    held_out: Value | None
    guess: Prediction | None
    runs: dict[tuple[Value, int], str]
    stopped: bool = False

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
            stopped=bool(kept.get("stopped", False)),
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
    """Let a sweep go on: those of its runs that a server's end has interrupted, and all that may be trained
    now and were not started yet. Gives the sweep as it then is; one that was stopped stays as it is.

    Each run computes with one thread, so that its numbers do not depend on what else runs. Where it is
    seconds that are compared, they follow one another, as each would slow the other. Raises RunError if a run
    cannot be started; those before it go on.
    """
    with scheduler.planning:  # a page and the end of a run may both ask for this
        experiment = open_experiment(scheduler.root, experiment.id)
        if experiment.stopped:
            return experiment
        for run in unfinished(experiment, scheduler):
            if run.last_end() is None and not scheduler.failure(run.id):
                scheduler.resume(run.id, _series(experiment))
        return _start_more(experiment, scheduler)


def resume(experiment: Experiment, scheduler: Scheduler) -> Experiment:
    """Let a sweep go on that was stopped or interrupted, with all its runs that have not come to their end.
    Raises RunError as `go_on` does."""
    with scheduler.planning:
        experiment = open_experiment(scheduler.root, experiment.id)
        _keep(replace(experiment, stopped=False))
        for run in unfinished(experiment, scheduler):
            scheduler.resume(run.id, _series(experiment))
    return go_on(experiment, scheduler)


def stop(experiment: Experiment, scheduler: Scheduler) -> None:
    """Stop all runs of a sweep, and begin no more. Raises RunError if that cannot be kept."""
    with scheduler.planning:
        experiment = open_experiment(scheduler.root, experiment.id)
        _keep(replace(experiment, stopped=True))
        for run_id in reversed(list(experiment.runs.values())):  # the queued ones first, or they would begin
            scheduler.stop(run_id)


def after_run(scheduler: Scheduler, run: Run) -> None:
    """What a scheduler does when a run has ended: what a limit forbade to start with the others of its sweep
    may begin now, whoever looks."""
    for tag in run.tags:
        kind, _, mark = tag.partition(" ")
        if kind != TAG or not re.fullmatch(r"[0-9a-f]{6}", mark):
            continue
        for file in (scheduler.root / _FOLDER).glob(f"*-{mark}.json"):
            # Still too many, or no room: the next end tries again, and the sweep's page offers it.
            with suppress(SlmError):
                go_on(open_experiment(scheduler.root, file.stem), scheduler)


def unfinished(experiment: Experiment, scheduler: Scheduler) -> list[Run]:
    """The runs of a sweep that have not come to their end, and are not about to: stopped, failed, or
    interrupted when the server ended."""
    found = []
    for run_id in experiment.runs.values():
        if scheduler.status(run_id) is not None:
            continue
        try:
            run = open_run(scheduler.root, run_id)
        except RunError:  # it was deleted
            continue
        if run.resumable:
            found.append(run)
    return found


def waiting(experiment: Experiment) -> list[Cell]:
    """The cells of a sweep that may be trained now and were not started yet."""
    return next_to_train(
        experiment.sweep, experiment.runs.keys(), experiment.held_out, experiment.guess, experiment.device
    )


def to_go_on(experiment: Experiment, scheduler: Scheduler) -> bool:
    """Whether `resume` would have something to do."""
    return bool(unfinished(experiment, scheduler) or waiting(experiment))


def is_interrupted(experiment: Experiment, scheduler: Scheduler) -> bool:
    """Whether a sweep that nobody had stopped stands still before its end: the server has ended under it."""
    if experiment.stopped or any(scheduler.status(run_id) for run_id in experiment.runs.values()):
        return False
    return to_go_on(experiment, scheduler)


def guess(experiment: Experiment, guessed: Prediction, scheduler: Scheduler) -> Experiment:
    """Keep a guess for the value held out, and train it. Raises ConfigError if the guess is for another
    value, RunError if there is a guess already: looking first and guessing then would be no guess."""
    with scheduler.planning:
        experiment = open_experiment(scheduler.root, experiment.id)
        if experiment.guess is not None:
            raise RunError("There is a guess already, and its run has begun.")
        with_guess = replace(experiment, guess=guessed, stopped=False)
        waiting(with_guess)
        _keep(with_guess)
    return go_on(with_guess, scheduler)


def _series(experiment: Experiment) -> str:
    return experiment.id if AXES[experiment.sweep.vary].compared_by == "seconds" else ""


def _start_more(experiment: Experiment, scheduler: Scheduler) -> Experiment:
    cells = waiting(experiment)
    text_file = _text_file(experiment)
    try:
        text = text_file.read_text(encoding="utf-8") if cells and text_file.exists() else None
    except OSError as error:
        raise RunError(f"{text_file} cannot be read ({error.strerror}). Look after that disk.") from None
    for cell in cells:
        run_id = scheduler.start(
            cell.config,
            name=f"{experiment.sweep.vary} {cell.value}",
            device=cell.device,
            text=text,
            threads=1,
            owner=experiment.owner,
            tags=[experiment.tag],
            series=_series(experiment),
        )
        experiment = replace(experiment, runs={**experiment.runs, (cell.value, cell.seed): run_id})
        _keep(experiment)  # after each: a run that nobody knows would be lost
    if len(experiment.runs) == len(experiment.sweep.values) * len(experiment.sweep.seeds):
        text_file.unlink(missing_ok=True)  # each run has its own by now
    return experiment


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
    stop(experiment, scheduler)
    experiment = open_experiment(scheduler.root, experiment.id)
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
        "stopped": experiment.stopped,
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
