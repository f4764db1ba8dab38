"""Compare: what did the change do?"""

from typing import Any

import streamlit as st

from pages import PAGES
from pages.ui import compared, live_chart, side_by_side, words
from slm_core.lab_figures import RunLines, comparison_figure
from slm_core.runs.store import Run
from slm_core.study import comparison

_SECONDS = 2.0  # between two looks at runs that train


def figure_of(runs: list[Run], along: str, smooth: float) -> dict[str, Any]:
    """The curves of the runs, of at most as many as an eye can follow."""
    unit, _ = comparison.unit_of(map(compared.standing_of, runs))
    lines = []
    for name, run in list(compared.named(runs).items())[: compared.MOST_DRAWN]:
        track = compared.track_of(run)
        training, validation = track.losses[unit]
        lines.append(RunLines(label=name, x=track.places[along], training=training, validation=validation))
    return comparison_figure(lines, along=comparison.ALONG[along], unit=unit, smooth=smooth)


def draw_losses(runs: list[Run], along: str, smooth: float, live: list[str]) -> None:
    """Draw the curves and what they show; while one of the runs trains, every other second anew."""
    if live != compared.live_among(runs):
        st.rerun()  # one has begun or ended: the table changes, too, and how often this looks
    standings = [compared.standing_of(run) for run in runs]
    unit, why = comparison.unit_of(standings)
    finding = comparison.finding(standings, unit)
    live_chart.live_chart(figure_of(runs, along, smooth), key="comparison", height=470, alt=finding)
    st.caption(
        "Solid: validation loss. Dotted: training loss. Point at the chart for a camera that saves a PNG."
        + (" Seconds depend on the machine, and on what else it did." if along == "seconds" else "")
    )
    if len(runs) > compared.MOST_DRAWN:
        st.info(
            f"{len(runs)} runs are compared, more than an eye can follow: the chart shows the "
            f"{compared.MOST_DRAWN} that were chosen first."
        )
    if why:
        st.info(why)
    st.subheader("What to notice", anchor=False)
    st.markdown(f"**{words.plain(finding)}**")
    for warning in comparison.warnings(standings):
        st.warning(words.plain(warning))
    if doubts := comparison.doubts(standings):
        st.caption(words.plain(" ".join(doubts)))


def draw_chosen(runs: list[Run]) -> None:
    """Draw what the chosen runs show: their losses, their words, and what can be taken away."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        along = st.segmented_control(
            "Losses over",
            comparison.ALONG,
            default="steps",
            key="along",
            required=True,
            wrap=True,
            bind="query-params",
        )
        smooth = st.slider(
            "Smoothing",
            0.0,
            0.9,
            step=0.1,
            key="smooth",
            bind="query-params",
            width=260,
            help="Each point becomes the mean of itself and all before it, the older ones weighing less. "
            "What was measured stays faintly behind.",
        )
    live = compared.live_among(runs)
    st.fragment(draw_losses, run_every=_SECONDS if live else None)(runs, along, smooth, live)

    st.subheader("The same beginning", anchor=False)
    st.markdown("What do they write after the same words, with the same luck?")
    side_by_side.draw(compared.named(runs))

    st.subheader("Take it with you", anchor=False)
    with st.container(horizontal=True):
        compared.offer_curves(runs)
        drawn = min(len(runs), compared.MOST_DRAWN)
        title = f"Losses of {drawn} runs. Solid: validation. Dotted: training."
        compared.offer_chart(figure_of(runs, along, smooth), title)
    compared.draw_link(runs, along, smooth)


st.title("Compare", anchor=False)
st.markdown("What did the change do? Choose runs that differ in one thing, and see what that one thing does.")
problems = st.container()  # there even when empty, so that nothing below it moves and is drawn anew
if complaint := st.session_state.pop("complaint", ""):
    problems.error(words.plain(complaint))

found = compared.runs()
if not found:
    st.info("There is no run yet. Train two that differ in one setting, such as dataset_size, and come back.")
    st.page_link(PAGES / "learn/train.py", label="Train a model", icon=":material/school:")
    st.stop()
with problems:
    runs = compared.chosen(found)
compared.draw_table(found, runs)
with st.container():
    if len(found) == 1:
        st.info("This is the only run. Train a second with one setting changed, to see what that does.")
        st.page_link(PAGES / "learn/train.py", label="Train another", icon=":material/school:")
    elif len(runs) < 2:
        st.info("Tick two runs or more to compare them.")
if runs:  # no st.stop() for none: it would keep the fragment that draws the losses
    draw_chosen(runs)
