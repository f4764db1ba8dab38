"""Sliders for every setting, drawn from the config's own metadata."""

from typing import Any

import streamlit as st

from pages.ui import words
from slm_core.config import KNOBS, ExperimentConfig, Knob, config_from_dict

_TITLES = {"data": "What it reads", "model": "What it is", "training": "How it learns"}
_FIRST = {  # the settings a lesson turns; the others wait behind "more"
    "data": ("corpus", "dataset_size", "vocab_size"),
    "model": ("n_layer", "n_embd", "block_size"),
    "training": ("max_iters", "learning_rate", "batch_size"),
}
_CORPORA = {"tales": "Short tales", "stories": "Stories", "own": "Your own text"}


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


def draw() -> ExperimentConfig:
    """Draw the controls in three columns and give the config they make. Raises ConfigError if it is
    impossible."""
    for column, group in zip(st.columns(3, gap="large"), _TITLES, strict=True):
        with column:
            st.subheader(_TITLES[group], anchor=False)
            for name in _FIRST[group]:
                control(KNOBS[name], _key(name))
            rest = [knob for knob in KNOBS.values() if knob.group == group and knob.name not in _FIRST[group]]
            if rest:
                with st.expander("More settings"):
                    for knob in rest:
                        control(knob, _key(knob.name))
    return config_from_dict({name: value(name) for name in KNOBS})


def control(knob: Knob, key: str) -> Any:
    """One control, of the kind that suits its knob; its value lives in the session state under `key`."""
    st.session_state.setdefault(key, knob.default)
    shared = {"key": key, "help": knob.help, "persist_state": "session"}
    if knob.name == "corpus":
        return st.selectbox("text", knob.choices, format_func=_CORPORA.get, **shared)
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
