"""Runs in threads: the same numbers as alone, turns, queue, and every way to end."""

import errno
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError, RunError
from slm_core.hardware import physical_cores
from slm_core.model.budget import budget
from slm_core.runs import work
from slm_core.runs.checkpoint import import_checkpoint
from slm_core.runs.history import History
from slm_core.runs.limits import Limits
from slm_core.runs.scheduler import PAUSED, QUEUED, RUNNING, Scheduler
from slm_core.runs.storage import expected_bytes, run_bytes
from slm_core.runs.store import Run, change_run, create_run, list_damaged, list_runs, open_run
from slm_core.runs.work import train_run
from slm_core.text import shared
from slm_core.train.events import Event, RunFinished, StepDone, Working, from_json

LONG = {"max_iters": 100_000, "eval_interval": 20_000}
SHORT = {"max_iters": 40, "eval_interval": 20}
TINY_STORIES = {
    "corpus": "tales", "dataset_size": 500, "vocab_size": 300, "n_layer": 1, "n_head": 1, "n_embd": 8,
    "block_size": 16, "max_iters": 1, "warmup_iters": 0,
}  # fmt: skip


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(root) -> Iterator[Callable[..., Scheduler]]:
    """`make(active, **limits)` gives a scheduler; all are shut down after the test."""
    made = []

    def scheduler(active: int, **limits: int) -> Scheduler:
        made.append(Scheduler(root, Limits(active_runs=active, **limits)))
        return made[-1]

    yield scheduler
    for each in made:
        each.shut_down()


@pytest.fixture
def begin(tiny_config, own_text) -> Callable[..., str]:
    """`begin(scheduler, **changes)` starts a tiny run with one thread."""

    def start(scheduler: Scheduler, owner: str = "", **changes: object) -> str:
        config = tiny_config.with_changes(changes)
        return scheduler.start(config, name="tiny", text=own_text, threads=1, owner=owner)

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


@pytest.mark.parametrize("owners", ["aa", "ab", "aaa", "aab", "abc"])
def test_runs_beside_each_other_are_each_as_alone(make, begin, root, tiny_config, own_text, owners):
    scheduler = make(3)
    changes = [{"seed": seed, "dropout": 0.1 * seed, "max_iters": 6} for seed in range(1, 1 + len(owners))]
    ids = [begin(scheduler, owner=owner, **each) for owner, each in zip(owners, changes, strict=True)]
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


def test_runs_of_one_series_follow_one_another(make, root, tiny_config, own_text, until):
    scheduler, config = make(3), tiny_config.with_changes(LONG)
    first, second, other = (
        scheduler.start(config, name="tiny", text=own_text, threads=1, series=series)
        for series in ("mine", "mine", "another")
    )
    states = {each: scheduler.status(each).state for each in (first, second, other)}
    assert states == {first: RUNNING, second: QUEUED, other: RUNNING}
    until(lambda: steps(root, first) > 2)
    scheduler.pause(first)  # it may go on at any moment: nobody else of its series begins
    until(lambda: steps(root, other) > 2)
    assert scheduler.status(second).state == QUEUED
    scheduler.stop(first)
    scheduler.wait(first)
    until(lambda: steps(root, second) > 2)


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
    monkeypatch.setattr(shared, "MOST_CHARACTERS", 0)  # it is read in pieces, as a large text is
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
    monkeypatch.setattr("slm_core.runs.scheduler.fastest_threads", lambda config: 2)
    scheduler = make(1)
    ids = [scheduler.start(tiny_config.with_changes(LONG), name="a", text=own_text) for _ in range(2)]
    assert [open_run(root, each).threads for each in ids] == [2, 1]


class Pretended:
    """Stands in for the work of runs: each makes steps, saying how long it will still take, until it is let
    go."""

    def __init__(self) -> None:
        self.begun: list[str] = []  # run ids
        self.still_reading: set[str] = set()
        self.remaining_seconds: dict[str, float] = {}  # of others it is 1
        self.ended: set[str] = set()

    def train_run(self, run: Run) -> Iterator[Event]:
        self.begun.append(run.id)
        pace = threading.Event()
        while run.id not in self.ended:
            pace.wait(0.002)
            if run.id in self.still_reading:
                yield Working(step=0, doing="reading the text", share=0.5)
                continue
            yield StepDone(
                step=1, loss=1.0, learning_rate=0.1, grad_norm=1.0, elapsed_seconds=1.0,
                tokens_per_second=run.config.tokens_per_step / 0.5,
                remaining_seconds=self.remaining_seconds.get(run.id, 1.0),
            )  # fmt: skip
        run.append(
            RunFinished(
                step=1, reason="finished", text="", best_step=0, best_validation_loss=1.0, elapsed_seconds=1.0
            )
        )


@pytest.fixture
def pretended(monkeypatch) -> Pretended:
    stand_in = Pretended()
    monkeypatch.setattr(work, "train_run", stand_in.train_run)
    return stand_in


def test_a_place_goes_to_whoever_has_fewest_runs_active_and_of_equals_to_whoever_asked_first(
    make, begin, pretended, until
):
    scheduler = make(2)
    greedy = [begin(scheduler, owner="greedy") for _ in range(5)]
    modest = [begin(scheduler, owner=f"modest {number}") for number in range(3)]
    assert [scheduler.status(each).place for each in (*modest, *greedy[2:])] == [1, 2, 3, 4, 5, 6]
    owner = {run_id: open_run(scheduler.root, run_id).owner for run_id in (*greedy, *modest)}
    active, waiting = greedy[:2], [*greedy[2:], *modest]
    while active:
        until(lambda: set(pretended.begun) >= set(active))
        assert {each for each in owner if (status := scheduler.status(each)) and not status.place} == set(
            active
        )
        pretended.ended.add(active[0])
        scheduler.wait(active.pop(0))
        owners = [owner[each] for each in active]
        if waiting:
            active.append(min(waiting, key=lambda each: owners.count(owner[each])))
            waiting.remove(active[-1])
    assert scheduler.live() == [] and scheduler.live("greedy") == [] and len(pretended.begun) == 8


def test_a_run_that_waits_for_its_turn_is_stopped_at_once(make, begin, until, monkeypatch):
    """Though other runs keep all cores for long."""
    computing, go_on = [], threading.Event()

    def slow(run: Run) -> Iterator[Event]:
        computing.append(run.owner)
        assert go_on.wait(60)
        yield Working(step=0, doing="reading the text", share=0.0)

    monkeypatch.setattr(work, "train_run", slow)
    scheduler = make(99)
    ids = {str(number): begin(scheduler, owner=str(number)) for number in range(scheduler.cores.count + 1)}
    until(lambda: len(computing) == scheduler.cores.count and len(scheduler.cores._waiting) == 1)
    (waiting,) = set(ids) - set(computing)
    scheduler.stop(ids[waiting])
    stopped = scheduler.wait(ids[waiting], timeout=30)
    others = len(scheduler.live())
    go_on.set()
    assert stopped and others == len(ids) - 1 and waiting not in computing


def test_a_queued_run_says_when_it_will_begin(make, begin, pretended, until, monkeypatch):
    scheduler = make(2)
    assert scheduler.status(begin(scheduler)).start_seconds is None, "it has begun"
    second, third, fourth = begin(scheduler), begin(scheduler), begin(scheduler, max_iters=60)
    assert scheduler.cores.count == physical_cores()
    first = scheduler.live()[0]
    pretended.remaining_seconds |= {first: 10.0, second: 100.0}
    left = "remaining_seconds"
    until(lambda: [getattr(scheduler._jobs[each], left) for each in (first, second)] == [10.0, 100.0])
    # Both share the cores, so what would take 10 seconds alone takes 10 * 2 / cores. One step takes 0.5
    # seconds alone, so the third's 6 take 3.
    slower = max(1.0, 2 / scheduler.cores.count)
    assert scheduler.status(third).start_seconds == pytest.approx(10 * slower)
    assert scheduler.status(fourth).start_seconds == pytest.approx(13 * slower)
    assert scheduler.status(first).slowdown == slower


def test_memory_for_a_second_run_is_waited_for_and_the_first_always_begins(
    make, begin, pretended, until, monkeypatch, tiny_config
):
    memory = SimpleNamespace(rss=10**12)
    process = SimpleNamespace(memory_info=lambda: memory)
    monkeypatch.setattr("slm_core.runs.scheduler.psutil", SimpleNamespace(Process=lambda: process))
    needed = budget(tiny_config).training_memory_bytes
    scheduler = make(8, memory_bytes=3 * needed)

    def states(*ids: str) -> list[str]:
        return [scheduler.status(each).state for each in ids]

    first, second, third = (begin(scheduler) for _ in range(3))
    until(lambda: scheduler._jobs[first].has_memory)
    assert states(first, second, third) == [RUNNING, QUEUED, QUEUED], "more than there is: one by one"
    pretended.ended.add(first)
    scheduler.wait(first)
    assert states(second, third) == [RUNNING, QUEUED]
    until(lambda: scheduler._jobs[second].has_memory)
    memory.rss = needed + 1
    fourth = begin(scheduler)
    assert states(second, third, fourth) == [RUNNING, RUNNING, QUEUED], "room for one"
    until(lambda: scheduler._jobs[third].has_memory)
    memory.rss = 2 * needed
    fifth = begin(scheduler)
    assert states(second, third, fourth, fifth) == [RUNNING, RUNNING, RUNNING, QUEUED]


def test_memory_that_a_run_has_not_taken_yet_is_kept_for_it(
    make, begin, pretended, until, monkeypatch, tiny_config
):
    needed = budget(tiny_config).training_memory_bytes
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=0))
    monkeypatch.setattr("slm_core.runs.scheduler.psutil", SimpleNamespace(Process=lambda: process))
    scheduler = make(8, memory_bytes=3 * needed - 1)
    monkeypatch.setattr(pretended, "still_reading", AllOf())
    first, second, third = (begin(scheduler) for _ in range(3))
    until(lambda: {first, second} <= set(pretended.begun))
    assert [scheduler.status(each).state for each in (first, second, third)] == [RUNNING, RUNNING, QUEUED]


class AllOf:
    """A set that everything is in."""

    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_iters": 5}, "The run would take 6 steps; here it may be 5 at most"),
        ({"parameters": 1_000}, "Lower n_embd or n_layer"),
        ({"text_bytes": 1_000}, r"The text is larger than 0\.001 MB"),
        ({"session_bytes": 1_000}, "Delete or download"),
        ({"server_bytes": 1_000}, "for everybody's runs"),
        ({"runs_per_session": 0}, "as many as this server allows"),
    ],
)
def test_a_run_beyond_a_limit_is_refused_before_there_is_a_folder(make, begin, root, limits, words):
    scheduler = make(1, **limits)
    with pytest.raises(RunError, match=words):
        begin(scheduler)
    assert scheduler.live() == [] and list_runs(root) == []


def test_a_run_from_before_the_limits_is_not_resumed_beyond_them(make, begin, root):
    run = create_run(root, ExperimentConfig(), name="old", device="cpu", threads=1)
    with pytest.raises(RunError, match="200 steps"):
        make(1, max_iters=199).resume(run.id)


def test_one_visitor_may_have_so_many_runs_and_others_have_theirs(make, begin, pretended, until):
    scheduler = make(1, runs_per_session=2)
    first, _ = (begin(scheduler, owner="a") for _ in range(2))
    with pytest.raises(RunError, match="You have 2 runs training or queued"):
        begin(scheduler, owner="a")
    begin(scheduler, owner="b")
    pretended.ended.add(first)
    scheduler.wait(first)
    begin(scheduler, owner="a")


def test_a_new_run_takes_the_place_of_the_oldest_that_nobody_published(make, begin, root):
    earlier = make(1)
    ids = [begin(earlier, owner="a") for _ in range(3)]
    for each in ids:
        earlier.wait(each)
    change_run(root, ids[0], published=True)
    kept = sum(run_bytes(open_run(root, each)) for each in ids)
    coming = expected_bytes(open_run(root, ids[0]).config)
    scheduler = make(1, session_bytes=kept + coming - 1)
    assert [run.id for run in scheduler.in_the_way("a", coming)] == [ids[1]]
    new = begin(scheduler, owner="a")
    assert {run.id for run in list_runs(root)} == {ids[0], ids[2], new}
    scheduler.wait(new)


def test_the_log_tells_of_runs_in_lines_of_json_and_quotes_nobody(make, begin, root, caplog, own_text):
    caplog.set_level("INFO", logger="slm_core.runs.scheduler")
    scheduler = make(1)
    run_id = scheduler.start(
        ExperimentConfig(**TINY_STORIES), name="My secret name", threads=1, owner="visitor-7"
    )
    scheduler.wait(run_id)
    told = [json.loads(record.getMessage()) for record in caplog.records]
    assert [each["event"] for each in told] == ["run_queued", "run_began", "run_ended"]
    assert all(each["run"] == run_id and each["owner"] == "visitor-7" for each in told)
    assert told[0]["max_iters"] == 1 and told[-1]["reason"] == "finished"
    assert "secret name" not in caplog.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "no room for my secret text"), "ENOSPC"),
        (CorpusError("'my secret text' is too short"), "CorpusError"),
    ],
)
def test_the_log_tells_what_kind_of_error_ended_a_run(make, begin, caplog, monkeypatch, error, kind):
    def fail(self: Scheduler, job: object) -> None:
        raise error

    caplog.set_level("INFO", logger="slm_core.runs.scheduler")
    monkeypatch.setattr(Scheduler, "_train", fail)
    scheduler = make(1)
    scheduler.wait(begin(scheduler))
    ended = json.loads(caplog.records[-1].getMessage())
    assert (ended["event"], ended["reason"], ended["error"]) == ("run_ended", "failed", kind)
    assert "secret" not in caplog.text


def test_a_system_without_a_thread_to_spare_is_told_and_the_scheduler_goes_on(make, begin, root, monkeypatch):
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scheduler = make(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        run_id = begin(scheduler)
    assert scheduler.live() == []
    assert "no more threads" in open_run(root, run_id).last_end().text
    scheduler.resume(run_id)
    scheduler.wait(run_id)
    assert history(root, run_id).finished.reason == "finished"


def test_a_new_server_lists_what_the_old_one_left_and_goes_on_with_all_that_can(
    make, begin, root, until, tiny_config, own_text
):
    """Whatever a run was doing when the server died: queued, reading, training, paused, stopping."""
    old = make(1)
    finished, stopped = begin(old), begin(old, **SHORT)
    old.wait(finished)
    until(lambda: steps(root, stopped) >= 3)
    old.stop(stopped)
    old.wait(stopped)
    short = old.start(tiny_config, name="short", text="too short", threads=1)
    old.wait(short)
    queued = create_run(root, tiny_config, name="q", device="cpu", threads=1, text=own_text).id
    imported = import_checkpoint(
        root, open_run(root, finished).checkpoints["last"].read_bytes(), "model.safetensors"
    ).id
    training, diverged, lost, broken = (f"{stopped}-{name}" for name in ("training", "div", "lost", "broken"))
    for copy in (training, diverged, lost, broken):
        shutil.copytree(root / stopped, root / copy)
    lines = (root / training / "events.jsonl").read_bytes().splitlines(keepends=True)
    (root / training / "events.jsonl").write_bytes(b"".join(lines[:-1]) + b'{"event": "StepDo')
    told = open_run(root, stopped).last_end()
    open_run(root, diverged).append(replace(told, reason="diverged"))
    (root / lost / "run.json").unlink()
    (root / broken / "run.json").write_text("{")

    new = make(2)
    assert new.live() == [] and all(new.status(run.id) is None for run in list_runs(root))
    assert {run.id for run in list_runs(root)} == {
        finished, stopped, short, queued, imported, training, diverged,
    }  # fmt: skip
    assert set(list_damaged(root)) == {lost, broken}
    resumable = {run.id for run in list_runs(root) if run.resumable}
    assert resumable == {stopped, short, queued, training}
    for run_id in (finished, imported, diverged):
        with pytest.raises(RunError, match=r"nothing left to go on with. Start a new run"):
            new.resume(run_id)
    for run_id in (lost, broken):
        with pytest.raises(RunError, match=r"run\.json"):
            new.resume(run_id)
    for run_id in resumable:
        new.resume(run_id)
    for run_id in resumable:
        new.wait(run_id)
    assert "at least 2,000" in open_run(root, short).last_end().text, "fails again, and says why again"
    assert same(last_weights(root, queued), last_weights(root, finished))
    for run_id in (stopped, training):
        expected = alone(root, tiny_config.with_changes(SHORT), own_text)
        assert same(last_weights(root, run_id), expected)
