"""A model writing, as it comes."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import judged, words
from slm_core.hardware import use_threads
from slm_core.model.sampling import Sampling
from slm_core.runs.store import Run

if TYPE_CHECKING:
    from slm_core.runs.checkpoint import Checkpoint

_SECONDS = 1 / 15  # between two updates of the text: as smooth as one a token, at a tenth of the traffic


def ask(prompt: str | None = None) -> None:
    """Have the model write when the page is drawn next; a callback."""
    if prompt is not None:
        st.session_state["prompt"] = prompt
    st.session_state["asked_to_write"] = True


def write(checkpoint: "Checkpoint", run: Run, prompt: str, sampling: Sampling) -> None:
    """Stream a text by the model of a run into the page and keep it, so that it still stands there when
    something else is clicked.

    Any click ends the writing: Streamlit starts the page anew, and what was written so far is shown.
    """

    from slm_core.model.generate import write_text

    use_threads(1)  # one token at a time is too little work to share, and runs need the cores

    st.session_state["written"] = written = {
        "run": run,
        "prompt": prompt,
        "text": "",
        "tokens": 0,
        "seconds": 0.0,
        "done": False,
    }
    place = st.empty()
    place.button("Stop", icon=":material/stop:", key="stop_writing")
    text = st.empty()
    for _ in _in_steps(write_text(checkpoint.model, checkpoint.tokenizer, prompt, sampling), written):
        text.markdown(judged.shown(prompt, written["text"]))
    written["done"] = True
    place.empty()
    text.empty()


def show_written() -> None:
    """Draw what was written last, if anything was."""
    written = st.session_state.get("written")
    if written is None:
        return
    with st.container(border=True):
        judged.draw(written["run"], written["prompt"], written["text"])
    if written["done"] and (sentence := judged.said_of_newness(written["run"], written["text"])):
        st.caption(sentence)
    rate = written["tokens"] / max(written["seconds"], 1e-6)
    ended = "" if written["done"] else " Stopped early."
    st.caption(f"{written['tokens']:,} tokens at {words.compact(rate)} tokens per second.{ended}")


def _in_steps(pieces: Iterator[str], written: dict) -> Iterator[None]:
    """Collect pieces into `written`, pausing for the page every _SECONDS."""
    began = shown = time.perf_counter()
    for piece in pieces:
        now = time.perf_counter()
        written["text"] += piece
        written["tokens"] += 1
        written["seconds"] = now - began
        if now - shown >= _SECONDS:
            shown = now
            yield
    written["tokens"] -= 1  # the last piece is only what was left of a cut character
    yield
