"""What a run's measurements show so far: in a sentence, with advice, and the numbers behind a click."""

import streamlit as st

from pages.ui import engine, run_list, words
from slm_core.runs.history import History
from slm_core.runs.store import Run
from slm_core.study import verdict as verdicts
from slm_core.study.verdict import Verdict
from slm_core.text.report import TextReport

_COLORS = {
    verdicts.LEARNING: "blue",
    verdicts.GOOD_FIT: "green",
    verdicts.OVERFITTING: "orange",
    verdicts.MEMORIZED: "orange",
    verdicts.UNDERFITTING: "violet",
    verdicts.DIVERGED: "red",
    verdicts.LEAKING: "red",
}


def draw(run: Run, history: History, report: TextReport | None, at_rest: bool) -> None:
    """Draw the verdict on a run; once it is at rest, with a button that does what the verdict advises."""
    found = engine.run_verdict(run, history, report)
    if found is None:
        return
    with st.container(border=True):
        color = _COLORS.get(found.kind, "gray")
        st.markdown(f":{color}-badge[{found.title}] {words.plain(found.sentence)}")
        st.caption(f"What to try: {words.plain(found.advice)}")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if at_rest and found.changes:
                _again(run, found)
            if found.facts:
                with st.popover("Why?"):
                    _facts(found)


def _again(run: Run, found: Verdict) -> None:
    settings = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in found.changes.items()
    )
    st.button(
        f"Train with {settings}",
        icon=":material/replay:",
        on_click=run_list.train_again,
        args=(engine.Once(), run, found.changes),
        help="A new run with everything else as it was. This one stays in the list.",
    )


def _facts(found: Verdict) -> None:
    rows = ["| measured | | what it says |", "|---|---|---|"]
    rows += [
        f"| {words.plain(fact.name)} | {words.plain(fact.value)} | {words.plain(fact.meaning)} |"
        for fact in found.facts
    ]
    st.markdown("\n".join(rows))
