"""The questions of a lesson: asked, answered once, and graded by what was measured."""

from dataclasses import replace
from typing import Any

import streamlit as st

from pages.ui import lesson_runs, words
from slm_core.teach.conditions import filled_in
from slm_core.teach.grading import Answer, fits, grade
from slm_core.teach.lesson import Lesson, Question
from slm_core.teach.measures import MEASURES, Values
from slm_core.teach.progress import Progress


def answer_of(progress: Progress, question: Question) -> Answer | None:
    """What this visitor answered; None before that, or if the file has changed so that it no longer fits."""
    answer = progress.answers.get(question.id)
    return answer if fits(question, answer) else None


def ask(lesson: Lesson, question: Question, title: str, button: str) -> None:
    """Draw a question, to be answered once."""
    key = f"answer-{lesson.id}-{question.id}"
    with st.container(border=True):
        st.markdown(f"**{title}**  \n{question.ask}")
        given = _control(lesson, question, key)
        st.button(
            button,
            key=f"give-{key}",
            type="primary",
            disabled=given is None,
            on_click=_take,
            args=(lesson, question, key),
        )


def _control(lesson: Lesson, question: Question, key: str) -> Any:
    hidden = {"label_visibility": "collapsed", "key": key}
    if question.choices:
        texts = [choice.text for choice in question.choices]
        return st.radio("Answer", range(len(texts)), format_func=texts.__getitem__, index=None, **hidden)
    if question.pick:
        labels = {name: lesson.runs[name].label for name in question.runs}
        return st.radio("Answer", labels, format_func=labels.get, index=None, horizontal=True, **hidden)
    measure = MEASURES[question.number.measure]
    unit = "in per cent" if measure.unit == "%" else f"in {measure.unit}" if measure.unit else "a number"
    return st.number_input("Answer", value=None, min_value=0.0, placeholder=unit, width=260, **hidden)


def _take(lesson: Lesson, question: Question, key: str) -> None:
    given = st.session_state.get(key)
    if fits(question, given):
        progress = lesson_runs.progress_in(lesson)
        if question.id in progress.answers and answer_of(progress, question) is None:
            others = {name: each for name, each in progress.answers.items() if name != question.id}
            progress = replace(progress, answers=others)
        lesson_runs.keep(lesson, progress.answered(question.id, given))


def show_prediction(
    lesson: Lesson, question: Question, answer: Answer, values: Values | None, later: str
) -> None:
    """Draw a prediction; once there are values, beside what was measured, and until then beside `later`."""
    with st.container(border=True):
        st.markdown(f"**Your prediction**  \n{question.ask}")
        found = grade(question, answer, values or {}, _labels(lesson))
        st.markdown(f":violet-badge[you said] {words.plain(found.said)}")
        if values is None:
            st.caption(later)
        else:
            st.markdown(f":green-badge[measured] {words.plain(found.truth)}")
            st.markdown(_verdict(question, found.right))


def _verdict(question: Question, right: bool | None) -> str:
    if right is None:
        return "That cannot be told from this run."
    if question.number is not None:
        return "**Close.**" if right else "**Not close.** How did you come to your number?"
    return "**As you said.**" if right else "**A surprise.** Why?"


def show_check(lesson: Lesson, question: Question, title: str, answer: Answer, values: Values) -> None:
    """Draw an answered check with its grade and the explanation."""
    found = grade(question, answer, values, _labels(lesson))
    with st.container(border=True):
        st.markdown(f"**{title}**  \n{question.ask}")
        badge = {True: ":green-badge[:material/check: right]", False: ":orange-badge[not so]"}
        st.markdown(
            f"{badge.get(found.right, ':gray-badge[cannot be told]')} You said: {words.plain(found.said)}"
        )
        if found.right is not True:
            st.markdown(f":green-badge[measured] {words.plain(found.truth)}")
        if question.explain:
            st.markdown(filled_in(question.explain, question.runs, values))


def _labels(lesson: Lesson) -> dict[str, str]:
    return {name: run.label for name, run in lesson.runs.items()}
