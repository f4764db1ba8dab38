"""The frame around every page: title, navigation, sidebar. Start it with `streamlit run app.py`.

Streamlit reads this file in two ways: once as a module, to find the server at its end, and as a script for
each visit.
"""

import streamlit as st

from pages import PAGES
from pages.ui import deployment, engine, server, serving, shelf, sidebar
from slm_core.errors import ConfigError

TITLE = "Small language models"
# A progress bar that slides to its new place has the browser draw the page sixty times a second, for half of
# each second, with the cores that train.
STYLE = "<style>[data-testid=stProgress] * { transition: none !important; }</style>"


def frame() -> None:
    """Draw the page that a visitor asked for, with what is the same on all of them."""
    # No icons in the navigation: Streamlit would fetch them from the web for the tab, and only then ours.
    page = st.navigation(
        {
            "Learn": [
                st.Page(PAGES / "learn/train.py", title="Train", default=True),
                st.Page(PAGES / "learn/playground.py", title="Playground"),
            ],
            "Lessons": [
                st.Page(PAGES / "lessons/week1.py", title="Week 1"),
                st.Page(PAGES / "lessons/week2.py", title="Week 2"),
                st.Page(PAGES / "lessons/week3.py", title="Week 3"),
                st.Page(PAGES / "lessons/week4.py", title="Week 4"),
                st.Page(PAGES / "lessons/concept_check.py", title="Concept check"),
            ],
            "Text": [
                st.Page(PAGES / "text/data.py", title="Data"),
                st.Page(PAGES / "text/tokenizer.py", title="Tokenizer"),
            ],
            "Labs": [
                st.Page(PAGES / "labs/compare.py", title="Compare"),
                st.Page(PAGES / "labs/scaling.py", title="Scaling lab"),
            ],
            "Lecture": [
                st.Page(PAGES / "lecture/wall.py", title="Class wall"),
                st.Page(PAGES / "lecture/server.py", title="Server"),
            ],
        },
        position="top",  # so that the sidebar begins with the preset, on a small projector, too
    )
    st.set_page_config(page_title=f"{page.title} · {TITLE}", page_icon="🌱", layout="wide")
    st.html(STYLE)
    try:
        deployment.limits()
    except ConfigError as error:  # whoever started the server has to mend it
        st.error(f"This server was started with wrong settings. {error}")
        return
    try:
        with engine.drawing():
            sidebar.draw()
            page.run()
    finally:  # a page may end early, by st.stop or st.rerun
        server.warm_up(then=shelf.read_ahead if deployment.limits().separate else None)


if __name__ == "__main__":
    frame()
else:  # a host that does not know st.App runs the file as a script only: plainer charts, and it still works
    app = st.App(__file__, **serving.parts())
