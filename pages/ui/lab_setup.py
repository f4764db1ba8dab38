"""What a sweep is to be: what varies, over which values and seeds, and which value is guessed first."""

import streamlit as st

from pages.ui import controls, deployment, engine, lab, server, sidebar, words
from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import ConfigError, SlmError
from slm_core.hardware import devices, physical_cores
from slm_core.model.budget import budget
from slm_core.study.axes import AXES, Value, standard_values
from slm_core.study.sweep import Sweep, cost

_QUICK = "ULTRA_TINY"
_BASES = {_QUICK: f"{_QUICK}, the quickest", "set": "as set on the Train page"}
_FIRST = 5  # of the usual values, chosen to begin with
_NOTHING = "nothing"
_PATIENCE = 3  # evaluations in vain after which a run of a sweep ends


def draw() -> None:
    """Draw the choices, what they will cost, and the button that starts the sweep."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        vary = st.selectbox(
            "What varies", _axes(), format_func=_question, key="lab_vary", persist_state="session"
        )
        hidden = {"required": True, "persist_state": "session"}
        choice = st.segmented_control(
            "Everything else", _BASES, default=_QUICK, format_func=_BASES.get, key="lab_base", **hidden
        )
    try:
        base = load_presets()[_QUICK].config if choice == _QUICK else controls.current()
    except ConfigError as error:
        st.error(words.plain(str(error)))
        return
    usual = _values(vary, base)
    with left:
        values = st.pills(
            "Values",
            usual,
            selection_mode="multi",
            default=usual[:_FIRST],
            format_func=lab.shown,
            key=f"lab_values_{vary}_{choice}",
        )
    with right:
        seeds = st.slider(
            "Seeds for each value",
            1,
            5,
            3,
            key="lab_seeds",
            help="Runs that differ in nothing but chance show how much of a difference is chance.",
        )
        guessed = st.selectbox(
            "Guess first",
            [_NOTHING, *sorted(values)],
            index=len(values),
            format_func=lab.shown,
            key=f"lab_guess_{vary}_{len(values)}",
            help="This value is trained last, and not before you have said what you expect.",
        )
    with left:
        base = base.with_changes({"patience": _patience(vary, base)})
    try:
        sweep = _sweep(vary, tuple(sorted(values)), seeds, base)
    except ConfigError as error:
        st.info(words.plain(str(error)))
        return
    for note in sweep.notes:
        st.caption(words.plain(note))
    allowed = _costs(sweep)
    st.button(
        "Start the sweep",
        icon=":material/play_arrow:",
        type="primary",
        disabled=not allowed,
        on_click=_start,
        args=(engine.Once(), sweep, None if guessed == _NOTHING else guessed),
    )


def _axes() -> list[str]:
    several = server.is_warm() and len(devices()) > 1
    return [name for name in AXES if name != "device" or several]


def _question(vary: str) -> str:
    return f"{vary}: {AXES[vary].question}"


def _values(vary: str, base: ExperimentConfig) -> list[Value]:
    if vary == "device":
        return [device.name for device in devices()]
    allowed = deployment.limits()
    most = getattr(allowed, vary, None)
    return [value for value in standard_values(vary, base) if most is None or value <= most]


def _patience(vary: str, base: ExperimentConfig) -> int:
    """Ask whether runs may end early, where their best models answer the question."""
    if not AXES[vary].by_best_model:
        return 0
    asked = st.toggle(
        "Stop each run once its validation loss has stopped falling",
        True,
        key="lab_patience",
        persist_state="session",
        help=f"A run ends after {base.patience or _PATIENCE} measurements that were no better than the best. "
        "That saves the steps in which it would only learn its own text by heart, and none where the loss "
        "falls to the end. What is compared is each run's best model, which is kept either way.",
    )
    return (base.patience or _PATIENCE) if asked else 0


def _sweep(vary: str, values: tuple[Value, ...], seeds: int, base: ExperimentConfig) -> Sweep:
    return Sweep(
        name=f"{AXES[vary].question}",
        question=AXES[vary].question,
        vary=vary,
        values=values,
        seeds=tuple(range(base.seed, base.seed + seeds)),
        base=base,
    )


def _costs(sweep: Sweep) -> bool:
    problems = {problem for cell in sweep.cells() for problem in deployment.limits().problems(cell.config)}
    if problems:
        st.error(words.plain("\n".join(sorted(problems))))
        return False
    known = server.is_warm() and engine.speed_probe().ask(sweep.base, sidebar.chosen_device())[0]
    st.fragment(_time, run_every=None if known else 0.7)(sweep)
    return True


def _time(sweep: Sweep) -> None:
    runs = len(sweep.values) * len(sweep.seeds)
    speed = None
    if server.is_warm():
        _, speed = engine.speed_probe().ask(sweep.base, sidebar.chosen_device())
    if speed is None:
        st.caption(f"{runs} runs. How long they take here is being tried out …")
        return
    per_flop = speed.run_seconds(sweep.base) / budget(sweep.base).training_flops
    found = cost(sweep, lambda cell: per_flop * budget(cell.config).training_flops)
    at_once = min(physical_cores(), runs)
    together = f", {at_once} at a time" if at_once > 1 else ""
    about = "at most about" if sweep.base.patience else "about"
    st.caption(
        f"{runs} runs{together}: {about} {words.duration(found.seconds)} here, and "
        f"{words.compact(found.flops)} multiplications and additions."
    )


def _start(once: engine.Once, sweep: Sweep, held_out: Value | None) -> None:
    try:
        lab.choose(once(lambda: lab.start(sweep, held_out)))
    except SlmError as error:
        st.session_state["complaint"] = str(error)
