"""Where a person gives a text of their own: a file, or words pasted."""

import streamlit as st

from pages.ui import deployment, words
from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError, SlmError
from slm_core.text.corpus import prepare, read_text, split_text
from slm_core.text.overlap import LeakReport, leak_report

_MOST_CHECKED = 5_000_000  # characters


def draw() -> str | None:
    """Draw the choice of a text; gives it, or None after having said what is missing or wrong with it."""
    most = deployment.most_text_bytes()
    upload, paste = st.tabs(["Upload a file", "Paste"])
    with upload:
        file = st.file_uploader(
            "A text file",
            type=["txt", "md"],
            max_upload_size=max(1, most // 1_000_000),
            key="own_file",
            help="Plain text, encoded as UTF-8. It stays on this server and is deleted with the run.",
        )
    with paste:
        pasted = st.text_area("Your text", height=200, key="own_pasted", persist_state="session")
    try:
        text = read_text(file.getvalue(), file.name) if file is not None else pasted
        if len(text.encode("utf-8", "replace")) > most:
            raise CorpusError(
                f"The text has {len(text):,} characters; this server takes {most / 1e6:g} MB at most. "
                "Use a part of it."
            )
        if not text.strip():
            kept = st.session_state.get("own_text")  # chosen before the visitor went to another page
            if kept is None:
                st.info(
                    "Upload or paste a text, and it will be split into a part to learn from and a part to "
                    "test on."
                )
                return None
            text = kept
        st.session_state["own_text"] = text
        characters, parts, held_out = _split(text)
    except CorpusError as error:
        st.error(words.plain(str(error)))
        return None
    st.caption(
        f"Your text: {characters:,} characters in {parts:,} parts, no two alike. {held_out:,} are held "
        "out: the model never trains on them, so they show what it has understood."
    )
    return text


def check(text: str, config: ExperimentConfig) -> bool:
    """Read the text as a run with this config would; say what is wrong, or that it leaks. False if it cannot
    be used."""
    if len(text) > _MOST_CHECKED:
        return True  # it would keep everybody waiting; the run's own report says it all the same
    try:
        report = _report(text, config.tokenizer, config.vocab_size, config.block_size, config.dataset_size)
    except SlmError as error:
        st.error(words.plain(str(error)))
        return False
    if report.leaking:
        st.warning(words.plain(report.sentence))
    return True


@st.cache_data(max_entries=8, show_spinner="Splitting the text …")
def _split(text: str) -> tuple[int, int, int]:
    split = split_text(text)
    held_out = sum(map(len, split.validation))
    return sum(map(len, split.train)) + held_out, len(split.train) + len(split.validation), held_out


@st.cache_data(max_entries=16, show_spinner="Comparing what is learned from with what is tested on …")
def _report(text: str, tokenizer: str, vocab_size: int, block_size: int, dataset_size: int) -> LeakReport:
    config = ExperimentConfig(
        corpus="own",
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        block_size=block_size,
        dataset_size=dataset_size,
    )
    return leak_report(prepare(config, text))
