"""Figures of a sweep: what came out for each value, and the curves behind it; plain Plotly dicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slm_core.figures import CURVE_COLORS, REFERENCE_COLOR, TRAINING_COLOR, VALIDATION_COLOR, across, label

_MOST_POINTS = 60  # of one line of a small chart
_WIDE = 20.0  # times the smallest value; what spans more is drawn on a logarithmic axis
_COLUMNS = 5  # of small charts, at most


@dataclass(frozen=True, kw_only=True)
class Band:
    """Lowest, middle and highest over x."""

    x: Sequence[float]
    low: Sequence[float]
    middle: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The losses of one run over its steps."""

    steps: Sequence[int]
    train: Sequence[float]
    validation: Sequence[float]


def sweep_figure(
    found: Band,
    *,
    along: str,
    measure: str,
    among: Sequence[Any] = (),
    law: Band | None = None,
    guess: tuple[float, float] | None = None,
    references: Mapping[str, float] | None = None,
    suited: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """What came out for each value, with the spread of the seeds, and what else is known.

    along, measure: what the axes say. among: all values that are to be tried: they decide whether the axis is
    logarithmic, and its marks, from the first result on. law: a fitted law's band. guess: a value of x and
    the loss that was guessed for it. references: losses to compare with, by name. suited: from which x to
    which a model of this size is at its best for its cost, by experience with large models.
    """
    numbers = all(isinstance(value, int | float) for value in found.x)
    values = sorted({*found.x, *among}) if numbers else []
    wide = numbers and max([values[-1], *(suited or ())]) >= _WIDE * values[0] > 0
    data: list[dict[str, Any]] = []
    if law is not None:
        data += [_area(law, CURVE_COLORS[0]), _middle(law, "fitted law", CURVE_COLORS[0])]
    data.append(_spread(found, numbers))
    if guess is not None:
        data.append(_mark("your guess", *guess, "diamond-open"))
    marked: dict[str, Any] = {}
    if numbers:
        marked = {"type": "log", "dtick": 1} if wide else {"tickvals": values}  # there are no 2.5 layers
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": along}, **marked},
        "yaxis": {"title": {"text": measure}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    layout["shapes"] = [across(value) for value in (references or {}).values()]
    layout["annotations"] = [label(name, value) for name, value in (references or {}).items()]
    if suited is not None:
        low, high = suited
        layout["shapes"].append(
            {
                "type": "rect", "yref": "paper", "y0": 0, "y1": 1, "x0": low, "x1": high,
                "fillcolor": REFERENCE_COLOR, "opacity": 0.15, "line": {"width": 0}, "layer": "below",
            }
        )  # fmt: skip
    return {"data": data, "layout": layout}


def multiples_figure(groups: Mapping[str, Sequence[Curve]]) -> dict[str, Any]:
    """One small chart for each value, all on the same scale: losses over steps, a line for each seed."""
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "annotations": [], "hovermode": "closest"}
    columns, rows = grid(len(groups))
    losses = [
        loss for curves in groups.values() for curve in curves for loss in (*curve.train, *curve.validation)
    ]
    steps = [step for curves in groups.values() for curve in curves for step in curve.steps]
    for place, (title, curves) in enumerate(groups.items()):
        name = str(place + 1) if place else ""
        horizontal = _domain(place % columns, columns, 0.12)
        vertical = _domain(rows - 1 - place // columns, rows, 0.4)
        shared = {"anchor": f"y{name}", "range": [0, max(steps, default=1)], "nticks": 3}
        layout[f"xaxis{name}"] = {"domain": horizontal, **shared}
        scale = {
            "range": [0, 1.05 * max(losses, default=1.0)],
            "nticks": 4,
            "showticklabels": place % columns == 0,
        }
        layout[f"yaxis{name}"] = {"domain": vertical, "anchor": f"x{name}", **scale}
        layout["annotations"].append(
            {
                "text": title, "xref": "paper", "yref": "paper", "x": horizontal[0], "y": vertical[1],
                "xanchor": "left", "yanchor": "bottom", "showarrow": False,
            }
        )  # fmt: skip
        for curve in curves:
            for kind, values, color in (
                ("training", curve.train, TRAINING_COLOR),
                ("validation", curve.validation, VALIDATION_COLOR),
            ):
                data.append(
                    _small(curve.steps, values, color, name, f"{kind} loss %{{y:.2f}} at step %{{x}}")
                )
    layout["margin"] = {"t": 30}
    return {"data": data, "layout": layout}


def _small(
    steps: Sequence[int], values: Sequence[float], color: str, axes: str, hover: str
) -> dict[str, Any]:
    every = max(1, math.ceil(len(steps) / _MOST_POINTS))
    return {
        "x": [*steps[:-1:every], *steps[-1:]],
        "y": [*values[:-1:every], *values[-1:]],
        "xaxis": f"x{axes}",
        "yaxis": f"y{axes}",
        "mode": "lines",
        "line": {"color": color, "width": 2},
        "hovertemplate": f"{hover}<extra></extra>",
    }


def grid(charts: int) -> tuple[int, int]:
    """Columns and rows for so many small charts, as even as can be."""
    rows = max(1, -(-charts // _COLUMNS))
    return max(1, -(-charts // rows)), rows


def _domain(place: int, count: int, gap: float) -> list[float]:
    """The share of a length that one of `count` charts has; the gap between two is a share of a chart's."""
    size = 1 / (count + gap * (count - 1))
    return [place * size * (1 + gap), place * size * (1 + gap) + size]


def _spread(found: Band, numbers: bool) -> dict[str, Any]:
    where = "at %{x:,}" if numbers else "with %{x}"
    return {
        "name": "measured: mean of the seeds, lowest and highest",
        "x": list(found.x),
        "y": list(found.middle),
        "mode": "lines+markers" if numbers else "markers",  # there is nothing between two words
        "line": {"color": VALIDATION_COLOR},
        "marker": {"size": 9},
        "cliponaxis": False,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - middle for high, middle in zip(found.high, found.middle, strict=True)],
            "arrayminus": [middle - low for low, middle in zip(found.low, found.middle, strict=True)],
            "thickness": 2,
        },
        "hovertemplate": f"%{{y:.3f}} {where}<extra></extra>",
    }


def _area(band: Band, color: str) -> dict[str, Any]:
    return {
        "name": "where the law may run",
        "x": [*band.x, *reversed(band.x)],
        "y": [*band.low, *reversed(band.high)],
        "fill": "toself",
        "fillcolor": color,
        "opacity": 0.2,
        "mode": "lines",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _middle(band: Band, name: str, color: str) -> dict[str, Any]:
    return {
        "name": name,
        "x": list(band.x),
        "y": list(band.middle),
        "mode": "lines",
        "line": {"color": color, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _mark(name: str, x: float, y: float, symbol: str) -> dict[str, Any]:
    return {
        "name": name,
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": {"size": 16, "symbol": symbol, "color": TRAINING_COLOR, "line": {"width": 3}},
        "hovertemplate": f"{name}: %{{y:.3f}}<extra></extra>",
    }
