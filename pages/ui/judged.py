"""A text that a model wrote, and what it is: copied and from where, new and possible, or impossible."""

import streamlit as st

from pages.ui import engine, marked, words
from slm_core.runs.store import Run
from slm_core.study.samples import COPIED, IMPOSSIBLE, POSSIBLE, Copying, Passage

_SAID = {
    COPIED: ":blue-badge[copied] :small[Word for word from its training text.]",
    POSSIBLE: ":green-badge[new and possible] :small[Not in its training text; a story here could begin so.]",
    IMPOSSIBLE: ":red-badge[impossible] :small[From the red letters on, no story here goes on like that.]",
}


def draw(run: Run, prompt: str, text: str) -> None:
    """Draw a prompt and what the model of a run wrote after it: what it copied, with its source to point at,
    and, where the stories are known, whether it can be."""
    verdict, copying = engine.verdict(run, prompt + text), engine.copying(run, prompt, text)
    passages = copying.passages if copying else (Passage(prompt + text),)
    st.html(marked.written(passages, len(prompt), verdict.impossible_from if verdict else None))
    if verdict is not None:
        st.markdown(_SAID[verdict.kind])
    if copying is not None and (verdict is None or verdict.kind != COPIED):
        st.caption(_said(copying))


def _said(copying: Copying) -> str:
    compared = "" if copying.whole else "the beginning of "
    if copying.share == 0:
        return (
            f"No passage of {copying.at_least} characters or more stands in {compared}its training text; the "
            f"longest has {copying.longest}. Shorter ones are chance."
        )
    return (
        f"**{copying.share:.0%}** of what it wrote stands word for word in {compared}its training text (on "
        f"blue: point at it for the place). The longest passage has {copying.longest:,} characters."
    )


def said_of_newness(run: Run, text: str) -> str:
    """A sentence on how much of a text is new, beside held-out text; empty if that is not known."""
    found = engine.newness(run, text)
    if not found:
        return ""
    said = [
        f"of its {length}-token passages **{ours:.0%}** ({others:.0%})"
        for length, (ours, others) in found.items()
    ]
    return (
        f"New, that is nowhere in the training text: {', '.join(said)}. In brackets: of the held-out text, "
        "which nobody copied. Much below it, a model copies; much above it, it errs."
    )


def shown(prompt: str, text: str) -> str:
    """Markdown of a prompt, in grey, and the text after it, while it is being written."""
    return f":gray[{words.plain(prompt)}]{words.plain(text)}" if prompt else words.plain(text)
