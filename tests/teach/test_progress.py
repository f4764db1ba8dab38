"""Progress: what is kept comes back, whoever asks again; what is damaged or hostile does no harm."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.errors import RunError
from slm_core.runs.store import list_runs
from slm_core.teach.progress import (
    FOLDER,
    LONGEST_NOTE,
    Progress,
    forget_progress,
    keep_progress,
    kept_file,
    load_progress,
    write_kept,
)

DONE = Progress(
    step=2,
    answers={"a.predict": 1, "a.check-1": 2.5, "a.check-2": "small"},
    runs={"small": "20260101-000000-small-abcdef"},
    sources={"small": "here", "large": "recording"},
    notes={"a": "It rose."},
    besides={"small": {"writing_speed": 800.0}},
)


@pytest.mark.parametrize("owner", ["", "0123456789abcdef0123"])
def test_what_is_kept_comes_back_whole(tmp_path, owner):
    keep_progress(tmp_path, owner, "week-1", DONE)
    assert load_progress(tmp_path, owner, "week-1") == DONE


def test_people_and_lessons_are_apart_and_no_runs(tmp_path):
    keep_progress(tmp_path, "ann", "week-1", DONE)
    assert load_progress(tmp_path, "ben", "week-1") is None
    assert load_progress(tmp_path, "ann", "week-2") is None
    assert list_runs(tmp_path) == []
    forget_progress(tmp_path, "ann", "week-1")
    assert load_progress(tmp_path, "ann", "week-1") is None


def test_the_first_answer_counts():
    assert DONE.answered("a.predict", 0).answers["a.predict"] == 1
    assert DONE.answered("b.predict", 0).answers["b.predict"] == 0


@settings(max_examples=50, deadline=None)
@given(note=st.text(max_size=2 * LONGEST_NOTE))
def test_any_note_is_kept_as_far_as_it_may_go(tmp_path_factory, note):
    folder = tmp_path_factory.mktemp("notes")
    keep_progress(folder, "", "week-1", DONE.noted("a", note))
    assert load_progress(folder, "", "week-1").notes["a"] == note[:LONGEST_NOTE]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: [],
        lambda kept: {**kept, "begun": "yesterday"},
        lambda kept: {**kept, "begun": "2026-01-01T00:00:00"},
        lambda kept: {**kept, "step": -1},
        lambda kept: {**kept, "step": True},
        lambda kept: {**kept, "answers": 3},
        lambda kept: {**kept, "besides": {"small": {"writing_speed": "fast"}}},
        lambda kept: {name: kept[name] for name in kept if name != "notes"},
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path, spoil):
    keep_progress(tmp_path, "", "week-1", DONE)
    file = kept_file(tmp_path, "", "week-1")
    file.write_text(json.dumps(spoil(json.loads(file.read_text()))))
    assert load_progress(tmp_path, "", "week-1") is None
    file.write_bytes(b"\xff{")
    assert load_progress(tmp_path, "", "week-1") is None


def test_answers_of_no_kind_are_left_out(tmp_path):
    keep_progress(tmp_path, "", "week-1", DONE)
    file = kept_file(tmp_path, "", "week-1")
    kept = json.loads(file.read_text())
    kept["answers"] |= {"list": [1], "long": "x" * 1_000, "nothing": None, "true": True}
    file.write_text(json.dumps(kept).replace('"a.check-1": 2.5', '"a.check-1": NaN'))
    assert load_progress(tmp_path, "", "week-1").answers == {"a.predict": 1, "a.check-2": "small"}


@pytest.mark.parametrize("owner", ["../ann", "a/b", "A", ".", "x" * 41])
def test_an_owner_is_never_a_path(tmp_path, owner):
    with pytest.raises(RunError):
        kept_file(tmp_path, owner, "week-1")
    with pytest.raises(RunError):
        kept_file(tmp_path, "", f"../{owner}")


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / FOLDER).write_text("a file where a folder should be")
    with pytest.raises(RunError, match="Free some room"):
        keep_progress(tmp_path, "", "week-1", DONE)
    with pytest.raises(RunError, match="larger"):
        write_kept(tmp_path / "large.json", "x" * 1_000_000)
