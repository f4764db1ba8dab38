"""Concept check: what did the lessons change in what you know?"""

import streamlit as st

from pages.ui import concept_quiz

st.title("Concept check", anchor=False)
st.markdown("Ten questions, before the lessons and after them: what did you learn?")
concept_quiz.draw()
