"""The report of a lesson, to take away."""

from datetime import UTC, datetime

import streamlit as st

from pages.ui import lesson_runs
from pages.ui.lesson_runs import MISSING
from slm_core.hardware import cpu
from slm_core.teach.lab_report import RunPart, lab_report
from slm_core.teach.lesson import Lesson
from slm_core.teach.progress import RECORDED, Progress


def offer(lesson: Lesson, progress: Progress) -> None:
    """Draw a button that gives this visitor's report on the lesson, as far as they have come."""
    st.download_button(
        "Lab report",
        data=lambda: _report(lesson),
        file_name=f"{lesson.id}-report.html",
        mime="text/html",
        icon=":material/lab_profile:",
        on_click="ignore",
        disabled=not progress.answers,
        help="One page with your answers, the charts and every setting. It needs no network. 5 MB.",
    )


def _report(lesson: Lesson) -> str:
    progress = lesson_runs.progress_in(lesson)
    shown = [lesson_runs.look(lesson, progress, run) for run in lesson.runs.values()]
    parts = [
        RunPart(
            name=each.run.name,
            told=each.told,
            machine=each.machine,
            recorded=each.recording.made if each.source == RECORDED and each.recording else None,
        )
        for each in shown
        if each.state != MISSING
    ]
    series = st.get_option("theme.light.chartCategoricalColors")
    return lab_report(lesson, progress, parts, machine=cpu().label, when=datetime.now(UTC), series=series)
