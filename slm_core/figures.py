"""Plotly figures as plain dicts, from plain sequences. Colours are the theme's: the page that draws them
paints them."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

# Streamlit's stand-ins for the theme's chart colours, so that one figure suits day and night.
TRAINING_COLOR = "#000001"
VALIDATION_COLOR = "#000002"
REFERENCE_COLOR = "#000010"
CURVE_COLORS = ("#000003", "#000004")  # of lines that are neither training nor validation
MOST_POINTS = 400  # of one line: a screen shows no more, and a live chart is sent whole each second


def loss_figure(
    *,
    batch_losses: Mapping[int, float],
    steps: Sequence[int],
    train_losses: Sequence[float],
    validation_losses: Sequence[float],
    references: Mapping[str, float],
    max_iters: int,
    unit: str = "nats per token",
    logarithmic: bool = False,
) -> dict[str, Any]:
    """Training and validation loss over steps, the best validation marked, each reference a line across.

    batch_losses are each step's own loss, drawn faintly; steps with both losses are the evaluations. All in
    one unit, which names the axis.
    """
    every = thinned(list(batch_losses))
    data: list[dict[str, Any]] = [
        {
            "name": "each batch",
            "x": every,
            "y": [batch_losses[step] for step in every],
            "mode": "lines",
            "line": {"color": TRAINING_COLOR, "width": 1},
            "opacity": 0.35,
            "hoverinfo": "skip",
        },
        _line("training loss", steps, train_losses, TRAINING_COLOR),
        _line("validation loss", steps, validation_losses, VALIDATION_COLOR),
    ]
    if validation_losses:
        best = int(np.argmin(validation_losses))
        data.append(
            {
                "name": "best validation",
                "x": [steps[best]],
                "y": [validation_losses[best]],
                "mode": "markers",
                "marker": {
                    "symbol": "circle-open",
                    "size": 18,
                    "color": VALIDATION_COLOR,
                    "line": {"width": 3},
                },
                "hoverinfo": "skip",
            }
        )
    shown = [*references.values(), *validation_losses, *train_losses]
    axis = {"title": {"text": f"loss ({unit})"}, "range": [0, max(shown, default=1.0) * 1.08]}
    if logarithmic:
        low, high = math.log10(min(shown, default=1.0)), math.log10(max(shown, default=10.0))
        axis |= {"type": "log", "dtick": 1, "range": [low - 0.1, high + 0.05 * (high - low) + 0.1]}
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "step"}, "range": [0, max_iters]},
            "yaxis": axis,
            "shapes": [across(value) for value in references.values()],
            "annotations": [label(name, value, logarithmic) for name, value in references.items()],
        },
    }


def extraction_figure(
    *,
    steps: Sequence[int],
    train_rates: Sequence[float],
    validation_rates: Sequence[float],
    max_iters: int,
) -> dict[str, Any]:
    """Shares (0..1) of places at which a model goes on by heart, over steps: in its own text, and in held-out
    text as the control."""
    lines = [
        _line("its own text", steps, train_rates, TRAINING_COLOR),
        _line("new text", steps, validation_rates, VALIDATION_COLOR),
    ]
    axis = {"title": {"text": "by heart"}, "range": [-0.03, 1.05], "tickformat": ".0%", "dtick": 0.5}
    return {
        "data": [{**line, "hovertemplate": "%{y:.0%}"} for line in lines],
        "layout": {"xaxis": {"title": {"text": "step"}, "range": [0, max_iters]}, "yaxis": axis},
    }


def vocabulary_figure(
    groups: Mapping[str, Sequence[tuple[str, int, float, float]]], chosen: int | None = None
) -> dict[str, Any]:
    """Tokens per word (above) and the embedding's share of the model (below) over the size of the vocabulary.

    Each group is a line of points, (name, size, tokens per word, share 0..1); `chosen` is a size to mark.
    """
    data: list[dict[str, Any]] = []
    for group, (title, points) in enumerate(groups.items()):
        color = CURVE_COLORS[group % len(CURVE_COLORS)]
        names, sizes, per_word, shares = ([*each] for each in zip(*points, strict=True))
        common = {
            "name": title,
            "legendgroup": title,
            "x": sizes,
            "text": names,
            "mode": "lines+markers",
            "cliponaxis": False,
            "line": {"color": color},
            "marker": {"size": 8, "symbol": "diamond" if group else "circle"},
        }
        hover = "%{text}<br><b>%{y:.2f}</b> tokens per word<extra></extra>"
        data.append(common | {"y": per_word, "hovertemplate": hover})
        hover = "%{text}<br><b>%{y:.0%}</b> of the model is embedding<extra></extra>"
        below = {"y": shares, "yaxis": "y2", "showlegend": False, "hovertemplate": hover}
        data.append(common | below)
    ticks = (257, 1_024, 4_096, 16_384, 50_257)
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "vocabulary (tokens)"},
            "type": "log",
            "anchor": "y2",
            "tickvals": ticks,
            "ticktext": [f"{tick:,}" for tick in ticks],
        },
        "yaxis": {"title": {"text": "tokens per word"}, "domain": [0.56, 1], "rangemode": "tozero"},
        "yaxis2": {
            "title": {"text": "embedding"},
            "domain": [0, 0.44],
            "range": [0, 1.05],
            "tickformat": ".0%",
            "dtick": 0.25,
        },
        "hovermode": "closest",
    }
    if chosen is not None:
        line = {"color": REFERENCE_COLOR, "width": 2, "dash": "dot"}
        layout["shapes"] = [
            {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": chosen, "x1": chosen, "line": line}
        ]
        layout["annotations"] = [
            {
                "x": math.log10(chosen),  # Plotly wants a label's place so, but not a line's
                "xanchor": "left",
                "yref": "paper",
                "y": 1,
                "yanchor": "top",
                "showarrow": False,
                "text": f" this preset: {chosen:,}",
                "font": {"color": REFERENCE_COLOR},
            }
        ]
    return {"data": data, "layout": layout}


def across(value: float) -> dict[str, Any]:
    """A dotted line across a chart, for its layout's shapes."""
    line = {"color": REFERENCE_COLOR, "width": 2, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line}


def label(name: str, value: float, logarithmic: bool = False) -> dict[str, Any]:
    """A name and a value at the right end of such a line, for the layout's annotations."""
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "y": math.log10(value)
        if logarithmic
        else value,  # Plotly wants a label's place, but not a line's, so
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"{name}: {value:,.2f}" if value < 100 else f"{name}: {value:,.0f}",
        "font": {"color": REFERENCE_COLOR},
    }


def _line(name: str, x: Sequence[int], y: Sequence[float], color: str) -> dict[str, Any]:
    kept = thinned(range(len(x)))
    return {
        "name": name,
        "x": [x[place] for place in kept],
        "y": [y[place] for place in kept],
        "mode": "lines+markers",
        "cliponaxis": False,  # a marker on the edge is drawn whole
        "line": {"color": color},
        "marker": {"size": 7},
        "hovertemplate": "%{y:.3f}",
    }


def thinned(items: Sequence[int]) -> list[int]:
    """At most MOST_POINTS of the items, evenly spread, the first and the last among them."""
    if len(items) <= MOST_POINTS:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, MOST_POINTS).astype(int)]


def length_figure(
    *,
    edges: Sequence[int],
    train_shares: Sequence[float],
    validation_shares: Sequence[float],
    block_size: int,
    longer: bool = False,
) -> dict[str, Any]:
    """Bars of how many documents (shares 0..1 of each side) are how long, in tokens between the edges.

    block_size is drawn as a line if it lies among them; `longer` says that the last bar holds all longer
    ones.
    """
    sides = (
        ("trained on", train_shares, TRAINING_COLOR),
        ("held out", validation_shares, VALIDATION_COLOR),
    )
    bars = list(pairwise(edges))
    spans = [f"{low:,}–{high - 1:,}" for low, high in bars]
    if longer:
        spans[-1] = f"{edges[-2]:,} or more"
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "name": name,
                "x": [(low + high) / 2 for low, high in bars],
                "y": list(shares),
                "customdata": spans,
                "marker": {"color": color},
                "hovertemplate": "%{customdata} tokens: %{y:.1%}",
            }
            for name, shares, color in sides
        ],
        "layout": {
            "bargap": 0.15,
            "bargroupgap": 0.0,
            "xaxis": {"title": {"text": "tokens in a document"}, "range": [0, edges[-1]]},
            "yaxis": {"title": {"text": "share of documents"}, "tickformat": ".0%"},
            "hovermode": "closest",
        },
    }
    if block_size < edges[-1]:
        line = {"color": REFERENCE_COLOR, "width": 2, "dash": "dot"}
        ends = {"x0": block_size, "x1": block_size, "y0": 0, "y1": 1}
        figure["layout"]["shapes"] = [{"type": "line", "yref": "paper", **ends, "line": line}]
        figure["layout"]["annotations"] = [
            {
                "x": block_size,
                "xanchor": "left" if block_size < edges[-1] / 2 else "right",
                "yref": "paper",
                "y": 1,
                "yanchor": "top",
                "showarrow": False,
                "text": f" block_size {block_size:,} ",
                "font": {"color": REFERENCE_COLOR},
            }
        ]
    return figure
