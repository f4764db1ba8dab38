"""A history is what was appended, read as it grows, and never lost to one damaged line."""

from pathlib import Path

import pytest

from slm_core.config import ExperimentConfig
from slm_core.runs.history import History
from slm_core.runs.store import Run, create_run
from slm_core.train.events import EvalDone, Notice, RunFinished, RunStarted, SampleDrawn, StepDone, to_json


@pytest.fixture
def run(tmp_path) -> Run:
    return create_run(tmp_path, ExperimentConfig(), name="a", device="cpu", threads=1)


def started(step: int = 0) -> RunStarted:
    return RunStarted(
        step=step, max_iters=9, device="cpu", threads=1, parameters=5, train_tokens=6, validation_tokens=7,
        loss_at_chance=2.0,
    )  # fmt: skip


def stepped(step: int, loss: float = 1.0) -> StepDone:
    return StepDone(
        step=step, loss=loss, learning_rate=0.1, grad_norm=1.0, tokens_per_second=1.0, elapsed_seconds=1.0,
        remaining_seconds=1.0,
    )  # fmt: skip


def evaluated(step: int, validation: float) -> EvalDone:
    return EvalDone(
        step=step, train_loss=1.0, train_bits_per_byte=1.0, validation_loss=validation,
        validation_standard_error=0.1, validation_bits_per_byte=1.0, windows=20, is_best=False,
    )  # fmt: skip


def finished(reason: str = "finished") -> RunFinished:
    return RunFinished(
        step=4, reason=reason, text="", best_step=2, best_validation_loss=1.0, elapsed_seconds=1.0
    )


def test_a_history_is_what_was_appended(run):
    sample = SampleDrawn(step=2, source="training", prompt="Once", text="upon\na\u2028time\x85\x0b\x1d")
    notice = Notice(step=0, text="lone \ud800")
    events = [started(), notice, stepped(1, 3.0), stepped(2, 2.5), evaluated(2, 1.5), sample, finished()]
    for event in events:
        run.append(event)
    history = History(run.folder).refresh()
    assert (history.started, history.finished, history.last_step) == (started(), finished(), stepped(2, 2.5))
    assert history.losses == {1: 3.0, 2: 2.5}
    assert history.evaluations == {2: evaluated(2, 1.5)} and history.best == evaluated(2, 1.5)
    assert history.samples == {(2, "training"): sample}
    assert [each.text for each in history.notices] == ["lone ?"]
    assert history.damaged_lines == 0


def test_the_best_is_the_lowest_validation_loss(run):
    for step, loss in enumerate([3.0, 1.0, 2.0]):
        run.append(evaluated(step, loss))
    assert History(run.folder).refresh().best.step == 1
    assert History(Path("nowhere")).refresh().best is None


def test_a_history_read_in_bits_is_the_one_read_at_once(run):
    written = "".join(
        to_json(event) + "\n" for event in [started(), stepped(1), Notice(step=1, text="é\u2028")]
    )
    file, growing = run.folder / "events.jsonl", History(run.folder)
    for byte in written.encode():
        with open(file, "ab") as opened:
            opened.write(bytes([byte]))
        growing.refresh()
    whole = History(run.folder).refresh()
    assert (growing.started, growing.losses, growing.notices) == (whole.started, whole.losses, whole.notices)
    assert whole.notices == [Notice(step=1, text="é\u2028")] and growing.damaged_lines == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"{", b'{"event": "StepDone"}\n', b"\xff\xfe\n", b"\0\0\n", b"\n",
        to_json(evaluated(2, 0.5)).replace("0.5", "NaN").encode() + b"\n",
        to_json(stepped(2)).replace('"step": 2', '"step": [2]').encode() + b"\n",
        to_json(started()).replace('"step": 0', '"step": "0"').encode() + b"\n",
    ],
)  # fmt: skip
def test_a_damaged_line_costs_that_line_only(run, damage):
    run.append(started())
    with open(run.folder / "events.jsonl", "ab") as file:
        file.write(damage)
    run.append(stepped(1))
    run.append(finished("stopped"))
    history = History(run.folder).refresh()
    assert history.losses == {1: 1.0} and history.finished.reason == "stopped" and history.best is None
    assert history.damaged_lines == 1


def test_what_a_resumed_run_does_again_replaces_what_it_did_before(run):
    for event in [
        started(),
        *(stepped(step, 9.0) for step in (1, 2, 3)),
        evaluated(2, 9.0),
        evaluated(3, 0.1),
    ]:
        run.append(event)
    run.append(SampleDrawn(step=3, source="training", prompt="", text="old"))
    run.append(finished("stopped"))
    run.append(started(2))
    history = History(run.folder).refresh()
    assert history.finished is None
    assert list(history.losses) == [1, 2] and list(history.evaluations) == [2] and not history.samples
    run.append(stepped(3, 1.0))
    assert history.refresh().losses == {1: 9.0, 2: 9.0, 3: 1.0}


def test_a_run_that_begins_anew_has_made_no_step_and_says_its_notices_once(run):
    for event in [
        started(),
        Notice(step=0, text="short"),
        stepped(1),
        started(),
        Notice(step=0, text="short"),
    ]:
        run.append(event)
    history = History(run.folder).refresh()
    assert history.last_step is None and not history.losses
    assert history.notices == [Notice(step=0, text="short")]


def test_a_file_that_is_lost_while_the_run_goes_on_does_not_hide_how_it_ends(run):
    history = History(run.folder)
    for event in (started(), *(stepped(step) for step in range(1, 5))):
        run.append(event)
    assert history.refresh().finished is None
    (run.folder / "events.jsonl").unlink()
    run.append(finished())
    assert history.refresh().finished == finished() and set(history.losses) == {1, 2, 3, 4}
