"""Recordings: played back whole, one tells what its run told; in part, nothing later."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from slm_core.config import load_preset
from slm_core.errors import RunError
from slm_core.runs.history import History
from slm_core.runs.store import create_run
from slm_core.study.samples import Copying, Passage
from slm_core.teach.lesson import load_lesson
from slm_core.teach.recording import Recording, find_recording, recording_file, thin, told
from slm_core.train.events import EvalDone, SampleDrawn, StepDone, from_json
from tests.teach.planted import events, lesson_file

CONFIG = load_preset("ULTRA_TINY").config.with_changes({"dataset_size": 200})
TEXTS = [SampleDrawn(step=step, source="training", prompt="A", text=" cat") for step in range(0, 50, 10)]
EVENTS = [*events([6.0, 3.0, 1.0, 0.5, 0.25], [6.0, 4.0, 5.0, 6.5, 7.0], seconds=8.0)]


def recording_of(given, **changes) -> Recording:
    copying = {(40, "training"): Copying((Passage("A cat", "A cat sat"),), 1.0, 5, 4, True)}
    return Recording(
        config=CONFIG, device="CPU · Test, 2 cores", made=datetime(2026, 1, 2, tzinfo=UTC),
        events=thin(given), besides={"writing_speed": 800.0}, copying=copying, **changes,
    )  # fmt: skip


def test_a_recording_comes_back_from_its_bytes():
    made = recording_of([*EVENTS, *TEXTS])
    assert Recording.from_bytes(made.to_bytes()) == made
    assert made.to_bytes() == made.to_bytes()


def test_played_back_whole_it_tells_what_the_runs_own_folder_tells(tmp_path):
    run = create_run(tmp_path, CONFIG, name="x", device="cpu", threads=1)
    for event in [*EVENTS[:-1], *TEXTS, EVENTS[-1]]:
        run.append(event)
    truth = History(run.folder).refresh()
    lines = (run.folder / "events.jsonl").read_text().split("\n")[:-1]
    played = Recording.from_bytes(recording_of(map(from_json, lines)).to_bytes()).history()
    for part in ("started", "finished", "evaluations", "extractions", "last_step", "losses", "elapsed"):
        assert getattr(played, part) == getattr(truth, part), part
    assert played.best == truth.best
    assert sorted(played.samples) == [(0, "training"), (20, "training"), (40, "training")]


def test_played_in_part_nothing_later_is_told():
    made = recording_of(EVENTS)
    assert made.seconds == 8.0
    for seconds in (0.0, 1.0, 3.9, 4.0, 7.99, 8.0):
        history = made.history(seconds)
        reached = int(seconds * 40 / 8.0)
        assert max(history.losses, default=0) == reached
        assert sorted(history.evaluations) == [step for step in range(0, 50, 10) if step <= reached]
        assert (history.finished is not None) == (seconds == 8.0)


def test_a_long_run_is_thinned_and_no_measurement_is_lost():
    facts = {"loss": 1.0, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 1.0}
    steps = [
        StepDone(step=step, elapsed_seconds=step, remaining_seconds=0.0, **facts) for step in range(1, 5_001)
    ]
    evaluations = [event for event in EVENTS if isinstance(event, EvalDone)]
    kept = thin([*steps, *evaluations])
    assert len(kept) <= 400 + len(evaluations) and steps[-1] in kept and steps[0] in kept
    assert [event for event in kept if isinstance(event, EvalDone)] == evaluations


def test_only_a_recording_of_these_very_settings_is_found(tmp_path):
    lesson = load_lesson(lesson_file(tmp_path))
    run = lesson.runs["small"]
    assert find_recording(tmp_path, lesson.id, run) is None
    file = recording_file(tmp_path, lesson.id, run.name)
    file.write_bytes(recording_of(EVENTS).to_bytes())
    assert find_recording(tmp_path, lesson.id, run).config == run.config
    other = lesson.runs["large"]
    recording_file(tmp_path, lesson.id, other.name).write_bytes(file.read_bytes())
    assert find_recording(tmp_path, lesson.id, other) is None
    file.write_bytes(file.read_bytes()[:-20])
    assert find_recording(tmp_path, lesson.id, run) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: [],
        lambda kept: {**kept, "format": "other"},
        lambda kept: {**kept, "made": "2026-01-01"},
        lambda kept: {**kept, "config": {"n_layer": 0}},
        lambda kept: {**kept, "events": [{"event": "Surprise"}]},
        lambda kept: {**kept, "report": {"floor": 1}},
        lambda kept: {**kept, "copying": [[1, "training", {}]]},
        lambda kept: {**kept, "besides": {"writing_speed": "fast"}},
    ],
)
def test_a_damaged_recording_is_said(spoil):
    kept = json.loads(gzip.decompress(recording_of(EVENTS).to_bytes()))
    with pytest.raises(RunError, match="Record it anew"):
        Recording.from_bytes(gzip.compress(json.dumps(spoil(kept)).encode()))


def test_a_bomb_is_not_unpacked():
    with pytest.raises(RunError):
        Recording.from_bytes(gzip.compress(b" " * 50_000_000))


def test_told_is_what_a_history_reads(tmp_path):
    run = create_run(tmp_path, CONFIG, name="x", device="cpu", threads=1)
    for event in EVENTS:
        run.append(event)
    truth, found = History(run.folder).refresh(), told(EVENTS)
    assert (found.evaluations, found.losses) == (truth.evaluations, truth.losses)
