"""The link that a visitor came by: its set-up, what it locks, what it asks, and what it expects of a run."""

import streamlit as st

from pages.ui import controls, deployment, sidebar, words
from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.runs.history import History
from slm_core.runs.limits import allowed_presets
from slm_core.runs.store import Run
from slm_core.teach.card import MEASURES, CardError, card_of
from slm_core.teach.link import PARAMETERS, Link, LinkError, read_link

_KEY, _SAID, _PRESET = "link", "link_query", "link_preset"
_TOO_LARGE = "This link begins with the preset {}, which is too large for this server."
_OWN = PARAMETERS[1:]  # the preset's parameter is the sidebar's


def take() -> Link | None:
    """The link that this visitor works with, None if there is none. A new one in the address is taken once:
    it sets every control. What is wrong with it is kept for the page to say. Keeps the address as it was, and
    locked controls where they belong. To be called before the controls are drawn."""
    said = {name: st.query_params[name] for name in _OWN if name in st.query_params}
    if said and said != st.session_state.get(_SAID):
        try:
            _enter(_read(said), said)
        except LinkError as error:
            leave()
            st.session_state["complaint"] = str(error)
            if "lock" in said:
                st.rerun()  # the sidebar is drawn already, and has believed it
    link = st.session_state.get(_KEY)
    if link is None:
        return None
    if st.session_state["preset"] != st.session_state[_PRESET]:  # a person turned to another set-up
        leave()
        return None
    for name, value in st.session_state[_SAID].items():
        st.query_params[name] = value
    for name in link.locked:
        controls.set_one(name, getattr(link.config, name))
    return link


def _read(said: dict[str, str]) -> Link:
    link = read_link({**said, "preset": st.session_state["asked_preset"]})
    if problems := deployment.limits().problems(link.config):
        raise LinkError(f"This link asks for more than this server allows. {problems[0]}")
    if st.session_state["preset"] != link.preset:  # the sidebar does not offer it
        raise LinkError(_TOO_LARGE.format(link.preset))
    return link


def _enter(link: Link, said: dict[str, str]) -> None:
    st.session_state[_KEY], st.session_state[_SAID] = link, said
    st.session_state[_PRESET] = link.preset
    st.session_state["locked"] = link.locked
    controls.set_all(link.config)


def follow(link: Link) -> None:
    """Take up a link from within the app. Only in a callback. Raises LinkError if this server does not allow
    its set-up."""
    presets = {name: each.config for name, each in load_presets().items()}
    if link.preset not in allowed_presets(deployment.limits(), presets):
        raise LinkError(_TOO_LARGE.format(link.preset))
    st.session_state["preset"] = st.session_state["applied_preset"] = link.preset
    _enter(link, {name: value for name, value in link.query.items() if name in _OWN})


def leave() -> None:
    """Forget the link: every control is free again and stays as it is."""
    for key in (_KEY, _SAID, _PRESET, "locked"):
        st.session_state.pop(key, None)
    for name in _OWN:
        st.query_params.pop(name, None)


def current() -> Link | None:
    """The link that this visitor works with."""
    return st.session_state.get(_KEY)


def draw(link: Link | None, *, at_a_run: bool) -> None:
    """Draw what the link asks and locks, and a way to leave it; nothing beside a run, if it asks and locks
    nothing."""
    if link is None or (at_a_run and not link.ask and not link.locked):
        return
    with st.container(border=True):
        if link.ask:
            st.subheader(words.plain(link.ask), anchor=False)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/lock: {_locked(link)}" if link.locked else _locked(link))
            st.button("Leave this lesson", type="tertiary", on_click=leave)


def _locked(link: Link) -> str:
    free = [name for name in KNOBS if name not in link.locked]
    if not link.locked:
        return "A link has set the controls. You may change all of them."
    if not free:
        return "A link has set the controls and locked them. Press Train."
    if len(free) <= len(link.locked):
        return f"A link has set the controls. Yours to change: **{words.plain(', '.join(free))}**."
    return f"A link has set the controls and locked {words.plain(', '.join(sorted(link.locked)))}."


def draw_expected(link: Link, run: Run, history: History) -> None:
    """Say whether a run that has ended came out as the link's author expected."""
    if link.expect is None or link.departures(run.config):
        return
    measure, low, high = link.expect
    try:
        value = getattr(card_of(run, history, "run"), measure)
    except CardError:  # it has not ended, or not done all its steps
        return
    if value is None:
        return
    inside = low <= value <= high
    said = f"Expected {MEASURES[measure]}: {low:g} to {high:g}. Yours is {value:.3f}: "
    shown = st.success if inside else st.warning
    shown(words.plain(said + ("within." if inside else "above." if value > high else "below.")))


def made(config: ExperimentConfig, **parts: object) -> Link:
    """A link to the set-up of the Train page as it is. Raises LinkError."""
    return Link(preset=sidebar.chosen_preset().name, config=config, **parts)
