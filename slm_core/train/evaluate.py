"""The two losses of the chart, both measured the same way: the same windows each time, no dropout, no
randomness."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slm_core.errors import CorpusError
from slm_core.model.gpt import GPT
from slm_core.model.loss import IGNORED, token_losses
from slm_core.text.spans import FEWEST_SPANS, consecutive_spans, mean_and_error, spans_from_starts

TOKENS_A_PASS = 1_024  # bounds memory, and how long a stop has to wait
MOST_WIDTHS = 8  # of passes: libraries prepare themselves for each new shape


@dataclass(frozen=True)
class Windows:
    """Stretches of text to be scored: inputs and targets (W, T), the targets one token on, IGNORED from where
    a stretch has ended."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def tokens(self) -> int:
        """How many tokens are scored."""
        return int(self.lengths.sum())

    @property
    def lengths(self) -> Tensor:
        """How many tokens are scored of each (W,)."""
        return (self.targets != IGNORED).sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Loss in nats per token over all windows, its standard error from window to window, and in bits per
    byte."""

    loss: float
    standard_error: float
    bits_per_byte: float
    windows: int


def windows_from_starts(ids: np.ndarray, block_size: int, end_of_text: int) -> Windows:
    """One window per document: its first block_size tokens after the end mark that precedes it. The end mark
    that follows is scored too; what lies beyond is not."""
    spans = spans_from_starts(ids, block_size, end_of_text)
    inputs = np.full((len(spans), block_size), end_of_text, dtype=np.int64)
    targets = np.full((len(spans), block_size), IGNORED, dtype=np.int64)
    for row, (start, length) in enumerate(zip(spans.starts, spans.lengths, strict=True)):
        inputs[row, :length] = ids[start : start + length]
        targets[row, :length] = ids[start + 1 : start + 1 + length]
    return Windows(torch.from_numpy(inputs), torch.from_numpy(targets))


def consecutive_windows(ids: np.ndarray, length: int) -> Windows:
    """Windows of `length` tokens one after another, the last one drawn back so that the end of the text is
    scored too."""
    starts = consecutive_spans(ids, length).starts
    places = starts[:, None] + np.arange(min(length, len(ids) - 1))
    ids = np.asarray(ids, dtype=np.int64)
    return Windows(torch.from_numpy(ids[places]), torch.from_numpy(ids[places + 1]))


def check_validation(windows: Windows) -> None:
    """Raises CorpusError if there are too few windows to say anything."""
    if len(windows) < FEWEST_SPANS:
        raise CorpusError(
            f"The validation text gives {len(windows)} windows to measure on; at least {FEWEST_SPANS} are "
            "needed to say "
            "anything. Add text, lower block_size, or use the built-in stories."
        )


def measure(
    model: GPT, windows: Windows, byte_lengths: Tensor, timed: Callable[[Callable[[], Tensor]], Tensor]
) -> Iterator[float | Measured]:
    """Measure a model's loss pass by pass: gives the share done (0..1) after each pass, and a Measured at the
    end.

    byte_lengths (V,): UTF-8 bytes of each token. `timed` calls the work it is given. The model is left as it
    was found.
    """
    model_was_training = model.training
    sums, done = torch.zeros(len(windows), dtype=torch.float64), 0  # (W,) nats of each window
    for rows, width in _passes(windows.lengths, windows.inputs.size(1)):
        inputs, targets = windows.inputs[rows, :width], windows.targets[rows, :width]  # (B, width)
        model.eval()
        sums[rows] = timed(lambda inputs=inputs, targets=targets: _window_sums(model, inputs, targets))
        model.train(model_was_training)
        done += len(rows)
        yield done / len(windows)
    scored = windows.targets != IGNORED
    bytes_scored = int((byte_lengths[windows.targets.clamp(min=0)] * scored).sum())
    loss, standard_error = mean_and_error(sums.numpy(), windows.lengths.numpy())
    yield Measured(
        loss=loss,
        standard_error=standard_error,
        bits_per_byte=float(sums.sum()) / (math.log(2) * max(1, bytes_scored)),
        windows=len(windows),
    )


def _passes(lengths: Tensor, longest: int) -> Iterator[tuple[Tensor, int]]:
    """All windows, the longest first: for each pass the rows (B,) to be read, and how many positions of them.
    What lies behind these is not scored, so it need not be computed."""
    step = math.ceil(longest / MOST_WIDTHS)
    order = lengths.argsort(descending=True, stable=True)  # (W,)
    while len(order):
        width = min(longest, step * math.ceil(int(lengths[order[0]]) / step))
        rows, order = order.tensor_split([max(1, TOKENS_A_PASS // width)])
        yield rows, width


@torch.inference_mode()
def _window_sums(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    device = model.embedding.weight.device
    losses = token_losses(model(inputs.to(device)), targets.to(device))  # (rows, T)
    # (rows,); summed up in float64, so that the order of windows does not matter; not every device has it
    return losses.sum(dim=1).cpu().double()
