"""The engine's long-lived objects, one each per server, and what pages ask of them."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import streamlit as st

from pages.ui import deployment, server, visitor
from slm_core.config import ExperimentConfig
from slm_core.errors import RunError, SlmError
from slm_core.hardware import SpeedProbe
from slm_core.runs.history import History
from slm_core.runs.scheduler import Scheduler
from slm_core.runs.storage import expected_bytes
from slm_core.runs.store import Run, list_damaged, list_runs, open_run, runs_folder
from slm_core.study import samples
from slm_core.study.evidence import evidence_of
from slm_core.study.experiments import TAG, after_run
from slm_core.study.samples import Copying, Verdict
from slm_core.study.verdict import Verdict as RunVerdict
from slm_core.study.verdict import verdict as judge_run
from slm_core.text import stories
from slm_core.text.report import TextReport

_MOST_HISTORIES = 64


def scheduler() -> Scheduler:
    """The one scheduler of this server; it stops and saves its runs when the server ends."""
    return server.process_wide("scheduler", _make_scheduler, stop=Scheduler.shut_down)


def _make_scheduler() -> Scheduler:
    return Scheduler(runs_folder(), deployment.limits(), after_run)


def speed_probe() -> SpeedProbe:
    """The one speed probe of this server. It keeps quiet while something trains."""
    return server.process_wide("speed_probe", _make_probe, stop=SpeedProbe.stop)


def _make_probe() -> SpeedProbe:
    runs = scheduler()
    return SpeedProbe(busy=lambda: bool(runs.live()))


def drawing() -> AbstractContextManager[None]:
    """While a page is drawn within it, runs leave it a core: a person waits for the one, not for the
    others."""
    return scheduler().cores.spared()


def history(run: Run) -> History:
    """A run's history, up to date. Reading goes on where it ended the last time, whoever asked."""
    histories: dict[Path, History] = server.process_wide("histories", dict)
    found = histories.pop(run.folder, None) or History(run.folder)
    histories[run.folder] = found  # put last: the first is the longest unasked for
    while len(histories) > _MOST_HISTORIES:
        histories.pop(next(iter(histories)), None)
    return found.refresh()


def state_of(run: Run) -> str:
    """One word for how a run stands: queued, running, paused, stopping; finished, stopped, diverged, failed;
    interrupted, when the server ended under it; unknown, when its history is lost; or imported."""
    status = scheduler().status(run.id)
    if status is not None:
        return status.state
    if run.imported:
        return "imported"
    end = run.last_end()
    if end is not None:
        return end.reason
    return "unknown" if run.history_lost else "interrupted"


def run_verdict(run: Run, history: History, report: TextReport | None) -> RunVerdict | None:
    """What a run's measurements show so far; None before there are any."""
    evidence = evidence_of(run.config, history, report)
    return judge_run(evidence) if evidence is not None else None


def references(run: Run, history: History) -> dict[str, float]:
    """What a run's validation loss can be compared with, in nats per token, by name."""
    if report := run.report():
        return report.references()
    return {"guessing blindly (ln V)": history.started.loss_at_chance} if history.started else {}


def copying(run: Run, prompt: str, text: str) -> Copying | None:
    """What of a text the model of a run copied; None for models that came as files, whose training text
    stayed behind."""
    try:
        return samples.copying(run.folder, prompt, text)
    except SlmError:
        return None


def newness(run: Run, text: str) -> dict[int, tuple[float, float]]:
    """How much of what the model of a run wrote is new, beside held-out text; see `samples.newness`. Empty
    where there is no training text."""
    try:
        return samples.newness(run.folder, text)
    except SlmError:
        return {}


def verdict(run: Run, text: str) -> Verdict | None:
    """What a text is that the model of a run wrote; None for runs on texts whose chances are not known."""
    if run.config.corpus not in stories.SIZES:
        return None
    return samples.judged(run.folder, run.config.corpus, text)


def visible_runs() -> list[Run]:
    """The runs that this visitor may see, newest first."""
    return [run for run in list_runs(scheduler().root) if visitor.may_see(run)]


def trained_runs() -> list[Run]:
    """The runs that were trained here, not for a sweep, and that this visitor may see, newest first."""
    runs = (run for run in visible_runs() if not run.imported)
    return [run for run in runs if not any(tag.startswith(TAG) for tag in run.tags)]


def damaged_runs() -> dict[str, str]:
    """Runs that cannot be read, by id, each with a sentence why; on a shared server nobody knows whose they
    are, so only the lecturer is told."""
    return {} if deployment.limits().separate else list_damaged(scheduler().root)


def start(config: ExperimentConfig, *, name: str, device: str, text: str | None) -> str:
    """Begin a run of this visitor and give its id. Raises RunError if it cannot be kept or a limit forbids
    it."""
    server.wait_until_warm()
    return scheduler().start(config, name=name, device=device, text=text, owner=visitor.owner())


def bring(content: bytes, file_name: str) -> Run:
    """Keep a model file as a run of this visitor. Raises SlmError."""
    server.wait_until_warm()
    from slm_core.runs.checkpoint import import_checkpoint

    owner = visitor.owner()
    return import_checkpoint(
        scheduler().root,
        content,
        file_name,
        owner=owner,
        limits=deployment.limits(),
        make_room=lambda coming_bytes: scheduler().make_room(owner, coming_bytes),
    )


def going(config: ExperimentConfig) -> list[Run]:
    """The runs that will be deleted for room if a run with this config is started. Raises RunError if there
    would still be no room."""
    return scheduler().in_the_way(visitor.owner(), expected_bytes(config))


class Once:
    """One press of a button: what it asks for is done once, however often the press is reported.

    A browser reports a press twice if a tile of the page refreshes itself in the same moment, and people
    press twice. Streamlit then runs the callback in two threads, of which it stops the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: list[str] = []

    def __call__(self, do: Callable[[], str]) -> str:
        """What `do` gave when it was first called; waits if it is under way. Raises what it raises."""
        with self._lock:
            if not self._results:
                self._results.append(do())
            return self._results[0]


def chosen_run() -> Run | None:
    """The run that this visitor looks at: the address's, else the one looked at before. Keeps it in the
    address, so that a refresh or a shared link comes back to it. Raises RunError if there is no such run."""
    run_id = st.query_params.get("run") or st.session_state.get("run")
    if not run_id:
        return None
    try:
        run = open_run(scheduler().root, run_id)
        if not visitor.may_see(run):
            raise RunError(f"The run {run_id} belongs to somebody else, who has not published it.")
    except RunError as error:
        choose_run(None)
        failure = scheduler().failure(run_id)
        raise RunError(f"{failure} {error}".strip()) from None
    choose_run(run.id)
    return run


def choose_run(run_id: str | None) -> None:
    """Look at a run from now on, or at none."""
    if run_id is None:
        st.session_state.pop("run", None)
        st.query_params.pop("run", None)
    else:
        st.session_state["run"] = run_id
        st.query_params["run"] = run_id
