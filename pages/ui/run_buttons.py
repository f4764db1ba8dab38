"""The buttons of one run: steer it while it is live; keep it, show it or let it go once it is at rest."""

import streamlit as st

from pages import PAGES
from pages.ui import deployment, engine, run_list, visitor
from slm_core.runs.store import Run


def draw(run: Run, state: str) -> None:
    """Draw those that make sense as the run stands, for whoever may press them."""
    scheduler = engine.scheduler()
    mine, at_rest = visitor.may_steer(run), state not in ("running", "queued", "stopping", "paused")
    with st.container(horizontal=True, vertical_alignment="center"):
        if mine and state == "running":
            st.button("Pause", icon=":material/pause:", on_click=scheduler.pause, args=(run.id,))
        if mine and (state == "paused" or (at_rest and run.resumable)):
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                type="primary",
                on_click=run_list.resume,
                args=(run.id,),
            )
        if mine and state in ("queued", "running", "paused"):
            st.button("Stop", icon=":material/stop:", on_click=scheduler.stop, args=(run.id,))
        kind = "primary" if state == "finished" else "secondary"
        can_write = run.checkpoints and (at_rest or state == "paused")
        if can_write and st.button("Let it write", icon=":material/edit_note:", type=kind):
            st.session_state["playground_run"] = run.id
            st.switch_page(PAGES / "learn/playground.py", query_params={})  # else it refuses a bound "preset"
        if st.button(
            "New run", icon=":material/add:", help="Back to the settings. This run stays in the list."
        ):
            engine.choose_run(None)
            st.rerun()
        if at_rest:
            _keep_or_let_go(run, mine)
    if mine and at_rest:
        run_list.warn_of_loss()


def _keep_or_let_go(run: Run, mine: bool) -> None:
    if "last" in run.checkpoints:
        st.download_button(
            "Download",
            data=run.checkpoints["last"].read_bytes,
            file_name=f"{run.name}.safetensors",
            mime="application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            help="The model as one file: weights, settings, tokenizer.",
        )
    if not mine:
        return
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown("Delete this run with its models and its history? That cannot be undone.")
        st.button("Delete for good", type="primary", on_click=run_list.delete, args=(run.id,))
    if deployment.limits().separate:
        key = f"publish-{run.id}"
        st.toggle(
            "Show to everybody",
            run.published,
            key=key,
            on_change=run_list.publish,
            args=(run.id, key),
            help="Everybody on this server may then open this run and write with its model. It is not "
            "deleted when room runs out.",
        )
