"""The runs of a lesson's step, as they stand: trained here, played from a recording, or still to come."""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from pages import PAGES
from pages.ui import deployment, engine, server, visitor
from slm_core.errors import RunError, SlmError
from slm_core.hardware import cpu, devices
from slm_core.runs.history import History
from slm_core.runs.store import Run, open_run
from slm_core.teach.lesson import Lesson, LessonRun, load_lesson
from slm_core.teach.measures import Told, Value, measured
from slm_core.teach.progress import HERE, RECORDED, Progress, keep_progress, load_progress
from slm_core.teach.recording import Recording, find_recording, recording_file

FOLDER = PAGES / "lessons"  # where a lecturer finds and edits them
RECORDINGS = FOLDER / "recordings"
MISSING, LIVE, PLAYING, STOPPED, DONE = "missing", "live", "playing", "stopped", "done"
NEVER = "never"  # it can be neither trained here nor played
_NO_CARD = "This machine has no graphics card, and no recording of this run comes with the lesson."
_TAG = "lesson"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One run of a lesson as the page shows it. kept: the run trained here, if it is one."""

    run: LessonRun
    state: str
    told: Told
    source: str = ""
    machine: str = ""
    kept: Run | None = None
    recording: Recording | None = None


def lesson_called(name: str) -> Lesson:
    """The lesson in the file of that name. Raises ConfigError."""
    file = FOLDER / f"{name}.yaml"
    return _read(file, file.stat().st_mtime_ns if file.exists() else 0)


@functools.lru_cache(maxsize=32)  # a live page asks again each second
def _read(file: Path, changed_ns: int) -> Lesson:
    return load_lesson(file)


def progress_in(lesson: Lesson) -> Progress:
    """How far this visitor has come in a lesson."""
    return load_progress(engine.scheduler().root, visitor.owner(), lesson.id) or Progress()


def keep(lesson: Lesson, progress: Progress) -> None:
    """Keep how far this visitor has come; what is wrong is kept for the page to say."""
    try:
        keep_progress(engine.scheduler().root, visitor.owner(), lesson.id, progress)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def tag_of(lesson: Lesson, run: LessonRun) -> str:
    """What a run of a lesson is labelled with."""
    return f"{_TAG} {lesson.id} {run.name}"


def look(lesson: Lesson, progress: Progress, run: LessonRun) -> Shown:
    """How a run stands now."""
    source = progress.sources.get(run.name)
    if source == RECORDED and (recording := recorded(lesson, run)) is not None:
        return _from_recording(lesson, run, recording)
    if source == HERE:
        if (kept := _open(progress.runs.get(run.name, ""), run)) is not None:
            return _from_here(progress, run, kept)
        if run.name not in progress.runs:  # asked for, and a limit did not allow it yet
            return Shown(run=run, state=LIVE, told=_nothing(run), source=HERE)
    return Shown(run=run, state=NEVER if why_never(lesson, run) else MISSING, told=_nothing(run))


def why_never(lesson: Lesson, run: LessonRun) -> str:
    """Why a run can be neither trained here, nor played, nor taken from before; empty if it can, and while
    nobody knows yet what this machine has."""
    if recorded(lesson, run) is not None:
        return ""
    if server.is_warm() and device_for(run) is None:
        why = _NO_CARD
    elif problems := deployment.limits().problems(run.config):
        why = f"{problems[0]} And no recording of this run comes with the lesson."
    else:
        return ""
    return "" if earlier(lesson, [run.name]) else why


def _nothing(run: LessonRun) -> Told:
    return Told(config=run.config, history=History(Path()))


def _open(run_id: str, wanted: LessonRun) -> Run | None:
    """A run that this visitor may see and that has the lesson's settings, which may have been edited."""
    try:
        run = open_run(engine.scheduler().root, run_id)
    except RunError:
        return None
    return run if run.config == wanted.config and visitor.may_see(run) else None


def _from_here(progress: Progress, run: LessonRun, kept: Run) -> Shown:
    besides = dict(progress.besides.get(run.name, {}))
    if file := kept.checkpoints.get("last"):
        besides["file_kilobytes"] = file.stat().st_size / 1000
    told = Told(config=kept.config, history=engine.history(kept), report=kept.report(), besides=besides)
    match engine.state_of(kept):
        case "queued" | "running" | "paused" | "stopping":
            state = LIVE
        case "finished" | "diverged":
            state = DONE
        case _:
            state = STOPPED
    machine = cpu().label if kept.device == "cpu" else _label(kept.device)
    return Shown(run=run, state=state, told=told, source=HERE, machine=machine, kept=kept)


def _label(device: str) -> str:
    return next((each.label for each in devices() if each.name == device), device)


def recorded(lesson: Lesson, run: LessonRun) -> Recording | None:
    """The recording of a run; None if there is none with its settings."""
    file = recording_file(RECORDINGS, lesson.id, run.name)
    return _recording(RECORDINGS, lesson.id, run, file.stat().st_mtime_ns) if file.exists() else None


@functools.lru_cache(maxsize=64)
def _recording(folder: Path, lesson_id: str, run: LessonRun, changed_ns: int) -> Recording | None:
    return find_recording(folder, lesson_id, run)


def _from_recording(lesson: Lesson, run: LessonRun, recording: Recording) -> Shown:
    played = _played(lesson, run)
    playing = played < recording.seconds
    told = Told(
        config=run.config,
        history=recording.history(played),
        report=recording.report,
        besides=recording.besides,
    )
    return Shown(
        run=run,
        state=PLAYING if playing else DONE,
        told=told,
        source=RECORDED,
        machine=recording.device,
        recording=recording,
    )


def _played(lesson: Lesson, run: LessonRun) -> float:
    """Seconds of a recording that were played; all of it, unless this visitor is watching it now."""
    began, speed = st.session_state.get("playing", {}).get((lesson.id, run.name), (0.0, float("inf")))
    return float("inf") if speed == float("inf") else (time.monotonic() - began) * speed


def play(lesson: Lesson, names: Sequence[str], speed: float) -> None:
    """Play the recordings of some runs from the beginning, all at once."""
    progress = progress_in(lesson)
    began, playing = time.monotonic(), st.session_state.setdefault("playing", {})
    playing |= {(lesson.id, name): (began, speed) for name in names}
    sources = {**progress.sources, **dict.fromkeys(names, RECORDED)}
    keep(lesson, replace(progress, sources=sources))


def skip(lesson: Lesson, names: Sequence[str]) -> None:
    """Go to the end of recordings that are playing."""
    for name in names:
        st.session_state.get("playing", {}).pop((lesson.id, name), None)


def start(once: engine.Once, lesson: Lesson, names: Sequence[str]) -> None:
    """Train runs of a lesson here; what a limit forbids now is started by `go_on` later."""

    def begin() -> str:
        progress = progress_in(lesson)
        runs = {name: run_id for name, run_id in progress.runs.items() if name not in names}
        sources = {**progress.sources, **dict.fromkeys(names, HERE)}
        keep(lesson, replace(progress, runs=runs, sources=sources))
        return go_on(lesson, names)

    if complaint := once(begin):
        st.session_state["complaint"] = complaint


def go_on(lesson: Lesson, names: Sequence[str]) -> str:
    """Start those of some runs that are to be trained here and have not been started; gives what is in the
    way, if anything is."""
    server.wait_until_warm()
    progress = progress_in(lesson)
    for name in names:
        if progress.sources.get(name) != HERE or name in progress.runs:
            continue
        run = lesson.runs[name]
        try:
            run_id = engine.scheduler().start(
                run.config,
                name=f"{lesson.title.partition(' ·')[0]} · {run.label}",
                device=device_for(run) or "cpu",
                threads=1 if len(names) > 1 else 0,
                owner=visitor.owner(),
                tags=[tag_of(lesson, run)],
            )
        except SlmError as error:
            return str(error)
        progress = replace(progress, runs={**progress.runs, name: run_id})
        keep(lesson, progress)  # after each: a run that nobody knows would be lost
    return ""


def device_for(run: LessonRun) -> str | None:
    """Where a run of a lesson would train here; None if what it needs is not here."""
    best = devices()[0].name if server.is_warm() else "cpu"
    if run.device == "gpu":
        return best if best != "cpu" else None
    return best if run.device == "best" else "cpu"


def earlier(lesson: Lesson, names: Sequence[str]) -> dict[str, Run]:
    """The latest finished runs that have these runs' tags and settings, by name; empty unless there is one
    for each. A lecturer who trained and published them before the lecture has made them for the whole
    class."""
    found: dict[str, Run] = {}
    tags = {tag_of(lesson, lesson.runs[name]): name for name in names}
    for run in engine.visible_runs():
        for name in (tags[tag] for tag in run.tags if tag in tags):
            same = run.config == lesson.runs[name].config
            if same and name not in found and engine.state_of(run) == "finished":
                found[name] = run
    return found if len(found) == len(names) else {}


def use(lesson: Lesson, runs: dict[str, Run]) -> None:
    """Take runs that were trained earlier."""
    progress = progress_in(lesson)
    ids = {name: run.id for name, run in runs.items()}
    sources = {**progress.sources, **dict.fromkeys(runs, HERE)}
    keep(lesson, replace(progress, runs={**progress.runs, **ids}, sources=sources))


def again(lesson: Lesson, names: Sequence[str]) -> None:
    """Show neither runs nor recordings of a step any more, so that it can be run otherwise. Runs stay."""
    progress = progress_in(lesson)
    kept = {
        which: {name: each for name, each in getattr(progress, which).items() if name not in names}
        for which in ("runs", "sources", "besides")
    }
    keep(lesson, replace(progress, **kept))


def stop(lesson: Lesson, shown: Sequence[Shown]) -> None:
    """Stop those that train here, the queued ones first, or they would begin; those that could not be started
    yet are not to be started any more."""
    again(lesson, [each.run.name for each in shown if each.source == HERE and each.kept is None])
    for each in reversed(shown):
        if each.kept is not None:
            engine.scheduler().stop(each.kept.id)


def resume(shown: Sequence[Shown]) -> None:
    """Let those that were stopped go on from where they were saved."""
    try:
        for each in shown:
            if each.state == STOPPED and each.kept is not None:
                engine.scheduler().resume(each.kept.id)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def values_of(shown: Sequence[Shown]) -> dict[str, dict[str, Value]]:
    """All that is measured of some runs, by name and measure."""
    return {each.run.name: measured(each.told) for each in shown}
