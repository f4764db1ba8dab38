"""What stands on a class wall: the plot that a lecturer projects, how to join, and the lecturer's tools."""

import streamlit as st

from pages.ui import address, engine, visitor, words
from pages.ui.live_chart import live_chart
from slm_core.errors import SlmError
from slm_core.teach import wall_plot
from slm_core.teach.card import read_card
from slm_core.teach.wall import Pin, Wall, close_wall, delete_wall, list_walls, open_wall, pins
from slm_core.teach.wall import put as put_card
from slm_core.teach.wall import remove as remove_card

_AUTOMATIC = "chosen automatically"
_SHORT = {"best": "best validation loss", "gap": "gap at the end", "extraction": "known by heart"}
_SECONDS = 2.0  # between two looks at a wall
_MOST_FILES = 100  # dropped at once


def walls() -> list[Wall]:
    """The walls that this visitor may see: the lecturer all; others those that they have made, or whose link
    they have."""
    root = engine.scheduler().root
    if visitor.is_lecturer():
        return list_walls(root)
    found = [wall for wall in list_walls(root) if visitor.owner() and wall.owner == visitor.owner()]
    known = [st.query_params.get("show", ""), st.session_state.get("wall", "")]
    link = st.session_state.get("link")
    for wall_id in [*known, link.wall if link is not None else ""]:
        if wall_id and wall_id not in {wall.id for wall in found}:
            try:
                found.append(open_wall(root, wall_id))
            except SlmError:  # deleted, or a wrong address
                continue
    return found


def choose(found: list[Wall]) -> Wall:
    """Draw the choice of a wall, if there is one, and give the wall that is looked at. Keeps it in the
    address."""
    by_id = {wall.id: wall for wall in found}
    wanted = st.query_params.get("show") or st.session_state.get("wall")
    st.session_state["wall"] = wanted if wanted in by_id else found[0].id
    if len(found) == 1:
        st.subheader(words.plain(found[0].title), anchor=False)
    else:
        st.selectbox(
            "Wall",
            list(by_id),
            index=list(by_id).index(st.session_state["wall"]),
            format_func=lambda each: f"{by_id[each].title} · {by_id[each].created:%d %b %H:%M} UTC",
            key="wall_choice",
            on_change=_turn,
        )
    st.query_params["show"] = st.session_state["wall"]
    return by_id[st.session_state["wall"]]


def _turn() -> None:
    st.session_state["wall"] = st.query_params["show"] = st.session_state["wall_choice"]


def draw(wall: Wall) -> None:
    """Draw a wall; it looks for new points every other second."""
    with st.container(horizontal=True):
        choices = [_AUTOMATIC, *wall_plot.varied([pin.card for pin in pins(wall)[0]])]
        along = st.selectbox("Along", choices, key="wall_along", width=260)
        measure = st.selectbox(
            "Measured", list(_SHORT), format_func=_SHORT.get, key="wall_measure", width=260
        )
    st.fragment(_board, run_every=_SECONDS)(wall.id, along, measure)


def _board(wall_id: str, along: str, measure: str) -> None:
    try:
        wall = open_wall(engine.scheduler().root, wall_id)
    except SlmError as error:
        st.info(words.plain(str(error)))
        return
    placed, damaged = pins(wall)
    if damaged:
        st.warning(f"{damaged} of this wall's files are damaged and are left out.")
    if wall.closed:
        st.info("This wall is closed: nothing more can be put on it.")
    if not placed:
        st.info(
            "Nobody has put a result here yet. Show the code below: whoever follows it trains, waits for the "
            "end of the run, and presses *Put my result on the wall*."
        )
        return
    if along == _AUTOMATIC:
        free = [name for name in wall.link.config.to_dict() if name not in wall.link.locked]
        along = wall_plot.axis_for([pin.card for pin in placed], free)
    found = wall_plot.found(placed, along, measure)
    live_chart(wall_plot.figure(found), key=f"wall-{wall.id}", height=560, alt=found.sentence)
    _say(found)
    _table(placed)


def _say(found: wall_plot.Found) -> None:
    st.markdown(f"**{words.plain(found.sentence)}**")
    if found.law is not None:
        exponent, end = found.law.exponent, found.law.end
        st.caption(
            f"The dashed line is a law with three numbers (Bryant and Liu 2026), fitted to all points. Its "
            f"exponent is {exponent.value:.2f} ({exponent.low:.2f} to {exponent.high:.2f}), and it ends at a "
            f"loss of {end.value:.2f} ({end.low:.2f} to {end.high:.2f}). The shade is where nine of ten "
            "refits run."
        )
    else:
        st.caption(words.plain(found.why_no_law))
    if found.warning:
        st.warning(words.plain(found.warning))


def _table(placed: list[Pin]) -> None:
    import pandas as pd  # not at the top: the first page does without

    with st.expander("As a table"):
        columns, rows = wall_plot.table(placed)
        st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True)
        st.download_button(
            "Table (CSV)",
            data=lambda: wall_plot.table_csv(placed),
            file_name="wall.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def draw_join(wall: Wall) -> None:
    """Draw the lesson's link and its QR code, for those who come late."""
    with st.expander("Join: the link and its code", expanded=not pins(wall)[0]):
        base, sentence = address.base()
        address.draw_link(wall.link.address(base))
        if sentence:
            st.caption(words.plain(sentence))


def draw_tools(wall: Wall) -> None:
    """Draw what only the lecturer may do: bring cards, take points off, close or delete the wall."""
    _bring(wall)
    placed = {pin.key: pin for pin in pins(wall)[0]}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox(
            "Take a point off",
            list(placed),
            index=None,
            format_func=lambda each: _named(placed[each]),
            placeholder="choose a point",
            key="wall_point",
            width=420,
        )
        st.button("Remove", disabled=key is None, on_click=_do, args=(wall.id, "remove", key))
        label = "Open it again" if wall.closed else "Close this wall"
        st.button(label, on_click=_do, args=(wall.id, "open" if wall.closed else "close"))
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("Delete this wall with all its points? That cannot be undone.")
            st.button("Delete this wall", type="primary", on_click=_do, args=(wall.id, "delete"))


def _named(pin: Pin) -> str:
    return f"{pin.card.nickname} · {pin.card.best:.3f}{' · brought' if pin.brought else ''}"


def _do(wall_id: str, what: str, key: str = "") -> None:
    """Do what the lecturer asked for; what is wrong is kept for the page to say."""
    if not visitor.is_lecturer():
        return
    try:
        wall = open_wall(engine.scheduler().root, wall_id)
        match what:
            case "remove":
                remove_card(wall, key)
            case "close" | "open":
                close_wall(wall, what == "close")
            case "delete":
                delete_wall(wall)
                st.session_state.pop("wall", None)
    except SlmError as error:
        st.session_state["complaint"] = str(error)


def _bring(wall: Wall) -> None:
    with st.form("wall_cards", clear_on_submit=True, border=False):
        files = st.file_uploader(
            "Run cards that students have sent",
            type="json",
            accept_multiple_files=True,
            max_upload_size=1,
            key="wall_files",
            help="Each student downloads one under a run. Brought points are drawn as diamonds: they are not "
            "measured by this server.",
        )
        if st.form_submit_button("Put them on the wall") and files and visitor.is_lecturer():
            st.session_state["wall_said"] = _taken(wall, files)
            st.rerun()
    taken, refused = st.session_state.pop("wall_said", (0, []))
    if taken:
        st.success(f"{taken} brought." if taken > 1 else "1 brought.")
    for sentence in refused:
        st.warning(words.plain(sentence))


def _taken(wall: Wall, files: list) -> tuple[int, list[str]]:
    """How many cards were put on the wall, and a sentence for each that was not."""
    taken, refused = 0, []
    for file in files[:_MOST_FILES]:
        try:
            put_card(wall, read_card(file.getvalue()), brought=True)
            taken += 1
        except SlmError as error:
            refused.append(f"{file.name[:60]} was left out. {error}")
    if len(files) > _MOST_FILES:
        refused.append(f"The first {_MOST_FILES} files were looked at. Bring the others after them.")
    return taken, refused
