"""Where a person gives a text of their own: a file, or words pasted."""

import streamlit as st

from slm_core.errors import CorpusError
from slm_core.text.corpus import LARGEST_TEXT_BYTES, read_text, split_text


def draw() -> str | None:
    """Draw the choice of a text; gives it, or None after having said what is missing or wrong with it."""
    upload, paste = st.tabs(["Upload a file", "Paste"])
    with upload:
        file = st.file_uploader(
            "A text file",
            type=["txt", "md"],
            max_upload_size=LARGEST_TEXT_BYTES // 1_000_000,
            key="own_file",
            help="Plain text, encoded as UTF-8. It stays on this server and is deleted with the run.",
        )
    with paste:
        pasted = st.text_area("Your text", height=200, key="own_pasted", persist_state="session")
    try:
        text = read_text(file.getvalue(), file.name) if file is not None else pasted
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
        characters, paragraphs, held_out = _split(text)
    except CorpusError as error:
        st.error(str(error))
        return None
    st.caption(
        f"Your text: {characters:,} characters in {paragraphs:,} parts, no two alike. {held_out:,} of the "
        "characters are "
        "held out: the model never trains on them, so they show what it has understood."
    )
    return text


@st.cache_data(max_entries=8, show_spinner="Splitting the text …")
def _split(text: str) -> tuple[int, int, int]:
    split = split_text(text)
    held_out = sum(map(len, split.validation))
    return sum(map(len, split.train)) + held_out, len(split.train) + len(split.validation), held_out
