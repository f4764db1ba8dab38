"""Who trains when: runs get threads of their own, share the cores fairly, and outlive the page that started
them.

Torch is imported inside the threads, so that a page which only asks how runs stand does not pay for it.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError, SlmError
from slm_core.hardware import fastest_threads, physical_cores
from slm_core.runs.store import History, Run, create_run, delete_run, open_run
from slm_core.train.events import RunFinished, Working

_log = logging.getLogger(__name__)

QUEUED, RUNNING, PAUSED, STOPPING = "queued", "running", "paused", "stopping"


@dataclass(frozen=True)
class Status:
    """How a live run stands. place: 1 for the next in the queue, 0 once it has begun. doing: a long piece of
    work that is under way, and the share of it (0..1) that is done."""

    state: str
    place: int = 0
    doing: str = ""
    share: float = 0.0


class Cores:
    """So many cores, lent in the order of asking. A run borrows its cores for one event, so runs take
    turns."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self, wanted: int) -> Iterator[None]:
        """Wait for `wanted` cores (at most all) and hold them for the length of a with block."""
        wanted, ticket = min(wanted, self.count), object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket and self._free >= wanted)
            self._waiting.popleft()
            self._free -= wanted
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


@dataclass(eq=False)
class _Job:
    run: Run
    state: str = QUEUED
    working: Working | None = None
    thread: threading.Thread | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def ask(self, state: str, only_from: tuple[str, ...]) -> None:
        with self.changed:
            if self.state in only_from:
                self.state = state
                self.changed.notify_all()


class Scheduler:
    """Starts, pauses, resumes and stops runs kept under one folder. All methods may be called from any
    thread."""

    def __init__(self, root: Path, active: int | None = None) -> None:
        """At most `active` runs train at once (default: as many as there are cores); the others queue."""
        self.root = root
        self.cores = Cores(physical_cores())
        self._most_active = active or self.cores.count
        self._jobs: dict[str, _Job] = {}  # queued and active, in the order of starting
        self._failures: dict[str, str] = {}  # why runs ended whose folder could not take the reason
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)

    def start(
        self,
        config: ExperimentConfig,
        *,
        name: str,
        device: str = "cpu",
        text: str | None = None,
        threads: int = 0,
    ) -> str:
        """Begin a new run and give its id. `text` is read when config.corpus is "own".

        threads: 0 takes what is fastest now if no other run is live, else one. A run keeps its number for
        good, as the last bits of every sum depend on it. Raises RunError if the run cannot be kept.
        """
        threads = threads or (1 if self._jobs else fastest_threads())
        run = create_run(self.root, config, name=name, device=device, threads=threads)
        if text is not None:
            run.write_text("text.txt", text)
        with self._lock:
            self._enqueue(run)
        return run.id

    def resume(self, run_id: str) -> None:
        """Let a paused run go on, or a stopped one from where it was saved. Raises RunError if there is
        nothing to."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is not None:
                job.ask(RUNNING, only_from=(PAUSED,))
                return
            run = open_run(self.root, run_id)
            if not run.resumable:
                raise RunError(f"{run.name} has nothing left to go on with. Start a new run.")
            self._enqueue(run)

    def pause(self, run_id: str) -> None:
        """Let a running run rest until it is resumed. Does nothing to runs that are not running."""
        if job := self._jobs.get(run_id):
            job.ask(PAUSED, only_from=(RUNNING,))

    def stop(self, run_id: str) -> None:
        """End a run; what it has learned is kept and it can be resumed. Does nothing to runs that have
        ended."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None:
                return
            if job.thread is None:  # still queued: there is nothing to keep
                del self._jobs[run_id]
                self._ended.notify_all()
                self._note_end(job, "stopped", "Stopped before it began.")
            else:
                job.ask(STOPPING, only_from=(RUNNING, PAUSED))

    def delete(self, run_id: str) -> None:
        """Stop a run if it is live, wait for that, and delete its folder. Raises RunError if there is no such
        run."""
        self.stop(run_id)
        if not self.wait(run_id, timeout=30):
            raise RunError(f"The run {run_id} is still being saved. Delete it in a moment.")
        delete_run(self.root, run_id)

    def status(self, run_id: str) -> Status | None:
        """How a run stands, or None if it is not live: its history then says how it ended."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None:
                return None
            waiting = [each.run.id for each in self._jobs.values() if each.thread is None]
            place = waiting.index(run_id) + 1 if run_id in waiting else 0
            if job.working is None:
                return Status(state=job.state, place=place)
            return Status(job.state, place, job.working.doing, job.working.share)

    def failure(self, run_id: str) -> str:
        """Why a run ended, when its folder could not take even that; else an empty text."""
        return self._failures.get(run_id, "")

    def live(self) -> list[str]:
        """Ids of all queued and active runs, oldest first."""
        with self._lock:
            return list(self._jobs)

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Block until a run is no longer live, or for `timeout` seconds; gives whether it is not."""
        with self._ended:
            return self._ended.wait_for(lambda: run_id not in self._jobs, timeout)

    def shut_down(self) -> None:
        """Stop every run, saving each, and wait. For the end of the process: a live torch thread would abort
        it."""
        for run_id in reversed(self.live()):  # the queued ones first, or they would begin
            self.stop(run_id)
        with self._lock:
            threads = [job.thread for job in self._jobs.values() if job.thread is not None]
        for thread in threads:
            thread.join(timeout=30)

    def _enqueue(self, run: Run) -> None:
        self._jobs[run.id] = _Job(run)
        self._begin_next()

    def _begin_next(self) -> None:
        with self._lock:
            active = sum(job.thread is not None for job in self._jobs.values())
            for job in self._jobs.values():
                if active >= self._most_active:
                    return
                if job.thread is None:
                    job.state = RUNNING
                    job.thread = threading.Thread(
                        target=self._work, args=(job,), name=job.run.id, daemon=True
                    )
                    job.thread.start()
                    active += 1

    def _work(self, job: _Job) -> None:
        try:
            self._train(job)
        except SlmError as error:
            self._note_end(job, "failed", str(error))
        except OSError as error:
            self._note_end(
                job,
                "failed",
                f"The run's folder failed: {error.strerror or error}. Free some room and resume.",
            )
        # The thread's last line of defence: the person sees a sentence, the log the rest. BaseException,
        # as that is what libraries written in Rust raise when they panic.
        except BaseException as error:
            _log.exception("run %s failed", job.run.id)
            self._note_end(job, "failed", _plain_words(error, job.run.config))
        finally:
            with self._lock:
                self._jobs.pop(job.run.id, None)
                self._ended.notify_all()
                self._begin_next()

    def _train(self, job: _Job) -> None:
        import torch  # here, in the run's own thread: see the module's first lines

        from slm_core.runs.work import train_run

        torch.set_num_threads(job.run.threads)  # holds for this thread and those it starts
        events = train_run(job.run)
        try:
            while job.state != STOPPING:
                with self.cores.borrow(job.run.threads):
                    event = next(events, None)
                if event is None:
                    break
                job.working = event if isinstance(event, Working) else None
                with job.changed:
                    job.changed.wait_for(lambda: job.state != PAUSED)
        finally:
            events.close()
        if History(job.run.folder).refresh().finished is None:
            self._note_end(job, "stopped", "Stopped before training began.")

    def _note_end(self, job: _Job, reason: str, text: str) -> None:
        ended = RunFinished(
            step=0, reason=reason, text=text, best_step=0, best_validation_loss=0.0, elapsed_seconds=0.0
        )
        try:
            job.run.append(ended)
        except RunError:
            self._failures[job.run.id] = text


def _plain_words(error: Exception, config: ExperimentConfig) -> str:
    said = str(error).lower()
    if isinstance(error, MemoryError) or ("memory" in said and "alloc" in said):
        return (
            f"Memory ran out. Lower batch_size from {config.batch_size} to {max(1, config.batch_size // 2)}, "
            f"or n_embd from {config.n_embd} to {config.n_embd // 2}, and start again."
        )
    return (
        f"Something went wrong that should not have ({type(error).__name__}: {str(error)[:200]}). Start the "
        "run again."
    )
