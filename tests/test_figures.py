"""Figures say exactly what they were given."""

import json
from itertools import pairwise

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.figures import MOST_POINTS, loss_figure, thinned

GIVEN = {
    "batch_losses": {1: 3.0, 2: 2.5, 3: 2.0, 4: 1.5},
    "steps": [0, 2, 4],
    "train_losses": [3.2, 2.0, 1.0],
    "validation_losses": [3.3, 2.4, 2.9],
    "loss_at_chance": 3.1,
    "max_iters": 10,
}


def lines(figure: dict) -> dict[str, list[tuple]]:
    return {line["name"]: list(zip(line["x"], line["y"], strict=True)) for line in figure["data"]}


def test_the_lines_are_the_numbers_given():
    drawn = lines(loss_figure(**GIVEN))
    assert drawn == {
        "each batch": [(1, 3.0), (2, 2.5), (3, 2.0), (4, 1.5)],
        "training loss": [(0, 3.2), (2, 2.0), (4, 1.0)],
        "validation loss": [(0, 3.3), (2, 2.4), (4, 2.9)],
        "best validation": [(2, 2.4)],
    }


def test_chance_is_a_line_across_and_everything_is_in_view():
    layout = loss_figure(**GIVEN)["layout"]
    (shape,) = layout["shapes"]
    assert shape["y0"] == shape["y1"] == 3.1
    assert "3.10" in layout["annotations"][0]["text"]
    assert layout["xaxis"]["range"] == [0, 10]
    assert layout["yaxis"]["range"][0] == 0 and layout["yaxis"]["range"][1] > 3.3


def test_before_the_first_number_there_is_an_empty_chart():
    nothing = {"batch_losses": {}, "steps": [], "train_losses": [], "validation_losses": []}
    drawn = lines(loss_figure(**{**GIVEN, **nothing}))
    assert not any(drawn.values()) and "best validation" not in drawn


@pytest.mark.parametrize("long", [False, True])
def test_plotly_takes_the_figure_and_so_does_json(long):
    losses = {step: 1 / step for step in range(1, 5_000)}
    figure = loss_figure(**{**GIVEN, "batch_losses": losses} if long else GIVEN)
    go.Figure(figure)
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure


@given(st.integers(0, 5_000))
def test_thinning_keeps_the_ends_the_order_and_a_screenful(count):
    items = [3 * place for place in range(count)]
    kept = thinned(items)
    assert len(kept) == min(count, MOST_POINTS) and set(kept) <= set(items)
    assert kept == sorted(set(kept))
    if count:
        assert (kept[0], kept[-1]) == (items[0], items[-1])
        assert max((b - a for a, b in pairwise(kept)), default=0) <= 3 * (count / 399 + 1)
