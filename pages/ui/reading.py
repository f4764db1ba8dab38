"""Reading a text side by side: what a model trains on, and what is held out to test it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from pages.ui import marked, shelf, words
from slm_core.config import load_presets
from slm_core.text.statistics import Description, Side, SizeEnd, size_ends

_MOST_TOKENS = 3_000  # of a document that are shown
_MOST_WORDS = 3  # quoted where a size ends
_ALL = 10**9  # characters


@dataclass(frozen=True)
class Mark:
    """Where a dataset_size ends in the training text, and how it is labelled; `now` if it is the one set."""

    end: SizeEnd
    label: str
    now: bool


def marks(source: shelf.Source, description: Description, dataset_size: int) -> list[Mark]:
    """Where the sizes of presets end (of those that read this text, if any do), and the one that is set."""
    names: dict[int, list[str]] = {dataset_size: []}
    for preset in load_presets().values() if source.name != "repeated" else ():
        if preset.config.corpus == source.name or not source.endless:
            names.setdefault(preset.config.dataset_size, []).append(preset.name)
    return [
        Mark(end, " · ".join([f"{end.size:,} tokens", *names[end.size]]), end.size == dataset_size)
        for end in size_ends(description.train, list(names))
    ]


def sides(source: shelf.Source, description: Description, found: list[Mark]) -> None:
    """Draw one document of each side, with previous, next and number, and marks where sizes end."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.markdown(":blue[**The model trains on this**]")
        place = _turn("train", source.name, len(description.train))
        read = _read(place, found)
        here = [(mark.end.characters, mark.label, mark.now) for mark in found if mark.end.document == place]
        _show(description.train, place, here, read)
        if read == 0:
            st.caption("Not read: the dataset_size that is set ends before this document.")
    with right, st.container(border=True):
        st.markdown(":orange[**Held out, to test the model on**]")
        _show(description.validation, _turn("validation", source.name, len(description.validation)))


def current(source: shelf.Source, description: Description) -> str:
    """The training document that `sides` shows."""
    return description.train.text(st.session_state[_key("train", source.name)] - 1, _MOST_TOKENS)


def sizes(found: list[Mark]) -> None:
    """Draw a table of the sizes: how many documents each reads, and where it ends."""
    rows = ["| dataset_size | reads | ends with |", "|---|---|---|"]
    for mark in found:
        label = words.plain(mark.label)
        ending = " ".join(mark.end.ending.split()[-_MOST_WORDS:])[-30:]
        whole = mark.end.document
        documents = f"{whole:,} document{'s' * (whole > 1)} and a part" if whole else "a part of the first"
        rows.append(
            f"| {f'**{label} · set now**' if mark.now else label} | {documents} | … {words.plain(ending)} |"
        )
    st.markdown("\n".join(rows))


def _read(place: int, found: list[Mark]) -> int:
    """How many characters of a training document are read with the size that is set."""
    now = next((mark.end for mark in found if mark.now), None)
    if now is None or place < now.document:
        return _ALL
    return now.characters if place == now.document else 0


def _show(side: Side, place: int, here: Sequence[tuple[int, str, bool]] = (), read: int = _ALL) -> None:
    st.html(marked.document(side.text(place, _MOST_TOKENS), here, read))
    tokens = int(side.lengths[place])
    more = f", of which {_MOST_TOKENS:,} are shown" if tokens > _MOST_TOKENS else ""
    st.caption(f"{tokens:,} tokens{more}")


def _turn(side: str, name: str, documents: int) -> int:
    """Draw the controls to leaf through documents; gives the one to show, counted from 0."""
    key = _key(side, name)
    st.session_state[key] = min(max(1, st.session_state.get(key, 1)), documents)

    def leaf(by: int) -> None:
        st.session_state[key] = (st.session_state[key] - 1 + by) % documents + 1

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for by, icon, said in ((-1, "chevron_left", "Previous"), (1, "chevron_right", "Next")):
            st.button(
                f":material/{icon}:",
                key=f"{said}-{side}",
                help=f"{said} document",
                on_click=leaf,
                args=(by,),
                disabled=documents < 2,
            )
        hidden = {"label_visibility": "collapsed", "width": 120, "persist_state": "session"}
        st.number_input(f"Document, of {documents:,}", 1, documents, key=key, **hidden)
        st.caption(f"of {documents:,}", width="content")
    return st.session_state[key] - 1


def _key(side: str, name: str) -> str:
    return f"document_{side}_{name}"
