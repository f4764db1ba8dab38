"""Several processes train one model, each on a graphics card of its own (or on a share of the cores).

Every process holds the whole model. At each step it reads its share of the very batch that one process would
read, and the gradients are averaged: so all make the same update, and the losses are those of one process, up
to rounding (with dropout they differ, as each process switches off others). The first process, the leader,
does all that needs doing once: it prepares the text, measures, writes samples and keeps the run's folder,
while the others wait for it at the next step.

`torchrun` starts the processes and tells each of them its place in environment variables.
"""

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from slm_core.config import ExperimentConfig
from slm_core.errors import ConfigError, RunError

_LONGEST_WAIT = timedelta(hours=2)  # for the leader, while it prepares a text or measures


@dataclass(frozen=True)
class Team:
    """The processes that train one model together, as one of them sees it. `Team()` is a process alone, for
    which everything here does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that measures and writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is nobody else."""
        return self.size == 1

    def check(self, config: ExperimentConfig, device: str) -> None:
        """Raises ConfigError if a step's sequences cannot be shared evenly, and RunError if there are too few
        graphics cards."""
        sequences = config.batch_size * config.gradient_accumulation_steps
        if sequences % self.size:
            raise ConfigError(
                f"batch_size {config.batch_size} times gradient_accumulation_steps "
                f"{config.gradient_accumulation_steps} is {sequences} sequences a step, which {self.size} "
                f"processes cannot share evenly. Make it a multiple of {self.size}: for example, batch_size="
                f"{math.ceil(config.batch_size / self.size) * self.size}."
            )
        self.device(device)

    def device(self, chosen: str) -> str:
        """This process's device, where the leader's is `chosen`: each has a graphics card of its own, and the
        processor is shared. Raises RunError if there are too few cards."""
        if self.alone or chosen == "cpu":
            return chosen
        cards = torch.cuda.device_count()
        if not chosen.startswith("cuda") or cards < self.size:
            raise RunError(
                f"{self.size} processes need as many NVIDIA graphics cards; this machine has {cards}. "
                f"Start fewer with --nproc_per_node, or train on the processor with --device cpu."
            )
        return f"cuda:{self.rank}"

    def share(self, sequences: np.ndarray, most: int) -> list[np.ndarray]:
        """This process's part of a step's sequences (N,), in passes of equal length, `most` at most."""
        mine = np.split(sequences, self.size)[self.rank]
        passes = math.ceil(len(mine) / most)
        while len(mine) % passes:
            passes += 1
        return np.split(mine, passes)

    def averaging(self, model: nn.Module) -> nn.Module:
        """The model as it is to be called in training: its backward pass averages the gradients of all, and
        the weights with which it begins are the leader's."""
        if self.alone:
            return model
        device = next(model.parameters()).device
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, ids, broadcast_buffers=False)  # rotary factors never change

    def averaging_once(self, model: nn.Module, last: bool) -> AbstractContextManager:
        """The context of one of several passes whose gradients add up: only the last averages, as that takes
        time."""
        return nullcontext() if self.alone or last else model.no_sync()

    def mean(self, value: float) -> float:
        """The mean of all processes' values; all get the same."""
        if self.alone:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total) / self.size

    def told(self, text: str = "") -> str:
        """The leader's text, once the leader has said it. Everybody waits for everybody."""
        if self.alone:
            return text
        content = text.encode()
        length = torch.tensor(len(content))
        distributed.broadcast(length, src=0)
        letters = torch.tensor(list(content) if self.leads else [0] * int(length), dtype=torch.uint8)
        distributed.broadcast(letters, src=0)
        self.mean(0.0)  # everybody has come this far
        return bytes(letters.tolist()).decode()


ALONE = Team()


def team_around() -> Team:
    """The team that `torchrun` has put this process in."""
    return Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def working_together(team: Team) -> Iterator[None]:
    """Connects this process with the others as long as the context lasts. Raises RunError if another one
    ends meanwhile, as nobody can go on then."""
    if torch.cuda.is_available() and distributed.is_nccl_available():
        torch.cuda.set_device(team.rank % torch.cuda.device_count())
        distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=_LONGEST_WAIT)
    else:
        distributed.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        yield
    except RuntimeError as error:  # torch has no kind of its own for a connection that another one closed
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise RunError(
            f"Process {team.rank + 1} of {team.size} cannot go on, because it failed or another one ended "
            f"({reason}). What was saved last of the run is kept: go on from there with --resume."
        ) from error
    finally:
        distributed.destroy_process_group()
