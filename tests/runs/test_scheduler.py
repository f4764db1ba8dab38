"""Runs in threads: the same numbers as alone, turns, queue, and every way to end."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.runs import work
from slm_core.runs.scheduler import PAUSED, QUEUED, RUNNING, Cores, Scheduler
from slm_core.runs.store import History, create_run, list_runs, open_run
from slm_core.runs.work import train_run
from slm_core.train.events import RunFinished, from_json

LONG = {"max_iters": 100_000, "eval_interval": 20_000}
SHORT = {"max_iters": 40, "eval_interval": 20}


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(root) -> Iterator[Callable[[int], Scheduler]]:
    """`make(active)` gives a scheduler; all are shut down after the test."""
    made = []

    def scheduler(active: int) -> Scheduler:
        made.append(Scheduler(root, active))
        return made[-1]

    yield scheduler
    for each in made:
        each.shut_down()


@pytest.fixture
def begin(tiny_config, own_text) -> Callable[..., str]:
    """`begin(scheduler, **changes)` starts a tiny run with one thread."""

    def start(scheduler: Scheduler, **changes: object) -> str:
        config = tiny_config.with_changes(changes)
        return scheduler.start(config, name="tiny", text=own_text, threads=1)

    return start


def history(root: Path, run_id: str) -> History:
    return History(root / run_id).refresh()


def steps(root: Path, run_id: str) -> int:
    return len(history(root, run_id).losses)


def last_weights(root: Path, run_id: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(open_run(root, run_id).checkpoints["last"])


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def alone(root: Path, config: ExperimentConfig, text: str) -> dict[str, torch.Tensor]:
    run = create_run(root, config, name="alone", device="cpu", threads=1)
    run.write_text("text.txt", text)
    for _ in train_run(run):
        pass
    return last_weights(root, run.id)


def test_runs_beside_each_other_are_each_as_alone(make, begin, root, tiny_config, own_text):
    scheduler = make(3)
    changes = [{"seed": seed, "dropout": 0.1 * seed, "max_iters": 6} for seed in (1, 2, 3)]
    ids = [begin(scheduler, **each) for each in changes]
    for run_id in ids:
        scheduler.wait(run_id)
    for run_id, each in zip(ids, changes, strict=True):
        assert history(root, run_id).finished.reason == "finished"
        assert same(last_weights(root, run_id), alone(root, tiny_config.with_changes(each), own_text))


def test_a_run_that_has_ended_is_no_longer_live(make, begin, root):
    scheduler = make(1)
    run_id = begin(scheduler)
    assert scheduler.live() == [run_id]
    scheduler.wait(run_id)
    assert scheduler.live() == [] and scheduler.status(run_id) is None and scheduler.failure(run_id) == ""
    assert (history(root, run_id).finished.reason, steps(root, run_id)) == ("finished", 6)


def test_runs_beyond_the_active_ones_queue_in_their_order(make, begin, root, until):
    scheduler = make(1)
    first, second, third = (begin(scheduler, **LONG) for _ in range(3))
    states = [scheduler.status(each) for each in (first, second, third)]
    assert [(each.state, each.place) for each in states] == [(RUNNING, 0), (QUEUED, 1), (QUEUED, 2)]
    assert scheduler.live() == [first, second, third]
    scheduler.stop(second)
    assert scheduler.status(second) is None and scheduler.status(third).place == 1
    assert history(root, second).finished.text == "Stopped before it began."
    scheduler.stop(first)
    until(lambda: (status := scheduler.status(third)) and status.state == RUNNING)
    until(lambda: steps(root, third) > 2)
    assert scheduler.status(first) is None


def test_a_paused_run_rests_until_it_is_resumed(make, begin, root, until):
    scheduler = make(2)
    run_id = begin(scheduler, **LONG)
    until(lambda: steps(root, run_id) > 2)
    scheduler.pause(run_id)
    assert scheduler.status(run_id).state == PAUSED
    before = steps(root, run_id)
    scheduler.wait(begin(scheduler, max_iters=30))  # time in which the paused run could have done a lot
    assert steps(root, run_id) <= before + 1, "at most the step that was under way"
    assert history(root, run_id).finished is None
    scheduler.resume(run_id)
    assert scheduler.status(run_id).state == RUNNING
    until(lambda: steps(root, run_id) > before + 2)


def test_pausing_changes_nothing_that_is_learned(make, begin, root, until, tiny_config, own_text):
    scheduler = make(1)
    run_id = begin(scheduler, **SHORT)
    for step in (1, 5, 20):
        until(lambda step=step: steps(root, run_id) >= step)
        scheduler.pause(run_id)
        scheduler.resume(run_id)
    scheduler.wait(run_id)
    assert same(last_weights(root, run_id), alone(root, tiny_config.with_changes(SHORT), own_text))


@pytest.mark.parametrize("paused", [False, True])
def test_a_stopped_run_is_saved_and_ends_as_the_unbroken_one_when_resumed(
    make, begin, root, until, tiny_config, own_text, paused
):
    scheduler = make(1)
    run_id = begin(scheduler, **SHORT)
    until(lambda: steps(root, run_id) >= 3)
    if paused:
        scheduler.pause(run_id)
    scheduler.stop(run_id)
    scheduler.wait(run_id)
    ended = history(root, run_id).finished
    assert ended.reason == "stopped" and 3 <= ended.step < 40
    assert open_run(root, run_id).resumable
    scheduler.resume(run_id)
    scheduler.wait(run_id)
    assert history(root, run_id).finished.reason == "finished"
    assert same(last_weights(root, run_id), alone(root, tiny_config.with_changes(SHORT), own_text))


def test_shutting_down_saves_every_run_for_the_next_server(make, begin, root, until, tiny_config, own_text):
    scheduler = make(2)
    first, second, queued = (begin(scheduler, **SHORT, seed=seed) for seed in (1, 2, 3))
    until(lambda: steps(root, first) >= 2 and steps(root, second) >= 2)
    scheduler.shut_down()
    assert scheduler.live() == []
    assert history(root, queued).finished.text == "Stopped before it began."
    assert not [thread for thread in threading.enumerate() if thread.name in (first, second, queued)]
    following = make(2)
    following.resume(first)
    following.wait(first)
    expected = alone(root, tiny_config.with_changes({**SHORT, "seed": 1}), own_text)
    assert same(last_weights(root, first), expected)


@pytest.mark.parametrize("live", [True, False])
def test_a_deleted_run_is_gone(make, begin, root, until, live):
    scheduler = make(1)
    run_id = begin(scheduler, **(LONG if live else {}))
    until(lambda: steps(root, run_id) > 2)
    if not live:
        scheduler.wait(run_id)
    scheduler.delete(run_id)
    assert scheduler.live() == [] and list_runs(root) == [] and not (root / run_id).exists()


def test_a_deleted_run_that_queued_never_begins(make, begin, root):
    scheduler = make(1)
    begin(scheduler, **LONG)
    queued = begin(scheduler)
    scheduler.delete(queued)
    assert scheduler.status(queued) is None and not (root / queued).exists()


def test_a_run_that_is_not_there_is_refused(make):
    scheduler = make(1)
    for run_id in ("20260101-000000-a-abcdef", "../x"):
        assert scheduler.status(run_id) is None
        scheduler.pause(run_id)
        scheduler.stop(run_id)
        scheduler.wait(run_id)
        for act in (scheduler.resume, scheduler.delete):
            with pytest.raises(RunError):
                act(run_id)


def test_a_finished_run_has_nothing_to_go_on_with(make, begin):
    scheduler = make(1)
    run_id = begin(scheduler)
    scheduler.wait(run_id)
    with pytest.raises(RunError, match="nothing left"):
        scheduler.resume(run_id)


def endings(root: Path, run_id: str) -> list[RunFinished]:
    lines = (root / run_id / "events.jsonl").read_text().split("\n")[:-1]
    return [event for event in map(from_json, lines) if isinstance(event, RunFinished)]


def test_a_text_that_cannot_be_trained_on_fails_the_run_in_words(make, root, tiny_config):
    scheduler = make(1)
    run_id = scheduler.start(tiny_config, name="short", text="too short", threads=1)
    scheduler.wait(run_id)
    (ended,) = endings(root, run_id)
    assert ended.reason == "failed" and "at least 2,000" in ended.text
    assert scheduler.live() == []


def test_a_run_stopped_while_its_text_is_read_says_so(make, begin, root, monkeypatch):
    reading, go_on, dataset = threading.Event(), threading.Event(), work._dataset

    def slow(run: object) -> object:
        reading.set()
        assert go_on.wait(60)
        return dataset(run)

    monkeypatch.setattr(work, "_dataset", slow)
    scheduler = make(1)
    run_id = begin(scheduler)
    assert reading.wait(60)
    assert scheduler.status(run_id).doing == "reading the text"
    scheduler.stop(run_id)
    go_on.set()
    scheduler.wait(run_id)
    (ended,) = endings(root, run_id)
    assert (ended.reason, ended.text) == ("stopped", "Stopped before training began.")


class Panic(BaseException):
    """As libraries written in Rust raise it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "Lower batch_size from 4 to 2"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), "Memory ran out"),
        (ZeroDivisionError("an odd mistake"), "ZeroDivisionError: an odd mistake"),
        (Panic("unwrap"), "Panic"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_happens_in_a_run_ends_it_with_a_sentence_and_lets_the_next_begin(
    make, begin, root, monkeypatch, error, words
):
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(work.Trainer, "_train_step", fail)
        scheduler = make(1)
        run_id = begin(scheduler)
        scheduler.wait(run_id)
    (ended,) = endings(root, run_id)
    assert ended.reason == "failed" and words in ended.text and "Traceback" not in ended.text
    following = begin(scheduler)
    scheduler.wait(following)
    assert history(root, following).finished.reason == "finished"


def test_a_folder_lost_while_training_is_told_by_the_scheduler(make, begin, root, until):
    scheduler = make(1)
    run_id = begin(scheduler, **LONG)
    until(lambda: steps(root, run_id) > 2)
    (root / run_id).rename(root / "elsewhere")
    scheduler.wait(run_id, timeout=60)
    assert scheduler.live() == [] and "cannot be written" in scheduler.failure(run_id)


def test_a_runs_folder_that_cannot_be_used_is_told_at_the_start(tmp_path, tiny_config):
    (tmp_path / "file").write_text("in the way")
    scheduler = Scheduler(tmp_path / "file")
    with pytest.raises(RunError, match="No run can be kept"):
        scheduler.start(tiny_config, name="a", text="text")
    assert scheduler.live() == []


def test_a_lone_run_takes_what_is_fastest_and_those_that_join_take_one_thread(
    make, root, tiny_config, own_text, monkeypatch
):
    monkeypatch.setattr("slm_core.runs.scheduler.fastest_threads", lambda: 2)
    scheduler = make(1)
    ids = [scheduler.start(tiny_config.with_changes(LONG), name="a", text=own_text) for _ in range(2)]
    assert [open_run(root, each).threads for each in ids] == [2, 1]


def test_cores_are_lent_in_the_order_of_asking_and_never_more_than_there_are(until):
    cores, order, busy, most = Cores(2), [], 0, 0
    lock = threading.Lock()

    def work_with(name: str, wanted: int) -> None:
        nonlocal busy, most
        with cores.borrow(wanted):
            with lock:
                order.append(name)
                busy += min(wanted, 2)
                most = max(most, busy)
            with lock:
                busy -= min(wanted, 2)

    threads = []
    with cores.borrow(2):
        for place, (name, wanted) in enumerate([("a", 1), ("all", 9), ("b", 1), ("both", 2), ("c", 1)]):
            thread = threading.Thread(target=work_with, args=(name, wanted))
            thread.start()
            threads.append(thread)
            until(lambda place=place: len(cores._waiting) == place + 1)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["a", "all", "b", "both", "c"] and most == 2


def test_a_borrower_that_fails_gives_its_cores_back():
    cores = Cores(1)
    with pytest.raises(ZeroDivisionError), cores.borrow(1):
        raise ZeroDivisionError
    with cores.borrow(1):
        pass
