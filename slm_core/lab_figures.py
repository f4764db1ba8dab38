"""Figures of the labs, where runs are compared: plain Plotly dicts, from plain sequences, and pages of their
own to take away."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slm_core.figures import thinned
from slm_core.study.comparison import logarithmic, smoothed

# The theme's chart colours by their stand-ins. The first two come last: elsewhere they are training and
# validation, and here each run has a colour of its own.
RUN_COLORS = tuple(f"#0000{place:02d}" for place in (3, 4, 6, 5, 8, 9, 7, 10, 1, 2))
_SYMBOLS = ("circle", "diamond")  # of the first ten runs, and of the next
_KINDS = {"validation": ("solid", 3), "training": ("dot", 2)}  # dash and width in pixels
_FEW = 30  # points that are marked one by one
_HIGHEST = 2.0  # times the highest first loss: a run that diverged must not flatten the others


@dataclass(frozen=True, kw_only=True)
class RunLines:
    """One run to be drawn: both losses over x. Sequences of one length."""

    label: str
    x: Sequence[float]
    training: Sequence[float]
    validation: Sequence[float]


def comparison_figure(
    runs: Sequence[RunLines], *, along: str, unit: str, smooth: float = 0.0
) -> dict[str, Any]:
    """Each run's validation loss solid and training loss dotted, in a colour of its own.

    along: the words for x; its axis is logarithmic if the runs end far apart, and then has no place for zero.
    smooth: see `smoothed`; above 0, what was measured stays faintly behind.
    """
    log = logarithmic(run.x[-1] for run in runs if len(run.x))
    data = []
    for place, run in enumerate(runs):
        kept = [each for each in thinned(range(len(run.x))) if run.x[each] > 0 or not log]
        for kind, losses in (("validation", run.validation), ("training", run.training)):
            drawn = [(losses, True), (smoothed(losses, smooth), False)] if smooth else [(losses, False)]
            for values, faint in drawn:
                points = {"x": _numbers(run.x, kept), "y": _numbers(values, kept)}
                data.append(points | _style(run.label, place, kind, faint=faint, marked=len(kept) <= _FEW))
    losses = [loss for run in runs for loss in (*run.validation, *run.training)]
    first = [loss for run in runs for loss in (*run.validation[:1], *run.training[:1])]
    highest = min(max(losses, default=1.0), _HIGHEST * max(first, default=1.0))
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": along}} | ({"type": "log"} if log else {"rangemode": "tozero"}),
            "yaxis": {
                "title": {"text": f"loss ({unit}, smoothed)" if smooth else f"loss ({unit})"},
                "range": [0, highest * 1.05],
            },
            "hovermode": "closest",
            "legend": {"maxheight": 150},
            "uirevision": f"{along} {log} {unit}",  # a zoom is kept as long as the axes mean the same
        },
    }


def _style(label: str, place: int, kind: str, *, faint: bool, marked: bool) -> dict[str, Any]:
    """How a line is drawn: that of the run at this place, of this kind; `faint` ones lie behind others."""
    dash, width = _KINDS[kind]
    style: dict[str, Any] = {
        "name": html.escape(label, quote=False),  # Plotly takes some tags for markup
        "legendgroup": str(place),
        "showlegend": kind == "validation" and not faint,
        "mode": "lines+markers" if marked and not faint else "lines",
        "line": {
            "color": RUN_COLORS[place % len(RUN_COLORS)],
            "dash": "solid" if faint else dash,
            "width": 1 if faint else width,
        },
        "marker": {"size": 2 * width + 1, "symbol": _SYMBOLS[place // len(RUN_COLORS) % len(_SYMBOLS)]},
        "cliponaxis": False,  # a marker on the edge is drawn whole
    }
    if faint:
        return style | {"opacity": 0.35, "hoverinfo": "skip"}
    told = f"{kind} loss %{{y:.3f}} at %{{x:,.4~g}}"
    return style | {"hovertemplate": f"<b>%{{fullData.name}}</b><br>{told}<extra></extra>"}


def _numbers(values: Sequence[float], kept: Sequence[int]) -> list[float]:
    """The kept values, no longer than a screen can tell apart: a live chart is sent again and again."""
    return [float(f"{values[place]:.6g}") for place in kept]


def page_of(figure: Mapping[str, Any], *, title: str, series: Sequence[str], paper: str, text: str) -> str:
    """A figure as an HTML page that needs nothing else, not even a network: 5 MB, with Plotly in it.

    series: the colours that the stand-ins #000001 … #000010 are painted with; paper, text: the page's.
    """
    from plotly.io import to_html

    def color(found: re.Match[str]) -> str:
        return f'"{series[(int(found[1]) - 1) % len(series)]}"'

    painted = json.loads(re.sub(r'"#0000(0[1-9]|10)"', color, json.dumps(figure)))
    axis = {"gridcolor": "rgba(128,128,128,0.3)", "zeroline": False, "automargin": True}
    painted["layout"] |= {
        "title": {"text": html.escape(title, quote=False)},
        "paper_bgcolor": paper,
        "plot_bgcolor": paper,
        "font": {"color": text, "size": 15, "family": "sans-serif"},
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
        "legend": {"orientation": "h", "y": -0.15, "yanchor": "top"},
    }
    config = {"responsive": True, "displaylogo": False}
    page = to_html(painted, include_plotlyjs=True, config=config, default_height="96vh")
    style = f"<title>{html.escape(title)}</title><style>body {{margin: 0; background: {paper}}}</style>"
    return page.replace("</head>", f"{style}</head>", 1)
