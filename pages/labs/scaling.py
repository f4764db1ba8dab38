"""Scaling lab: which law do you see?"""

import streamlit as st

from pages.ui import lab, lab_setup, words
from slm_core.errors import SlmError

st.title("Scaling lab", anchor=False)
st.markdown(
    "Which law do you see? Vary **one** thing, hold everything else, use several seeds, and say what you "
    "expect before you look."
)
if complaint := st.session_state.pop("complaint", ""):
    st.error(words.plain(complaint))
try:
    experiment = lab.chosen()
except SlmError as error:
    experiment = None
    st.error(words.plain(str(error)))
if experiment is not None:  # no st.stop() here: it would keep the fragments of the page that was here before
    lab.draw(experiment)
else:
    lab_setup.draw()
    lab.draw_list()
