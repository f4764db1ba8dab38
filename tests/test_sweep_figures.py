"""Figures of sweeps say exactly what they were given, in places of their own."""

import json
from itertools import combinations

import plotly.graph_objects as go
import pytest

from slm_core.sweep_figures import Band, Curve, grid, multiples_figure, sweep_figure

FOUND = Band(x=[200, 3_000, 30_000], low=[5.0, 2.0, 1.0], middle=[5.5, 2.1, 1.2], high=[6.0, 2.4, 1.3])
LAW = Band(x=[200.0, 30_000.0], low=[5.0, 0.9], middle=[5.5, 1.1], high=[6.0, 1.4])
CURVE = Curve(steps=[0, 10, 20], train=[6.0, 3.0, 1.0], validation=[6.1, 4.0, 5.0])


def test_means_and_the_spread_of_seeds_are_the_numbers_given():
    figure = sweep_figure(FOUND, along="dataset_size", measure="loss")
    (line,) = figure["data"]
    assert (line["x"], line["y"]) == ([200, 3_000, 30_000], [5.5, 2.1, 1.2])
    assert line["error_y"]["array"] == pytest.approx([0.5, 0.3, 0.1])
    assert line["error_y"]["arrayminus"] == pytest.approx([0.5, 0.1, 0.2])
    assert figure["layout"]["xaxis"]["type"] == "log"


def test_words_have_an_axis_of_their_own_without_a_line_between_them_and_no_number_is_made_of_them():
    band = Band(x=["adamw", "muon"], low=[1, 1], middle=[1, 1], high=[1, 1])
    figure = sweep_figure(band, along="optimizer", measure="loss", guess=("other", 2.0))
    points = figure["data"][0]
    assert points["mode"] == "markers" and "%{x}" in points["hovertemplate"]
    assert figure["layout"]["xaxis"].keys() == {"title"}  # so that a word guessed is marked there, too


@pytest.mark.parametrize("later", [{"among": (200, 1_000, 30_000)}, {"suited": (1e6, 2e6)}])
def test_the_first_results_have_the_axis_of_what_is_still_to_come(later):
    first = Band(x=[200, 1_000], low=[1, 1], middle=[1, 1], high=[1, 1])
    axis = sweep_figure(first, along="dataset_size", measure="loss", **later)["layout"]["xaxis"]
    assert axis["type"] == "log" and "tickvals" not in axis


def test_layers_that_are_still_to_be_tried_have_their_place_from_the_start():
    first = Band(x=[1, 2], low=[1, 1], middle=[1, 1], high=[1, 1])
    axis = sweep_figure(first, along="n_layer", measure="loss", among=(1, 2, 4))["layout"]["xaxis"]
    assert axis["tickvals"] == [1, 2, 4] and "type" not in axis


@pytest.mark.parametrize("values", [[64, 96, 128], [0.0, 0.1, 0.4]])
def test_values_close_together_have_a_plain_axis(values):
    band = Band(x=values, low=[1, 1, 1], middle=[1, 1, 1], high=[1, 1, 1])
    axis = sweep_figure(band, along="n_embd", measure="loss")["layout"]["xaxis"]
    assert "type" not in axis and axis["tickvals"] == values


def test_the_law_the_guess_and_the_references_are_drawn_where_they_belong():
    figure = sweep_figure(
        FOUND,
        along="x",
        measure="y",
        law=LAW,
        guess=(30_000, 1.25),
        references={"floor": 0.45},
        suited=(1e6, 2e6),
    )
    area, middle, _, guess = figure["data"]
    assert (area["x"], area["y"]) == ([200.0, 30_000.0, 30_000.0, 200.0], [5.0, 0.9, 1.4, 6.0])
    assert middle["y"] == [5.5, 1.1] and (guess["x"], guess["y"]) == ([30_000], [1.25])
    line, band = figure["layout"]["shapes"]
    assert line["y0"] == line["y1"] == 0.45 and (band["x0"], band["x1"]) == (1e6, 2e6)


@pytest.mark.parametrize("charts", [1, 2, 5, 6, 7, 8, 12])
def test_small_charts_do_not_overlap_and_share_one_scale(charts):
    figure = multiples_figure({f"value {place}": [CURVE] for place in range(charts)})
    layout = figure["layout"]
    names = ["" if place == 0 else str(place + 1) for place in range(charts)]
    areas = [(layout[f"xaxis{name}"]["domain"], layout[f"yaxis{name}"]["domain"]) for name in names]
    for (x, y), (other_x, other_y) in combinations(areas, 2):
        assert x[1] <= other_x[0] or other_x[1] <= x[0] or y[1] <= other_y[0] or other_y[1] <= y[0]
    assert all(0 <= low < high <= 1 + 1e-9 for area in areas for low, high in area)
    assert len({tuple(layout[f"yaxis{name}"]["range"]) for name in names}) == 1
    columns, rows = grid(charts)
    assert columns * rows >= charts > columns * (rows - 1)
    go.Figure(json.loads(json.dumps(figure)))  # what Plotly itself takes


def test_a_long_curve_is_thinned_to_its_shape_with_both_ends():
    steps = list(range(2_000))
    long = Curve(
        steps=steps, train=[2_000.0 - step for step in steps], validation=[float(step) for step in steps]
    )
    for line in multiples_figure({"a": [long]})["data"]:
        assert len(line["x"]) <= 62 and (line["x"][0], line["x"][-1]) == (0, 1_999)
        assert all(y in (x, 2_000 - x) for x, y in zip(line["x"], line["y"], strict=True))
