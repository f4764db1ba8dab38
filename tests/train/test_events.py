"""Events as lines of text."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.errors import RunError
from slm_core.train import events
from slm_core.train.events import RunFinished, from_json, to_json

KINDS = [
    events.RunStarted,
    events.StepDone,
    events.EvalDone,
    events.SampleDrawn,
    events.Notice,
    events.Working,
]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.one_of(*(st.builds(kind, **{
    field.name: NUMBERS for field in dataclasses.fields(kind) if field.type is float
}) for kind in [*KINDS, RunFinished])))  # fmt: skip
def test_an_event_is_one_line_that_reads_back_as_itself(event):
    line = to_json(event)
    assert "\n" not in line and "\r" not in line
    assert from_json(line) == event


@pytest.mark.parametrize("kind", [*KINDS, RunFinished])
def test_events_are_frozen_and_hold_json_scalars_only(kind):
    assert {field.type for field in dataclasses.fields(kind)} <= {int, float, str, bool}
    assert kind.__dataclass_params__.frozen


def test_a_number_that_is_none_is_not_written():
    ended = RunFinished(
        step=1, reason="x", text="", best_step=0, best_validation_loss=0.0, elapsed_seconds=0.0
    )
    with pytest.raises(ValueError, match="JSON"):
        to_json(dataclasses.replace(ended, best_validation_loss=float("nan")))


WHOLE = to_json(events.Notice(step=3, text="Größe"))


@pytest.mark.parametrize(
    "line",
    [
        *(WHOLE[:length] for length in range(len(WHOLE))),
        WHOLE + WHOLE, "null", "3", "[]", "{}",
        '{"event": "Nothing"}', '{"event": ["Notice"]}', '{"event": "Notice"}',
        WHOLE.replace("step", "steps"), WHOLE.replace("}", ', "more": 1}'), "[" * 100_000,
    ],
    ids=lambda line: f"{line[:40]}…{len(line)}",
)  # fmt: skip
def test_a_damaged_line_is_refused(line):
    with pytest.raises(RunError, match="cannot be read"):
        from_json(line)
