"""The sidebar of every page: which preset to start from, and where to train."""

import streamlit as st

from pages.ui import controls, deployment, engine, server, words
from slm_core.config import Preset, load_presets
from slm_core.hardware import Device, cpu, devices
from slm_core.model.budget import budget
from slm_core.runs.limits import allowed_presets

DEFAULT_PRESET = "TINY_CPU"


def draw() -> None:
    """Draws both choices; `chosen_preset` and `chosen_device` give them."""
    presets = load_presets()
    offered = allowed_presets(deployment.limits(), {name: each.config for name, each in presets.items()})
    # Below, the address forgets a preset that is not offered; whoever follows a link must be told.
    st.session_state["asked_preset"] = st.query_params.get("preset", DEFAULT_PRESET)
    with st.sidebar:
        st.selectbox(
            "Preset",
            offered,
            index=offered.index(DEFAULT_PRESET) if DEFAULT_PRESET in offered else 0,
            key="preset",
            bind="query-params",
            on_change=_apply,
            disabled=bool(st.session_state.get("locked") or st.query_params.get("lock")),
            help="A starting point: every setting can still be changed on the Train page.",
        )
        preset = presets[st.session_state["preset"]]
        st.session_state["applied_preset"] = preset.name
        controls.offer(preset.config)
        st.caption(f"{words.compact(budget(preset.config).parameters)} parameters. {preset.shows}")
        if left_out := [name for name in presets if name not in offered]:
            names = ", ".join(left_out)
            names = ", ".join(left_out)
            st.caption(f"Too large for this shared server: {names}. They run on your own machine.")
        _hardware(preset)


def chosen_preset() -> Preset:
    """The preset that the sidebar shows."""
    return load_presets()[st.session_state["preset"]]


def chosen_device() -> str:
    """Where to train, as torch calls it."""
    return st.session_state.get("device", cpu()).name


def _apply() -> None:
    if st.session_state["preset"] == st.session_state.get("applied_preset"):
        return  # the address named again the preset that is there: nobody has turned to another
    controls.set_all(chosen_preset().config)
    st.session_state.pop("device", None)
    engine.choose_run(None)  # the person turns to a new run; the old one goes on and stays in the list


def _hardware(preset: Preset) -> None:
    looked = server.is_warm()
    found: tuple[Device, ...] = (
        devices() if looked else (cpu(),)
    )  # finding a GPU needs torch, which still loads
    if "device" not in st.session_state or st.session_state["device"] not in found:
        st.session_state["device"] = found[0] if preset.hardware == "gpu" else found[-1]
    st.selectbox(
        "Hardware", found, format_func=lambda device: device.label, key="device", persist_state="session"
    )
    if preset.hardware == "gpu" and looked and len(found) == 1:
        st.caption("This preset is meant for a GPU. None was found here, so it trains on the CPU, slowly.")
    if not looked:
        st.fragment(_look_again, run_every=1.0)()


def _look_again() -> None:
    if server.is_warm():
        if len(devices()) > 1:
            st.rerun()
    else:
        st.caption("Looking for a GPU …")
