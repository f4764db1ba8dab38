"""Sharing the set-up of the Train page: what is locked, asked and expected, and the link to it."""

import streamlit as st

from pages.ui import address, deployment, engine, lesson_link, visitor, words
from slm_core.config import KNOBS, ExperimentConfig
from slm_core.errors import SlmError
from slm_core.teach.card import MEASURES
from slm_core.teach.link import LONGEST_QUESTION, Expected, Link
from slm_core.teach.wall import LONGEST_TITLE, list_walls, make_wall

_ALL, _BUT, _SOME, _NONE = "all", "all but", "some", "none"
_LONG = 450  # characters; a QR code of more is hard to read from the last row
_MOST_WALLS = 5  # that one visitor may make


def draw(config: ExperimentConfig) -> None:
    """Draw the button that opens the dialog."""
    if st.button("Share this set-up", icon=":material/qr_code_2:"):
        _dialog(config)


@st.dialog("Share this set-up", width="large")
def _dialog(config: ExperimentConfig) -> None:
    st.markdown("A link opens this page with these very settings, for a class or for yourself.")
    if config.corpus == "own":
        st.warning(
            "A link cannot carry your own text. Hand it out as a file, or choose one of the built-in texts."
        )
        return
    choices, code = st.columns([1, 1], gap="large")
    with choices:
        link = _choose(config)
    with code:
        if link is not None:
            base, sentence = address.base()
            whole = link.address(base)
            address.draw_link(whole)
            if sentence:
                st.caption(words.plain(sentence))
            if len(whole) > _LONG:
                st.caption(
                    f"This link has {len(whole)} characters: its code is fine, and hard to read from far "
                    "away. A shorter question helps."
                )


def _choose(config: ExperimentConfig) -> Link | None:
    """Draw the choices and give the link that they make; None if there is none."""
    locked = _locks()
    ask = st.text_input("Question above the page", max_chars=LONGEST_QUESTION, key="share_ask")
    expect = _band()
    try:
        link = lesson_link.made(config, locked=locked, ask=ask.strip(), expect=expect)
        wall = _wall(link)
        return lesson_link.made(config, locked=locked, ask=ask.strip(), expect=expect, wall=wall)
    except SlmError as error:
        st.error(words.plain(str(error)))
        return None


def _locks() -> frozenset[str]:
    kind = st.segmented_control(
        "Locked for students", [_ALL, _BUT, _SOME, _NONE], default=_NONE, required=True, key="share_lock"
    )
    if kind == _ALL:
        return frozenset(KNOBS)
    if kind == _NONE:
        return frozenset()
    if kind == _BUT:
        free = st.multiselect("Free", list(KNOBS), default=["dataset_size"], key="share_free")
        return frozenset(KNOBS) - set(free)
    return frozenset(st.multiselect("Locked", list(KNOBS), key="share_locked"))


def _band() -> Expected | None:
    if not st.toggle("Say afterwards what was expected", key="share_expects"):
        return None
    measure = st.selectbox("Result", list(MEASURES), format_func=MEASURES.get, key="share_measure")
    low, high = st.columns(2)
    return Expected(
        measure,
        low.number_input("from", value=0.0, step=0.1, format="%.2f", key="share_low"),
        high.number_input("to", value=5.0, step=0.1, format="%.2f", key="share_high"),
    )


def _wall(link: Link) -> str:
    """Draw what makes a class wall; gives the id of the one made for this very link, or nothing."""
    made = st.session_state.get("share_wall")
    wanted = st.toggle(
        "Collect the results on a class wall",
        key="share_walls",
        help="Whoever follows the link may put a result on it. It is shown on the page Class wall.",
    )
    if not wanted:
        return ""
    title = st.text_input("Name of the wall", max_chars=LONGEST_TITLE, key="share_title")
    label = "Make the wall" if made is None else "Make another wall"
    if st.button(label, disabled=not title.strip()):
        mine = [wall for wall in list_walls(engine.scheduler().root) if wall.owner == visitor.owner()]
        if deployment.limits().separate and len(mine) >= _MOST_WALLS and not st.session_state.get("lecturer"):
            st.error(f"You have made {_MOST_WALLS} walls, and no more are allowed.")
            return ""
        wall = make_wall(engine.scheduler().root, title, link, visitor.owner())
        made = {"id": wall.id, "title": wall.title, "link": link.query}
        st.session_state["share_wall"] = made
    if made is None:
        st.caption("As soon as the wall is made, the link leads to it.")
        return ""
    if made["link"] != link.query:
        st.warning("What you share has changed since the wall was made. Make another wall for it.")
        return ""
    st.success(f"The link leads to the wall {words.plain(made['title'])}.")
    return made["id"]
