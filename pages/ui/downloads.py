"""Fetching texts of the library from the app: one thread for each, seen by every visitor; on a shared server
it is the lecturer who begins and stops them.

What a thread and the pages say to each other is one plain dictionary for each text, as it is kept for as
long as the server lives (see `server.process_state`).
"""

import threading
from contextlib import closing
from typing import Any

import streamlit as st

from pages.ui import deployment, server, visitor, words
from slm_core.errors import CorpusError
from slm_core.text.download import fetch, kept_bytes
from slm_core.text.library import LIBRARY, Entry, corpora_folder, present_bytes

_SECONDS = 0.5  # between two looks at a fetch


def draw() -> None:
    """Every text of the library with its licence and size, and a button to fetch it or to stop that."""
    st.fragment(_draw, run_every=_SECONDS if _live() else None)(_live())


def _draw(were_live: list[str]) -> None:
    if were_live != _live():
        st.rerun()  # one has begun or ended: the whole page may offer more texts now
    if not _may_fetch():
        st.caption(
            "This server is shared: only the lecturer fetches texts for it, after giving the password on the "
            "Server page."
        )
    for entry in LIBRARY.values():
        with st.container(border=True):
            _entry(entry)


def _entry(entry: Entry) -> None:
    told, folder = _fetches().get(entry.name, {}), corpora_folder()
    here, kept = present_bytes(entry, folder), kept_bytes(entry, folder)
    size = words.size(here or entry.fetched_bytes)
    part = "" if entry.fetched_bytes == entry.size_bytes else f", of {words.size(entry.size_bytes)} in all"
    about, button = st.columns([5, 2], vertical_alignment="center")
    about.markdown(f"**{entry.title}** · {size}{part} · licence: {entry.licence}  \n{entry.about}")
    if told.get("live"):
        if _may_fetch():
            button.button(
                "Stop", icon=":material/stop:", key=f"stop-{entry.name}", on_click=stop, args=(entry.name,)
            )
        total = told["total"] or entry.fetched_bytes
        came = f"{words.size(told['received'])} of {words.size(total)}" if told["total"] else "connecting …"
        st.progress(min(1.0, told["received"] / total), "stopping …" if told["stop"] else came)
    elif here:
        button.markdown(":green[:material/check:] here")
    elif _may_fetch():
        label = f"Go on ({words.size(entry.fetched_bytes - kept)} left)" if kept else f"Download ({size})"
        button.button(
            label, icon=":material/download:", key=f"fetch-{entry.name}", on_click=start, args=(entry.name,)
        )
        if told.get("error"):
            st.error(words.plain(told["error"]))


def _may_fetch() -> bool:
    """Whether this visitor may fill the server's disk with texts: on a laptop everybody may."""
    return not deployment.limits().separate or visitor.is_lecturer()


def start(name: str) -> None:
    """Begin to fetch a text, unless that is going on."""
    server.process_wide("fetches", dict, stop=_stop_all)
    with server.process_state()["lock"]:
        if _fetches().get(name, {}).get("live"):
            return
        told = {"received": 0, "total": 0, "error": "", "stop": False, "live": True}
        _fetches()[name] = told
    threading.Thread(
        target=_fetch, args=(LIBRARY[name], corpora_folder(), told), name=f"fetch-{name}", daemon=True
    ).start()


def stop(name: str) -> None:
    """End a fetch after the piece that is coming; what came is kept."""
    if told := _fetches().get(name):
        told["stop"] = True


def _fetch(entry: Entry, folder: Any, told: dict[str, Any]) -> None:
    try:
        with closing(fetch(entry, folder)) as steps:
            for step in steps:
                told["received"], told["total"] = step.received_bytes, step.total_bytes
                if told["stop"]:
                    break
    except CorpusError as error:
        told["error"] = str(error)
    finally:
        told["live"] = False


def _fetches() -> dict[str, dict[str, Any]]:
    return server.process_state().get("fetches", {})


def _live() -> list[str]:
    return sorted(name for name, told in _fetches().items() if told["live"])


def _stop_all(fetches: dict[str, dict[str, Any]]) -> None:
    for told in fetches.values():
        told["stop"] = True
