"""The concept check: ten questions before the lessons and after them, and what was gained."""

import streamlit as st

from pages.ui import deployment, engine, lesson_runs, visitor, words
from slm_core.errors import SlmError
from slm_core.teach import quiz
from slm_core.teach.quiz import AFTER, BEFORE, Attempts, QuizQuestion

_FILE = "concept-check.yaml"
_TITLES = {BEFORE: "Before the lessons", AFTER: "After the lessons"}


def draw() -> None:
    """Draw the check as far as this visitor has come in it."""
    try:
        questions = quiz.load_quiz(lesson_runs.FOLDER / _FILE)
    except SlmError as error:
        st.error(words.plain(str(error)))
        st.caption(f"Mend {_FILE} in pages/lessons, and reload this page.")
        return
    if complaint := st.session_state.pop("complaint", ""):
        st.error(words.plain(complaint))
    attempts = quiz.load_attempts(engine.scheduler().root, visitor.owner())
    if not attempts.before:
        st.caption("Answer as well as you can. What is right is told after the second time.")
        _form(questions, attempts, BEFORE)
        return
    _results(questions, attempts)
    if not attempts.after:
        _form(questions, attempts, AFTER)
    else:
        _explained(questions, attempts)
    _take_away(questions, attempts)


def _form(questions: tuple[QuizQuestion, ...], attempts: Attempts, when: str) -> None:
    st.subheader(_TITLES[when], anchor=False)
    with st.form(f"quiz-{when}", border=False):
        for place, question in enumerate(questions, 1):
            st.radio(
                f"**{place}.** {question.ask}",
                range(len(question.choices)),
                format_func=question.choices.__getitem__,
                index=None,
                key=f"quiz-{when}-{question.id}",
            )
        st.form_submit_button("Hand in", type="primary", on_click=_hand_in, args=(questions, attempts, when))


def _hand_in(questions: tuple[QuizQuestion, ...], attempts: Attempts, when: str) -> None:
    given = {each.id: st.session_state.get(f"quiz-{when}-{each.id}") for each in questions}
    if open_ones := [f"{place}" for place, each in enumerate(given.values(), 1) if each is None]:
        st.session_state["complaint"] = (
            f"Please answer question {', '.join(open_ones)}, too. A guess will do."
        )
        return
    try:
        root, owner = engine.scheduler().root, visitor.owner()
        quiz.keep_attempts(root, owner, attempts.with_answers(when, given))
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _results(questions: tuple[QuizQuestion, ...], attempts: Attempts) -> None:
    before, after = (quiz.correct(questions, each) for each in (attempts.before, attempts.after))
    gained, of = quiz.gain(questions, attempts), f"of {len(questions)}"
    with st.container(horizontal=True, gap="medium"):
        st.metric("Before", f"{before} {of}", border=True)
        st.metric("After", f"{after} {of}" if attempts.after else "…", border=True)
        said = "Of what was still to be learned before, the share that is right after (Hake 1998)."
        st.metric("Gained", "…" if gained is None else f"{gained:.0%}", help=said, border=True)
    if not attempts.after:
        st.markdown("Do the lessons, and come back for the second time. The questions are the same.")


def _explained(questions: tuple[QuizQuestion, ...], attempts: Attempts) -> None:
    for question in questions:
        before, after = (
            each.get(question.id) == question.right for each in (attempts.before, attempts.after)
        )
        marks = " ".join(
            f":{'green' if right else 'orange'}-badge[{when}: {'right' if right else 'not so'}]"
            for when, right in ((BEFORE, before), (AFTER, after))
        )
        with st.container(border=True):
            st.markdown(f"**{question.ask}**  \n{marks}")
            st.markdown(f":material/check: {question.choices[question.right]}")
            st.caption(question.explain)


def _take_away(questions: tuple[QuizQuestion, ...], attempts: Attempts) -> None:
    st.divider()
    shared = {"mime": "text/csv", "icon": ":material/download:", "on_click": "ignore"}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "My answers (CSV)", quiz.to_csv(questions, [attempts]), "concept-check.csv", **shared
        )
        if deployment.limits().separate and st.session_state.get("lecturer"):
            everybody = quiz.all_attempts(engine.scheduler().root)
            st.download_button(
                f"All {len(everybody)} students (CSV)",
                quiz.to_csv(questions, everybody),
                "concept-check-all.csv",
                **shared,
            )
        with st.popover("Begin anew", icon=":material/restart_alt:"):
            st.markdown("Forget these answers? That cannot be undone.")
            st.button("Forget them", type="primary", on_click=_forget)
    st.caption(
        f"There is no name in these tables. You are {attempts.student} in them, which was drawn by lot."
    )


def _forget() -> None:
    quiz.forget_attempts(engine.scheduler().root, visitor.owner())
    for key in [key for key in st.session_state if str(key).startswith("quiz-")]:
        del st.session_state[key]
