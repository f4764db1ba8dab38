"""Who trains when: runs get threads of their own, share the cores fairly, and outlive the page that started
them.

Torch is imported inside the threads, so that a page which only asks how runs stand does not pay for it.
"""

import errno
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError, SlmError
from slm_core.hardware import fastest_threads, give_back_memory, physical_cores, use_threads
from slm_core.model.budget import budget
from slm_core.runs.cores import Borrower, Cores
from slm_core.runs.limits import Limits
from slm_core.runs.storage import expected_bytes, runs_to_delete
from slm_core.runs.store import Run, create_run, delete_run, list_runs, open_run
from slm_core.runs.waiting import in_order, seconds_until_start
from slm_core.train.events import EvalDone, Event, RunFinished, RunStarted, StepDone, Working

_log = logging.getLogger(__name__)

QUEUED, RUNNING, PAUSED, STOPPING = "queued", "running", "paused", "stopping"
_TIDYING_SECONDS = 2.0  # between two times that freed memory is given back


@dataclass(frozen=True)
class Status:
    """How a live run stands.

    place: 1 for the next in the queue, 0 once it has begun; start_seconds: until it begins, as far as can be
    told. slowdown: how many times longer everything takes because other runs take turns with it. doing: a
    long piece of work that is under way, and the share of it (0..1) that is done.
    """

    state: str
    place: int = 0
    start_seconds: float | None = None
    slowdown: float = 1.0
    doing: str = ""
    share: float = 0.0


@dataclass(eq=False)
class _Job:
    run: Run
    state: str = QUEUED
    working: Working | None = None
    begun: bool = False  # to train: from then on its history says how it ends
    thread: threading.Thread | None = None
    borrower: Borrower | None = None  # of cores, while it trains
    has_memory: bool = False  # it has made a step: what it needs shows in the memory of the process
    remaining_seconds: float | None = None  # of computing, alone
    tokens_per_second: float = 0.0
    series: str = ""  # of runs that never overlap in time
    changed: threading.Condition = field(default_factory=threading.Condition)

    def ask(self, state: str, only_from: tuple[str, ...]) -> None:
        with self.changed:
            if self.state in only_from:
                self.state = state
                self.changed.notify_all()

    def rest(self) -> None:
        """Wait until the paused run is resumed or stopped."""
        with self.changed:
            self.changed.wait_for(lambda: self.state != PAUSED)

    def saw(self, event: Event) -> None:
        """Remember of an event what others ask about."""
        self.working = event if isinstance(event, Working) else None
        self.begun = self.begun or isinstance(event, RunStarted)
        if isinstance(event, StepDone):
            self.has_memory = True
            self.remaining_seconds = event.remaining_seconds
            self.tokens_per_second = event.tokens_per_second


class Scheduler:
    """Starts, pauses, resumes and stops runs kept under one folder. All methods may be called from any
    thread.

    after: called with the scheduler and a run that has ended, in that run's thread, unless the whole
    scheduler ends.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits | None = None,
        after: "Callable[[Scheduler, Run], None] | None" = None,
    ) -> None:
        self.root = root
        self.limits = limits or Limits()
        self.cores = Cores(physical_cores())
        self._most_active = self.limits.active_runs or self.cores.count
        self._jobs: dict[str, _Job] = {}  # queued and active, in the order of starting
        self._failures: dict[str, str] = {}  # why runs ended whose folder could not take the reason
        self._tidied = -math.inf  # when memory was last given back
        self._flops_per_second = 0.0  # of one run alone, as last measured
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._after, self._shutting_down = after, False
        # Held by whoever starts several runs by a plan, so that no two start the same.
        self.planning = threading.RLock()

    def start(
        self,
        config: ExperimentConfig,
        *,
        name: str,
        device: str = "cpu",
        text: str | None = None,
        threads: int = 0,
        owner: str = "",
        tags: Sequence[str] = (),
        series: str = "",
    ) -> str:
        """Begin a new run and give its id. `text` is read when config.corpus is "own". Runs of one series
        never overlap in time.

        threads: 0 takes what is fastest now if no other run is live, else one. A run keeps its number for
        good, as the last bits of every sum depend on it. Old runs are deleted for it as `make_room` says.
        Raises RunError if a limit forbids the run or it cannot be kept.
        """
        if problems := self.limits.problems(config):
            raise RunError("\n".join(problems))
        if text is not None and len(text.encode("utf-8", "replace")) > self.limits.text_bytes:
            raise RunError(
                f"The text is larger than {self.limits.text_bytes / 1e6:g} MB, the most this server takes. "
                "Use a part of it."
            )
        if not threads:
            one = bool(self._jobs) or self.limits.separate or device != "cpu"
            threads = 1 if one else fastest_threads(config)
        with self._lock:
            self._check_number(owner)
            self.make_room(owner, expected_bytes(config))
            about = {"name": name, "device": device, "threads": threads, "owner": owner, "tags": tags}
            run = create_run(self.root, config, **about, text=text)
            self._enqueue(run, series)
        return run.id

    def make_room(self, owner: str, coming_bytes: int) -> None:
        """Delete an owner's oldest runs, or the server's, if so many more bytes of theirs would not fit.
        Raises RunError if they would not even then."""
        for old in self.in_the_way(owner, coming_bytes):
            delete_run(self.root, old.id)
            _tell("run_deleted", old, why="room for a new one")

    def in_the_way(self, owner: str, coming_bytes: int) -> list[Run]:
        """The runs that `make_room` would delete: the oldest, never published or live ones."""
        return runs_to_delete(list_runs(self.root), self.live(), owner, coming_bytes, self.limits)

    def resume(self, run_id: str, series: str = "") -> None:
        """Let a paused run go on, or a stopped one from where it was saved; `series` as for `start`. Raises
        RunError if there is nothing to, or a limit forbids it."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is not None:
                job.ask(RUNNING, only_from=(PAUSED,))
                return
            run = open_run(self.root, run_id)
            if not run.resumable:
                raise RunError(f"{run.name} has nothing left to go on with. Start a new run.")
            if problems := self.limits.problems(run.config):
                raise RunError("\n".join(problems))
            self._check_number(run.owner)
            self._failures.pop(run_id, None)
            self._enqueue(run, series)

    def pause(self, run_id: str) -> None:
        """Let a running run rest until it is resumed; another may take its place. Does nothing to runs that
        are not running."""
        with self._lock:
            if job := self._jobs.get(run_id):
                job.ask(PAUSED, only_from=(RUNNING,))
                self._begin_next()

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
                if job.borrower is not None:  # nobody waits for a turn in order to stop
                    self.cores.let_go(job.borrower)

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
            if job.thread is None:
                place = self._queue().index(job) + 1
                return Status(QUEUED, place, self._start_seconds(place))
            doing, share = (job.working.doing, job.working.share) if job.working else ("", 0.0)
            return Status(job.state, 0, None, self._slowdown(), doing, share)

    def failure(self, run_id: str) -> str:
        """Why a run ended, when its folder could not take even that; else an empty text."""
        return self._failures.get(run_id, "")

    def live(self, owner: str | None = None) -> list[str]:
        """Ids of all queued and active runs, or of one owner's, oldest first."""
        with self._lock:
            return [run_id for run_id, job in self._jobs.items() if owner is None or job.run.owner == owner]

    def expected_seconds(self, config: ExperimentConfig) -> float | None:
        """About how long one more run would take beside those that train now, as fast as they do; None if
        none does."""
        with self._lock:
            active = self._active()
            if not active or not self._flops_per_second:
                return None
            wanted = 1 + sum(job.run.threads for job in active)
            alone = budget(config).training_flops / self._flops_per_second
            return alone * max(1.0, wanted / self.cores.count)

    def tokens_per_second(self) -> float:
        """How fast all runs together train now, as far as they share the cores evenly."""
        with self._lock:
            return sum(job.tokens_per_second for job in self._active()) / self._slowdown()

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Block until a run is no longer live, or for `timeout` seconds; gives whether it is not."""
        with self._ended:
            return self._ended.wait_for(lambda: run_id not in self._jobs, timeout)

    def shut_down(self) -> None:
        """Stop every run, saving each, and wait. For the end of the process: a live torch thread would abort
        it."""
        self._shutting_down = True
        for run_id in reversed(self.live()):  # the queued ones first, or they would begin
            self.stop(run_id)
        with self._lock:
            threads = [job.thread for job in self._jobs.values() if job.thread is not None]
        for thread in threads:
            thread.join(timeout=30)

    def _check_number(self, owner: str) -> None:
        mine = len(self.live(owner))
        if mine >= self.limits.runs_per_session:
            raise RunError(
                f"You have {mine} runs training or queued, as many as this server allows one visitor. "
                "Stop one of them, or wait until one has ended."
            )

    def _enqueue(self, run: Run, series: str = "") -> None:
        self._jobs[run.id] = _Job(run, series=series)
        cost = budget(run.config)
        _tell("run_queued", run, parameters=cost.parameters, max_iters=run.config.max_iters)
        self._begin_next()

    def _active(self) -> list[_Job]:
        """Those that take turns on the cores now."""
        return [job for job in self._jobs.values() if job.thread is not None and job.state != PAUSED]

    def _queue(self) -> list[_Job]:
        """Those that have not begun, in the order in which they will."""
        waiting = [job for job in self._jobs.values() if job.thread is None]
        order = in_order([job.run.owner for job in waiting], [job.run.owner for job in self._active()])
        return [waiting[place] for place in order]

    def _start_seconds(self, place: int) -> float | None:
        """None while no run has shown how fast this machine is."""
        active = self._active()
        if not self._flops_per_second or not active:
            return None
        before = self._queue()[: place - 1]
        return seconds_until_start(
            [self._seconds_alone(job) for job in active],
            [self._seconds_alone(job) for job in before],
            self._slowdown(),
        )

    def _slowdown(self) -> float:
        return max(1.0, sum(job.run.threads for job in self._active()) / self.cores.count)

    def _seconds_alone(self, job: _Job) -> float:
        if job.remaining_seconds is not None:
            return job.remaining_seconds
        return budget(job.run.config).training_flops / self._flops_per_second

    def _begin_next(self) -> None:
        with self._lock:
            for job in self._queue():
                if self._waits_for_its_series(job):
                    continue
                active = self._active()
                if len(active) >= self._most_active or (active and not self._has_memory_for(job)):
                    return
                job.state = RUNNING
                job.thread = threading.Thread(target=self._work, args=(job,), name=job.run.id, daemon=True)
                try:
                    job.thread.start()
                except RuntimeError:
                    del self._jobs[job.run.id]
                    self._ended.notify_all()
                    self._note_end(job, "failed", _NO_THREAD)

    def _waits_for_its_series(self, job: _Job) -> bool:
        begun = {each.series for each in self._jobs.values() if each.thread is not None}
        return bool(job.series) and job.series in begun

    def _has_memory_for(self, job: _Job) -> bool:
        """Whether one more run fits: beside what the process has now, and what begun runs will still take."""
        coming = [each.run for each in self._active() if not each.has_memory] + [job.run]
        needed = sum(budget(run.config).training_memory_bytes for run in coming)
        return psutil.Process().memory_info().rss + needed <= self.limits.memory

    def _work(self, job: _Job) -> None:
        why: dict[str, str] = {}  # for the log: what kind of error, and not what it quotes
        try:
            self._train(job)
        except SlmError as error:
            why = {"error": type(error).__name__}
            self._note_end(job, "failed", str(error))
        except OSError as error:
            why = {"error": errno.errorcode.get(error.errno or 0, type(error).__name__)}
            self._note_end(
                job,
                "failed",
                f"The run's folder {job.run.folder} failed ({error.strerror or error}). Free some room "
                "there, or look after that disk, and resume.",
            )
        # The thread's last line of defence: the person sees a sentence, the log the rest. BaseException,
        # as that is what libraries written in Rust raise when they panic.
        except BaseException as error:
            _log.exception("run %s failed", job.run.id)
            why = {"error": type(error).__name__}
            self._note_end(job, "failed", _plain_words(error, job.run.config))
        finally:
            end = job.run.last_end()
            _tell("run_ended", job.run, reason=end.reason if end else "not kept", **why)
            with self._lock:
                self._jobs.pop(job.run.id, None)
                self._ended.notify_all()
                self._begin_next()
            if self._after is not None and not self._shutting_down:
                self._after(self, job.run)

    def _train(self, job: _Job) -> None:
        from slm_core.runs.work import train_run  # in the run's own thread: see the module's first lines

        use_threads(job.run.threads)  # holds for this thread and those it starts
        _tell("run_began", job.run, threads=job.run.threads)
        events = train_run(job.run)
        job.borrower = self.cores.join(job.run.owner, job.run.threads)
        try:
            while job.state != STOPPING:
                with self.cores.turn(job.borrower):
                    event = next(events, None) if job.state != STOPPING else None
                if event is None:
                    break
                self._saw(job, event)
                if job.state == PAUSED:
                    self.cores.leave(job.borrower)
                    job.rest()
                    job.borrower = self.cores.join(job.run.owner, job.run.threads)
        finally:
            self.cores.leave(job.borrower)
            events.close()
        if not job.begun and job.run.last_end() is None:
            self._note_end(job, "stopped", "Stopped before training began.")

    def _saw(self, job: _Job, event: Event) -> None:
        job.saw(event)
        if isinstance(event, StepDone | EvalDone) and time.monotonic() > self._tidied + _TIDYING_SECONDS:
            self._tidied = time.monotonic()
            give_back_memory()
        if isinstance(event, StepDone):
            seconds_per_step = job.run.config.tokens_per_step / max(event.tokens_per_second, 1e-9)
            self._flops_per_second = budget(job.run.config).flops_per_step / seconds_per_step

    def _note_end(self, job: _Job, reason: str, text: str) -> None:
        ended = RunFinished(
            step=0, reason=reason, text=text, best_step=0, best_validation_loss=0.0, elapsed_seconds=0.0
        )
        try:
            job.run.append(ended)
        except RunError:
            self._failures[job.run.id] = text


_NO_THREAD = "The system gives this program no more threads. Wait until another run has ended, and resume."


def _tell(what: str, run: Run, **facts: object) -> None:
    """One line of JSON for the server's log. It names runs and visitors by their ids, and quotes nobody."""
    _log.info("%s", json.dumps({"event": what, "run": run.id, "owner": run.owner, **facts}))


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
