"""A run's result outside its page: on the class wall that a link names, or in a file for another one."""

import streamlit as st

from pages import PAGES
from pages.ui import engine, lesson_link, visitor, words
from slm_core.errors import SlmError
from slm_core.runs.store import Run, open_run
from slm_core.teach.card import LONGEST_NICKNAME, card_of
from slm_core.teach.link import Link
from slm_core.teach.wall import Pin, Wall, key_of, open_wall, pins, put


def draw_result(run: Run, link: Link | None) -> None:
    """Draw what a link makes of a run: what was expected, and the way onto the class wall."""
    if link is None:
        return
    lesson_link.draw_expected(link, run, engine.history(run))
    if not link.wall or not visitor.may_steer(run):
        return
    if engine.state_of(run) != "finished":
        st.caption("When this run has done all its steps, you can put its result on the class wall.")
        return
    if strange := link.departures(run.config):
        st.caption(f"This run is not of the lesson's set-up ({words.plain(strange[0])} differs).")
        return
    try:
        wall = open_wall(engine.scheduler().root, link.wall)
    except SlmError:
        st.info(
            "The class wall of this lesson is on another machine. Download your run card below, and hand it "
            "to the lecturer."
        )
        return
    _offer(run, wall)


def _offer(run: Run, wall: Wall) -> None:
    there, title = _pin_of(run, wall), words.plain(wall.title)
    with st.form(f"wall-{run.id}", border=True):
        if there is None:
            st.markdown(
                f"Put your result on the class wall **{title}**? Everybody who has its link then sees your "
                "nickname, the settings and what was measured."
            )
        else:
            st.markdown(
                f":green[:material/check:] Your point is on the class wall **{title}**, as "
                f"**{words.plain(there.card.nickname)}**."
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            key = f"nickname-{run.id}"
            st.session_state.setdefault(key, st.session_state.get("nickname", ""))
            st.text_input("Nickname", max_chars=LONGEST_NICKNAME, key=key, placeholder="not your real name")
            st.form_submit_button(
                "Put my result on the wall" if there is None else "Put it there again",
                type="primary" if there is None else "secondary",
                on_click=_submit,
                args=(run.id, wall.id),
            )
    if st.button("See the wall", icon=":material/grid_view:"):
        st.session_state["wall"] = wall.id
        # With parameters of its own: without, Streamlit 1.67 refuses to leave an address with a bound one.
        st.switch_page(PAGES / "lecture/wall.py", query_params={"show": wall.id})


def _pin_of(run: Run, wall: Wall) -> Pin | None:
    name = st.session_state.get("nickname")
    if not name:
        return None
    try:
        key = key_of(card_of(run, engine.history(run), name), visitor.owner())
    except SlmError:
        return None
    return next((pin for pin in pins(wall)[0] if pin.key == key), None)


def _submit(run_id: str, wall_id: str) -> None:
    """Put a run on a wall as its folder tells it; what is wrong is kept for the page to say."""
    try:
        root = engine.scheduler().root
        run = open_run(root, run_id)
        if not visitor.may_steer(run):
            return
        card = card_of(run, engine.history(run), st.session_state[f"nickname-{run_id}"])
        put(open_wall(root, wall_id), card, visitor.owner())
        st.session_state["nickname"] = card.nickname
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def offer_card(run: Run) -> None:
    """Draw the button under a run that gives its card, for walls on other machines."""
    if engine.state_of(run) != "finished" or run.config.corpus == "own":
        return
    with st.popover("Run card", icon=":material/badge:"):
        st.markdown(
            "A small file for the lecturer's class wall: settings, losses, your nickname. It holds nothing "
            "of any text."
        )
        name = st.text_input("Nickname", max_chars=LONGEST_NICKNAME, key=f"card-name-{run.id}").strip()
        try:
            card = card_of(run, engine.history(run), name) if name else None
        except SlmError as error:
            st.error(words.plain(str(error)))
            card = None
        st.download_button(
            "Download my card",
            data=card.to_json() if card else "",
            file_name=f"card-{card.fingerprint[:8]}.json" if card else "card.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
            disabled=card is None,
        )
