"""The whole server at a glance, for the lecturer: runs of all visitors, memory, throughput."""

import hmac
import time

import pandas as pd
import psutil
import streamlit as st
from streamlit.runtime import get_instance

from pages.ui import deployment, engine, run_list, visitor, words
from slm_core.errors import SlmError
from slm_core.runs.storage import run_bytes
from slm_core.runs.store import Run, change_run, list_damaged, list_runs, open_run

_WAIT_SECONDS = 1.0  # after a wrong password, so that guessing takes for ever


def may_enter() -> bool:
    """Whether this visitor is the lecturer: on a laptop everybody is; on a shared server, who knows the
    password. Draws the question for it."""
    password = deployment.password()
    if visitor.is_lecturer():
        return True
    if not password:
        st.info(
            "This server is shared and has no lecturer's password, so nobody can look at others' runs. Set "
            "the environment variable SLM_PASSWORD, or the secret password, and start it again."
        )
        return False
    given = st.text_input("Password", type="password")
    if given and hmac.compare_digest(given.encode(), password.encode()):
        st.session_state["lecturer"] = True
        st.rerun()
    if given:
        time.sleep(_WAIT_SECONDS)
        st.error("That is not the password.")
    return False


def draw() -> None:
    """Draw the state of the server and every live run, with a button to stop it."""
    if complaint := st.session_state.pop("complaint", ""):
        st.error(words.plain(complaint))
    scheduler = engine.scheduler()
    live = [run for run in map(_open, scheduler.live()) if run is not None]
    kept = list_runs(scheduler.root)
    sizes = [run_bytes(run) for run in kept]
    _numbers(live, sum(sizes))
    if live:
        st.subheader("Training and waiting", anchor=False)
    else:
        st.caption("Nothing trains at the moment.")
    for run in live:
        _row(run)
    if kept:
        st.subheader("Kept", anchor=False)
        st.dataframe(_table(kept, sizes), hide_index=True)
        _make_room(kept, sizes)
    for run_id, sentence in list_damaged(scheduler.root).items():
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(words.plain(sentence))
            st.button("Delete", key=f"drop-{run_id}", on_click=run_list.delete, args=(run_id,))


def _make_room(kept: list[Run], sizes: list[int]) -> None:
    """Let the lecturer delete runs, or no longer show them to everybody."""
    said = {
        run.id: f"{run.name} · {run.created:%d %b %H:%M} · {_whose(run)} · {words.size(size)}"
        for run, size in zip(kept, sizes, strict=True)
    }
    chosen = st.multiselect("Choose runs", said, format_func=said.get, key="chosen_kept")
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Delete", icon=":material/delete:", disabled=not chosen):
            st.markdown(f"Delete {len(chosen)} runs with their models and histories? That cannot be undone.")
            st.button("Delete for good", type="primary", on_click=_delete, args=(chosen,))
        shown = [run.id for run in kept if run.id in chosen and run.published]
        if deployment.limits().separate:
            label = "No longer show to everybody"
            st.button(
                label, icon=":material/visibility_off:", disabled=not shown, on_click=_hide, args=(shown,)
            )


def _delete(run_ids: list[str]) -> None:
    for run_id in run_ids:
        run_list.delete(run_id)


def _hide(run_ids: list[str]) -> None:
    try:
        for run_id in run_ids:
            change_run(engine.scheduler().root, run_id, published=False)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _open(run_id: str) -> Run | None:
    try:
        return open_run(engine.scheduler().root, run_id)
    except SlmError:  # its folder has just been deleted
        return None


def _numbers(live: list[Run], disk: int) -> None:
    scheduler = engine.scheduler()
    limits, states = scheduler.limits, [engine.state_of(run) for run in live]
    memory = psutil.Process().memory_info().rss
    room = f"of {words.size(limits.server_bytes)}" if limits.separate else None
    tiles = [
        ("Visitors", f"{_sessions():,}", None, "Browser windows that are open now."),
        ("Training", f"{len(live) - states.count('queued'):,}", None, "Runs that take turns on the cores."),
        ("Waiting", f"{states.count('queued'):,}", None, "Runs in the queue."),
        (
            "Memory",
            words.size(memory),
            f"of {words.size(limits.memory)}",
            "Of the whole app. Near the limit, new runs wait until others have ended.",
        ),
        (
            "Tokens per second",
            words.compact(scheduler.tokens_per_second()),
            None,
            f"All runs together, on {scheduler.cores.count} cores.",
        ),
        ("Disk", words.size(disk), room, "All runs that are kept."),
    ]
    for first in (0, 3):
        for column, (label, value, limit, meaning) in zip(
            st.columns(3), tiles[first : first + 3], strict=True
        ):
            quiet = {"delta_color": "off", "delta_arrow": "off", "border": True, "height": "stretch"}
            column.metric(label, value, limit, help=meaning, **quiet)


def _row(run: Run) -> None:
    status, last = engine.scheduler().status(run.id), engine.history(run).last_step
    step, steps = last.step if last else 0, run.config.max_iters
    state = engine.state_of(run)
    said = f"{run.name} · {run_list.STATES.get(state, state)}"
    if status is not None and status.place:
        said += f", number {status.place} in the queue"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.progress(
            min(1.0, step / steps), words.plain(f"{said} · step {step:,} of {steps:,} · {_whose(run)}")
        )
        st.button("Stop", key=f"stop-{run.id}", on_click=engine.scheduler().stop, args=(run.id,))


def _whose(run: Run) -> str:
    return f"visitor {run.owner[:4]}" if run.owner else "this machine"


def _table(runs: list[Run], sizes: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": [run.name for run in runs],
            "state": [run_list.STATES.get(engine.state_of(run), "from a file") for run in runs],
            "whose": [_whose(run) for run in runs],
            "begun (UTC)": [f"{run.created:%d %b %H:%M}" for run in runs],
            "size": list(map(words.size, sizes)),
            "published": [run.published for run in runs],
        }
    )


def _sessions() -> int:
    counted = get_instance().stats_mgr.get_stats(["active_sessions"]).get("active_sessions", ())
    return sum(each.value for each in counted)
