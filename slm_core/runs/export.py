"""A trained model as files that other programs open."""

import io

import torch

from slm_core.errors import CheckpointError
from slm_core.runs.checkpoint import Checkpoint
from slm_core.runs.export_gguf import gguf_file
from slm_core.runs.export_huggingface import huggingface_zip
from slm_core.runs.formats import FORMATS, cannot_export, file_stem


def export(checkpoint: Checkpoint, kind: str, folder: str = "") -> bytes:
    """The file of one of FORMATS: "huggingface", "gguf" or "pt". folder: what the .zip unpacks to; by default
    the model's name. Raises CheckpointError for another kind and for what `cannot_export` says, and
    TokenizerError for a tokenizer that was not learned by merging."""
    if refusal := cannot_export(checkpoint.config).get(kind):
        raise CheckpointError(refusal)
    match kind:
        case "huggingface":
            return huggingface_zip(checkpoint, folder or file_stem(checkpoint.name))
        case "gguf":
            return gguf_file(checkpoint)
        case "pt":
            return _state_dict(checkpoint)
    raise CheckpointError(f"There is no format {kind[:40]!r}; choose one of {', '.join(FORMATS)}.")


def _state_dict(checkpoint: Checkpoint) -> bytes:
    written = io.BytesIO()
    state = {name: weight.detach().cpu() for name, weight in checkpoint.model.state_dict().items()}
    torch.save(state, written)
    return written.getvalue()
