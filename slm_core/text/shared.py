"""What runs on the same stories have in common, made once: the text, and the report on it.

A sweep trains a dozen models on one text, and a class thirty. What is kept is small, and no run changes it.
"""

from slm_core.caching import computed_once
from slm_core.config import ExperimentConfig
from slm_core.text import stories
from slm_core.text.corpus import Dataset, prepare
from slm_core.text.report import TextReport, text_report

MOST_TOKENS = 300_000  # of training text; more takes so long that it is prepared in pieces, under a bar
_READ = ("corpus", "dataset_size", "tokenizer", "vocab_size", "block_size")  # what a text depends on


def is_shared(config: ExperimentConfig) -> bool:
    """Whether the text of a config is kept for others: stories, and not too many."""
    return config.corpus in stories.SIZES and config.dataset_size <= MOST_TOKENS


def shared_dataset(config: ExperimentConfig) -> Dataset:
    """What `prepare` gives for a config that `is_shared`, read-only. Raises CorpusError, TokenizerError."""
    return _dataset(_reading(config))


def shared_report(config: ExperimentConfig) -> TextReport:
    """What `text_report` gives for a config that `is_shared`, on its `shared_dataset`."""
    return _report(_reading(config))


def _reading(config: ExperimentConfig) -> ExperimentConfig:
    """The same text, with a default for everything that it does not depend on."""
    return ExperimentConfig(**{name: getattr(config, name) for name in _READ})


@computed_once(maxsize=8)  # at most 600 KB each
def _dataset(reading: ExperimentConfig) -> Dataset:
    dataset = prepare(reading)
    for side in (dataset.train, dataset.validation):
        side.flags.writeable = False
    return dataset


@computed_once(maxsize=64)
def _report(reading: ExperimentConfig) -> TextReport:
    return text_report(_dataset(reading), reading)
