"""Pictures: what was measured stands in them, once for each run."""

from slm_core.config import load_preset
from slm_core.teach.pictures import by_heart_picture, losses_picture
from tests.teach.planted import empty, events, told_of

CONFIG = load_preset("ULTRA_TINY").config
ONE = told_of(CONFIG, events([6.0, 3.0, 1.0], [6.0, 4.0, 5.0]))
TWO = told_of(CONFIG, events([6.0, 2.0, 0.5], [6.0, 3.0, 4.0]))


def lines(figure) -> list[list[float]]:
    return [list(trace["y"]) for trace in figure["data"]]


def test_one_run_is_drawn_large_with_its_reference():
    figure = losses_picture({"one": ONE})
    assert [6.0, 3.0, 1.0] in lines(figure) and [6.0, 4.0, 5.0] in lines(figure)
    assert any("ln V" in note["text"] for note in figure["layout"]["annotations"])


def test_several_runs_are_drawn_side_by_side_on_one_scale():
    figure = losses_picture({"one": ONE, "two": TWO})
    assert lines(figure) == [[6.0, 3.0, 1.0], [6.0, 4.0, 5.0], [6.0, 2.0, 0.5], [6.0, 3.0, 4.0]]
    assert figure["layout"]["yaxis"]["range"] == figure["layout"]["yaxis2"]["range"]


def test_what_is_known_by_heart_is_drawn_once_it_is_measured():
    assert [0.0, 0.375, 0.75] in lines(by_heart_picture(ONE))
    assert by_heart_picture(empty(CONFIG)) is None
