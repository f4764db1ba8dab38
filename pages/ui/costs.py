"""What a run will cost, before it is started: size, memory, file, and time as measured on this machine."""

import streamlit as st

from pages.ui import deployment, engine, server, words
from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.model.budget import TOKENS_PER_PARAMETER, budget


def draw(config: ExperimentConfig, device: str) -> bool:
    """Draw the costs of a config on a device, and what this server says to it. False if it may not run."""
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
    return _allowed(config)


def _allowed(config: ExperimentConfig) -> bool:
    try:
        if problems := deployment.limits().problems(config):
            raise RunError("\n".join(problems))
        going = engine.going(config)
    except RunError as error:
        st.error(words.plain(str(error)))
        return False
    if going:
        named = words.plain(", ".join(f"{run.name} of {run.created:%d %b %H:%M} UTC" for run in going))
        st.warning(f"There is no more room here for your runs: starting this one deletes {named}.")
    return True


def _time(config: ExperimentConfig, device: str) -> None:
    known = server.is_warm() and engine.speed_probe().ask(config, device)[0]
    st.fragment(_time_tile, run_every=None if known else 0.7)(config, device)


def _time_tile(config: ExperimentConfig, device: str) -> None:
    beside = engine.scheduler().expected_seconds(config) if engine.scheduler().live() else None
    known, speed = engine.speed_probe().ask(config, device) if server.is_warm() else (False, None)
    if speed is not None:
        shown, meaning = (
            words.duration(speed.run_seconds(config)),
            "From a few trial steps of this very model, just now.",
        )
    elif known:
        shown, meaning = "too large", "The trial steps failed: this model needs more memory than there is."
    elif beside is not None:
        shown, meaning = (
            words.duration(beside),
            "Roughly: from the speed of the runs that train now, with which this one would take turns.",
        )
    elif engine.scheduler().live():
        shown, meaning = "later", "Measured when the run that is training now has ended."
    else:
        shown, meaning = "…", "A few steps of this very model are being tried on this machine."
    st.metric("Time here", shown, help=meaning, border=True)
