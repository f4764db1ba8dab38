"""Tokenizer: how does text become numbers?"""

import streamlit as st

from pages.ui import sidebar, tokens, words
from pages.ui.live_chart import live_chart
from slm_core.errors import SlmError
from slm_core.figures import vocabulary_figure
from slm_core.text import gpt2
from slm_core.text.pieces import MOST_CHARACTERS, cut, example_text, shown

SIDES = {"Cut by": "bytes", "and by": "bpe-1024"}


def fetch_gpt2() -> None:
    """Fetch GPT-2's vocabulary; what goes wrong is kept for the page to say."""
    try:
        gpt2.download()
    except SlmError as error:
        st.session_state["complaint"] = str(error)


st.title("Tokenizer", anchor=False)
st.markdown("How does text become numbers? A model sees ids, never letters, and its tokenizer makes them.")
if complaint := st.session_state.pop("complaint", ""):
    st.error(words.plain(complaint))

st.session_state.setdefault("token_text", example_text())
text = st.text_area(
    "Your text", key="token_text", max_chars=MOST_CHARACTERS, height=120, persist_state="session"
)

choices = tokens.choices()
for column, (side, first) in zip(st.columns(2, gap="large"), SIDES.items(), strict=True):
    key = f"tokenizer_{first}"
    if st.session_state.get(key) not in choices:
        st.session_state[key] = first
    with column:
        chosen = st.selectbox(side, choices, format_func=choices.get, key=key, persist_state="session")
        try:
            tokenizer = tokens.tokenizer(chosen, text)
            made = cut(tokenizer, text)
        except SlmError as error:
            st.error(words.plain(str(error)))
            continue
        tokens.draw_counts(made)
        tokens.draw_pieces(made)
        st.caption(
            f"There are {tokenizer.vocab_size:,} ids: {tokenizer.end_of_text:,} pieces and an end mark."
        )
st.markdown(
    "**What to notice.** Each coloured piece is one token, its id under it; · is a blank, ↵ a line's end. "
    "Words that the tokenizer was made from come in long pieces. What it never saw falls apart into bytes, "
    "written like :gray[f0 9f], of which several make one character. Nothing is ever lost."
)
there, sentence = gpt2.gpt2_state()
if not there:
    st.caption(words.plain(sentence))
    st.button("Fetch GPT-2's vocabulary (0.5 MB)", icon=":material/download:", on_click=fetch_gpt2)

st.subheader("What a larger vocabulary gives, and what it costs", anchor=False)
preset = sidebar.chosen_preset()
live_chart(
    vocabulary_figure(tokens.curve(preset.config), chosen=preset.config.vocab_size),
    key="vocabulary",
    height=520,
    alt="Tokens per word fall, and the embedding's share of the model rises, as the vocabulary grows.",
)
st.markdown(
    "**What to notice.** A larger vocabulary makes a story shorter, but ever less so. Each id costs a row "
    f"of n_embd = {preset.config.n_embd} numbers in the embedding: a small model would soon be little else. "
    f"Measured on stories that the tokenizer was not made from, for models like {preset.name}."
)

st.subheader("Merge by merge", anchor=False)
st.markdown(
    "BPE begins with bytes. It finds the two neighbours that stand together most often in its training text, "
    "makes them one token, and does it again. Here is your text after the first merges only."
)
families, family = tokens.with_merges(), "The stories"
if len(families) > 1:
    family = st.segmented_control(
        "Merges learned from", families, default=family, key="merges_of", required=True
    )
whole = families[family]
count = st.select_slider(
    "Merges", tokens.stops(whole.merge_count), value=20, format_func="{:,}".format, key=f"merges-{family}"
)
pieces, table = st.columns([3, 2], gap="large")
with pieces:
    if count:
        parts = " and ".join(f":blue-background[{words.plain(shown(part))}]" for part in whole.merge(count))
        st.markdown(f"Merge {count:,} of {whole.merge_count:,} joins {parts}.")
    made = cut(whole.with_merges(count), text)
    tokens.draw_counts(made)
    tokens.draw_pieces(made)
with table:
    st.dataframe(tokens.merge_rows(whole, count), hide_index=True, height=400)
