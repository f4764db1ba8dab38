"""Conditions: what they say is what Python's own comparisons say; what cannot be read is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.errors import ConfigError
from slm_core.teach.conditions import filled_in, parse_condition, parse_term, terms_in

RUNS = ("a", "b")
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
SIGNS = {"<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


@given(NUMBERS, NUMBERS, st.sampled_from(sorted(SIGNS)), st.integers(0, 9))
def test_a_comparison_is_what_it_says(left, right, sign, factor):
    condition = parse_condition(f"gap of a {sign} {factor} * gap of b", RUNS)
    values = {"a": {"gap": left}, "b": {"gap": right}}
    assert condition.holds(values) is getattr(left, SIGNS[sign])(factor * right)


@pytest.mark.parametrize(
    ("text", "so"),
    [
        ("gap of a > 1", True),
        ("gap of a > 1.5 and gap of b > 1.5", False),
        ("gap of a > 1.5 and gap of b < 1.5", True),
        ("gap of a > -3", True),
        ("verdict of a is good fit", True),
        ("verdict of a is not good fit", False),
        ("verdict of a is overfitting", False),
    ],
)
def test_conditions_on_planted_values(text, so):
    values = {"a": {"gap": 2.0, "verdict": "good fit"}, "b": {"gap": 1.0}}
    assert parse_condition(text, RUNS).holds(values) is so


def test_what_was_not_measured_is_neither_so_nor_not():
    condition = parse_condition("gap of a > 1 and gap of b > 1", RUNS)
    assert condition.holds({"a": {"gap": 0.0}}) is None and condition.holds({}) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gapp of a > 1", "no measure called 'gapp'"),
        ("gap of c > 1", "no run called 'c'"),
        ("gap > 1", "does not say of which run"),
        ("gap of a", "no comparison"),
        ("gap of a is wide", "only a verdict"),
        ("verdict of a > 1", "a verdict is a word"),
        ("gap of a > nan", "no measure called 'nan'"),
        ("__import__('os') > 1", "no measure"),
    ],
)
def test_what_cannot_be_read_is_said(text, said):
    with pytest.raises(ConfigError) as error:
        parse_condition(text, RUNS)
    assert said in str(error.value)


def test_a_single_run_need_not_be_named():
    assert parse_term("2 * gap", ["only"]) == parse_term("2 * gap of only", ["only"])


def test_texts_are_filled_in_with_units_and_ignorance_is_said():
    text = "A gap of {gap of a}, by heart {extraction_rate of a}, and {gap of b}."
    values = {"a": {"gap": 1.234, "extraction_rate": 0.5}}
    assert filled_in(text, RUNS, values) == "A gap of 1.23 nats, by heart 50 %, and …."
    assert [term.measure for term in terms_in(text, RUNS)] == ["gap", "extraction_rate", "gap"]
    with pytest.raises(ConfigError):
        terms_in("{gap of nobody}", RUNS)
