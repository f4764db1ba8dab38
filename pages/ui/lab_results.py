"""What a sweep found: a chart with its law, a sentence, a table, the score of the guess, the curves."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.ui import engine, words
from pages.ui.live_chart import live_chart
from slm_core.errors import RunError
from slm_core.runs.store import open_run
from slm_core.study.experiments import Experiment
from slm_core.study.findings import Findings, findings
from slm_core.study.outcomes import notice
from slm_core.sweep_figures import Band, Curve, grid, multiples_figure, sweep_figure


def draw(experiment: Experiment) -> Findings:
    """Draw the results so far, and give them."""
    found = findings(experiment, engine.history)
    if not found.rows:
        st.caption("The first results stand here as soon as a run has ended.")
        return found
    vary = experiment.sweep.vary
    st.markdown(f"**{words.plain(notice(found.rows, vary, found.compared_by))}**")
    spreads = [getattr(row, found.compared_by) for row in found.rows]
    guess = experiment.guess
    figure = sweep_figure(
        Band(
            x=[row.value for row in found.rows],
            low=[spread.low for spread in spreads],
            middle=[spread.mean for spread in spreads],
            high=[spread.high for spread in spreads],
        ),
        along=vary,
        measure=found.measure,
        among=experiment.sweep.values,
        law=Band(x=found.line.x, low=found.line.low, middle=found.line.median, high=found.line.high)
        if found.line
        else None,
        guess=(guess.value, guess.guess) if guess is not None else None,
        references=found.references,
        suited=found.suited,
    )
    live_chart(figure, key=f"sweep-{experiment.id}", height=430, alt=f"{found.measure} for each {vary}.")
    _law(found)
    _table(found, vary, with_gap=not experiment.sweep.base.patience)
    return found


def _law(found: Findings) -> None:
    if found.law is not None:
        exponent, end = found.law.exponent, found.law.end
        st.caption(
            f"The dashed line is a law with three numbers (Bryant and Liu 2026). Its exponent is "
            f"{exponent.value:.2f} ({exponent.low:.2f} to {exponent.high:.2f}), and it ends at a loss of "
            f"{end.value:.2f} ({end.low:.2f} to {end.high:.2f}). The shade is where nine of ten refits run."
        )
    elif found.why_no_law:
        st.caption(words.plain(found.why_no_law))
    if found.suited is not None:
        low, high = (words.compact(tokens) for tokens in found.suited)
        st.caption(
            f"Large models get most for their computing at 10 to 20 tokens per parameter (Hoffmann et al. "
            "2022); "
            f"for this one that would be {low} to {high} tokens. No loss follows from that rule for models "
            "so "
            "small."
        )


def _table(found: Findings, vary: str, with_gap: bool) -> None:
    table = pd.DataFrame(
        {
            vary: [row.value for row in found.rows],
            "best validation loss": [round(row.best_validation_loss.mean, 4) for row in found.rows],
            "lowest seed": [round(row.best_validation_loss.low, 4) for row in found.rows],
            "highest seed": [round(row.best_validation_loss.high, 4) for row in found.rows],
            "bits per byte": [round(row.bits_per_byte.mean, 4) for row in found.rows],
            "gap at the end": [round(row.gap.mean, 4) for row in found.rows],
            "seconds": [round(row.seconds.mean, 1) for row in found.rows],
            "runs": [row.runs for row in found.rows],
            "diverged": [row.diverged for row in found.rows],
        }
    )
    if not with_gap:
        table = table.drop(columns="gap at the end")
    with st.expander("As a table"):
        if not with_gap:
            st.caption("Runs may have ended at different steps, so gaps at the end are not compared.")
        st.dataframe(table, hide_index=True)
        csv = table.to_csv(index=False)
        st.download_button("Download as CSV", csv, "sweep.csv", "text/csv", on_click="ignore")


def draw_score(experiment: Experiment, found: Findings) -> None:
    """Draw how near the guess was, or what it waits for."""
    if found.score is not None:
        st.success(words.plain(found.score.words), icon=":material/target:")
        return
    truth = [row for row in found.rows if row.value == experiment.held_out]
    if truth and found.law is None:
        st.info(
            f"You said {experiment.guess.guess:.3f}; it was {truth[0].best_validation_loss.mean:.3f}. There "
            "is "
            "no law to compare with."
        )
    else:
        st.info(f"You said {experiment.guess.guess:.3f}. The runs that will tell are under way.")


def curves(experiment: Experiment) -> None:
    """Draw the losses of all runs over their steps, one small chart for each value."""
    groups: dict[str, list[Curve]] = {}
    for cell, run_id in experiment.cells():
        label = f"{experiment.sweep.vary} {cell.value if isinstance(cell.value, str) else f'{cell.value:,}'}"
        group = groups.setdefault(label, [])
        if run_id is not None and (curve := _curve(run_id)) is not None:
            group.append(curve)
    if not any(groups.values()):
        return
    st.markdown(
        "**Every run.** :blue[Training] and :orange[validation] loss over steps, a line for each seed."
    )
    rows = grid(len(groups))[1]
    live_chart(
        multiples_figure(groups),
        key=f"curves-{experiment.id}",
        height=60 + 200 * rows,
        alt="Losses of all runs.",
    )


def _curve(run_id: str) -> Curve | None:
    try:
        evaluations = engine.history(open_run(engine.scheduler().root, run_id)).evaluations
    except RunError:
        return None
    steps: Sequence[int] = sorted(evaluations)
    return Curve(
        steps=steps,
        train=[evaluations[step].train_loss for step in steps],
        validation=[evaluations[step].validation_loss for step in steps],
    )
