"""The story world looked at from inside: where a story is uncertain, and which texts can be stories."""

import streamlit as st

from pages.ui import marked, words
from slm_core.text import stories

_LONGEST = 3_000  # characters; stories have up to 1,200
_KEY = "checked_story"


def draw(size: str, story: str) -> None:
    """Draw a text box that starts with `story`, its text coloured by its choices, and whether it can be."""
    if st.session_state.get("checked_size") != size:  # the box belongs to the stories of one size
        st.session_state["checked_size"] = size
        st.session_state[_KEY] = story[:_LONGEST]
    st.session_state.setdefault(_KEY, story[:_LONGEST])
    text = st.text_area(
        "A story: change a word, or write your own",
        key=_KEY,
        height=180,
        max_chars=_LONGEST,
        persist_state="session",
    )
    st.button("Take the training story shown above", icon=":material/south:", on_click=_take, args=(story,))
    found = stories.score(text, size)
    st.html(marked.uncertain(text, stories.choices(text, size), found.first_impossible))
    st.html(marked.legend())
    _verdict(text, found)


def _take(story: str) -> None:
    st.session_state[_KEY] = story[:_LONGEST]


def _verdict(text: str, found: stories.Score) -> None:
    if found.possible:
        st.success(
            f"A possible story. Of all stories, {marked.odds(-found.log_probability)} is this one: "
            f"{-found.log_probability:.1f} nats of surprise.",
            icon=":material/check:",
        )
    elif found.first_impossible is None:
        st.info("The beginning of a story. It does not end here.", icon=":material/more_horiz:")
    else:
        before = words.plain(text[: found.first_impossible].rstrip("\n")[-30:])
        if found.first_impossible:
            said = (
                f"Impossible from character {found.first_impossible + 1:,} on: no story goes on like this "
                f"after “…{before}”."
            )
        else:
            said = "Impossible from its first character on: no story begins so."
        st.error(said, icon=":material/close:")
