"""One sweep, under way or done: its results, the guess, the curves; and the list of sweeps."""

from datetime import UTC, datetime

import streamlit as st

from pages import PAGES
from pages.ui import engine, lab_results, server, sidebar, visitor, words
from slm_core.errors import RunError, SlmError
from slm_core.study import experiments
from slm_core.study.axes import Value
from slm_core.study.experiments import Experiment
from slm_core.study.findings import Findings
from slm_core.study.sweep import Prediction, Sweep

_SECONDS = 2.0  # between two looks at a sweep that goes on
_MOST_LISTED = 8


def start(sweep: Sweep, held_out: Value | None) -> str:
    """Begin a sweep and give its id. Raises SlmError if it cannot be kept."""
    server.wait_until_warm()
    text = st.session_state.get("own_text") if sweep.base.corpus == "own" else None
    made = experiments.create_experiment(
        engine.scheduler().root,
        sweep,
        device=sidebar.chosen_device(),
        held_out=held_out,
        owner=visitor.owner(),
        text=text,
    )
    try:
        experiments.go_on(made, engine.scheduler())
    except SlmError as error:  # some runs have begun, and the others begin as soon as they may
        st.session_state["complaint"] = str(error)
    return made.id


def chosen() -> Experiment | None:
    """The sweep that the address names, if this visitor may see it. Raises RunError if there is none."""
    experiment_id = st.query_params.get("sweep") or st.session_state.get("sweep")
    if not experiment_id:
        return None
    try:
        found = experiments.open_experiment(engine.scheduler().root, experiment_id)
        if found.owner != visitor.owner():
            raise RunError("That sweep belongs to somebody else.")
    except RunError:
        choose(None)
        raise
    choose(found.id)
    return found


def draw(experiment: Experiment) -> None:
    """Draw a sweep; while it goes on it redraws itself."""
    live = _live(experiment)
    st.fragment(_draw, run_every=_SECONDS if live else None)(experiment.id, bool(live))


def draw_list() -> None:
    """Draw the latest sweeps that this visitor has made, with an offer to resume those that broke off."""
    every = experiments.list_experiments(engine.scheduler().root)
    mine = [each for each in every if each.owner == visitor.owner()][:_MOST_LISTED]
    for each in mine:
        if experiments.is_interrupted(each, engine.scheduler()):
            _offer_to_resume(each)
    if mine:
        st.subheader("Earlier sweeps", anchor=False)
    for each in mine:
        size = f"{len(each.sweep.values)} values, {len(each.sweep.seeds)} seeds"
        said = f"{each.sweep.vary} · {size} · {each.created:%d %b %H:%M} UTC"
        st.button(
            words.plain(said), key=f"sweep-{each.id}", type="tertiary", on_click=choose, args=(each.id,)
        )


def _offer_to_resume(experiment: Experiment) -> None:
    done = len(experiment.runs) - len(experiments.unfinished(experiment, engine.scheduler()))
    all_runs = len(experiment.sweep.values) * len(experiment.sweep.seeds)
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"A sweep of {words.plain(experiment.sweep.vary)} broke off before its end: {done} of {all_runs} "
            "runs were done. What the others had learned is still there."
        )
        pressed = {"on_click": _go_on_with, "args": (experiment,), "key": f"resume-{experiment.id}"}
        st.button("Resume", type="primary", **pressed)


def _go_on_with(experiment: Experiment) -> None:
    choose(experiment.id)
    _resume(experiment)


def shown(value: Value) -> str:
    """A value as people write it."""
    return value if isinstance(value, str) else f"{value:,}"


def choose(experiment_id: str | None) -> None:
    """Look at a sweep from now on, or at none."""
    if experiment_id is None:
        st.session_state.pop("sweep", None)
        st.query_params.pop("sweep", None)
    else:
        st.session_state["sweep"] = st.query_params["sweep"] = experiment_id


def _live(experiment: Experiment) -> list[str]:
    return [run_id for run_id in experiment.runs.values() if engine.scheduler().status(run_id) is not None]


def _draw(experiment_id: str, was_live: bool) -> None:
    experiment = experiments.open_experiment(engine.scheduler().root, experiment_id)
    live = _live(experiment)
    if was_live != bool(live):
        st.rerun()
    st.subheader(experiment.sweep.question, anchor=False)
    _progress(experiment, live)
    _buttons(experiment, live)
    found = lab_results.draw(experiment)
    _guess(experiment, found, live)
    lab_results.curves(experiment)


def _progress(experiment: Experiment, live: list[str]) -> None:
    sweep, broken_off = experiment.sweep, experiments.unfinished(experiment, engine.scheduler())
    all_runs = len(sweep.values) * len(sweep.seeds)
    done = max(0, len(experiment.runs) - len(live) - len(broken_off))
    kept_back = len(sweep.seeds) if experiment.held_out is not None and experiment.guess is None else 0
    said = f"{done} of {all_runs} runs done"
    if broken_off:
        said += f"; {len(broken_off)} broke off before their end"
    if kept_back:
        said += f"; {kept_back} wait for your guess"
    st.progress(min(1.0, done / all_runs), said)


def _buttons(experiment: Experiment, live: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if live:
            st.button("Stop all", icon=":material/stop:", on_click=_stop, args=(experiment,))
        elif experiments.to_go_on(experiment, engine.scheduler()):
            icon = ":material/play_arrow:"
            st.button("Resume", icon=icon, type="primary", on_click=_resume, args=(experiment,))
        if experiment.runs and st.button("Compare the runs", icon=":material/stacked_line_chart:"):
            chosen_runs = ",".join(experiment.runs.values())
            st.switch_page(PAGES / "labs/compare.py", query_params={"runs": chosen_runs})
        st.button("New sweep", icon=":material/add:", on_click=choose, args=(None,))
        if not live:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("Delete this sweep with all its runs? That cannot be undone.")
                st.button("Delete for good", type="primary", on_click=_delete, args=(experiment,))


def _stop(experiment: Experiment) -> None:
    try:
        experiments.stop(experiment, engine.scheduler())
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _resume(experiment: Experiment) -> None:
    try:
        server.wait_until_warm()
        experiments.resume(experiment, engine.scheduler())
    except SlmError as error:  # some go on, and the others as soon as they may
        st.session_state["complaint"] = str(error)


def _delete(experiment: Experiment) -> None:
    try:
        experiments.delete_experiment(experiment, engine.scheduler())
        choose(None)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _guess(experiment: Experiment, found: Findings, live: list[str]) -> None:
    """Ask for the guess, or score it once the truth is known."""
    if experiment.held_out is None:
        return
    if experiment.guess is not None:
        lab_results.draw_score(experiment, found)
        return
    value = shown(experiment.held_out)
    with st.container(border=True):
        st.markdown(
            f"**Your guess.** {words.plain(experiment.sweep.vary)} {value} has not been trained. What will "
            "its "
            "best validation loss be?"
        )
        if live:
            st.caption("The other runs are still going on. Look at them first, or guess boldly now.")
        key = f"guess-{experiment.id}"
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.number_input("Best validation loss, in nats per token", 0.01, 20.0, 2.0, 0.05, key=key)
            st.button("Train it and see", type="primary", on_click=_take_guess, args=(experiment.id, key))


def _take_guess(experiment_id: str, key: str) -> None:
    try:
        server.wait_until_warm()
        experiment = experiments.open_experiment(engine.scheduler().root, experiment_id)
        said, now = float(st.session_state[key]), datetime.now(UTC)
        guess = Prediction(value=experiment.held_out, guess=said, made_at=now)
        experiments.guess(experiment, guess, engine.scheduler())
    except SlmError as error:
        st.session_state["complaint"] = str(error)
