"""The text that a person looks at: which ones there are, opened once for everyone who asks for the same."""

from dataclasses import dataclass, replace

import streamlit as st

from pages.ui import controls, deployment, own_text, tokens
from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.text import stories
from slm_core.text.corpus import Dataset, prepare, split_text
from slm_core.text.library import LIBRARY, corpora_folder, entry_called, file_of, present_bytes, read
from slm_core.text.report import TextReport, text_report
from slm_core.text.statistics import Description, describe

SHELF_TOKENS = 60_000  # of the built-in stories, which never end
_MOST_TOKENS = 1_000_000  # of them that are told to look at
_WHOLE = KNOBS["dataset_size"].high
_KEY = "data_source"


@dataclass(frozen=True)
class Source:
    """A text to look at: a corpus of the config, or a fetched one by its name, and a mark that changes with
    it."""

    name: str
    mark: int = 0

    @property
    def endless(self) -> bool:
        """Whether it is told by the story world, as long as one likes."""
        return self.name in stories.SIZES

    @property
    def corpus(self) -> str:
        """What a config calls it."""
        return "own" if self.name in LIBRARY else self.name


@dataclass(frozen=True)
class Opened:
    """A text that was read: its dataset, what it holds, and how many duplicate documents were dropped."""

    dataset: Dataset
    description: Description
    duplicates: int


def choose() -> Source | None:
    """Draw the choice of a text; None after having said what is missing."""
    folder = corpora_folder()
    fetched = [name for name, entry in LIBRARY.items() if present_bytes(entry, folder)]
    names = [*KNOBS["corpus"].choices, *fetched]
    if st.session_state.get(_KEY) not in names:
        st.session_state[_KEY] = controls.value("corpus")
    name = st.selectbox("Text", names, format_func=title, key=_KEY, persist_state="session")
    if name in LIBRARY:
        facts = file_of(entry_called(name), folder).stat()
        return Source(name, hash((facts.st_size, facts.st_mtime_ns)))
    if name == "own":
        text = own_text.draw()
        return Source(name, hash(text)) if text is not None else None
    return Source(name)


def title(name: str) -> str:
    """What people call a text."""
    return LIBRARY[name].title if name in LIBRARY else controls.corpus_title(name)


def text_of(source: Source) -> str | None:
    """The text of a source that is not told by the story world, as much as an upload may have. Raises
    CorpusError."""
    if source.name in LIBRARY:
        return read(entry_called(source.name), corpora_folder(), deployment.most_text_bytes())
    return st.session_state["own_text"] if source.name == "own" else None


def use(source: Source) -> None:
    """Set the Train page to read this text. Raises SlmError."""
    if source.name in LIBRARY:
        st.session_state["own_text"], st.session_state["own_pasted"] = text_of(source), ""
    controls.set_one("corpus", source.corpus)


def open_whole(source: Source) -> Opened:
    """All of a text, or the beginning of an endless one, with the tokenizer that is set on the Train page.
    Raises SlmError."""
    size = int(_WHOLE)
    if source.endless:
        size = min(_MOST_TOKENS, max(SHELF_TOKENS, controls.value("dataset_size")))
    elif source.corpus == "repeated":  # there, it says what is repeated
        size = max(50, controls.value("dataset_size"))
    return _open(source, *_settings(), size)


def as_read(source: Source) -> Dataset:
    """What a run reads of it with the dataset_size that is set on the Train page. Raises SlmError."""
    whole = open_whole(source).dataset
    if source.corpus == "repeated":
        return whole
    return replace(whole, train=whole.train[: controls.value("dataset_size")])


@st.cache_resource(max_entries=3, show_spinner="Reading the text …")
def _open(source: Source, tokenizer: str, vocab_size: int, block_size: int, size: int) -> Opened:
    text = text_of(source)
    dropped = split_text(text, block_size).duplicates if text is not None else 0
    dataset = prepare(_config(source, tokenizer, vocab_size, block_size, size), text)
    return Opened(dataset, describe(dataset), dropped)


def report(source: Source) -> TextReport:
    """The report on what a run reads. Raises SlmError."""
    return _report(source, *_settings(), controls.value("dataset_size"), as_read(source))


@st.cache_data(max_entries=32, show_spinner="Comparing both sides …")
def _report(
    source: Source, tokenizer: str, vocab_size: int, block_size: int, size: int, _dataset: Dataset
) -> TextReport:
    return text_report(_dataset, _config(source, tokenizer, vocab_size, block_size, size))


def read_ahead() -> None:
    """Open what the pages about text first show beside the presets that are allowed here, before a whole
    class asks for it in the middle of its training."""
    for preset in load_presets().values():
        config = preset.config
        if preset.hardware != "cpu" or deployment.limits().problems(config):
            continue
        tokens.curve(config)
        source, settings = Source(config.corpus), (config.tokenizer, config.vocab_size, config.block_size)
        whole = _open(source, *settings, SHELF_TOKENS).dataset
        read = replace(whole, train=whole.train[: config.dataset_size])
        _report(source, *settings, config.dataset_size, read)


def _config(source: Source, tokenizer: str, vocab_size: int, block_size: int, size: int) -> ExperimentConfig:
    return ExperimentConfig(
        corpus=source.corpus,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        block_size=block_size,
        dataset_size=max(size, block_size + 1),
    )


def _settings() -> tuple[str, int, int]:
    return controls.value("tokenizer"), controls.value("vocab_size"), controls.value("block_size")
