"""A lesson: one step of it at a time, with a line that says where one is, and the way on."""

from dataclasses import replace

import streamlit as st

from pages.ui import engine, lesson_report, lesson_runs, lesson_step, live_chart, visitor, words
from slm_core.errors import ConfigError
from slm_core.teach.grading import fits
from slm_core.teach.lesson import Lesson, Step
from slm_core.teach.progress import Progress, forget_progress


def draw(name: str) -> None:
    """Draw the lesson in the file of that name, or what is wrong with that file."""
    try:
        lesson = lesson_runs.lesson_called(name)
    except ConfigError as error:
        st.title("This lesson cannot be shown", anchor=False)
        st.error(words.plain(str(error)))
        st.caption(f"Mend {words.plain(name)}.yaml in pages/lessons, and reload this page.")
        return
    progress = lesson_runs.progress_in(lesson)
    place = min(progress.step, len(lesson.steps) - 1)
    step = lesson.steps[place]
    st.title(lesson.title, anchor=False)
    st.markdown(f"{lesson.question} :gray[About {lesson.minutes} minutes.]")
    _line(lesson, progress, place)
    if complaint := st.session_state.pop("complaint", ""):
        st.error(words.plain(complaint))
    lesson_step.draw(lesson, progress, step)
    _ways(lesson, progress, place)
    live_chart.preload()


def _line(lesson: Lesson, progress: Progress, place: int) -> None:
    """The steps by name, those done with a tick; a click goes there."""
    done = [_done(lesson, progress, step) for step in lesson.steps]

    def said(at: int) -> str:
        mark = ":material/check_circle: " if done[at] else ""
        return f"{mark}{at + 1} · {lesson.steps[at].title}"

    key = f"line-{lesson.id}"
    st.session_state[key] = place
    st.segmented_control(
        "Steps",
        range(len(lesson.steps)),
        format_func=said,
        key=key,
        label_visibility="collapsed",
        required=True,
        on_change=_chosen,
        args=(lesson, key),
    )


def _done(lesson: Lesson, progress: Progress, step: Step) -> bool:
    """Whether all of a step is done, as far as it can be done on this machine."""
    if lesson_step.never(lesson, progress, step):
        asked = step.questions[: step.predict is not None]  # without its runs nothing can be checked
    elif all(name in progress.sources for name in step.runs):
        asked = step.questions
    else:
        return False
    return all(fits(each, progress.answers.get(each.id)) for each in asked)


def _chosen(lesson: Lesson, key: str) -> None:
    _go(lesson, st.session_state[key])


def _go(lesson: Lesson, place: int) -> None:
    lesson_runs.keep(lesson, replace(lesson_runs.progress_in(lesson), step=place))


def _ways(lesson: Lesson, progress: Progress, place: int) -> None:
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center"):
        if place:
            st.button("Back", icon=":material/arrow_back:", on_click=_go, args=(lesson, place - 1))
        if place + 1 < len(lesson.steps):
            done = _done(lesson, progress, lesson.steps[place])
            st.button(
                f"Next: {lesson.steps[place + 1].title}",
                icon=":material/arrow_forward:",
                type="primary" if done else "secondary",
                on_click=_go,
                args=(lesson, place + 1),
            )
        st.space("stretch")
        lesson_report.offer(lesson, progress)
        with st.popover("Begin anew", icon=":material/restart_alt:"):
            st.markdown("Forget your answers and notes in this lesson? Its runs stay. This cannot be undone.")
            st.button("Forget them", type="primary", on_click=_reset, args=(lesson,))


def _reset(lesson: Lesson) -> None:
    forget_progress(engine.scheduler().root, visitor.owner(), lesson.id)
    widgets = ("answer-", "note-", "playing")
    for key in [key for key in st.session_state if str(key).startswith(widgets)]:
        del st.session_state[key]
