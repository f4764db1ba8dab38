"""The settings of writing."""

import math

import pytest

from slm_core.errors import ConfigError
from slm_core.model.sampling import SAMPLING_KNOBS, Sampling


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_p": 0.0},
        {"top_p": 1.1}, {"top_k": -1}, {"max_new_tokens": 0}, {"seed": -1}, {"seed": 2**31},
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused_with_the_range(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*must be a .*number from"):
        Sampling(**wrong)


def test_all_values_out_of_range_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        Sampling(temperature=-1, top_k=-1)
    assert len(str(caught.value).splitlines()) == 2


def test_the_defaults_and_the_ends_of_every_range_are_valid():
    Sampling()
    for name, knob in SAMPLING_KNOBS.items():
        for end in (knob.low, knob.high):
            Sampling(**{name: type(knob.default)(end)})
