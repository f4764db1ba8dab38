"""Figures say exactly what they were given."""

import json
from itertools import pairwise

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.figures import (
    MOST_POINTS,
    extraction_figure,
    length_figure,
    loss_figure,
    thinned,
    vocabulary_figure,
)

GIVEN = {
    "batch_losses": {1: 3.0, 2: 2.5, 3: 2.0, 4: 1.5},
    "steps": [0, 2, 4],
    "train_losses": [3.2, 2.0, 1.0],
    "validation_losses": [3.3, 2.4, 2.9],
    "references": {"guessing blindly": 3.1},
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


def test_on_a_logarithmic_axis_lines_and_labels_stand_at_the_same_height():
    given = {**GIVEN, "references": {"low": 2.0, "high": 1000.0}}
    layout = loss_figure(**given, logarithmic=True)["layout"]
    for shape, label in zip(layout["shapes"], layout["annotations"], strict=True):
        assert 10 ** label["y"] == pytest.approx(shape["y0"])
    low, high = layout["yaxis"]["range"]
    assert 10**low < 1.0 and 10**high > 1000


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


def test_the_vocabulary_figure_draws_each_point_above_and_below():
    groups = {
        "made": [("257 tokens", 257, 5.5, 0.1), ("1,024 tokens", 1_024, 1.5, 0.25)],
        "old": [("o", 50_257, 1, 0.9)],
    }
    figure = vocabulary_figure(groups, chosen=1_000)
    drawn = [(line["name"], line["x"], line["y"], line.get("yaxis", "y")) for line in figure["data"]]
    assert drawn == [
        ("made", [257, 1_024], [5.5, 1.5], "y"),
        ("made", [257, 1_024], [0.1, 0.25], "y2"),
        ("old", [50_257], [1], "y"),
        ("old", [50_257], [0.9], "y2"),
    ]
    (label,), (line,) = figure["layout"]["annotations"], figure["layout"]["shapes"]
    assert "1,000" in label["text"] and label["x"] == 3.0 and line["x0"] == line["x1"] == 1_000
    assert go.Figure(figure) and json.loads(json.dumps(figure, allow_nan=False)).keys() == figure.keys()
    assert "shapes" not in vocabulary_figure(groups)["layout"]


@pytest.mark.parametrize(("block_size", "lines_drawn"), [(15, 1), (30, 0)])
def test_lengths_are_bars_between_their_edges_with_block_size_where_it_lies(block_size, lines_drawn):
    figure = length_figure(
        edges=[0, 10, 20, 30],
        train_shares=[0.2, 0.5, 0.3],
        validation_shares=[0.0, 1.0, 0.0],
        block_size=block_size,
        longer=True,
    )
    assert lines(figure) == {
        "trained on": [(5, 0.2), (15, 0.5), (25, 0.3)],
        "held out": [(5, 0.0), (15, 1.0), (25, 0.0)],
    }
    assert figure["data"][0]["customdata"] == ["0–9", "10–19", "20 or more"]
    shapes = figure["layout"].get("shapes", [])
    assert [shape["x0"] for shape in shapes] == [block_size] * lines_drawn
    go.Figure(json.loads(json.dumps(figure)))


def test_what_is_known_by_heart_is_drawn_for_both_texts():
    figure = extraction_figure(
        steps=[0, 20, 40], train_rates=[0, 0.5, 1], validation_rates=[0, 0, 0.1], max_iters=60
    )
    assert lines(figure) == {
        "its own text": [(0, 0), (20, 0.5), (40, 1)],
        "new text": [(0, 0), (20, 0), (40, 0.1)],
    }
    assert figure["layout"]["xaxis"]["range"] == [0, 60]
