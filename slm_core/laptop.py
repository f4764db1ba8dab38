"""A model carried home in one file: it is opened, proves that it is the one that was trained, and writes."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from slm_core.config import ExperimentConfig
from slm_core.model.generate import write_text
from slm_core.model.proof import Sameness
from slm_core.model.sampling import Sampling
from slm_core.runs.checkpoint import load_checkpoint


class LaptopSLM:
    """A small language model from its .safetensors file.

    config: the settings it was trained with. metrics: its losses, and the step at which they were measured.
    proof: whether it is the very model that was trained, and how far this machine's arithmetic is from that
    of the machine that trained it; written out, it is a sentence. tokens_per_second: how fast the last text
    was written; None before. Raises CheckpointError if the file is missing or no sound model file.
    """

    def __init__(self, file: Path | str, device: str = "cpu") -> None:
        """Read the file; nothing in it is ever run."""
        self._checkpoint = load_checkpoint(Path(file), device)
        self.config: ExperimentConfig = self._checkpoint.config
        self.metrics: Mapping[str, float] = self._checkpoint.metrics
        self.proof: Sameness = self._checkpoint.sameness
        self.tokens_per_second: float | None = None

    def generate(self, prompt: str, max_tokens: int = 200, **sampling: float) -> str:
        """What the model writes after a prompt: until it ends its text, and max_tokens tokens at most.

        sampling: temperature, top_k, top_p, seed, as `Sampling` explains them. Raises ConfigError if one is
        out of range.
        """
        return "".join(self.stream(prompt, max_tokens, **sampling))

    def stream(self, prompt: str, max_tokens: int = 200, **sampling: float) -> Iterator[str]:
        """Like `generate`, but in pieces, one for each token as it comes; some are empty, where a character
        is not whole yet."""
        settings = Sampling(max_new_tokens=max_tokens, **sampling)
        return self._pieces(prompt, settings)

    def _pieces(self, prompt: str, settings: Sampling) -> Iterator[str]:
        began, spent, tokens = time.perf_counter(), 0.0, -1  # the last piece is no token
        for piece in write_text(self._checkpoint.model, self._checkpoint.tokenizer, prompt, settings):
            spent, tokens = spent + time.perf_counter() - began, tokens + 1
            self.tokens_per_second = tokens / max(spent, 1e-9)
            yield piece
            began = time.perf_counter()  # what the reader does with a piece takes no time of the model's
