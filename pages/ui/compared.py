"""The runs that a visitor compares: which they are, a table to choose and change them in, and what to take
away."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from pages.ui import deployment, engine, run_list, visitor, words
from slm_core.config import KNOBS, Knob
from slm_core.errors import RunError, SlmError
from slm_core.lab_figures import page_of
from slm_core.runs.store import Run, change_run, open_run
from slm_core.study import comparison
from slm_core.study.comparison import BITS, NATS, Standing, Track

MOST_DRAWN = 12  # curves that an eye can follow
_MOST_CHOSEN = 100  # of those that an address names
_MOST_LISTED = 200
_MOST_NAMED = 8  # runs in a question
_MOST_SAID = 3  # sentences on runs that an address names in vain
_KEY = "compared"


def runs() -> list[Run]:
    """The runs that this visitor can compare, newest first. A model that came as a file has no history."""
    return [run for run in engine.visible_runs() if not run.imported]


def chosen(found: Sequence[Run]) -> list[Run]:
    """The runs that are compared, of those `found`: the address's, else those chosen before, else the latest
    two. Keeps them in the address, and says which of the address's there are not."""
    asked = st.query_params.get("runs")
    ids = st.session_state.get(_KEY, [run.id for run in found[:2]]) if asked is None else asked.split(",")
    known = {run.id: run for run in found}
    ids = [run_id for run_id in dict.fromkeys(ids) if run_id][:_MOST_CHOSEN]
    if missing := [run_id for run_id in ids if run_id not in known]:
        more = f" And {len(missing) - _MOST_SAID} more." if len(missing) > _MOST_SAID else ""
        st.warning(words.plain(" ".join(map(_why_not, missing[:_MOST_SAID])) + more))
    choose([run_id for run_id in ids if run_id in known])
    return [known[run_id] for run_id in st.session_state[_KEY]]


def choose(ids: Sequence[str]) -> None:
    """Compare these runs from now on."""
    st.session_state[_KEY] = list(ids)
    st.query_params["runs"] = ",".join(ids)


def _why_not(run_id: str) -> str:
    try:
        run = open_run(engine.scheduler().root, run_id)
    except RunError as error:
        return str(error)
    if not visitor.may_see(run):
        return f"The run {run_id} belongs to somebody else, who has not published it."
    return f"The run {run_id} came as a file and has no history to compare."


def standing_of(run: Run) -> Standing:
    """What a run has come to; worked out anew only when its history has grown."""
    try:
        state = (run.folder / "events.jsonl").stat()
    except OSError:
        return _standing(run, 0, 0)
    return _standing(run, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=2_000)  # histories are large, and only some are kept: see engine.history
def _standing(run: Run, changed_ns: int, size: int) -> Standing:
    return comparison.standing(run.config, engine.history(run))


def track_of(run: Run) -> Track:
    """How a run's losses went."""
    return comparison.track(run.config, engine.history(run))


def named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by what tells them apart."""
    names = comparison.labels([standing_of(run) for run in runs], [run.name for run in runs])
    return dict(zip(names, runs, strict=True))


def live_among(runs: Sequence[Run]) -> list[str]:
    """The ids of those that train or wait for it."""
    return [run.id for run in runs if engine.scheduler().status(run.id) is not None]


def draw_table(found: Sequence[Run], now: Sequence[Run]) -> None:
    """Draw the runs `found` with what can be done to them; `now` are those compared."""
    asked = st.text_input(
        "Find runs",
        key="runs_filter",
        placeholder="a name, a tag, or dataset_size=200",
        persist_state="session",
    )
    listed = [run for run in found if _matches(run, asked)]
    if not listed:
        st.info("No run has all these words in its name, its tags or its settings.")
        return
    if len(listed) > _MOST_LISTED:
        st.caption(f"The latest {_MOST_LISTED} of {len(listed):,} runs. Find others by their names or tags.")
        listed = listed[:_MOST_LISTED]
    with st.spinner("Reading the runs …"):
        standings = [standing_of(run) for run in listed]
    _editor(listed, standings, {run.id for run in now})
    hidden = len({run.id for run in now} - {run.id for run in listed})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Choose none", on_click=choose, args=([],), disabled=not now)
        _deletion(now)
        st.download_button(
            "Table (CSV)",
            data=lambda: table_csv(listed, standings),
            file_name="runs.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    st.caption(
        "Tick runs to compare them. A double click changes a name or tags; a click on a heading sorts."
        + (f" {hidden} of the runs compared are not listed." if hidden else "")
    )


def _matches(run: Run, asked: str) -> bool:
    """Whether each word asked for is in a run's name, tags or state, or is one of its settings."""
    if not asked.strip():
        return True
    settings = {f"{name}={value}".lower() for name, value in run.config.to_dict().items()}
    told = " ".join([run.name, *run.tags, run_list.STATES[engine.state_of(run)], *settings]).lower()
    return all(word in (settings if "=" in word else told) for word in asked.lower().split())


def _sheet(listed: Sequence[Run], standings: Sequence[Standing]) -> tuple[list[str], list[list[Any]]]:
    """The table as columns and rows, with the settings in which the runs differ."""
    settings = comparison.differing([run.config for run in listed])
    columns = ["run", "name", "best", "best_bits", "gap", *settings, "steps", "seconds", "state", "tags"]
    rows = [
        [
            run.id,
            run.name,
            each.best and each.best[NATS],
            each.best and each.best[BITS],
            each.gap,
            *(getattr(run.config, name) for name in settings),
            each.steps,
            each.seconds,
            run_list.STATES[engine.state_of(run)],
            list(run.tags),
            run.created.replace(microsecond=0),
        ]
        for run, each in zip(listed, standings, strict=True)
    ]
    return [*columns, "begun"], rows


def table_csv(listed: Sequence[Run], standings: Sequence[Standing]) -> str:
    """The table as CSV; several tags stand in one cell."""
    columns, rows = _sheet(listed, standings)
    tags = columns.index("tags")
    for row in rows:
        row[tags] = " ".join(row[tags])
    return comparison.to_csv(columns, rows)


def _editor(listed: Sequence[Run], standings: Sequence[Standing], now: set[str]) -> None:
    import pandas as pd  # not at the top: the first page does without

    columns, rows = _sheet(listed, standings)
    # The ids as index: when other runs are listed or their order changes, the table forgets edits that it
    # knows by their row only.
    table = pd.DataFrame(rows, columns=columns).set_index("run")
    table.insert(0, "compare", [run.id in now for run in listed])
    if not comparison.unit_of(standings)[1]:
        table = table.drop(columns="best_bits")
    config, version = st.column_config, st.session_state.get("table_version", 0)
    tags = sorted({tag for run in listed for tag in run.tags})
    key = f"runs-{version}"
    st.data_editor(
        table,
        key=key,
        hide_index=True,
        disabled=[name for name in table.columns if name not in ("compare", "name", "tags")],
        column_config={
            "compare": config.CheckboxColumn("✓", pinned=True, width=60, help="Compare this run."),
            "name": config.TextColumn("name", required=True, max_chars=80),
            "tags": config.MultiselectColumn("tags", options=tags, accept_new_options=True, color="auto"),
            "best": config.NumberColumn("best validation", format="%.3f", help="Loss in nats per token."),
            "best_bits": config.NumberColumn("in bits per byte", format="%.3f", help="Of that same model."),
            "gap": config.NumberColumn(
                "gap at the end", format="%.3f", help="Validation loss minus training loss."
            ),
            "steps": config.NumberColumn("steps", format="localized"),
            "seconds": config.NumberColumn("seconds", format="%.1f", help="Spent computing."),
            "begun": config.DatetimeColumn("begun (UTC)", format="D MMM, HH:mm"),
            **{name: _setting_column(KNOBS[name]) for name in columns if name in KNOBS},
        },
        on_change=_edited,
        args=(key, [run.id for run in listed]),
        alt="Your runs",
    )


def _setting_column(knob: Knob) -> Any:
    if isinstance(knob.default, int) and knob.name != "seed":  # a seed is a name, not an amount
        return st.column_config.NumberColumn(knob.name, help=words.plain(knob.help), format="localized")
    return st.column_config.Column(knob.name, help=words.plain(knob.help))


def _edited(key: str, ids: Sequence[str]) -> None:
    for place, cells in st.session_state[key]["edited_rows"].items():
        take_edit(ids[int(place)], cells)


def take_edit(run_id: str, cells: Mapping[str, Any]) -> None:
    """Do what somebody wrote into a run's row. What is refused, or kept otherwise than written, is drawn anew
    from what is kept."""
    if "compare" in cells:
        others = [each for each in st.session_state[_KEY] if each != run_id]
        choose([*others, run_id] if cells["compare"] else others)
    changes = {name: cells[name] for name in ("name", "tags") if cells.get(name) is not None}
    if not changes:
        return
    try:
        run = open_run(engine.scheduler().root, run_id)
        if not visitor.may_steer(run):
            raise RunError(f"{run.name} is somebody else's run; only they can rename or tag it.")
        kept = change_run(engine.scheduler().root, run_id, **changes)
        as_written = all(cells[name] == now for name, now in _as_cells(kept).items() if name in changes)
    except SlmError as error:
        st.session_state["complaint"] = str(error)
        as_written = False
    if not as_written:
        st.session_state["table_version"] = st.session_state.get("table_version", 0) + 1


def _as_cells(run: Run) -> dict[str, Any]:
    return {"name": run.name, "tags": list(run.tags)}


def _deletion(now: Sequence[Run]) -> None:
    mine = [run for run in now if visitor.may_steer(run)]
    if not mine:
        return
    with st.popover("Delete", icon=":material/delete:"):
        at_rest = [run for run in mine if engine.scheduler().status(run.id) is None]
        if len(at_rest) < len(mine):
            st.info("Runs that are training are left alone. Stop them first, on the Train page.")
        if at_rest:
            more = f" and {len(at_rest) - _MOST_NAMED} more" if len(at_rest) > _MOST_NAMED else ""
            listed = words.plain(", ".join(run.name for run in at_rest[:_MOST_NAMED])) + more
            st.markdown(f"Delete with their models and histories: {listed}? That cannot be undone.")
            label = "Delete 1 run for good" if len(at_rest) == 1 else f"Delete {len(at_rest)} runs for good"
            st.button(label, type="primary", on_click=delete, args=([run.id for run in at_rest],))


def delete(ids: Sequence[str]) -> None:
    """Delete runs of this visitor that are at rest; what is wrong is kept for the page to say."""
    scheduler = engine.scheduler()
    for run_id in ids:
        try:
            if not visitor.may_steer(open_run(scheduler.root, run_id)):
                raise RunError("Only whoever started a run can delete it.")
            if scheduler.status(run_id) is not None:
                raise RunError(f"The run {run_id} is training. Stop it first.")
            scheduler.delete(run_id)
        except SlmError as error:
            st.session_state["complaint"] = str(error)
    choose([run_id for run_id in st.session_state[_KEY] if run_id not in ids])


def offer_curves(runs: Sequence[Run]) -> None:
    """Draw a button that gives every evaluation of the runs, a row each."""
    st.download_button(
        "Curves (CSV)",
        data=lambda: comparison.to_csv(comparison.CURVE_COLUMNS, _evaluations(runs)),
        file_name="curves.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _evaluations(runs: Sequence[Run]) -> list[tuple[Any, ...]]:
    return [row for run in runs for row in comparison.curve_rows(run.id, run.name, track_of(run))]


def offer_chart(figure: Mapping[str, Any], title: str) -> None:
    """Draw a button that gives the chart as an HTML page of its own, in the colours of the day or night."""
    look = f"theme.{st.context.theme.type or 'light'}"
    colors = {
        "series": st.get_option(f"{look}.chartCategoricalColors"),
        "paper": st.get_option(f"{look}.backgroundColor"),
        "text": st.get_option(f"{look}.textColor"),
    }
    st.download_button(
        "Chart (HTML)",
        data=lambda: page_of(figure, title=title, **colors),
        file_name="comparison.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
        help="A page of its own, 5 MB, that can be zoomed and needs no network.",
    )


def draw_link(runs: Sequence[Run], along: str, smooth: float) -> None:
    """Draw the address that opens this comparison again; it holds nothing about whoever made it."""
    query = {"runs": ",".join(run.id for run in runs), "along": along, "smooth": f"{smooth:g}"}
    others = " Others see those of its runs that are published." if deployment.limits().separate else ""
    st.caption(f"A link that opens the same comparison again.{others}")
    st.code(f"{st.context.url or ''}?{urlencode(query, safe=',')}", language=None)
