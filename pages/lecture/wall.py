"""Class wall: what did all of us find?"""

import streamlit as st

from pages.ui import deployment, room, wall_view, words

st.title("Class wall", anchor=False)
st.markdown("What did all of us find? Each point is one student's run of the same lesson.")
if complaint := st.session_state.pop("complaint", ""):
    st.error(words.plain(complaint))
found = wall_view.walls()
if not found:
    st.info(
        "There is no wall here yet. On the page Train, choose a set-up, press *Share this set-up*, and make "
        "a class wall: its link then leads a class to it."
    )
else:
    wall = wall_view.choose(found)
    wall_view.draw(wall)
    wall_view.draw_join(wall)
if found or deployment.limits().separate:
    with st.expander("For the lecturer"):
        if room.may_enter() and found:
            wall_view.draw_tools(wall)
