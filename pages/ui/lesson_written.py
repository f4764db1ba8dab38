"""What the model of a lesson's run writes: what is copied of it, and how fast it writes on this machine."""

import time
from collections.abc import Sequence

import streamlit as st

from pages import PAGES
from pages.ui import judged, lesson_runs, marked, words
from pages.ui.lesson_runs import Shown
from pages.ui.models import Model, load, show_proof
from slm_core.errors import SlmError
from slm_core.hardware import measure_generation, use_threads
from slm_core.model.sampling import Sampling
from slm_core.study.samples import Copying
from slm_core.teach.lesson import Lesson, Step
from slm_core.teach.measures import MEASURES, Values
from slm_core.train.events import SampleDrawn

_INTRODUCTION = {
    "training": "It goes on from a text that it was trained on:",
    "validation": "It goes on from a text that it has never seen:",
}
_TOKENS = 120  # of the text that it writes
_MEASURING_SECONDS = 0.5
_SECONDS = 1 / 15  # between two updates of the text


def draw(shown: Shown) -> None:
    """Draw what the model of a run wrote at its end, what is copied on blue ground."""
    samples = shown.told.history.samples
    last = max((step for step, _ in samples), default=None)
    texts = [samples[last, source] for source in _INTRODUCTION if (last, source) in samples]
    for column, sample in zip(st.columns(len(texts)) if texts else [], texts, strict=True):
        with column, st.container(border=True):
            st.caption(_INTRODUCTION[sample.source])
            if shown.kept is not None:
                judged.draw(shown.kept, sample.prompt, sample.text)
            else:
                _recorded(sample, shown.recording.copying.get((sample.step, sample.source)))


def _recorded(sample: SampleDrawn, copying: Copying | None) -> None:
    if copying is None:
        st.markdown(judged.shown(sample.prompt, sample.text))
        return
    st.html(marked.written(copying.passages, len(sample.prompt)))
    st.caption(
        f"**{copying.share:.0%}** of what it wrote stands word for word in its training text (on blue)."
    )


def measured(lesson: Lesson, step: Step, shown: Sequence[Shown], values: Values) -> bool:
    """Draw the file of the first of a step's models that has one, to take away, and let it write here once.
    Whether its speed is known; of recordings alone, what is known is all that there will be."""
    wanted = [next(each for each in shown if each.run.name == name) for name in step.speed]
    found = next((each for each in wanted if each.kept and "last" in each.kept.checkpoints), None)
    if found is not wanted[0]:
        _no_file(lesson, wanted, found)
    if found is None:
        return True
    try:
        _file(lesson, found)
        _write(lesson, found)
    except SlmError as error:
        st.error(words.plain(str(error)))
    return "writing_speed" in values[found.run.name]


def _no_file(lesson: Lesson, wanted: Sequence[Shown], found: Shown | None) -> None:
    """Say why the first model has no file, and whose is taken."""
    without = wanted[: wanted.index(found)] if found else wanted
    names = " or ".join(f"**{words.plain(each.run.label)}**" for each in without)
    if found:
        way = f"train {names} here, or use the file of **{words.plain(found.run.label)}**, which follows"
    else:
        way = f"train {names} here to have one. The numbers below are those of the recording"
    with st.container(border=True):
        st.markdown(f"A recording has no model file: {way}.")
        for each in without:
            st.button(
                f"Train: {words.plain(each.run.label)}",
                key=f"train-{each.run.name}",
                icon=":material/play_arrow:",
                on_click=lesson_runs.again,
                args=(lesson, [each.run.name]),
                help="Puts the recording away. The page then says how long training takes before it begins.",
            )


def _file(lesson: Lesson, each: Shown) -> None:
    """Draw a model's file to take away, and the proof that what is read from it is that model."""
    path = each.kept.checkpoints["last"]
    size = MEASURES["file_kilobytes"].shown(path.stat().st_size / 1000)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download the model ({size})",
            data=path.read_bytes,
            file_name=f"{lesson.id}-{each.run.name}.safetensors",
            mime="application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
        )
        st.page_link(PAGES / "learn/playground.py", label="Open a model file", icon=":material/upload:")
    show_proof(load(Model(each.kept, "last")))


def _write(lesson: Lesson, each: Shown) -> None:
    key = f"wrote-{each.kept.id}"
    if st.button("Let it write here", icon=":material/edit_note:", type="primary"):
        text, speed = _written(each)
        st.session_state[key] = text
        numbers = {"writing_speed": speed}
        lesson_runs.keep(lesson, lesson_runs.progress_in(lesson).with_besides(each.run.name, numbers))
        st.rerun()
    if text := st.session_state.get(key):
        with st.container(border=True):
            st.markdown(judged.shown("", text))


def _written(each: Shown) -> tuple[str, float]:
    """A text by the model of a run, as it comes, and the tokens that it wrote in a second."""
    checkpoint = load(Model(each.kept, "last"))
    from slm_core.model.generate import write_text  # loads torch, which a lesson's page does without

    use_threads(1)  # one token at a time is too little work to share
    place, text = st.empty(), ""
    drawn = time.perf_counter()
    sampling = Sampling(max_new_tokens=_TOKENS)
    for piece in write_text(checkpoint.model, checkpoint.tokenizer, "", sampling):
        text += piece
        if time.perf_counter() - drawn >= _SECONDS:
            place.markdown(judged.shown("", text))
            drawn = time.perf_counter()
    place.empty()
    # Drawing it took most of that time, and a short text is over in a moment: so measured by itself.
    return text, measure_generation(each.run.config, "cpu", _MEASURING_SECONDS)
