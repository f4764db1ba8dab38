"""Tokenizers to choose from, and a text's tokens in colour."""

import html
from dataclasses import astuple

import streamlit as st

from pages.ui import engine
from slm_core.config import SMALLEST_BPE, ExperimentConfig
from slm_core.study.vocabulary import of_every_size, vocabulary_points
from slm_core.text.bins import has_dataset, read_tokenizer
from slm_core.text.corpus import held_out_stories, story_tokenizer
from slm_core.text.gpt2 import gpt2_state
from slm_core.text.pieces import Cut, Piece, shown
from slm_core.text.tokenizer import BytePairs, Tokenizer, make_tokenizer

CORPUS = "stories"
_SIZES = (512, 1_024, 2_048, 4_096)
_MOST_RUNS = 8  # whose tokenizers are offered
MOST_ROWS = 300  # of the table of merges
# Half-transparent, so that one set suits paper and ink; neighbours differ in hue, which is all they mean.
_STYLE = """<style>
.tokens { line-height: 1.25; margin: .25rem 0 .75rem; }
.tokens span { display: inline-block; vertical-align: top; margin: 0 1px 5px; padding: 1px 4px 0;
  border-radius: .3rem; text-align: center; min-width: 1.1em; max-width: 100%; overflow-wrap: anywhere;
  white-space: pre-wrap; unicode-bidi: isolate; }
.tokens span:nth-of-type(5n+1) { background: rgba(70, 150, 230, .28); }
.tokens span:nth-of-type(5n+2) { background: rgba(240, 165, 40, .30); }
.tokens span:nth-of-type(5n+3) { background: rgba(60, 180, 130, .28); }
.tokens span:nth-of-type(5n+4) { background: rgba(190, 110, 220, .26); }
.tokens span:nth-of-type(5n+5) { background: rgba(235, 105, 105, .26); }
.tokens small { display: block; font-size: .62em; opacity: .75; font-variant-numeric: tabular-nums; }
.tokens i { font-style: normal; opacity: .7; font-size: .8em; font-family: monospace; }
</style>"""


def choices() -> dict[str, str]:
    """The tokenizers there are, by key, with the names that people see. They tell the size made."""
    whole = _of_stories()
    named = {"bytes": "Bytes", "characters": "Characters of this text"}
    for size in _SIZES:
        made = min(size, whole.vocab_size)
        named[f"bpe-{size}"] = f"BPE on stories · {made:,} tokens"
        if made < size:
            named[f"bpe-{size}"] += f", no more found ({size:,} asked)"
    if gpt2_state()[0]:
        named["gpt2"] = "GPT-2 · 50,257 tokens"
    for run in engine.trained_runs()[:_MOST_RUNS]:
        if run.config.corpus != CORPUS and has_dataset(run.folder):
            named[f"run-{run.id}"] = f"Of the run {run.name} · {run.created:%d %b %H:%M} UTC"
    return named


def tokenizer(key: str, text: str) -> Tokenizer:
    """The tokenizer that a key of `choices` names; that of characters is made from the text at hand. Raises
    TokenizerError."""
    if key == "characters":
        return make_tokenizer("characters", [text], 0)
    kind, _, rest = key.partition("-")
    if kind == "run":
        run = next((each for each in engine.trained_runs() if each.id == rest), None)
        return read_tokenizer(run.folder) if run else make_tokenizer("bytes", [], 0)
    return _bpe(int(rest)) if kind == "bpe" else make_tokenizer(kind, [], 0)


def _bpe(size: int) -> BytePairs:
    # Merges are learned one after the other: a smaller vocabulary has the first merges of a larger one.
    return _of_stories().with_merges(min(size, _of_stories().vocab_size) - SMALLEST_BPE)


def _of_stories() -> BytePairs:
    return story_tokenizer(CORPUS, _SIZES[-1], "bpe")


def with_merges() -> dict[str, BytePairs]:
    """The tokenizers whose merges can be watched, by the names that people see."""
    return {"The stories": _of_stories()} | (
        {"GPT-2": make_tokenizer("gpt2", [], 0)} if gpt2_state()[0] else {}
    )


def stops(total: int) -> list[int]:
    """Numbers of merges to stop at, 0 to `total`: each of the first, then ever fewer."""
    rough = {step * 10**power for power in range(1, 5) for step in (2, 3, 4, 5, 7, 10)}
    return sorted(each for each in {*range(20), *rough, total} if each <= total)


def merge_rows(tokenizer: BytePairs, count: int) -> list[dict[str, int | str]]:
    """The merges up to number `count`, the latest first."""
    return [
        {"merge": number, "joins": "  +  ".join(map(shown, parts)), "into": shown(b"".join(parts))}
        for number in range(count, max(0, count - MOST_ROWS), -1)
        for parts in [tokenizer.merge(number)]
    ]


@st.cache_data(max_entries=8, show_spinner="Measuring …")
def curve(config: ExperimentConfig) -> dict[str, list[tuple[str, int, float, float]]]:
    """For `vocabulary_figure`: vocabularies of growing size, measured on stories that none was made from."""
    families = {"BPE on stories": of_every_size(_of_stories())}
    if gpt2_state()[0]:
        families["GPT-2"] = {"GPT-2": make_tokenizer("gpt2", [], 0)}
    text = held_out_stories(CORPUS)
    return {
        name: [astuple(point) for point in vocabulary_points(family, text, config)]
        for name, family in families.items()
    }


def draw_counts(cut: Cut) -> None:
    """Draw how many tokens a text has, and how they compare to its words and bytes."""
    with st.container(horizontal=True, gap="small"):
        st.metric("Tokens", f"{cut.tokens:,}")
        st.metric(
            "per word",
            f"{cut.tokens_per_word:.2f}",
            help="A word is what stands between blanks. Chinese and Japanese write none.",
        )
        st.metric("bytes each", f"{cut.bytes_per_token:.2f}", help="Bytes as files hold text, in UTF-8.")


def draw_pieces(cut: Cut) -> None:
    """Draw a text in pieces: each on a colour of its own, its id under it."""
    # Nobody's text may be markup: every letter of it goes through _spelt, which escapes it.
    spans = "".join(_span(piece) for piece in cut.pieces)
    st.html(f'{_STYLE}<div class="tokens">{spans}</div>')
    if cut.tokens > len(cut.pieces):
        st.caption(f"The first {len(cut.pieces):,} of {cut.tokens:,} tokens.")


def _span(piece: Piece) -> str:
    spelt = "".join(
        f"<i>{html.escape(part.text)}</i>" if part.is_sign else html.escape(part.text) for part in piece.parts
    )
    return f"<span>{spelt}<small>{piece.token}</small></span>{'<br>' if piece.ends_line else ''}"
