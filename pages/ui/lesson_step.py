"""One step of a lesson, from top to bottom: question, prediction, run, what is seen, why, check.

Each part appears when the one before it is done. While runs go on, only the part with the chart is redrawn.
"""

from collections.abc import Sequence

import streamlit as st

from pages.ui import lesson_answers, lesson_runs, lesson_start, lesson_written, server, words
from pages.ui.lesson_runs import DONE, LIVE, MISSING, NEVER, PLAYING, STOPPED, Shown
from pages.ui.live_chart import live_chart
from slm_core.teach.conditions import filled_in
from slm_core.teach.grading import grade as grade_of
from slm_core.teach.grading import score, table, without_answers
from slm_core.teach.lesson import Lesson, Step
from slm_core.teach.measures import MEASURES, Values
from slm_core.teach.pictures import by_heart_picture, losses_picture
from slm_core.teach.progress import LONGEST_NOTE, RECORDED, Progress

_PHASES = ("Predict", "Run", "See", "Check")
_PHASES_WITHOUT_RUN = ("Predict", "Why")
_SECONDS = {LIVE: 1.0, PLAYING: 0.5}  # between two looks


def draw(lesson: Lesson, progress: Progress, step: Step) -> None:
    """Draw a step as far as this visitor has come in it."""
    if any(run.device == "gpu" for run in lesson.runs_of(step)):
        server.wait_until_warm()  # until then nobody knows whether there is one
    shown = _look(lesson, progress, step)
    values, without = lesson_runs.values_of(shown), never(lesson, progress, step)
    answer = lesson_answers.answer_of(progress, step.predict) if step.predict else None
    predicted, ended = step.predict is None or answer is not None, all(each.state == DONE for each in shown)
    checked = all(lesson_answers.answer_of(progress, each) is not None for each in step.checks)
    _phases(predicted, ended and predicted, checked, without)
    about = filled_in(step.text, step.runs, values)
    if not predicted:
        st.markdown(about)
        lesson_answers.ask(lesson, step.predict, "Your prediction", "That is my prediction")
        lesson_start.settings(lesson, step, progress)
        st.caption("" if without else "The run begins after your prediction.")
        return
    several = len(shown) > 1  # side by side, they need the whole width
    chart, beside = (st.container(), st.container()) if several else st.columns([3, 2], gap="medium")
    with chart:
        _runs(lesson, step, shown)
    with beside:
        if answer is not None:
            later = "It cannot be measured here." if without else "What is measured will be shown here."
            known = values if ended else None
            lesson_answers.show_prediction(lesson, step.predict, answer, known, later)
        with st.expander("What this step is about", icon=":material/help:"):
            st.markdown(about)
        lesson_start.settings(lesson, step, progress)
    if ended:
        _after(lesson, progress, step, shown, values)
    elif without:
        _without_run(lesson, progress, step, shown, values)


def never(lesson: Lesson, progress: Progress, step: Step) -> bool:
    """Whether a step needs a run that can never be had on this machine."""
    return any(each.state == NEVER for each in _look(lesson, progress, step))


def _look(lesson: Lesson, progress: Progress, step: Step) -> list[Shown]:
    return [lesson_runs.look(lesson, progress, run) for run in lesson.runs_of(step)]


def _phases(predicted: bool, ended: bool, checked: bool, without_run: bool) -> None:
    """Where one is in this step, in a line."""
    names = _PHASES_WITHOUT_RUN if without_run else _PHASES
    done = (predicted, predicted) if without_run else (predicted, ended, ended, ended and checked)
    now = next((place for place, each in enumerate(done) if not each), len(done))
    if now == 2:
        now = 3
    pieces = [
        f":green-badge[:material/check: {name}]"
        if done[place]
        else f":blue-badge[**{name}**]"
        if place == now
        else f":gray-badge[{name}]"
        for place, name in enumerate(names)
    ]
    st.markdown(" ".join(pieces))


# ---------------------------------------------------------------- the runs


def _runs(lesson: Lesson, step: Step, shown: Sequence[Shown]) -> None:
    states = {each.state for each in shown}
    for each in shown:
        if why := lesson_runs.why_never(lesson, each.run) if each.state == NEVER else "":
            st.info(f"**{words.plain(each.run.label)}.** {words.plain(why)}")
    if missing := [each.run for each in shown if each.state == MISSING]:
        lesson_start.offer(lesson, missing)
    if states <= {MISSING, NEVER}:
        return
    every = min((_SECONDS[state] for state in states if state in _SECONDS), default=None)
    st.fragment(_redrawn, run_every=every)(lesson, step, states)


def _redrawn(lesson: Lesson, step: Step, before: set[str]) -> None:
    progress = lesson_runs.progress_in(lesson)
    if any(each.kept is None and each.state == LIVE for each in _look(lesson, progress, step)):
        if waits_for := lesson_runs.go_on(lesson, step.runs):  # a limit, or room on the disk
            st.info(words.plain(waits_for))
        progress = lesson_runs.progress_in(lesson)
    shown = _look(lesson, progress, step)
    if {each.state for each in shown} != before:
        st.rerun()
    shown = [each for each in shown if each.state != NEVER]
    _ribbon(shown)
    _standing(lesson, shown)
    _charts(lesson, step, shown)


def _ribbon(shown: Sequence[Shown]) -> None:
    """Say plainly what is a recording, and whose."""
    played = [each for each in shown if each.source == RECORDED and each.recording]
    if not played:
        return
    made = dict.fromkeys(f"{each.machine} on {each.recording.made:%d %B %Y}" for each in played)
    others = [each for each in shown if each not in played and each.state != MISSING]
    which = f" of {words.plain(' · '.join(each.run.label for each in played))}" if others else ""
    now = "" if any(each.state == LIVE for each in others) else " Nothing is training now."
    said = words.plain("; ".join(made))
    st.warning(f"**Recording**{which}, made on {said}.{now}", icon=":material/movie:")


def _standing(lesson: Lesson, shown: Sequence[Shown]) -> None:
    going = [each for each in shown if each.state in (LIVE, PLAYING)]
    if going:
        share, left = lesson_start.share_and_left(shown)
        done = (
            f"{sum(each.state == DONE for each in shown)} of {len(shown)} done · " if len(shown) > 1 else ""
        )
        soon = f"{words.duration(left)} left" if left is not None else "starting …"
        playing = [each.run.name for each in going if each.state == PLAYING]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(share, f"{done}{soon}")
            if playing:
                names = (lesson, playing)
                st.button("To the end", icon=":material/skip_next:", on_click=lesson_runs.skip, args=names)
            if len(playing) < len(going):
                st.button("Stop", icon=":material/stop:", on_click=lesson_runs.stop, args=(lesson, going))
    stopped = [each for each in shown if each.state == STOPPED]
    if stopped and not going:
        st.warning("Stopped before the end. Let it go on, or begin anew, to see what the lesson is about.")
        with st.container(horizontal=True):
            if all(each.kept is not None and each.kept.resumable for each in stopped):
                st.button("Go on", type="primary", on_click=lesson_runs.resume, args=(stopped,))
            names = [each.run.name for each in stopped]
            st.button("Begin anew", on_click=lesson_runs.again, args=(lesson, names), key="anew-runs")


def _charts(lesson: Lesson, step: Step, shown: Sequence[Shown]) -> None:
    begun = {each.run.label: each.told for each in shown if each.state != MISSING}
    if not any(told.history.evaluations for told in begun.values()):
        st.caption("The chart begins with the first measurement.")
        return
    if len(begun) > 1:
        st.markdown(":blue[**Training**] and :orange[**validation**] loss over steps, all on one scale.")
    ends = (
        f"{each.run.label}: training {each.told.last.train_loss:.2f}, "
        f"validation {each.told.last.validation_loss:.2f}"
        for each in shown
        if each.told.last
    )
    key = f"chart-{lesson.id}-{step.id}"
    live_chart(losses_picture(begun), key=key, height=380, alt="Losses now. " + "; ".join(ends))
    if len(begun) == 1 and "extraction_rate" in step.show:
        [told] = begun.values()
        if (picture := by_heart_picture(told)) is not None:
            said = f"{told.by_heart.train_rate:.0%} of the places of its own text are known by heart."
            live_chart(picture, key=f"{key}-heart", height=200, alt=said)


# ---------------------------------------------------------------- once they have ended


def _after(lesson: Lesson, progress: Progress, step: Step, shown: Sequence[Shown], values: Values) -> None:
    told = without_answers(step, progress.answers, values)
    _table(lesson, step, shown, told)
    if step.speed and not lesson_written.measured(lesson, step, shown, values):
        return
    st.subheader("What you see", anchor=False)
    found = [(each, True if each.when is None else each.when.holds(values)) for each in step.see]
    texts = [each.text if holds else each.otherwise for each, holds in found if holds is not None]
    for text in texts:
        st.markdown(filled_in(text, step.runs, told))
    if _hides(step, texts, told, values):
        st.caption("A question mark stands for a number that a check below asks for.")
    if step.written:
        lesson_written.draw(next(each for each in shown if each.run.name == step.written))
    _why(step, told)
    _checks(lesson, progress, step, values)
    _note(lesson, progress, step)
    names = [each.run.name for each in shown]
    st.button(
        "Run this step again",
        icon=":material/replay:",
        type="tertiary",
        on_click=lesson_runs.again,
        args=(lesson, names),
        help="Here instead of the recording, or the other way round. Your answers stay.",
    )


def _hides(step: Step, texts: Sequence[str], told: Values, values: Values) -> bool:
    """Whether a question mark stands for a value in the table or in a text."""
    tables = table(step.show, step.runs, told), table(step.show, step.runs, values)
    return tables[0] != tables[1] or any(
        filled_in(text, step.runs, told) != filled_in(text, step.runs, values) for text in (*texts, step.why)
    )


def _without_run(
    lesson: Lesson, progress: Progress, step: Step, shown: Sequence[Shown], values: Values
) -> None:
    """What a step can tell without a run that cannot be had."""
    told = without_answers(step, progress.answers, values)
    if any(each.state == DONE for each in shown):
        _table(lesson, step, shown, told)
    _why(step, told)
    _note(lesson, progress, step)


def _why(step: Step, told: Values) -> None:
    if step.why:
        st.subheader("Why", anchor=False)
        st.markdown(filled_in(step.why, step.runs, told))


def _table(lesson: Lesson, step: Step, shown: Sequence[Shown], values: Values) -> None:
    cells = table(step.show, step.runs, values)
    if len(shown) == 1:
        with st.container(horizontal=True, gap="small"):
            for name, value in zip(step.show, cells[0], strict=True):
                st.metric(MEASURES[name].heading, value, border=True)
        return
    heads = [MEASURES[name].heading for name in step.show]
    rows = [
        {"Run": words.plain(each.run.label), **dict(zip(heads, row, strict=True))}
        for each, row in zip(shown, cells, strict=True)
    ]
    st.table(rows, hide_index=True)


def _checks(lesson: Lesson, progress: Progress, step: Step, values: Values) -> None:
    grades, labels = [], {name: run.label for name, run in lesson.runs.items()}
    for place, question in enumerate(step.checks, 1):
        title = f"Check {place} of {len(step.checks)}"
        answer = lesson_answers.answer_of(progress, question)
        if answer is None:
            lesson_answers.ask(lesson, question, title, "Answer")
            return  # one at a time
        lesson_answers.show_check(lesson, question, title, answer, values)
        grades.append(grade_of(question, answer, values, labels))
    right, known = score(grades)
    if known:
        st.markdown(f"**{right} of {known} right**, by what was measured in these runs.")


def _note(lesson: Lesson, progress: Progress, step: Step) -> None:
    key = f"note-{lesson.id}-{step.id}"
    st.session_state.setdefault(key, progress.notes.get(step.id, ""))
    st.text_area(
        "Your note, for the report",
        key=key,
        height=80,
        max_chars=LONGEST_NOTE,
        placeholder="What did you notice? What surprised you?",
        on_change=_take_note,
        args=(lesson, step, key),
    )


def _take_note(lesson: Lesson, step: Step, key: str) -> None:
    progress = lesson_runs.progress_in(lesson)
    lesson_runs.keep(lesson, progress.noted(step.id, st.session_state[key]))
