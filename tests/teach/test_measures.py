"""Measures: read off planted histories whose every number was written by hand."""

import pytest

from slm_core.config import load_preset
from slm_core.teach.measures import MEASURES, measured
from tests.teach.planted import empty, events, told_of

CONFIG = load_preset("ULTRA_TINY").config.with_changes({"max_iters": 40})


def test_measures_of_a_planted_run():
    told = told_of(CONFIG, events([6.0, 3.0, 1.0, 0.5, 0.25], [6.0, 4.0, 5.0, 6.5, 7.0], seconds=8.0))
    found = measured(told)
    assert found["train_loss"] == 0.25 and found["validation_loss"] == 7.0
    assert found["best_validation"] == 4.0 and found["best_step"] == 10
    assert found["gap"] == 6.75 and found["rise"] == 3.0
    assert found["extraction_rate"] == 0.75 and found["extraction_control"] == 0.0
    assert found["seconds"] == 8.0
    assert found["tokens_per_second"] == 100.0  # as its steps told it
    assert found["epochs"] == 40 * 16 * 64 / 2_000
    assert found["verdict"] == "memorized"
    assert not {"leak_share", "unique_tokens", "floor", "writing_speed"} & found.keys(), "nobody measured it"


def test_before_anything_was_told_only_the_config_speaks():
    assert measured(empty(CONFIG)).keys() == {"parameters", "tokens_per_parameter", "epochs"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("gap", 1.005, "1.00 nats"),
        ("extraction_rate", 0.756, "76 %"),
        ("best_step", 1200, "1,200"),
        ("tokens_per_parameter", 0.000381, "0.00038"),
        ("seconds", 12.34, "12.3 s"),
        ("verdict", "good fit", "good fit"),
    ],
)
def test_values_in_words(name, value, said):
    assert MEASURES[name].shown(value) == said
