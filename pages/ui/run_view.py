"""One run, live or ended: where it stands, its losses, what it writes, and the buttons that steer it."""

import streamlit as st

from pages.ui import engine, judged, run_buttons, text_view, verdict_view, words
from pages.ui.live_chart import live_chart
from slm_core.figures import extraction_figure, loss_figure
from slm_core.runs.history import History
from slm_core.runs.store import RESUME, Run
from slm_core.study.curves import UNITS, curves
from slm_core.text.report import TextReport

# Seconds between two looks at a live run, and up to how many live runs: drawing for a whole class takes the
# very cores that the class trains on.
_SECONDS = {1.0: 8, 2.0: 16, 4.0: 1_000_000}


def draw(run: Run) -> None:
    """Draw a run; while it is live it redraws itself, and when it ends the whole page once."""
    now = (_every(run), run.has_report)
    report = run.report()
    st.fragment(_draw, run_every=now[0])(run, now, report)
    if report is not None:
        text_view.explain(report)  # which never changes: drawn once


def _every(run: Run) -> float | None:
    """How often to look at a run: never again once it is at rest."""
    if engine.scheduler().status(run.id) is None:
        return None
    live = len(engine.scheduler().live())
    return next(seconds for seconds, most in _SECONDS.items() if live <= most)


def _draw(run: Run, before: tuple[float | None, bool], report: TextReport | None) -> None:
    every, _ = now = (_every(run), run.has_report)
    if now != before:
        st.rerun()  # it has ended, or goes on again, or others have: the page changes, or how often it looks
    state = engine.state_of(run)  # first: what has ended by now, the history tells how
    history = engine.history(run)
    run_buttons.draw(run, state)
    _where_it_stands(run, history, state, report)
    chart, texts = st.columns([3, 2], gap="medium")
    with chart:
        _chart(run, history)
    with texts:
        verdict_view.draw(run, history, report, at_rest=every is None)
        _samples(run, history, report is not None and report.leaks.leaking)
    _numbers(run, history)


def _where_it_stands(run: Run, history: History, state: str, report: TextReport | None) -> None:
    status, last = engine.scheduler().status(run.id), history.last_step
    step, steps = (last.step if last else 0), run.config.max_iters
    match state:
        case "queued":
            place, start = (status.place, status.start_seconds) if status else (1, None)
            soon = f", begins in about {words.duration(start)}" if start is not None else ""
            st.progress(0.0, f"Waiting for a free place: number {place} in the queue{soon}.")
        case "running" | "paused" | "stopping":
            slowdown = status.slowdown if status else 1.0
            seconds = last.remaining_seconds * slowdown if last else 0.0
            left = f" · {words.duration(seconds)} left" if last and state == "running" else ""
            left += " · taking turns with other runs" if slowdown > 1 and state == "running" else ""
            word = {"running": "", "paused": "Paused. ", "stopping": "Stopping … "}[state]
            doing = f" · {status.doing}" if status and status.doing else ""
            if status and status.doing and history.started is None:  # a long text takes a while to read
                st.progress(status.share, f"{word}{status.doing.capitalize()} …")
            else:
                st.progress(min(1.0, step / steps), f"{word}Step {step:,} of {steps:,}{left}{doing}")
        case "finished":
            ended = history.finished
            done = "1 step" if ended.step == 1 else f"{ended.step:,} steps"
            st.progress(1.0, f"Finished: {done} in {words.duration(ended.elapsed_seconds)}.")
            if ended.step < steps:  # patience has ended it
                st.caption(words.plain(ended.text))
        case "diverged" | "failed":
            st.error(words.plain(history.finished.text))
        case "stopped":
            st.progress(min(1.0, step / steps), words.plain(history.finished.text))
        case "unknown":
            st.warning("The history of this run is lost. Its models are still there: let them write.")
        case "interrupted":
            st.warning(words.plain(engine.scheduler().failure(run.id) or _interrupted(run, history)))
    if history.damaged_lines:
        st.warning(f"{history.damaged_lines} lines of this run's history are damaged and are left out.")
    if state in ("finished", "stopped") and not run.checkpoints:
        st.warning("The model files of this run are gone. Its history is still there.")
    if report is not None:
        text_view.warn(report)
    for notice in history.notices:
        st.info(words.plain(notice.text), icon=":material/info:")


def _interrupted(run: Run, history: History) -> str:
    if (run.folder / RESUME).exists():
        return "The server ended while this run was training. Resume goes on from the last save."
    return "The server ended while this run was training, before anything was saved. Resume begins anew."


def _chart(run: Run, history: History) -> None:
    if history.started is None:
        st.caption("The chart begins with the first measurement.")
        return
    unit = st.session_state.get("unit", next(iter(UNITS)))
    evaluations = [history.evaluations[step] for step in sorted(history.evaluations)]
    references = engine.references(run, history)
    drawn = curves(evaluations, history.losses, references, unit)
    figure = loss_figure(
        batch_losses=drawn.batches,
        steps=drawn.steps,
        train_losses=drawn.train,
        validation_losses=drawn.validation,
        references=drawn.references,
        max_iters=run.config.max_iters,
        unit=unit,
        logarithmic=unit == "perplexity",
    )
    now = evaluations[-1] if evaluations else None
    said = (
        f"Loss over {run.config.max_iters} steps. At step {now.step}, training loss {now.train_loss:.2f}, "
        f"validation loss {now.validation_loss:.2f} nats per token."
        if now
        else "Loss over steps, no measurement yet."
    )
    live_chart(figure, key=f"losses-{run.id}", height=430, alt=said)
    shared = {"label_visibility": "collapsed", "required": True, "persist_state": "session"}
    # Below the chart, so that the curves are what a small projector shows first.
    st.segmented_control("Unit", UNITS, default=next(iter(UNITS)), key="unit", **shared)
    st.caption(UNITS[unit])
    _by_heart(run, history)


def _by_heart(run: Run, history: History) -> None:
    if not history.extractions:
        return
    steps = sorted(history.extractions)
    found = [history.extractions[step] for step in steps]
    figure = extraction_figure(
        steps=steps,
        train_rates=[each.train_rate for each in found],
        validation_rates=[each.validation_rate for each in found],
        max_iters=run.config.max_iters,
    )
    now = found[-1]
    st.markdown(
        f"**What it knows by heart.** Given only {now.length_tokens} tokens of a text, does it go on with "
        f"the next {now.length_tokens} exactly?"
    )
    said = f"At step {now.step} it does in {now.train_rate:.0%} of the places of its own text."
    live_chart(figure, key=f"extraction-{run.id}", height=210, alt=said)
    st.caption(
        f"Now in {now.train_rate:.0%} of {now.places_train} places in the text that it trains on, and, as a "
        f"control, in {now.validation_rate:.0%} of {now.places_validation} places in text that it has never "
        "read."
    )


_SOURCES = {
    "training": "It goes on from a text it trains on:",
    "validation": "It goes on from a text it has never seen:",
    "leaked": "It goes on from its validation text, which it has seen, too:",
}


def _samples(run: Run, history: History, leaking: bool) -> None:
    if not history.samples:
        st.caption("What the model writes will stand here.")
        return
    steps = sorted({step for step, _ in history.samples})
    step = steps[-1]
    if history.finished is not None and len(steps) > 1:
        step = st.select_slider("What it wrote at step", steps, value=step, key=f"sample-{run.id}")
    else:
        st.caption(f"What it writes at step {step:,}")
    for source in ("training", "validation"):
        introduction = _SOURCES["leaked" if leaking and source == "validation" else source]
        if sample := history.samples.get((step, source)):
            with st.container(border=True):
                st.caption(introduction)
                judged.draw(run, sample.prompt, sample.text)


def _numbers(run: Run, history: History) -> None:
    if not history.evaluations:
        return
    now, best, last = history.evaluations[max(history.evaluations)], history.best, history.last_step
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "Training loss",
            f"{now.train_loss:.3f}",
            help="Nats per token, on text it trains on.",
            border=True,
        )
        st.metric(
            "Validation loss",
            f"{now.validation_loss:.3f}",
            help=f"Nats per token, on text it never trains on: {now.windows} fixed windows, standard error "
            f"{now.validation_standard_error:.3f}. In bits per byte: {now.validation_bits_per_byte:.3f}.",
            border=True,
        )
        st.metric(
            "Gap",
            f"{now.validation_loss - now.train_loss:.3f}",
            help="Validation minus training.",
            border=True,
        )
        st.metric(
            "Best validation",
            f"{best.validation_loss:.3f}",
            f"at step {best.step:,}",
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
        if last is not None:
            speed = words.compact(last.tokens_per_second)
            st.metric(
                "Tokens per second", speed, help=f"On {run.device}, {run.threads} threads.", border=True
            )
