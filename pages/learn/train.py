"""Train: how does a model learn, and when does it only memorize?"""

import streamlit as st

from pages.ui import (
    controls,
    costs,
    engine,
    lesson_link,
    live_chart,
    own_text,
    run_card,
    run_list,
    run_view,
    share,
    sidebar,
    words,
)
from slm_core.errors import ConfigError, SlmError


def start(once: engine.Once, text: str | None) -> None:
    """Begin the run that the controls describe; what is wrong with it is kept for the page to say."""

    def begin() -> str:
        config = controls.current(text)  # as of now: a number typed last arrives together with the press
        name, device = sidebar.chosen_preset().name, sidebar.chosen_device()
        return engine.start(config, name=name, device=device, text=text)

    try:
        engine.choose_run(once(begin))
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def settings() -> None:
    """Draw the settings of a new run, what it would cost, and the button that begins it."""
    button, summary = st.container(horizontal=True), st.container()
    text, config, allowed = None, None, False
    if controls.value("corpus") == "own":
        text = own_text.draw()
    try:
        config = controls.draw(text)
    except ConfigError as error:
        with summary:
            st.error(words.plain(str(error)))
    else:
        with summary:
            allowed = costs.draw(config, sidebar.chosen_device(), text)
            if config.corpus == "own":
                text = text if text is not None and own_text.check(text, config) else None
    ready = allowed and (config.corpus != "own" or text is not None)
    with button:
        st.button(
            "Train",
            icon=":material/play_arrow:",
            type="primary",
            on_click=start,
            args=(engine.Once(), text),
            disabled=not ready,
        )
        if config is not None:
            share.draw(config)


link = lesson_link.take()
try:
    run = engine.chosen_run()
except SlmError as error:
    run = None
    st.session_state["complaint"] = str(error)

st.title("Train" if run is None else f"Train · {words.plain(run.name)}", anchor=False)
if run is None:
    st.markdown(
        "How does a model learn a language from a text, and when does it only learn the text by heart?"
    )
if complaint := st.session_state.pop("complaint", ""):
    st.error(words.plain(complaint))
lesson_link.draw(link, at_a_run=run is not None)
# To the end on both branches: after st.stop() Streamlit would keep the fragments of the page that was here
# before, and an update of the "Time here" tile that the browser has already asked for would be drawn into the
# run's page.
if run is not None:
    run_card.draw_result(run, link)
    run_view.draw(run)
    run_card.offer_card(run)
else:
    run_list.draw_unfinished()
    settings()
    live_chart.preload()
    run_list.draw()
