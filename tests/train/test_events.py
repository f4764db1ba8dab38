"""Events as lines of text."""

import dataclasses
import json

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
    events.ExtractionDone,
    events.SampleDrawn,
    events.Notice,
    events.Working,
]
NUMBERS = {float: st.floats(allow_nan=False, allow_infinity=False), int: st.integers(-(2**53), 2**53)}
KNOWN = {
    "step": st.integers(0, 2**53),
    "reason": st.sampled_from(["finished", "stopped", "diverged", "failed"]),
}


def fields_of(kind: type) -> dict[str, st.SearchStrategy]:
    kinds = {field.name: field.type for field in dataclasses.fields(kind)}
    known = {name: KNOWN[name] for name in kinds if name in KNOWN}
    return {name: NUMBERS[of] for name, of in kinds.items() if of in NUMBERS} | known


@given(st.one_of(*(st.builds(kind, **fields_of(kind)) for kind in [*KINDS, RunFinished])))
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


@pytest.mark.parametrize("kind", [*KINDS, RunFinished])
def test_a_value_of_another_kind_is_refused(kind):
    right = {int: 3, float: 0.5, str: "training", bool: True}
    wrong = {
        int: ["3", 3.0, True, None, [3], {}, 2**53 + 1],
        float: ["0.5", True, None, [0.5], float("nan"), float("inf"), -float("inf"), 10**400],
        str: [3, None, True, ["a"], {}, "half of a character: \ud800"],
        bool: [1, 0.0, "true", None, []],
    }
    whole = {field.name: right[field.type] for field in dataclasses.fields(kind)}
    if kind is RunFinished:
        whole["reason"] = "stopped"
    assert from_json(json.dumps({"event": kind.__name__, **whole})) == kind(**whole)
    for field in dataclasses.fields(kind):
        for value in wrong[field.type]:
            with pytest.raises(RunError, match="cannot be read"):
                from_json(json.dumps({"event": kind.__name__, **whole, field.name: value}))


@pytest.mark.parametrize("wrong", [{"step": -1}, {"reason": "bored"}, {"reason": ""}])
def test_what_no_page_could_place_is_refused(wrong):
    ended = {
        "step": 3, "reason": "finished", "text": "", "best_step": 0, "best_validation_loss": 1.0,
        "elapsed_seconds": 2.0,
    }  # fmt: skip
    assert from_json(json.dumps({"event": "RunFinished", **ended})).reason == "finished"
    with pytest.raises(RunError, match=f"its {next(iter(wrong))}"):
        from_json(json.dumps({"event": "RunFinished", **ended, **wrong}))
