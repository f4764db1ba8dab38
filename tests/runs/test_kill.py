"""A real process that trains is killed, with SIGKILL, at twenty random moments, also in the middle of its
writes; another one goes on, and nobody can tell the difference."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest
import safetensors.torch

from slm_core.errors import RunError
from slm_core.runs.history import History
from slm_core.runs.store import Run, create_run, open_run
from slm_core.train.events import RunStarted, from_json

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")

# What a child counts, and at which of them it kills itself: events, and the steps of writing a file.
EVENT, WRITE, FSYNC, REPLACE, APPEND = "event", "write", "fsync", "replace", "append"
# There are a few more of each in a run that is saved after every event.
MOMENTS = {EVENT: 50, WRITE: 36, FSYNC: 36, REPLACE: 36, APPEND: 18}


def train(root: str, run_id: str, killed_at: tuple[str, int] | None, pipe: Connection | None) -> None:
    """The child: train a run, saving after every event, and die at the moment given."""

    from slm_core.hardware import use_threads
    from slm_core.runs import work
    from slm_core.text import shared
    from slm_core.train import trainer

    use_threads(1)
    shared.MOST_CHARACTERS = 0  # the text is read in pieces, as a large one is
    work.FIRST_SAVE_SECONDS, work.SAVING_SHARE = 0.0, 1e9
    trainer.SAMPLE_TOKENS = 4
    die = _Death(killed_at)
    die.in_writes()
    for _ in work.train_run(open_run(Path(root), run_id)):
        die.at(EVENT)
        if pipe is not None:
            pipe.send_bytes(b"event")


class _Death:
    """Counts moments of one kind, and kills this process at the one that is asked for."""

    def __init__(self, moment: tuple[str, int] | None) -> None:
        self._kind, self._number = moment or ("", 0)
        self._seen = count(1)

    def at(self, kind: str) -> None:
        if kind == self._kind and next(self._seen) == self._number:
            os.kill(os.getpid(), signal.SIGKILL)

    def in_writes(self) -> None:
        """From now on also before each step of writing, with half of the bytes written."""
        from slm_core.runs import store

        death, fsync, replace = self, os.fsync, os.replace

        class Half:
            """A file that is opened for writing: what is written comes in two halves."""

            def __init__(self, path: Path, mode: str) -> None:
                self._file = open(path, mode)  # noqa: SIM115 (closed by __exit__)
                self._kind = APPEND if "a" in mode else WRITE

            def __enter__(self) -> "Half":
                return self

            def __exit__(self, *_: object) -> None:
                self._file.close()

            def __getattr__(self, name: str) -> object:
                return getattr(self._file, name)

            def write(self, content: bytes) -> None:
                self._file.write(content[: len(content) // 2])
                self._file.flush()
                death.at(self._kind)
                self._file.write(content[len(content) // 2 :])

        def opened(path: Path, mode: str) -> object:
            return Half(path, mode) if set(mode) & set("wa") else open(path, mode)

        def synced(file: int) -> None:
            death.at(FSYNC)
            fsync(file)

        def replaced(part: Path, path: Path) -> None:
            death.at(REPLACE)
            replace(part, path)

        store.open, os.fsync, os.replace = opened, synced, replaced


@pytest.fixture(scope="session")
def processes() -> Iterator[multiprocessing.context.BaseContext]:
    """Processes that have torch loaded when they begin: they are forked off one that did nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "slm_core.runs.work", "torch._dynamo"])  # all that takes long
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    yield context
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def outcome(run: Run) -> tuple:
    """All that a finished run has to show for itself, without its times."""
    history = History(run.folder).refresh()
    models = {kind: safetensors.torch.load_file(path) for kind, path in run.checkpoints.items()}
    numbers = {
        kind: {name: tensor.numpy().tobytes() for name, tensor in model.items()}
        for kind, model in models.items()
    }
    ids = [(run.folder / name).read_bytes() for name in ("train.bin", "validation.bin", "tokenizer.json")]
    report = run.report()
    return numbers, history.losses, history.evaluations, history.samples, history.notices, ids, report


def begun_at(run: Run) -> list[int]:
    """The steps at which the run began, and went on."""
    started = []
    for line in (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            event = from_json(line)
        except RunError:  # the half of a line that the kill has left
            continue
        started += [event.step] if isinstance(event, RunStarted) else []
    return started


@pytest.fixture
def child(processes) -> Iterator[Callable[..., BaseProcess]]:
    """`child(run, killed_at, pipe)` begins to train a run in a process of its own."""
    begun: list[BaseProcess] = []

    def begin(
        run: Run, killed_at: tuple[str, int] | None = None, pipe: Connection | None = None
    ) -> BaseProcess:
        process = processes.Process(target=train, args=(str(run.folder.parent), run.id, killed_at, pipe))
        process.start()
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def unbroken(processes, tmp_path_factory, tiny_config, own_text) -> tuple:
    """What the run comes to that nobody kills."""
    root = tmp_path_factory.mktemp("unbroken")
    run = create_run(root, tiny_config, name="Tiny", device="cpu", threads=1, text=own_text)
    process = processes.Process(target=train, args=(str(root), run.id, None, None))
    process.start()
    process.join(120)
    return outcome(run)


def goes_on_as_if_nothing_had_been(run: Run, child: Callable[..., BaseProcess], unbroken: tuple) -> None:
    """After a kill: what is there can be read, a fresh process goes on, and the end is the unbroken run's."""
    reached = max(History(run.folder).refresh().losses, default=0)
    for path in run.checkpoints.values():
        assert safetensors.torch.load_file(path), "never half a file"
    assert run.resumable and run.last_end() is None
    again = child(run)
    again.join(120)
    assert again.exitcode == 0
    assert outcome(run) == unbroken
    assert not list(run.folder.glob(".*")), "nothing half-written is left"
    assert run.last_end().reason == "finished" and not run.resumable
    assert History(run.folder).refresh().damaged_lines <= 1
    started = begun_at(run)
    if len(started) == 2:  # the first process got as far as to begin: at most one interval is lost
        assert started[0] == 0 and reached - 1 <= started[1] <= reached


RANDOM = Random(20)
FIRST = (REPLACE, 1)  # the text is ids, and nothing says so yet
FROM_INSIDE = [
    (kind, number) for kind, most in MOMENTS.items() for number in RANDOM.sample(range(1, most), k=3)
]
FROM_OUTSIDE = [(RANDOM.randint(1, 40), RANDOM.randint(0, 20)) for _ in range(20 - len(FROM_INSIDE))]


@pytest.mark.parametrize("moment", [FIRST, *FROM_INSIDE], ids=lambda moment: f"{moment[0]}-{moment[1]}")
def test_a_process_that_dies_in_the_middle_of_something(new_run, child, unbroken, moment):
    run = new_run()
    dying = child(run, moment)
    dying.join(120)
    assert dying.exitcode == -signal.SIGKILL
    goes_on_as_if_nothing_had_been(run, child, unbroken)


@pytest.mark.parametrize(("events", "milliseconds"), FROM_OUTSIDE)
def test_a_process_that_is_killed_from_outside(new_run, child, unbroken, processes, events, milliseconds):
    run = new_run()
    told, tells = processes.Pipe(duplex=False)
    dying = child(run, pipe=tells)
    for _ in range(events):
        assert told.poll(60) and told.recv_bytes() == b"event"
    time.sleep(milliseconds / 1_000)  # to come somewhere within what it does next
    dying.kill()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    goes_on_as_if_nothing_had_been(run, child, unbroken)
