"""The frame around every page: title, navigation, sidebar. Start it with `streamlit run app.py`.

Streamlit reads this file in two ways: once as a module, to find the server at its end, and as a script for
each visit.
"""

import streamlit as st

from pages.ui import server, sidebar

TITLE = "Small language models"


def frame() -> None:
    """Draw the page that a visitor asked for, with what is the same on all of them."""
    # No icons in the navigation: Streamlit would fetch them from the web for the tab, and only then ours.
    page = st.navigation(
        {
            "Learn": [
                st.Page("pages/learn/train.py", title="Train", default=True),
                st.Page("pages/learn/playground.py", title="Playground"),
            ],
            "Text": [
                st.Page("pages/text/data.py", title="Data"),
                st.Page("pages/text/tokenizer.py", title="Tokenizer"),
            ],
        }
    )
    st.set_page_config(page_title=f"{page.title} · {TITLE}", page_icon="🌱", layout="wide")
    sidebar.draw()
    try:
        page.run()
    finally:  # a page may end early, by st.stop or st.rerun
        server.warm_up()


if __name__ == "__main__":
    frame()
else:  # a host that does not know st.App runs the file as a script only: plainer charts, and it still works
    app = st.App(__file__, lifespan=server.lifespan, routes=[server.plotly_route()])
