"""What runs on the same text have in common, made once: its ids, and the report on it.

A sweep trains a dozen models on one text, and a class thirty. What is kept is small, and no run changes it.
"""

import hashlib

from slm_core.caching import computed_once
from slm_core.config import ExperimentConfig
from slm_core.text import stories
from slm_core.text.corpus import Dataset, prepare
from slm_core.text.report import TextReport, text_report

# Of training text, and of one's own text as a whole; more takes so long that it is prepared in pieces, under
# a bar.
MOST_TOKENS, MOST_CHARACTERS = 300_000, 5_000_000
_READ = ("corpus", "dataset_size", "tokenizer", "vocab_size", "block_size")  # what a dataset depends on


class _Text:
    """One's own text, as the name of what is made of it: it equals every other of the same content, and need
    not hold that content any longer once it has been read."""

    def __init__(self, content: str) -> None:
        self.content = content
        self._sha256 = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self._sha256 == other._sha256

    def __hash__(self) -> int:
        return hash(self._sha256)


def is_shared(config: ExperimentConfig, text: str | None = None) -> bool:
    """Whether the dataset of a config is kept for others: of stories or one's own text, and not too much."""
    own = config.corpus == "own" and text is not None and len(text) <= MOST_CHARACTERS
    return config.dataset_size <= MOST_TOKENS and (own or config.corpus in stories.SIZES)


def shared_dataset(config: ExperimentConfig, text: str | None = None) -> Dataset:
    """What `prepare` gives for a config and a text that `is_shared`, read-only. Raises CorpusError,
    TokenizerError."""
    if config.corpus != "own":
        return _dataset(_reading(config), None)
    name = _Text(text)
    try:
        return _dataset(_reading(config), name)
    finally:
        name.content = ""  # the name may be kept for long


def shared_report(dataset: Dataset, config: ExperimentConfig) -> TextReport:
    """What `text_report` gives for a `shared_dataset`."""
    return _report(dataset, _reading(config))


def _reading(config: ExperimentConfig) -> ExperimentConfig:
    """The same text, with a default for everything that it does not depend on."""
    return ExperimentConfig(**{name: getattr(config, name) for name in _READ})


@computed_once(maxsize=8)  # at most 2 MB each
def _dataset(reading: ExperimentConfig, text: _Text | None) -> Dataset:
    dataset = prepare(reading, text.content if text else None)
    for side in (dataset.train, dataset.validation):
        side.flags.writeable = False
    return dataset


@computed_once(maxsize=8)
def _report(dataset: Dataset, reading: ExperimentConfig) -> TextReport:
    return text_report(dataset, reading)
