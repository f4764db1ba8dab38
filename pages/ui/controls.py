"""Sliders for every setting, drawn from the config's own metadata."""

from dataclasses import replace
from typing import Any

import streamlit as st

from pages.ui import deployment, words
from slm_core.config import KNOBS, SMALLEST_BPE, ExperimentConfig, Knob, config_from_dict
from slm_core.runs.limits import LIMITS
from slm_core.text.corpus import split_text
from slm_core.text.gpt2 import gpt2_state
from slm_core.text.tokenizer import make_tokenizer

_TITLES = {"data": "What it reads", "model": "What it is", "training": "How it learns"}
_FIRST = {  # the settings a lesson turns; the others wait behind "more"
    "data": ("corpus", "dataset_size", "tokenizer", "vocab_size"),
    "model": ("n_layer", "n_embd", "block_size"),
    "training": ("max_iters", "learning_rate", "batch_size"),
}
_CORPORA = {
    "tales": "Short tales",
    "stories": "Stories",
    "own": "Your own text",
    "repeated": "Exhibit: repeat, then split",
}
_TOKENIZERS = {
    "bpe": "BPE: frequent pieces",
    "bytes": "Bytes",
    "characters": "Characters",
    "gpt2": "GPT-2's pieces",
}


def offer(config: ExperimentConfig) -> None:
    """Give every control that has no value yet the config's. For a visitor's first page."""
    for name, value in config.to_dict().items():
        st.session_state.setdefault(_key(name), value)


def set_all(config: ExperimentConfig) -> None:
    """Set every control. Only before the controls are drawn, or in a callback."""
    for name, value in config.to_dict().items():
        st.session_state[_key(name)] = value


def value(name: str) -> Any:
    """What a control is set to."""
    return st.session_state[_key(name)]


def set_one(name: str, to: Any) -> None:
    """Set one control. Only where none is drawn, or in a callback."""
    st.session_state[_key(name)] = to


def current(text: str | None = None) -> ExperimentConfig:
    """The config that the controls make, wherever they are drawn; `text` is the visitor's own, if there is
    one. Raises ConfigError if it is impossible."""
    kind = value("tokenizer")
    changes = {} if kind == "bpe" else {"vocab_size": _size_made(kind, text)}
    return config_from_dict({name: value(name) for name in KNOBS} | changes)


def corpus_title(name: str) -> str:
    """What people call a corpus."""
    return _CORPORA[name]


def draw(text: str | None = None) -> ExperimentConfig:
    """Draw the controls in three columns and give the config they make; `text` is the visitor's own, if there
    is one. Raises ConfigError if the config is impossible."""
    for column, group in zip(st.columns(3, gap="large"), _TITLES, strict=True):
        with column:
            st.subheader(_TITLES[group], anchor=False)
            for name in _FIRST[group]:
                if name == "vocab_size" and value("tokenizer") != "bpe":
                    size = _size_made(value("tokenizer"), text)
                    st.markdown(f"vocab_size: **{size:,} tokens**, as many as this tokenizer has.")
                else:
                    control(KNOBS[name], _key(name))
            rest = [knob for knob in KNOBS.values() if knob.group == group and knob.name not in _FIRST[group]]
            if rest:
                with st.expander("More settings"):
                    for knob in rest:
                        control(knob, _key(knob.name))
    return current(text)


def control(knob: Knob, key: str) -> Any:
    """One control, of the kind that suits its knob; its value lives in the session state under `key`."""
    st.session_state.setdefault(key, knob.default)
    locked = knob.name in st.session_state.get("locked", ())  # by the link that the visitor came by
    shared = {"key": key, "help": knob.help, "persist_state": "session", "disabled": locked}
    if knob.name == "corpus":
        return st.selectbox("text", knob.choices, format_func=_CORPORA.get, **shared)
    if knob.name == "tokenizer":
        return _tokenizer(knob, shared)
    if knob.name == "vocab_size":
        knob = replace(knob, low=SMALLEST_BPE)  # it is only drawn for bpe
        st.session_state[key] = max(st.session_state[key], SMALLEST_BPE)
    if knob.name in LIMITS:
        knob = replace(knob, high=min(knob.high, getattr(deployment.limits(), knob.name)))
        st.session_state[key] = min(st.session_state[key], knob.high)
    if knob.choices:
        return st.selectbox(knob.label, knob.choices, **shared)
    number = int if isinstance(knob.default, int) else float
    if knob.name == "seed":  # any number is as good as another: a slider would say otherwise
        return st.number_input(knob.label, number(knob.low), number(knob.high), step=1, **shared)
    if knob.step:
        low, high, step = number(knob.low), number(knob.high), number(knob.step)
        return st.slider(knob.label, low, high, step=step, format=None if number is int else "%.3g", **shared)
    options = sorted({*_round_numbers(knob), st.session_state[key]})
    return st.select_slider(knob.label, options, format_func=_short, **shared)


def _tokenizer(knob: Knob, shared: dict[str, Any]) -> str:
    there, sentence = gpt2_state()
    choices = [choice for choice in knob.choices if choice != "gpt2" or there]
    if st.session_state[shared["key"]] not in choices:
        st.session_state[shared["key"]] = knob.default
    if not there:
        shared["help"] += f" GPT-2's cannot be chosen: {sentence}"
    return st.selectbox(knob.label, choices, format_func=_TOKENIZERS.get, **shared)


@st.cache_data(max_entries=8, show_spinner=False)
def _size_made(kind: str, text: str | None) -> int:
    """How many tokens a tokenizer has that makes its own vocabulary."""
    # The built-in stories have no character of more than one byte: no text gives their size, too.
    documents = split_text(text).train if text and kind == "characters" else []
    return make_tokenizer(kind, documents, 0).vocab_size


def _round_numbers(knob: Knob) -> list[float]:
    """1, 2, 3, 5 and 7 at every power of ten within the knob's range: about equal factors, and easy to
    say."""
    number = int if isinstance(knob.default, int) else float
    powers = [10.0**power for power in range(-7, 10)]
    numbers = [float(f"{digit * power:.1g}") for power in powers for digit in (1, 2, 3, 5, 7)]
    return [number(knob.low), *(number(each) for each in numbers if knob.low < each <= knob.high)]


def _short(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) and number < 100_000 else words.compact(number)


def _key(name: str) -> str:
    return f"setting_{name}"
