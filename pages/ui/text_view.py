"""What the report on a text says, in plain words: what a loss means there, and whether the split is
honest."""

import streamlit as st

from pages.ui import words
from slm_core.text.overlap import LeakReport
from slm_core.text.report import TextReport


def warn(report: TextReport) -> None:
    """Draw a warning if the text leaks."""
    if report.leaks.leaking:
        st.warning(words.plain(report.leaks.sentence), icon=":material/leak_add:")


def explain(report: TextReport) -> None:
    """Draw the rest of a report, behind a click."""
    with st.expander("What would be a good loss on this text?"):
        _yardsticks(report)
    with st.expander("Is the test honest?"):
        leaks(report.leaks)


def _yardsticks(report: TextReport) -> None:
    sticks, rows = report.yardsticks, []
    rows.append(
        ("Guessing blindly: every token equally likely", sticks.uniform_nats, sticks.uniform_bits_per_byte)
    )
    rows.append(("Counting tokens of the training text", sticks.unigram_nats, sticks.unigram_bits_per_byte))
    rows.append(("Counting triples of tokens", sticks.trigram_nats, sticks.trigram_bits_per_byte))
    rows.append(("gzip, knowing nothing", None, sticks.gzip_bits_per_byte))
    rows.append(("gzip, after the training text", None, sticks.gzip_after_training_bits_per_byte))
    if floor := report.floor:
        rows.append(("The best possible", floor.nats_per_token, floor.bits_per_byte))
    table = [
        {
            "Who predicts": name,
            "nats per token": "" if nats is None else f"{nats:.3f}",
            "bits per byte": f"{bits:.3f}",
        }
        for name, nats, bits in rows
    ]
    st.table(table, hide_index=True)
    st.caption(f"All on the same {sticks.scored_tokens:,} tokens that the validation loss is measured on.")
    if floor:
        st.caption(
            "The best possible is exact: the stories come from rules whose every chance is known, and what "
            "is left to chance nobody can foresee. No model can do better on average."
        )


def leaks(report: LeakReport) -> None:
    """Draw what of the validation text stands in the training text."""
    st.markdown(words.plain(report.sentence))
    rows = [
        (
            "Documents in training / in validation",
            f"{report.training_documents:,} / {report.validation_documents:,}",
        ),
        (
            "Training tokens, and without repeats",
            f"{report.training_tokens:,} / {report.unique_training_tokens:,}",
        ),
        ("Validation documents that training has, too", f"{report.duplicate_documents:,}"),
        ("Validation passages of 13 tokens found in training", f"{report.share_13:.1%}"),
        ("… and of independent documents of this kind", f"{report.independent_13:.1%}"),
        ("Validation passages of 25 tokens found in training", f"{report.share_25:.1%}"),
        ("… and of independent documents of this kind", f"{report.independent_25:.1%}"),
    ]
    st.table([{"What": name, "How many": value} for name, value in rows], hide_index=True)
