"""The labs' figures say what they were given, and go along as pages of their own."""

import json
import re

import plotly.graph_objects as go
import pytest

from slm_core.figures import MOST_POINTS
from slm_core.lab_figures import RUN_COLORS, RunLines, comparison_figure, page_of

RUNS = [
    RunLines(label="dropout 0", x=[0, 10, 20], training=[6.0, 3.0, 1.0], validation=[6.1, 4.0, 5.0]),
    RunLines(label="dropout 0.1", x=[0, 10], training=[6.0, 4.0], validation=[6.1, 5.0]),
]


def drawn(figure: dict) -> list[tuple]:
    return [(line["name"], line["line"]["dash"], line["x"], line["y"]) for line in figure["data"]]


def test_each_run_has_a_solid_and_a_dotted_line_of_one_colour():
    figure = comparison_figure(RUNS, along="steps", unit="nats per token")
    assert drawn(figure) == [
        ("dropout 0", "solid", [0, 10, 20], [6.1, 4.0, 5.0]),
        ("dropout 0", "dot", [0, 10, 20], [6.0, 3.0, 1.0]),
        ("dropout 0.1", "solid", [0, 10], [6.1, 5.0]),
        ("dropout 0.1", "dot", [0, 10], [6.0, 4.0]),
    ]
    colors = [line["line"]["color"] for line in figure["data"]]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [line["showlegend"] for line in figure["data"]] == [True, False, True, False]
    assert figure["layout"]["xaxis"]["title"]["text"] == "steps"
    assert "nats per token" in figure["layout"]["yaxis"]["title"]["text"]
    assert go.Figure(figure) and json.loads(json.dumps(figure, allow_nan=False)) == figure


def test_what_was_measured_stays_behind_what_is_smoothed():
    figure = comparison_figure(RUNS[1:], along="steps", unit="nats", smooth=0.5)
    measured, smooth, *_ = figure["data"]
    assert measured["y"] == [6.1, 5.0] and measured["opacity"] < 1 and not measured["showlegend"]
    assert smooth["y"] == pytest.approx([6.1, (5.0 + 0.5 * 6.1) / 1.5], rel=1e-5)
    assert "smoothed" in figure["layout"]["yaxis"]["title"]["text"]
    assert "smoothed" not in str(comparison_figure(RUNS, along="steps", unit="nats"))


def test_runs_that_end_far_apart_stand_on_a_logarithmic_axis_without_zero():
    long = RunLines(label="long", x=[0, 900], training=[6.0, 1.0], validation=[6.0, 2.0])
    figure = comparison_figure([*RUNS, long], along="steps", unit="nats")
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert min(x for line in figure["data"] for x in line["x"]) == 10
    assert "type" not in comparison_figure(RUNS, along="steps", unit="nats")["layout"]["xaxis"]


def test_another_axis_starts_a_zoom_anew():
    kept = {
        comparison_figure(RUNS, along=along, unit="nats", smooth=smooth)["layout"]["uirevision"]
        for along in ("steps", "tokens read")
        for smooth in (0.0, 0.5)
    }
    assert len(kept) == 2


def test_a_run_that_diverged_does_not_flatten_the_others():
    lost = RunLines(label="lost", x=[0, 10], training=[6.0, 1e9], validation=[6.0, 1e9])
    ranges = [
        comparison_figure(runs, along="steps", unit="nats")["layout"]["yaxis"]["range"]
        for runs in (RUNS, [*RUNS, lost])
    ]
    assert ranges[0][1] > 6.1 and ranges[1][1] < 20


def test_twelve_runs_look_different_and_many_points_are_thinned():
    many = [
        RunLines(label=str(place), x=range(2_000), training=range(2_000), validation=range(2_000))
        for place in range(12)
    ]
    figure = comparison_figure(many, along="steps", unit="nats")
    looks = {(line["line"]["color"], line["marker"]["symbol"]) for line in figure["data"]}
    assert len(looks) == 12 and len(set(RUN_COLORS)) == 10
    assert all(len(line["x"]) == MOST_POINTS for line in figure["data"])


def test_there_may_be_nothing_to_draw():
    empty = RunLines(label="new", x=[], training=[], validation=[])
    for runs in ([], [empty]):
        assert go.Figure(comparison_figure(runs, along="steps", unit="nats", smooth=0.3))


def test_a_page_holds_the_painted_figure_and_needs_no_other_file():
    evil = RunLines(label="<img src=x onerror=alert(1)>%{y}", x=[0, 1], training=[1, 2], validation=[1, 2])
    figure = comparison_figure([*RUNS, evil], along="steps", unit="nats")
    last = figure["data"][-1]
    assert last["name"].startswith("&lt;img") and "img" not in last["hovertemplate"]
    series = [f"#ab{place:02d}ef" for place in range(10)]
    page = page_of(figure, title="<b>Two & three</b>", series=series, paper="#123456", text="#654321")
    own = page[page.rindex("Plotly.newPlot") :]
    assert "#ab02ef" in own and not re.search(r'"#0000\d\d"', own), "the stand-in #000003 is the third"
    assert "#123456" in page[:2_000] and "#654321" in own
    assert "<img" not in own and "<b>Two" not in page and "&lt;b&gt;Two &amp; three" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page) and "Plotly" in page
