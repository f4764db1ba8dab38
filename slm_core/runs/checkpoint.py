"""One file that is a model: weights, and as JSON beside them its config, its tokenizer and how well it did.

The format is safetensors: numbers and text, nothing that could run. A file from anywhere is checked against
its own config before a weight is read.
"""

import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slm_core.config import ExperimentConfig, config_from_dict
from slm_core.errors import CheckpointError, RunError, SlmError, VocabularyError
from slm_core.model.budget import budget
from slm_core.model.gpt import GPT
from slm_core.model.proof import Proof, Sameness, compare, prove
from slm_core.runs.limits import Limits, largest_file_bytes
from slm_core.runs.store import (
    CHECKPOINTS,
    LONGEST_NAME,
    Run,
    create_run,
    delete_run,
    short_text,
    write_atomically,
)
from slm_core.text.tokenizer import Tokenizer

FORMAT = "slm-checkpoint-1"
_LARGEST_HEADER_BYTES = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model ready to generate (in evaluation mode), its tokenizer, and what its file says about it.

    metrics: step, train_loss, validation_loss, validation_bits_per_byte, as far as they were measured.
    sameness: whether it is still the model that was written, and answers here as it did there.
    """

    model: GPT
    tokenizer: Tokenizer
    config: ExperimentConfig
    name: str
    metrics: Mapping[str, float]
    data_sha256: str
    sameness: Sameness


def save_checkpoint(
    path: Path, model: GPT, tokenizer: Tokenizer, *, name: str, metrics: Mapping[str, float], data_sha256: str
) -> None:
    """Write a model's file, whole or not at all. Raises OSError."""
    facts = {
        "config": model.config.to_dict(),
        "tokenizer": tokenizer.to_dict(),
        "name": name,
        "metrics": dict(metrics),
        "data_sha256": data_sha256,
        "proof": prove(model, tokenizer).to_dict(),
    }
    write_tensors(path, {name: weight.detach() for name, weight in model.named_parameters()}, FORMAT, facts)


def load_checkpoint(path: Path, device: str = "cpu") -> Checkpoint:
    """Read a model's file and compare the model with the proof in it; a failed proof is told by `sameness`,
    not refused. Raises CheckpointError if the file is missing, damaged, foreign or contradictory, and
    VocabularyError if it needs GPT-2's vocabulary, which is not here."""
    tensors, facts = read_tensors(path, FORMAT)
    try:
        config = config_from_dict(facts["config"])
        tokenizer = Tokenizer.from_dict(facts["tokenizer"])
        name, metrics = short_text(str(facts["name"]), LONGEST_NAME), dict(facts["metrics"])
        data_sha256 = str(facts["data_sha256"])
        proof = Proof.from_dict(facts["proof"]) if "proof" in facts else None
        if not all(type(value) in (int, float) and math.isfinite(value) for value in metrics.values()):
            raise ValueError("its metrics are not all numbers")
    except VocabularyError:
        raise  # the file is sound, and the message says what is missing on this machine
    except (ArithmeticError, LookupError, RecursionError, SlmError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} does not describe its model properly ({error}). {_TAKE_ANOTHER}"
        ) from None
    if tokenizer.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{path.name} says vocab_size {config.vocab_size:,}, but its tokenizer has "
            f"{tokenizer.vocab_size:,} tokens. "
            f"{_TAKE_ANOTHER}"
        )
    if sum(tensor.numel() for tensor in tensors.values()) != budget(config).parameters:
        raise CheckpointError(
            f"{path.name} does not hold the weights that its config asks for. {_TAKE_ANOTHER}"
        )
    model = GPT(config)  # shapes only: no memory until the weights are known to fit
    for expected, weight in model.named_parameters():
        given = tensors.get(expected)
        if given is None or given.shape != weight.shape or given.dtype != torch.float32:
            found = "is missing" if given is None else f"is {given.dtype} of shape {tuple(given.shape)}"
            raise CheckpointError(
                f"In {path.name} the weight {expected} {found}; the config asks for float32 "
                f"{tuple(weight.shape)}. "
                f"{_TAKE_ANOTHER}"
            )
        if not given.isfinite().all():
            raise CheckpointError(
                f"In {path.name} the weight {expected} holds numbers that are not finite. {_TAKE_ANOTHER}"
            )
    model.load_state_dict(
        tensors, strict=False, assign=True
    )  # the head is not in the file: it is the embedding
    model.tie()
    model.requires_grad_(False).to(device).eval()
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        config=config,
        name=name,
        metrics=metrics,
        data_sha256=data_sha256,
        sameness=compare(model, tokenizer, proof),
    )


_TAKE_ANOTHER = "Download it again, or take another file."


def write_tensors(path: Path, tensors: Mapping[str, Tensor], kind: str, facts: Mapping[str, Any]) -> None:
    """Write tensors with JSON facts beside them, whole or not at all. Raises OSError."""
    metadata = {"format": kind, "facts": json.dumps(facts, ensure_ascii=True)}
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(packed, metadata))


def read_tensors(
    path: Path, kind: str, cure: str = _TAKE_ANOTHER
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `write_tensors` wrote. Raises CheckpointError for anything else; cure says
    what to do then."""
    try:
        with open(path, "rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > _LARGEST_HEADER_BYTES:
            raise CheckpointError(f"{path.name} is no model file of this program. {cure}")
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != kind:
                raise CheckpointError(
                    f"{path.name} is a safetensors file, but no {kind} of this program (it says "
                    f"{str(metadata.get('format'))[:40]!r}). Train a model here, or take a file that this "
                    "program wrote."
                )
            facts = json.loads(metadata["facts"])
            return {name: opened.get_tensor(name) for name in opened.keys()}, facts  # noqa: SIM118 (no mapping)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read ({error.strerror or error}). {cure}") from None
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} is damaged or no model file ({str(error)[:120]}). {cure}"
        ) from None


def import_checkpoint(
    root: Path,
    content: bytes,
    file_name: str,
    *,
    owner: str = "",
    limits: Limits | None = None,
    make_room: Callable[[int], None] = lambda coming_bytes: None,
) -> Run:
    """Keep a model file that somebody brought as a run of its own under root. It is read and checked first;
    then make_room is called, which may delete older runs.

    Raises CheckpointError if it is no sound model file, RunError if a limit forbids it or it cannot be kept.
    """
    limits = limits or Limits()
    if len(content) > largest_file_bytes(limits):
        raise RunError(
            f"The file has {len(content) / 1e6:,.0f} MB; here a model file may have "
            f"{largest_file_bytes(limits) / 1e6:,.0f} MB at most. Take a smaller model."
        )
    with tempfile.TemporaryDirectory() as folder:
        brought = Path(folder) / (
            re.sub(r"[^\w. -]", "_", file_name, flags=re.ASCII)[:80].strip(". ") or "model"
        )
        try:
            brought.write_bytes(content)
        except OSError as error:
            raise RunError(
                f"{folder} cannot take the file ({error.strerror}). Free some room there."
            ) from None
        checkpoint = load_checkpoint(brought)
    make_room(len(content))
    run = create_run(
        root, checkpoint.config, name=checkpoint.name, device="cpu", threads=1, imported=True, owner=owner
    )
    try:
        write_atomically(run.folder / CHECKPOINTS["last"], content)
    except OSError as error:
        delete_run(root, run.id)
        raise RunError(f"The file cannot be kept in {root} ({error.strerror}). Free some room.") from None
    return run
