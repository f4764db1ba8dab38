"""A prepared text as a run's folder keeps it: ids of both sides, and the tokenizer that made them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from slm_core.config import ExperimentConfig
from slm_core.errors import TokenizerError
from slm_core.text.corpus import Dataset, read_bins, scored_from_starts, write_bins
from slm_core.text.tokenizer import Tokenizer

_TOKENIZER = "tokenizer.json"


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write train.bin, validation.bin and tokenizer.json into a folder. Raises OSError."""
    write_bins(dataset, folder)
    part = folder / f".{_TOKENIZER}.part"
    kept = {**dataset.tokenizer.to_dict(), "notices": dataset.notices}
    part.write_text(json.dumps(kept), encoding="utf-8")
    part.replace(folder / _TOKENIZER)  # last, so that its presence means that everything is whole


def has_dataset(folder: Path) -> bool:
    """Whether a whole dataset lies in a folder."""
    return all((folder / name).exists() for name in (_TOKENIZER, "train.bin", "validation.bin"))


def read_dataset(folder: Path, config: ExperimentConfig) -> Dataset:
    """The dataset that lies in a folder, memory-mapped. Raises CorpusError or TokenizerError if it is
    damaged."""
    dataset = read_bins(folder, read_tokenizer(folder), scored_from_starts(config.corpus))
    notices = _read(folder).get("notices", ())
    return replace(dataset, notices=tuple(map(str, notices)) if isinstance(notices, list) else ())


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that lies in a folder. Raises TokenizerError if it is missing or damaged."""
    return Tokenizer.from_dict(_read(folder))


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{folder / _TOKENIZER} is damaged ({error}). Start the run anew.") from None
    if not isinstance(found, dict):
        raise TokenizerError(
            f"{folder / _TOKENIZER} is damaged (it is no list of names and values). Start the run anew."
        )
    return found
