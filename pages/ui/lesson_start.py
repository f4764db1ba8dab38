"""Beginning the runs of a lesson: their locked settings, what they cost here, and the ways to have them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from pages.ui import deployment, engine, lesson_runs, server, words
from pages.ui.lesson_runs import LIVE, PLAYING, Shown
from slm_core.config import KNOBS
from slm_core.hardware import physical_cores
from slm_core.model.budget import budget
from slm_core.teach.grading import still_hidden
from slm_core.teach.lesson import Lesson, LessonRun, Step
from slm_core.teach.progress import Progress
from slm_core.teach.recording import SPEEDS

_TOGETHER = timedelta(seconds=10)  # runs begun by one press are begun within so long


def settings(lesson: Lesson, step: Step, progress: Progress) -> None:
    """The settings of a step's runs, to be read and not to be changed. Hidden ones show once all checks are
    answered."""
    runs = lesson.runs_of(step)
    hidden = still_hidden(step, progress.answers)
    with st.expander("Settings, fixed for this lesson", icon=":material/lock:"):
        for run in runs:
            size = words.compact(budget(run.config).parameters)
            st.markdown(f"**{words.plain(run.label)}** · {run.preset} · {size} parameters")
            told = [
                f"{name} {'**?**' if name in hidden else words.plain(_value(run, name))}"
                for name in dict.fromkeys((*run.changed, "max_iters", "seed"))
            ]
            st.caption(" · ".join(told))
        first = runs[0].config.to_dict()
        others = [name for name in KNOBS if name not in hidden and name not in _differing(runs)]
        rows = [{"Setting": KNOBS[name].label, "Value": f"{first[name]}"} for name in others]
        st.table(rows, hide_index=True)


def _value(run: LessonRun, name: str) -> str:
    value = getattr(run.config, name)
    return f"{value:,}" if isinstance(value, int) and name != "seed" else f"{value}"


def _differing(runs: Sequence[LessonRun]) -> set[str]:
    return {name for name in KNOBS if len({getattr(run.config, name) for run in runs}) > 1}


def offer(lesson: Lesson, runs: Sequence[LessonRun]) -> None:
    """Draw the ways to have runs that are missing: train them, take those of before, play the recording."""
    names = [run.name for run in runs]
    devices = {run.name: lesson_runs.device_for(run) for run in runs}
    recordings = [each for run in runs if (each := lesson_runs.recorded(lesson, run))]
    problems = {problem for run in runs for problem in deployment.limits().problems(run.config)}
    if None in devices.values():
        problems.add("There is no graphics card on this machine.")
    whole = len(recordings) == len(runs)
    with st.container(border=True):
        if problems:
            st.info(words.plain("\n".join(sorted(problems))))
        else:
            _time(runs, devices)
        with st.container(horizontal=True, vertical_alignment="center"):
            label = "Train it here" if len(runs) == 1 else f"Train all {len(runs)} here"
            st.button(
                label,
                icon=":material/play_arrow:",
                type="primary",
                disabled=bool(problems),
                on_click=lesson_runs.start,
                args=(engine.Once(), lesson, names),
            )
            if found := lesson_runs.earlier(lesson, names):
                when = max(run.created for run in found.values())
                st.button(
                    f"Use the run of {when:%d %b %H:%M} UTC",
                    icon=":material/history:",
                    on_click=lesson_runs.use,
                    args=(lesson, found),
                    help="The same settings were trained on this server before.",
                )
        if whole:
            _recording(lesson, names, recordings[0].device)


def _recording(lesson: Lesson, names: Sequence[str], device: str) -> None:
    st.caption(f"No time, power or network? There is a recording, made on {words.plain(device)}.")
    key = f"speed-{lesson.id}"
    with st.container(horizontal=True, vertical_alignment="center"):
        speed = st.segmented_control(
            "Speed", SPEEDS, default="10×", key=key, required=True, label_visibility="collapsed"
        )
        st.button(
            "Play the recording",
            icon=":material/movie:",
            on_click=lesson_runs.play,
            args=(lesson, names, SPEEDS[speed]),
        )


def _time(runs: Sequence[LessonRun], devices: dict[str, str | None]) -> None:
    largest = max(runs, key=lambda run: budget(run.config).training_flops)
    device = devices[largest.name] or "cpu"
    known = server.is_warm() and engine.speed_probe().ask(largest.config, device)[0]
    st.fragment(_seconds, run_every=None if known else 0.7)(runs, largest, device)


def _seconds(runs: Sequence[LessonRun], largest: LessonRun, device: str) -> None:
    known, speed = engine.speed_probe().ask(largest.config, device) if server.is_warm() else (False, None)
    at_once = min(physical_cores(), len(runs))
    together = f", {at_once} at a time" if at_once > 1 else ""
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs{together}"
    if speed is not None:
        flops = {run.name: budget(run.config).training_flops for run in runs}
        seconds = speed.run_seconds(largest.config) * sum(flops.values()) / flops[largest.name]
        st.markdown(f"{count}: about **{words.duration(seconds / at_once)}** on this machine.")
    elif known or engine.scheduler().live():
        st.markdown(f"{count}. How long it takes can be told once the runs that train now have ended.")
    else:
        st.markdown(f"{count}. How long it takes here is being tried out …")


def share_and_left(shown: Sequence[Shown]) -> tuple[float, float | None]:
    """The share of a group of runs that is done (0..1), and about how many seconds are left; None while
    nobody can tell."""
    flops = [budget(each.run.config).training_flops for each in shown]
    done = [_done(each) * cost for each, cost in zip(shown, flops, strict=True)]
    share = min(1.0, sum(done) / sum(flops))
    playing = [each for each in shown if each.state == PLAYING]
    if playing:
        return share, max(_left_of_recording(each) for each in playing)
    return share, _left_of_training(shown)


def _left_of_training(shown: Sequence[Shown]) -> float | None:
    """By how far the runs have come that train now or were begun with them. A step may show others, which
    were trained for an earlier step: they tell nothing of the time."""
    begun = [each.kept.created for each in shown if each.state == LIVE and each.kept is not None]
    if not begun:
        return None
    since = min(begun) - _TOGETHER
    now = [each for each in shown if each.state == LIVE or (each.kept and each.kept.created >= since)]
    flops = [budget(each.run.config).training_flops for each in now]
    share = sum(_done(each) * cost for each, cost in zip(now, flops, strict=True)) / sum(flops)
    if share < 0.02:
        return None
    return _spent(now) * (1 - share) / share


def _spent(now: Sequence[Shown]) -> float:
    """The seconds that runs have taken so far. Of those that went on after a stop, only what they computed:
    nobody trained in between."""
    if any(each.told.history.started and each.told.history.started.step for each in now):
        at_once = min(physical_cores(), sum(each.state == LIVE for each in now))
        steps = [each.told.history.last_step for each in now]
        return sum(step.elapsed_seconds for step in steps if step) / at_once
    first = min(each.kept.created for each in now if each.kept is not None)
    return (datetime.now(UTC) - first).total_seconds()


def _done(each: Shown) -> float:
    history = each.told.history
    if history.finished is not None:
        return 1.0
    return history.last_step.step / each.run.config.max_iters if history.last_step else 0.0


def _left_of_recording(each: Shown) -> float:
    last = each.told.history.last_step
    return max(0.0, each.recording.seconds - (last.elapsed_seconds if last else 0.0))
