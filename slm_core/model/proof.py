"""A proof that two copies of a model are the same one: a fingerprint of its weights, and what it answers.

The fingerprint settles whether a single number was changed. The answers tell what no fingerprint can: how far
the arithmetic of another machine is from that of the machine that trained the model. A graphics card adds up
in another order than a processor does, so the last digits differ, and nothing else may.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from slm_core.model.gpt import GPT
from slm_core.text.tokenizer import Tokenizer

TOLERANCE = 1e-3  # of a logit: it moves a probability by a thousandth of itself, which no reader could notice
_WINDOWS = 2  # stretches of tokens that the model is asked about, each as long as it can look back
_ANSWERS = 128  # logits kept of each; the mean and the spread of all of them are kept besides
_STRIDE = 7_919  # a prime, so that the tokens asked about come from all over the vocabulary


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a model was when its file was written.

    sha256: its `fingerprint`. answers: for each of some fixed windows of tokens, logits after its end, then
    the mean and the spread of all its logits. device: where they were computed.
    """

    sha256: str
    answers: tuple[float, ...]
    device: str

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The proof that `to_dict` gave. Raises ArithmeticError, LookupError, TypeError or ValueError
        for anything else."""
        sha256, device = stored["sha256"], stored["device"]
        answers = tuple(stored["answers"])
        if not isinstance(sha256, str) or not re.fullmatch(r"[a-z]{1,12}", device):  # pages show it
            raise ValueError("its proof names no fingerprint or no device")
        if not answers or not all(type(each) in (int, float) for each in answers):
            raise ValueError("its proof is not made of numbers")
        return cls(sha256=sha256, answers=tuple(map(float, answers)), device=device)


@dataclass(frozen=True, kw_only=True)
class Sameness:
    """What comparing a model with the proof in its file gave. Written out, it is a sentence.

    recorded: whether there was a proof. identical: whether the fingerprint is that of then.
    largest_difference: between an answer then and here, in logits; infinite if they cannot be compared.
    there, here: the devices.
    """

    recorded: bool
    identical: bool = False
    largest_difference: float = math.inf
    tolerance: float = TOLERANCE
    there: str = ""
    here: str = ""

    @property
    def same(self) -> bool:
        """Whether this is the model that was trained, and it answers here as it did there."""
        return self.recorded and self.identical and self.largest_difference <= self.tolerance

    @property
    def broken(self) -> bool:
        """Whether there was a proof, and it failed."""
        return self.recorded and not self.same

    def __str__(self) -> str:
        if not self.recorded:
            return "No proof recorded: this file is older than the proofs that model files now carry."
        apart = f"largest difference {_short(self.largest_difference)}"
        where = f"between the logits recorded on {self.there} and those computed here on {self.here}"
        if self.same:
            return (
                f"Same model: {apart} {where} (up to {self.tolerance:g} is rounding); every weight is the "
                "same bit for bit."
            )
        if self.identical:
            return (
                f"The weights are the same bit for bit, but this machine computes with them differently: "
                f"{apart} {where}, and only up to {self.tolerance:g} is rounding."
            )
        return (
            "Not the same model: a weight, its tokenizer or its shape was changed after training; "
            f"{apart} {where}. Take the file from where it was trained."
        )


def prove(model: GPT, tokenizer: Tokenizer) -> Proof:
    """The proof of a model as it is now. The model is left as it was found."""
    return Proof(
        sha256=fingerprint(model, tokenizer),
        answers=tuple(_answers(model)),
        device=model.embedding.weight.device.type,
    )


def compare(model: GPT, tokenizer: Tokenizer, proof: Proof | None) -> Sameness:
    """Prove a model anew and compare that with what its file recorded."""
    if proof is None:
        return Sameness(recorded=False)
    now = prove(model, tokenizer)
    return Sameness(
        recorded=True,
        identical=now.sha256 == proof.sha256,
        largest_difference=_largest_difference(now.answers, proof.answers),
        there=proof.device,
        here=now.device,
    )


def fingerprint(model: GPT, tokenizer: Tokenizer) -> str:
    """SHA-256 of the tokenizer, of what shapes do not show of the model, and of all weights, each with its
    name and shape: 64 hexadecimal digits."""
    config = model.config
    about = {"tokenizer": tokenizer.to_dict(), "n_head": config.n_head, "block_size": config.block_size}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, weight in model.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(np.ascontiguousarray(weight.detach().cpu().numpy(), dtype="<f4"))
    return digest.hexdigest()


def fixed_windows(vocab_size: int, block_size: int) -> Tensor:
    """The tokens (_WINDOWS, block_size) that every model of this size is asked about; they look random, and
    follow from their place alone."""
    places = torch.arange(_WINDOWS * block_size).view(_WINDOWS, block_size)
    return (places * _STRIDE + places * places) % vocab_size


def _answers(model: GPT) -> list[float]:
    """The logits that are kept, in nine digits, which is all that a float32 has."""
    was_training = model.training
    model.eval()
    windows = fixed_windows(model.config.vocab_size, model.config.block_size)
    answers = [answer for window in windows for answer in _answers_after(model, window)]
    model.train(was_training)
    return [float(f"{answer:.9g}") for answer in answers]


@torch.inference_mode()
def _answers_after(model: GPT, window: Tensor) -> list[float]:
    """What is kept of one window (T,): logits after its last token, and the mean and spread of all."""
    logits = model(window[None].to(model.embedding.weight.device))[0].float().cpu()  # (T, V)
    kept = min(_ANSWERS, logits.size(1))
    tokens = torch.linspace(0, logits.size(1) - 1, kept).long()  # evenly from the whole vocabulary
    return [*logits[-1, tokens].tolist(), float(logits.mean()), float(logits.std())]


def _largest_difference(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    if len(first) != len(second) or not all(map(math.isfinite, (*first, *second))):
        return math.inf
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def _short(difference: float) -> str:
    """0.000003 as 3e-6."""
    return f"{difference:.1g}".replace("e-0", "e-") if difference < 10 else f"{difference:.0f}"
