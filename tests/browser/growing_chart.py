"""An app for test_live_chart: one curve that is a point longer each half second."""

import streamlit as st

from pages.ui import serving
from pages.ui.live_chart import live_chart
from slm_core.figures import TRAINING_COLOR


@st.fragment(run_every=0.5)
def _curve() -> None:
    length = st.session_state["length"] = st.session_state.get("length", 2) + 1
    steps = list(range(length))
    curve = {"x": steps, "y": [1 / (1 + x) for x in steps], "line": {"color": TRAINING_COLOR}}
    layout = {"xaxis": {"range": [0, 100]}, "yaxis": {"range": [0, 1]}}
    figure = {"data": [curve], "layout": layout}
    live_chart(figure, key="curve", height=300, alt=f"A curve of {length} points.")


if __name__ == "__main__":
    _curve()
else:
    app = st.App(__file__, **serving.parts())
