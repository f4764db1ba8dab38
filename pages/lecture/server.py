"""Server: who is training here, and how full is it?"""

import streamlit as st

from pages.ui import room

st.title("Server", anchor=False)
st.markdown("Who is training here, and how full is it? For the lecturer: every run of every visitor.")
if room.may_enter():
    st.fragment(room.draw, run_every=2.0)()
