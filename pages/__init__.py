"""The pages of the app, by the question that each answers."""

from pathlib import Path

PAGES = Path(__file__).resolve().parent  # for links, whatever file Streamlit was started with
