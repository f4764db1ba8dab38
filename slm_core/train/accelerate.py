"""How a training pass is computed on a graphics card: in shorter numbers, by a program made for this model.

Both change how fast a loss comes, and its last digits. The weights, the optimizer and everything that is
measured stay in float32. `slm_core.hardware.pace_on` decides what suits a device.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slm_core.train.events import Event, Notice, Working


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How training passes are computed.

    bfloat16: matrices are multiplied in numbers of 16 bits, with the range of float32 and three digits;
    their range is why no loss needs to be scaled (Kalamkar et al. 2019). compiled: torch translates the model
    into a program of its own, with a graphics card's steps fused, which takes about a minute.
    """

    bfloat16: bool = False
    compiled: bool = False


PLAIN = Pace()


class Passes:
    """A model as it is called in training: at a pace, and with the plain model to fall back on."""

    def __init__(self, model: nn.Module, pace: Pace, device: torch.device) -> None:
        self._model = self._called = model
        self._pace, self._device = pace, device

    def begin(self, shape: tuple[int, int], step: int) -> Iterator[Event]:
        """To be gone through before the first pass. It says what a person should know, and compiles the model
        for passes of this shape (B, T) if that was asked for. Leaves no gradient behind."""
        if self._pace.bfloat16:
            yield Notice(
                step=0,
                text="Training passes multiply in bfloat16, which this graphics card does faster. Weights "
                "and measured losses are float32 as everywhere.",
            )
        if not self._pace.compiled:
            return
        yield Working(step=step, doing="compiling the model", share=0.0)
        try:
            self._called = torch.compile(self._model, dynamic=False)
            idx = torch.zeros(shape, dtype=torch.int64, device=self._device)
            self(idx).sum().backward()  # both directions are compiled now, or it fails now
        except Exception as error:  # the compiler, and what it calls, have no kind of error in common
            self._called = self._model
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            yield Notice(step=0, text=f"The model could not be compiled ({reason}). It trains without that.")
        self._model.zero_grad()

    def __call__(self, idx: Tensor) -> Tensor:
        """Logits (B, T, V) in float32 for idx (B, T)."""
        with self._precision():
            logits = self._called(idx.contiguous())  # as compiled: a view of the text would be compiled anew
        return logits.float()

    def _precision(self) -> AbstractContextManager:
        return torch.autocast(self._device.type, torch.bfloat16) if self._pace.bfloat16 else nullcontext()
