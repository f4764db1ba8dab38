"""Plotly figures as plain dicts, from plain sequences. Colours are the theme's: the page that draws them
paints them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Streamlit's stand-ins for the theme's chart colours, so that one figure suits day and night.
TRAINING_COLOR = "#000001"
VALIDATION_COLOR = "#000002"
REFERENCE_COLOR = "#000010"
MOST_POINTS = 400  # of one line: a screen shows no more, and a live chart is sent whole each second


def loss_figure(
    *,
    batch_losses: Mapping[int, float],
    steps: Sequence[int],
    train_losses: Sequence[float],
    validation_losses: Sequence[float],
    loss_at_chance: float,
    max_iters: int,
) -> dict[str, Any]:
    """Training and validation loss (nats per token) over steps, the best validation marked, chance as a line.

    batch_losses are each step's own loss, drawn faintly; steps with both losses are the evaluations.
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
    highest = max([loss_at_chance, *validation_losses, *train_losses])
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "step"}, "range": [0, max_iters]},
            "yaxis": {"title": {"text": "loss (nats per token)"}, "range": [0, highest * 1.08]},
            "shapes": [
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": loss_at_chance,
                    "y1": loss_at_chance,
                    "line": {"color": REFERENCE_COLOR, "width": 2, "dash": "dot"},
                }
            ],
            "annotations": [
                {
                    "xref": "paper",
                    "x": 1,
                    "xanchor": "right",
                    "y": loss_at_chance,
                    "yanchor": "bottom",
                    "showarrow": False,
                    "text": f"pure guessing: ln V = {loss_at_chance:.2f}",
                    "font": {"color": REFERENCE_COLOR},
                }
            ],
        },
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
