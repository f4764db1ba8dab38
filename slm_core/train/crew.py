"""A batch read by all cores at once, each of which takes a part of it.

torch would share out every product of matrices, hundreds of them in a step, and all cores would wait each
time for the last one: if another program holds one of them for a moment, all stand still. Here each core goes
through the whole model with some sequences, there and back, and they wait for each other once a step. It
comes to the same, since the gradient of a sum is the sum of the gradients.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from slm_core.config import ExperimentConfig


class Crew:
    """So many threads, each of which computes on one core. A crew of one is the thread that asks, which may
    share out its products among the cores as torch does."""

    def __init__(self, size: int) -> None:
        # They begin when there is work, and end when nobody holds the crew any more.
        self._threads = ThreadPoolExecutor(size, "crew", initializer=_keep_to_one_core) if size > 1 else None
        self._size = size

    def add_gradients(
        self, loss_of: Callable[[Tensor], Tensor], weights: Sequence[Tensor], batch: Tensor
    ) -> float:
        """Add the gradient of the batch's loss to each weight's `grad`; give that loss.

        loss_of gives the loss of some of the batch's sequences, (b, ...) of its (B, ...), as a part of the
        whole: the parts' losses are added up, in the order of the batch, whichever is done first.
        """
        if self._threads is None:
            loss = loss_of(batch)
            loss.backward()
            return loss.item()

        def of_part(sequences: Tensor) -> tuple[float, tuple[Tensor, ...]]:
            loss = loss_of(sequences)
            return loss.item(), torch.autograd.grad(loss, weights)

        parts = batch.tensor_split(min(self._size, len(batch)))
        whole = 0.0
        for loss, gradients in self._threads.map(of_part, parts):
            whole += loss
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        return whole


def crew_on(device: torch.device, config: ExperimentConfig, alone: bool = True) -> Crew:
    """As many as torch has threads for the one that asks. One on a graphics card, and where several processes
    train one model; and with dropout, which draws from one generator, and would draw other numbers depending
    on which thread comes first."""
    together = alone and device.type == "cpu" and config.dropout == 0
    return Crew(torch.get_num_threads() if together else 1)


def _keep_to_one_core() -> None:
    torch.get_num_threads()  # torch sets a thread up when it is first asked something
    torch.set_num_threads(1)
