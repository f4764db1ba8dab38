"""What the server process does once for everybody: warm up, keep what lives, stop it in the end.

Nothing here belongs to one visitor; that is st.session_state's.
"""

import atexit
import functools
import gc
import logging
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from streamlit import config

from slm_core.config import ExperimentConfig, load_presets
from slm_core.hardware import devices, give_back_memory, let_threads_share_memory, ready_to_compute
from slm_core.study.capacity import estimated_text_bits
from slm_core.text.corpus import story_tokenizer

T = TypeVar("T")

_HOLDER = "_slm_process_state"
_READING_AHEAD = "reading-ahead"


def process_state() -> dict[str, Any]:
    """The one dictionary of this process, shared by every visitor and thread.

    It lives in a module made up for it in sys.modules. A dictionary in a source file would be doubled, and
    its threads orphaned, each time a developer saves that file; st.cache_resource is wiped for everybody by
    any visitor's "Clear cache". After such a save old objects are of classes that no longer exist: talk to
    them in plain data.
    """
    holder = sys.modules.setdefault(_HOLDER, ModuleType(_HOLDER))
    return vars(holder).setdefault("state", {"lock": threading.RLock(), "stops": {}})


def process_wide(name: str, make: Callable[[], T], stop: Callable[[T], None] | None = None) -> T:
    """The one object called `name` of this process, made on first use.

    `stop` is called with it when the server ends. Threads behind it must be daemons: Python waits for the
    others before it gets as far as calling anything, and a torch thread alive at the very end aborts the
    process.
    """
    state = process_state()
    with state["lock"]:
        if name not in state:
            state[name] = make()
            if stop is not None:
                if not state["stops"]:
                    atexit.register(stop_everything)
                state["stops"][name] = functools.partial(stop, state[name])
        return state[name]


def stop_everything() -> None:
    """Stops what `process_wide` keeps, the latest first. Safe to call twice."""
    stops = process_state()["stops"]
    while stops:
        name, stop = stops.popitem()
        try:
            stop()
        except Exception:  # the others still have to be stopped
            logging.getLogger(__name__).exception("Could not stop %s.", name)


def warm_up(then: Callable[[], None] | None = None) -> None:
    """Begins, once per process, to load in the background what the first Start and the first table will need,
    and does what else is wanted `then`.

    Call it when a page has been drawn: importing torch takes seconds that no visitor should wait for.
    """
    # Page tests that need torch load it themselves. (AppTest patches config, not st.get_option.)
    if config.get_option("global.appTest"):
        return
    _warming_up()
    if then is not None:
        start = functools.partial(_start_after_warm_up, then)
        process_wide(_READING_AHEAD, start, stop=threading.Thread.join)


def wait_until_warm(timeout_seconds: float = 60.0) -> bool:
    """True as soon as torch is loaded, False if that takes longer. Call before a thread uses torch."""
    thread = _warming_up()
    thread.join(timeout_seconds)
    return not thread.is_alive()


def _warming_up() -> threading.Thread:
    return process_wide("warm_up", _start_warm_up, stop=threading.Thread.join)


def is_warm() -> bool:
    """Whether torch is loaded, so that asking for it makes nobody wait."""
    thread = process_state().get("warm_up")
    return thread is not None and not thread.is_alive()


def _start_warm_up() -> threading.Thread:
    # On this thread: were torch to import numpy over there while a page imports pandas here, one of the two
    # could see a half-made module.
    import numpy  # noqa: F401
    import pandas  # noqa: F401

    thread = threading.Thread(target=_load_torch, name="warm-up", daemon=True)
    thread.start()
    return thread


def _start_after_warm_up(work: Callable[[], None]) -> threading.Thread:
    def wait_and_work() -> None:
        if wait_until_warm():
            try:
                work()
            except Exception:  # the page that needs it will say so; here only time is lost
                logging.getLogger(__name__).exception("Warm-up could not read ahead.")

    # A cached function that has a spinner says in the log that here is no page to draw it on.
    streamlits = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    streamlits.addFilter(lambda record: _READING_AHEAD not in record.getMessage())
    thread = threading.Thread(target=wait_and_work, name=_READING_AHEAD, daemon=True)
    thread.start()
    return thread


def _load_torch() -> None:
    ready_to_compute()
    let_threads_share_memory()
    # A page that wants to be drawn while runs train waits a tenth as long for its turn in the interpreter.
    sys.setswitchinterval(0.0005)
    try:
        import torch  # noqa: F401

        from slm_core.runs import work  # noqa: F401 (what a run's thread will import)
    except Exception:  # the page that needs it will say so; here only time is lost
        logging.getLogger(__name__).exception("Warm-up could not load torch.")
        return
    devices()
    # What the first run will most likely read.
    story_tokenizer(ExperimentConfig.corpus, ExperimentConfig.vocab_size, ExperimentConfig.tokenizer)
    for preset in load_presets().values():  # a class chooses one all at once
        estimated_text_bits(preset.config)
    # Hundreds of thousands of objects that live as long as the process: were they not frozen, each full
    # collection would walk them all with the interpreter locked, 200 ms at a time in the middle of training.
    gc.collect()
    gc.freeze()
    give_back_memory()
