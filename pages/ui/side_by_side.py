"""Several models writing at once after one prompt, each in a column of its own."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import controls, engine, judged, models, words
from slm_core.errors import SlmError
from slm_core.hardware import use_threads
from slm_core.model.sampling import SAMPLING_KNOBS, Sampling
from slm_core.runs.store import Run

if TYPE_CHECKING:
    from slm_core.runs.checkpoint import Checkpoint

MOST = 4  # models at a time: as many as are kept in memory, and as there is room for
_SECONDS = 1 / 10  # between two updates of the texts
_KINDS = {"last": "as training left them", "best": "at their best on new text"}
_KEY = "side_by_side"


def draw(named: Mapping[str, Run]) -> None:
    """Draw a prompt, a button, and what the models of these runs write after it; runs by what to call
    them."""
    with_model = {name: run for name, run in named.items() if run.checkpoints}
    if not with_model:
        st.caption("None of these runs has a model yet.")
        return
    names = list(with_model)
    if len(names) > MOST:
        names = st.multiselect("Models, four at most", names, default=names[:MOST], max_selections=MOST)
    kind = st.segmented_control(
        "Models", _KINDS, default="last", required=True, format_func=_KINDS.get, label_visibility="collapsed"
    )
    samples = engine.history(with_model[next(iter(with_model))]).samples.values()
    chips = list(dict.fromkeys([*(sample.prompt for sample in samples), "Once upon a time"]))
    st.session_state.setdefault("shared_prompt", chips[0])
    prompt = st.text_area(
        "Beginning", key="shared_prompt", height=80, max_chars=4_000, persist_state="session"
    )
    with st.container(horizontal=True):
        for chip in chips:
            st.button(words.plain(chip), key=f"begin-{chip}", on_click=_ask, args=(chip,))
    settings = {}
    with st.expander("How they write"):
        columns = st.columns(2, gap="large")
        for place, (name, knob) in enumerate(SAMPLING_KNOBS.items()):
            with columns[place % 2]:
                settings[name] = controls.control(knob, f"sampling_{name}")
    st.button("Write", icon=":material/edit_note:", type="primary", on_click=_ask, disabled=not names)
    if st.session_state.pop("asked_to_write_all", False):
        _write({name: models.Model(with_model[name], kind) for name in names}, prompt, Sampling(**settings))
    _show()


def _ask(prompt: str | None = None) -> None:
    if prompt is not None:
        st.session_state["shared_prompt"] = prompt
    st.session_state["asked_to_write_all"] = True


def _write(chosen: Mapping[str, models.Model], prompt: str, sampling: Sampling) -> None:
    """Stream a text by each model into the page and keep them. Any click ends the writing, as in
    `writing.write`."""

    texts = [
        {"name": name, "run": model.run, "prompt": prompt, "text": "", "done": False, "error": ""}
        for name, model in chosen.items()
    ]
    st.session_state[_KEY] = texts
    pieces = {}
    for place, model in enumerate(chosen.values()):
        try:
            pieces[place] = _pieces(models.load(model), prompt, sampling)
        except SlmError as error:
            texts[place]["error"] = str(error)
    use_threads(1)  # one token at a time is too little work to share, and runs need the cores
    stop = st.empty()
    stop.button("Stop", icon=":material/stop:", key="stop_writing_all")
    places = [column.empty() for column in st.columns(len(texts))]
    shown = 0.0
    while pieces:
        for place, each in list(pieces.items()):
            piece = next(each, None)
            if piece is None:
                texts[place]["done"] = True
                del pieces[place]
            else:
                texts[place]["text"] += piece
        if time.perf_counter() - shown >= _SECONDS:
            shown = time.perf_counter()
            for each, box in zip(texts, places, strict=True):
                box.markdown(f"**{words.plain(each['name'])}**  \n{judged.shown(prompt, each['text'])}")
    for box in (stop, *places):
        box.empty()


def _pieces(checkpoint: "Checkpoint", prompt: str, sampling: Sampling) -> Iterator[str]:
    from slm_core.model.generate import write_text

    return write_text(checkpoint.model, checkpoint.tokenizer, prompt, sampling)


def _show() -> None:
    texts = st.session_state.get(_KEY)
    if not texts:
        return
    for column, each in zip(st.columns(len(texts)), texts, strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{words.plain(each['name'])}**")
            if each["error"]:
                st.error(words.plain(each["error"]))
                continue
            judged.draw(each["run"], each["prompt"], each["text"])
            if not each["done"]:
                st.caption("Stopped early.")
