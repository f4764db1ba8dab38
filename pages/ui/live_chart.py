"""A chart that grows while people look at it.

st.plotly_chart starts over each time its data change: it flickers, loses the zoom, and keeps the browser busy
for half of each second. This component is mounted once and then updated in place, for 1 ms of server time.
"""

import functools
from pathlib import Path
from typing import Any

import streamlit as st

from pages.ui import serving

_SCRIPT = Path(__file__).with_suffix(".js")


def live_chart(figure: dict[str, Any], *, key: str, height: int = 420, alt: str = "") -> None:
    """Draw a Plotly figure, a plain dict {"data": [...], "layout": {...}}; called again, update it in place.

    Send the whole curve each time, down-sampled to a few hundred points: what the browser has not fetched yet
    is replaced by what comes later, so increments would get lost. Colours, fonts and grid come from the
    theme; of the layout, give only what is this chart's own: titles, ranges, shapes. `alt` is read
    out by screen readers: one sentence on what the chart shows now. `height` is in pixels.
    """
    address = serving.plotly_address()
    if address is None:  # page tests, and hosts that do not know st.App: plainer, and it still works
        st.plotly_chart(figure, key=key, height=height, alt=alt or None, config={"displaylogo": False})
        return
    data = {"figure": figure, "height": height, "alt": alt, "plotly": address}
    _component()(key=key, height=height, data=data)


def preload() -> None:
    """Let the browser fetch and read plotly.js now, which takes it a second or two, and not at the first
    chart."""
    if address := serving.plotly_address():
        _component()(key="preload", height=1, data={"plotly": address})


@functools.cache  # registering a name twice logs a warning
def _component() -> Any:
    return st.components.v2.component(
        "slm_live_chart",
        html='<div class="live-chart" role="img"></div>',
        # The script travels with every update (only installed packages may serve a file): keep it short.
        js=_SCRIPT.read_text(encoding="utf-8"),
        isolate_styles=False,  # Plotly's own styles go into the page's head, out of sight for a shadow root
    )
