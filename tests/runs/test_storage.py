"""Room on the disk: what a run takes, and which runs go when it is full."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.runs import storage, work
from slm_core.runs.limits import Limits
from slm_core.runs.storage import expected_bytes, run_bytes, runs_to_delete
from slm_core.runs.store import Run
from slm_core.runs.work import train_run
from slm_core.train.events import StepDone

SIZE = 10  # bytes of each run in these tests, if nothing else is said; so many it will take when it is done


@pytest.fixture
def made(tmp_path, monkeypatch) -> Callable[..., Run]:
    """`made(age, owner, published, size)` makes a run so many days old, with a folder of so many bytes."""
    monkeypatch.setattr(storage, "expected_bytes", lambda config: SIZE)

    def make(age: int, owner: str = "me", published: bool = False, size: int = SIZE) -> Run:
        folder = tmp_path / f"{owner}-{age}"
        folder.mkdir()
        (folder / "best.safetensors").write_bytes(bytes(size))
        created = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=age)
        return Run(
            id=folder.name, folder=folder, name="a", config=ExperimentConfig(), device="cpu", threads=1,
            created=created, owner=owner, published=published,
        )  # fmt: skip

    return make


def going(runs: list[Run], coming: int = SIZE, live: tuple[str, ...] = (), **limits: int) -> list[str]:
    return [run.id for run in runs_to_delete(runs, live, "me", coming, Limits(**limits))]


def test_while_there_is_room_nothing_goes(made):
    runs = [made(age) for age in range(3)]
    assert going(runs) == []
    assert going(runs, session_bytes=40, server_bytes=40) == []


def test_the_oldest_go_first_and_no_more_than_must(made):
    runs = [made(age) for age in (2, 5, 1, 4)]
    assert going(runs, session_bytes=49) == ["me-5"]
    assert going(runs, session_bytes=30) == ["me-5", "me-4"]
    assert going(runs, session_bytes=10) == ["me-5", "me-4", "me-2", "me-1"]


def test_published_runs_and_those_that_train_stay(made):
    runs = [made(5, published=True), made(4), made(3), made(2)]
    assert going(runs, live=("me-4",), session_bytes=40) == ["me-3"]
    assert going(runs, live=("me-4",), session_bytes=30) == ["me-3", "me-2"]
    with pytest.raises(RunError, match="for your runs not enough can be freed"):
        going(runs, live=("me-4",), session_bytes=29)


def test_a_run_that_trains_counts_as_what_it_will_take(made):
    runs = [made(5), made(4, size=1), made(3, size=1)]
    assert going(runs, session_bytes=22) == []
    assert going(runs, live=("me-4",), session_bytes=31) == []
    assert going(runs, live=("me-4", "me-3"), session_bytes=31) == ["me-5"]
    with pytest.raises(RunError, match="wait for those that train"):
        going(runs, live=("me-4", "me-3"), session_bytes=29)


def test_what_others_keep_counts_for_the_servers_room_only(made):
    runs = [made(1), made(9, owner="other"), made(8, owner="other")]
    assert going(runs, session_bytes=20) == []
    assert going(runs, server_bytes=39) == ["me-1"], "one's own first, though others have older ones"
    assert going(runs, server_bytes=29) == ["me-1", "other-9"]
    assert going(runs, live=("me-1",), server_bytes=39) == ["other-9"]
    assert going([made(1, owner="other")], server_bytes=10) == ["other-1"], "and if one has none, theirs"


def test_a_run_for_which_no_room_can_be_made_is_told_how_much_there_is_and_what_to_do():
    with pytest.raises(RunError, match=r"about 7 MB, and of the 5 MB that there are for your runs.*smaller"):
        runs_to_delete([], (), "me", 7_000_000, Limits(session_bytes=5_000_000))
    with pytest.raises(RunError, match=r"of the 5 MB that there are for everybody's runs.*[Dd]elete"):
        runs_to_delete([], (), "me", 7_000_000, Limits(server_bytes=5_000_000))


@pytest.mark.parametrize("seed", range(50))
def test_what_goes_may_go_and_is_enough_and_is_needed(seed, made):
    """Against the definition: on any shelf, whatever goes may go, then all fits, and without the youngest
    that goes it would not."""
    random = Random(seed)
    runs = [
        made(age, random.choice(["me", "you", "they"]), random.random() < 0.3, random.randint(1, 20))
        for age in range(random.randint(0, 8))
    ]
    sizes = {run.id: (run.folder / "best.safetensors").stat().st_size for run in runs}
    live = {run.id for run in runs if random.random() < 0.2}
    sizes |= {run_id: max(SIZE, sizes[run_id]) for run_id in live}  # they still grow
    limits = Limits(session_bytes=random.randint(10, 80), server_bytes=random.randint(20, 120))
    coming = random.randint(1, 40)

    def fits(kept: list[Run]) -> bool:
        mine = sum(sizes[run.id] for run in kept if run.owner == "me")
        everybodys = sum(sizes[run.id] for run in kept)
        return mine + coming <= limits.session_bytes and everybodys + coming <= limits.server_bytes

    may_go = [run for run in runs if run.id not in live and not run.published]
    try:
        gone = runs_to_delete(runs, live, "me", coming, limits)
    except RunError:
        assert not fits([run for run in runs if run not in may_go])
        return
    assert set(gone) <= set(may_go) and len(set(gone)) == len(gone)
    assert fits([run for run in runs if run not in gone])
    if gone:
        assert not fits([run for run in runs if run not in gone[:-1]])
    for owner in ("me", "you", "they"):
        kept = [run.created for run in may_go if run.owner == owner and run not in gone]
        left = [run.created for run in gone if run.owner == owner]
        assert not left or not kept or max(left) < min(kept), "the oldest of each"
    if any(run.owner != "me" for run in gone):
        assert not [run for run in may_go if run.owner == "me" and run not in gone], "my own before others'"


def test_a_run_takes_what_its_files_take(new_run):
    run = new_run()
    (run.folder / "best.safetensors").write_bytes(bytes(1_000))
    others = sum(len((run.folder / name).read_bytes()) for name in ("run.json", "text.txt"))
    assert run_bytes(run) == 1_000 + others
    assert run_bytes(replace(run, folder=run.folder / "gone")) == 0


def test_a_run_never_takes_more_than_was_expected_and_not_much_less(new_run, monkeypatch):
    monkeypatch.setattr(work, "SAVING_SHARE", 1e9)  # save after every event
    monkeypatch.setattr(storage, "_BESIDES", 100_000)
    run, sizes, put_in_place = new_run(n_embd=64, max_iters=3), [], os.replace

    def weigh_and_replace(part: Path, path: Path) -> None:
        sizes.append(run_bytes(run))  # the old file and the new one stand beside each other
        put_in_place(part, path)

    monkeypatch.setattr(os, "replace", weigh_and_replace)
    training = train_run(run)
    next(event for event in training if isinstance(event, StepDone) and event.step == 3)
    training.close()
    expected = expected_bytes(run.config)
    assert expected / 2 < max(sizes) <= expected
