"""A prepared text as a run's folder keeps it: ids of both sides, and the tokenizer that made them."""

import json
from pathlib import Path

from slm_core.config import ExperimentConfig
from slm_core.errors import TokenizerError
from slm_core.text.corpus import Dataset, read_bins, scored_from_starts, write_bins
from slm_core.text.tokenizer import Tokenizer

_TOKENIZER = "tokenizer.json"


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write train.bin, validation.bin and tokenizer.json into a folder. Raises OSError."""
    write_bins(dataset, folder)
    part = folder / f".{_TOKENIZER}.part"
    part.write_text(json.dumps(dataset.tokenizer.to_dict()), encoding="utf-8")
    part.replace(folder / _TOKENIZER)  # last, so that its presence means that everything is whole


def has_dataset(folder: Path) -> bool:
    """Whether a whole dataset lies in a folder."""
    return (folder / _TOKENIZER).exists()


def read_dataset(folder: Path, config: ExperimentConfig) -> Dataset:
    """The dataset that lies in a folder, memory-mapped. Raises CorpusError or TokenizerError if it is
    damaged."""
    return read_bins(folder, read_tokenizer(folder), scored_from_starts(config.corpus))


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that lies in a folder. Raises TokenizerError if it is missing or damaged."""
    try:
        return Tokenizer.from_dict(json.loads((folder / _TOKENIZER).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{folder / _TOKENIZER} is damaged ({error}). Start the run anew.") from None
