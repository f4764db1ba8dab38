"""The plot of a class wall: the right points, the law that was planted, and no law where there is none."""

import csv
import io
import math
from random import Random

import pytest

from slm_core.config import load_preset
from slm_core.figures import TRAINING_COLOR
from slm_core.teach.card import Card
from slm_core.teach.wall import Pin
from slm_core.teach.wall_plot import axis_for, figure, found, table_csv, varied

CONFIG = load_preset("ULTRA_TINY").config


def pin(nickname: str = "Ada", *, best: float = 4.5, brought: bool = False, extraction=0.5, **changes) -> Pin:
    card = Card(
        nickname=nickname, config=CONFIG.with_changes(changes), made="2026-03-01T10:00:00+00:00",
        machine="cpu, threads: 1", best=best, gap=1.0, extraction=extraction, chance=math.log(768),
        floor=0.4, seconds=1.0,
    )  # fmt: skip
    return Pin(key=f"{nickname}-{changes}", card=card, brought=brought, placed=0.0)


def planted(count: int = 30, exponent: float = 0.5, end: float = 1.0) -> list[Pin]:
    """Losses on L = E + (L0 - E) h / (1 + h), h = (900 / x)^p, each a little off."""
    random, chance = Random(7), math.log(768)
    pins = []
    for n in range(count):
        size = round(200 * 10 ** (3 * n / (count - 1)))
        h = (900 / size) ** exponent
        loss = (end + (chance - end) * h / (1 + h)) * math.exp(random.gauss(0, 0.01))
        pins.append(pin(f"S{n}", best=loss, dataset_size=size, seed=n, brought=n % 10 == 9))
    return pins


def points(drawn: dict) -> dict[tuple[str, float], float]:
    """(nickname, x): y of every point of a figure."""
    return {
        (name, x): y
        for trace in drawn["data"]
        if "hovertext" in trace
        for name, x, y in zip(trace["hovertext"], trace["x"], trace["y"], strict=True)
    }


def test_thirty_sizes_one_law():
    pins = planted()
    seen = found(pins, "dataset_size", "best")
    assert seen.sentence == "30 results of 30 students, along dataset_size." and not seen.warning
    assert seen.law.exponent.value == pytest.approx(0.5, abs=0.03)
    assert seen.law.end.value == pytest.approx(1.0, abs=0.08)
    drawn = figure(seen)
    assert points(drawn) == {(p.card.nickname, p.card.config.dataset_size): p.card.best for p in pins}
    assert drawn["layout"]["xaxis"]["type"] == "log"
    assert {"fitted law", "measured here", "brought as a file"} <= {trace["name"] for trace in drawn["data"]}
    measured = next(trace for trace in drawn["data"] if trace["name"] == "measured here")
    assert len(measured["x"]) == 27 and measured["marker"]["color"] == TRAINING_COLOR


def test_names_do_not_lie_over_each_other():
    drawn = figure(found(planted(), "dataset_size", "best"))
    highest = max(points(drawn).values())
    named = [
        (math.log10(x / 200) / 3, y / highest)
        for trace in drawn["data"] if "text" in trace
        for name, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True) if name
    ]  # fmt: skip
    assert 4 <= len(named) < 30
    for place, (x, y) in enumerate(named):
        for other_x, other_y in named[:place]:
            assert abs(x - other_x) > 0.11 or abs(y - other_y) > 0.05


def test_few_points_have_all_their_names():
    drawn = figure(
        found([pin("Ada", dataset_size=100), pin("Bo", dataset_size=9_000)], "dataset_size", "best")
    )
    assert sorted(name for trace in drawn["data"] for name in trace["text"]) == ["Ada", "Bo"]


def test_names_are_no_markup_for_plotly():
    drawn = figure(found([pin("<b>&"), pin("Bo", dataset_size=9_000)], "dataset_size", "best"))
    assert "&lt;b&gt;&amp;" in drawn["data"][0]["hovertext"]


@pytest.mark.parametrize(
    ("pins", "along", "measure", "words"),
    [
        (planted(3), "dataset_size", "best", "points at 4 different sizes"),
        (planted(8), "dataset_size", "gap", "only"),
        (planted(8), "seed", "best", "only"),
        ([pin(f"S{n}", dataset_size=200 * 2**n, n_layer=1 + n % 2) for n in range(8)], "dataset_size", "best",
         "n_layer differs"),
        ([pin(f"S{n}", dataset_size=200 * 2**n, best=4 + n % 2) for n in range(8)], "dataset_size", "best",
         "not surely fall"),
    ],
)  # fmt: skip
def test_where_there_is_no_law_the_reason_is_said(pins, along, measure, words):
    seen = found(pins, along, measure)
    assert seen.law is None and words in seen.why_no_law
    assert "fitted law" not in {trace["name"] for trace in figure(seen)["data"]}


def test_the_axis_is_what_was_left_free_and_varied():
    sizes = [pin(f"S{n}", dataset_size=200 * 2**n, seed=n) for n in range(5)]
    assert axis_for([each.card for each in sizes], ["dataset_size", "seed"]) == "dataset_size"
    seeds = [pin(f"S{n}", seed=n).card for n in range(5)]
    assert axis_for(seeds, ["dataset_size", "seed"]) == "seed"
    both = [pin(f"S{n}", dataset_size=200 + n, n_layer=1 + n % 2).card for n in range(5)]
    assert axis_for(both, ["n_layer"]) == "n_layer" and axis_for(both) == "dataset_size"
    assert axis_for([], ["n_layer", "seed"]) == "n_layer" and axis_for([]) == "dataset_size"
    assert varied([each.card for each in sizes]) == ["dataset_size", "seed"]


def test_what_else_differs_is_warned_of():
    mixed = [pin(f"S{n}", dataset_size=200 + n, n_layer=1 + n % 2) for n in range(5)]
    assert "n_layer differs" in found(mixed, "dataset_size", "best").warning
    tokens = [pin("a", tokenizer="bytes"), pin("b")]
    assert "means something else" in found(tokens, "tokenizer", "best").warning


def test_words_are_an_axis_too():
    drawn = figure(found([pin("a", positions="learned"), pin("b")], "positions", "best"))
    assert set(points(drawn)) == {("a", "learned"), ("b", "rotary")}


def test_what_was_not_measured_is_not_shown():
    seen = found([pin("a", extraction=None), pin("b", extraction=0.25, seed=2)], "dataset_size", "extraction")
    assert points(figure(seen)) == {("b", CONFIG.dataset_size): 0.25}
    assert figure(found([pin("a", extraction=None)], "dataset_size", "extraction"))["data"] == []


def test_the_table_holds_all_points():
    pins = [pin("Ada", best=4.5), pin("Bo", best=3.25, dataset_size=5_000, brought=True)]
    rows = list(csv.DictReader(io.StringIO(table_csv(pins))))
    assert [(row["nickname"], row["dataset_size"], row["best"], row["from"]) for row in rows] == [
        ("Ada", "2000", "4.5", "this server"),
        ("Bo", "5000", "3.25", "a file"),
    ]
