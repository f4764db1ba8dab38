"""What a run will cost, before it is started: size, memory, file, and time as measured on this machine."""

import streamlit as st

from pages.ui import engine, server, words
from slm_core.config import ExperimentConfig
from slm_core.model.budget import TOKENS_PER_PARAMETER, budget


def draw(config: ExperimentConfig, device: str) -> None:
    """Draw the costs of a config on a device."""
    cost = budget(config)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Parameters", words.compact(cost.parameters), border=True)
        st.metric("Tokens per parameter", f"{cost.tokens_per_parameter:.2g}", border=True)
        st.metric("Memory to train", words.size(cost.training_memory_bytes), border=True)
        _time(config, device)
    st.caption(
        f"Parameters: {words.compact(cost.embedding_parameters)} in the embedding, "
        f"{words.compact(cost.block_parameters)} in the blocks; the file will have "
        f"{words.size(cost.checkpoint_bytes)}. "
        f"A model of this size could use {TOKENS_PER_PARAMETER} tokens per parameter, "
        f"{words.compact(TOKENS_PER_PARAMETER * cost.parameters)} in all; this one gets "
        f"{words.compact(config.dataset_size)} and reads them {words.compact(config.epochs)} times."
    )


def _time(config: ExperimentConfig, device: str) -> None:
    known = server.is_warm() and engine.speed_probe().ask(config, device)[0]
    st.fragment(_time_tile, run_every=None if known else 0.7)(config, device)


def _time_tile(config: ExperimentConfig, device: str) -> None:
    busy = bool(engine.scheduler().live())
    known, speed = engine.speed_probe().ask(config, device) if server.is_warm() else (False, None)
    if speed is not None:
        shown, meaning = (
            words.duration(speed.run_seconds(config)),
            "From a few trial steps of this very model, just now.",
        )
    elif known:
        shown, meaning = "too large", "The trial steps failed: this model needs more memory than there is."
    elif busy:
        shown, meaning = "later", "Measured when the run that is training now has ended."
    else:
        shown, meaning = "…", "A few steps of this very model are being tried on this machine."
    st.metric("Time here", shown, help=meaning, border=True)
