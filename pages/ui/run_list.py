"""The runs that a visitor has, and what can be done with each: open it, go on with it, keep it, let it go."""

from typing import Any

import streamlit as st

from pages.ui import controls, deployment, engine, server, visitor, words
from slm_core.errors import RunError, SlmError
from slm_core.runs.store import Run, change_run

STATES = {
    "queued": "waiting",
    "running": "training now",
    "paused": "paused",
    "stopping": "stopping",
    "finished": "finished",
    "stopped": "stopped",
    "diverged": "diverged",
    "failed": "failed",
    "interrupted": "interrupted",
    "unknown": "history lost",
}
_MOST_EARLIER = 8  # of one's own, and of those that others have published


def draw_unfinished() -> None:
    """Draw what a visitor should not have to look for: own runs that go on now, and an offer to resume those
    that were interrupted."""
    mine = [run for run in engine.trained_runs() if visitor.may_steer(run)]
    for run in mine:
        if engine.scheduler().status(run.id) is not None:
            _row(run)
    if interrupted := [run for run in mine if engine.state_of(run) == "interrupted" and run.resumable]:
        _offer_to_resume(interrupted)


def draw() -> None:
    """Draw the latest runs that have ended: the visitor's own, then those that others have published."""
    ended = [run for run in engine.trained_runs() if engine.scheduler().status(run.id) is None]
    own = [run for run in ended if visitor.may_steer(run)]
    others = [run for run in ended if not visitor.may_steer(run)]
    for run_id, sentence in engine.damaged_runs().items():
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(words.plain(sentence))
            st.button("Delete", key=f"drop-{run_id}", on_click=delete, args=(run_id,))
    if ended:
        st.subheader("Earlier runs", anchor=False)
        warn_of_loss()
    most = _MOST_EARLIER
    if max(len(own), len(others)) > most and st.toggle(f"Show all {len(ended)}", key="all_runs"):
        most = len(ended)
    for run in own[:most] + others[:most]:
        _row(run)


def warn_of_loss() -> None:
    """Say, where it is so, that what is here will not be here tomorrow."""
    if deployment.limits().temporary:
        st.caption(
            ":material/hourglass_top: This server forgets all runs when it sleeps or starts again. Download "
            "what you want to keep."
        )


def _offer_to_resume(runs: list[Run]) -> None:
    many = len(runs) > 1
    names = words.plain(", ".join(run.name for run in runs[:5]) + (" …" if len(runs) > 5 else ""))
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        were = f"{len(runs)} runs were" if many else "A run was"
        st.markdown(f"{were} interrupted when the server ended: {names}. What was saved is still there.")
        st.button("Resume all" if many else "Resume", type="primary", on_click=_resume, args=(runs,))


def _row(run: Run) -> None:
    state = STATES[engine.state_of(run)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            words.plain(f"{run.name} · {state} · {run.created:%d %b %H:%M} UTC"),
            key=f"open-{run.id}",
            type="tertiary",
            on_click=engine.choose_run,
            args=(run.id,),
        )
        if not visitor.may_steer(run):
            st.badge("published by somebody else", color="gray")
        elif run.published and deployment.limits().separate:
            st.badge("published", color="green")


def resume(run_id: str) -> None:
    """Let a run go on; what is wrong is kept for the page to say."""
    try:
        server.wait_until_warm()
        engine.scheduler().resume(run_id)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _resume(runs: list[Run]) -> None:
    for run in runs:
        resume(run.id)
    engine.choose_run(runs[0].id)


def train_again(once: engine.Once, run: Run, changes: dict[str, Any]) -> None:
    """Begin a run like another one with some settings changed; what is wrong is kept for the page to say."""
    try:
        config = run.config.with_changes(changes)
        text = st.session_state.get("own_text") if config.corpus == "own" else None
        if config.corpus == "own" and text is None:
            raise RunError(
                "The text of that run is not kept. Give it again under your own text, and press Train."
            )
        controls.set_all(config)
        engine.choose_run(once(lambda: engine.start(config, name=run.name, device=run.device, text=text)))
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def delete(run_id: str) -> None:
    """Delete a run; what is wrong is kept for the page to say."""
    try:
        engine.scheduler().delete(run_id)
        engine.choose_run(None)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def publish(run_id: str, key: str) -> None:
    """Show a run to everybody, or no longer, as the control under `key` says."""
    try:
        change_run(engine.scheduler().root, run_id, published=st.session_state[key])
    except SlmError as error:
        st.session_state["complaint"] = str(error)
