"""What a run will cost, before it is started: size, memory, file, and time as measured on this machine."""

import streamlit as st

from pages.ui import deployment, engine, server, words
from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import RunError, SlmError
from slm_core.hardware import free_memory_bytes
from slm_core.model.budget import budget
from slm_core.runs.formats import cannot_export
from slm_core.runs.limits import allowed_presets
from slm_core.study.advice import PATIENCE_SECONDS, of_memory, of_time, quicker, that_fits
from slm_core.study.capacity import capacity, estimated_text_bits


def draw(config: ExperimentConfig, device: str, text: str | None = None) -> bool:
    """Draw the costs of a config on a device, and what this server says to it. False if it may not run.
    text: the visitor's own, if it is to be read."""
    cost = budget(config)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Parameters", words.compact(cost.parameters), border=True)
        st.metric("Tokens per parameter", f"{cost.tokens_per_parameter:.2g}", border=True)
        st.metric("Memory to train", words.size(cost.training_memory_bytes), border=True)
        _time(config, device)
    st.caption(
        f"Parameters: {words.compact(cost.embedding_parameters)} in the embedding, "
        f"{words.compact(cost.block_parameters)} in the blocks; the file will have "
        f"{words.size(cost.checkpoint_bytes)}. The run reads its {words.compact(config.dataset_size)} tokens "
        f"{words.compact(config.epochs)} times."
    )
    for sentence in cannot_export(config).values():
        st.caption(words.plain(sentence))
    st.fragment(_gauge, run_every=None if server.is_warm() else 0.7)(config, text)
    return _allowed(config, device)


def _gauge(config: ExperimentConfig, text: str | None) -> None:
    """How full the model would be, if it learned its text by heart."""
    if not server.is_warm():  # it needs a tokenizer, which is learned in the background
        return
    try:
        found = capacity(config, estimated_text_bits(config, text))
    except SlmError:  # no text yet: the page asks for one
        return
    st.progress(
        min(1.0, found.fill),
        f"To know this text by heart takes {words.size(found.text_bits / 8)} of information; this model can "
        f"store about {words.size(found.capacity_bits / 8)}.",
    )
    st.caption(found.prediction)


def _allowed(config: ExperimentConfig, device: str) -> bool:
    try:
        if problems := deployment.limits().problems(config):
            raise RunError("\n".join(problems))
        going = engine.going(config)
    except RunError as error:
        st.error(words.plain(str(error)))
        return False
    free, needed = (
        free_memory_bytes("cpu" if device == "mps" else device),
        budget(config).training_memory_bytes,
    )
    if needed > free:
        st.warning(of_memory(words.size(needed), words.size(free), that_fits(config, free)))
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
    if speed is not None:
        _too_slow(config, speed.run_seconds(config))


def _too_slow(config: ExperimentConfig, seconds: float) -> None:
    if seconds <= PATIENCE_SECONDS:
        return
    configs = {name: preset.config for name, preset in load_presets().items()}
    offered = allowed_presets(deployment.limits(), configs)
    if found := quicker(config, seconds, {name: configs[name] for name in offered}):
        name, its_seconds = found
        st.caption(of_time(name, words.duration(its_seconds)))
