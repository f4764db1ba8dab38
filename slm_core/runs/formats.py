"""Which programs a model can be taken to, how large its file will be there, and where it cannot go.

All of it is known from the settings alone, so a page can say it before a model is trained.
"""

import re
from dataclasses import dataclass

from slm_core.config import ExperimentConfig
from slm_core.model.budget import budget

_BYTES = 4  # of one float32


@dataclass(frozen=True)
class Format:
    """A kind of file: what people call it, how its name ends, and what opens it."""

    title: str
    ending: str
    opens: str


FORMATS: dict[str, Format] = {
    "huggingface": Format("Hugging Face", ".zip", "transformers, in Python"),
    "gguf": Format("GGUF", ".gguf", "llama.cpp and the programs around it"),
    "pt": Format("PyTorch weights", ".pt", "torch.load, in Python"),
}


def cannot_export(config: ExperimentConfig) -> dict[str, str]:
    """For each of FORMATS that a model with these settings has no file of, a sentence why and what to change;
    empty when there are all."""
    if config.n_embd == config.n_head:
        return {
            "gguf": f"llama.cpp cannot run heads of one number, as {config.n_head} heads in width "
            f"{config.n_embd} make them. If you want to take the model there, halve n_head."
        }
    return {}


def reads_otherwise(config: ExperimentConfig) -> dict[str, str]:
    """For each of FORMATS whose tokenizer cannot follow ours in everything, a sentence where it does not."""
    if config.tokenizer == "characters":
        return {"gguf": "There, the sign ▁ (U+2581) is read as a blank; all other text is read as here."}
    return {}


def expected_bytes(config: ExperimentConfig) -> dict[str, int]:
    """About how large each of FORMATS will be: the weights, and what the tokenizer takes in each."""
    d, layers, vocabulary = config.n_embd, config.n_layer, config.vocab_size
    weights, biases, head = _BYTES * budget(config).parameters, 0, 0
    if config.architecture == "gpt2":
        biases = _BYTES * (layers * 11 * d + d)  # zeros: 1 + 3 + 1 + 1 + 4 + 1 a block, and the last norm's
        head = _BYTES * vocabulary * d  # llama.cpp wants it beside the embedding
    return {
        "huggingface": weights + biases + 70 * vocabulary,
        "gguf": weights + biases + head + 45 * vocabulary,
        "pt": weights,
    }


def file_stem(name: str) -> str:
    """A model's name as a file's: letters, digits, dots and dashes; "model" if nothing is left."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-._") or "model"
