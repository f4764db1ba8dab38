"""A text that a model wrote, and what it is: copied, new and possible, or impossible from some place."""

import streamlit as st

from pages.ui import engine, words
from slm_core.runs.store import Run
from slm_core.study.samples import COPIED, IMPOSSIBLE, POSSIBLE, Verdict

_SAID = {
    COPIED: ":blue-badge[copied] Word for word from its training text.",
    POSSIBLE: ":green-badge[new and possible] Not in its training text; a story here could begin so.",
    IMPOSSIBLE: ":red-badge[impossible] From the red letters on, no story here goes on like that.",
}


def draw(run: Run, prompt: str, text: str) -> None:
    """Draw a prompt and what the model of a run wrote after it, with the verdict where the stories are
    known."""
    verdict = engine.verdict(run, prompt + text)
    st.markdown(shown(prompt, text, verdict))
    if verdict is not None:
        st.caption(_SAID[verdict.kind])


def shown(prompt: str, text: str, verdict: Verdict | None = None) -> str:
    """Markdown of a prompt, in grey, and the text after it; what cannot be is red, in both."""
    end = None if verdict is None else verdict.impossible_from
    whole = prompt + text
    sound = len(whole) if end is None or not whole[end:].strip() else end
    begun, written, wrong = prompt[:sound], whole[len(prompt) : sound], whole[sound:]
    red = f":red[{words.plain(wrong)}]" if wrong else ""
    grey = f":gray[{words.plain(begun)}]" if begun else ""
    return f"{grey}{words.plain(written)}{red}"
