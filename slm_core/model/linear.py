"""A linear layer, y = x W^T, whose matrices are multiplied by the faster of two libraries.

Such products are most of what training a small model on a CPU takes. torch leaves them to Intel's MKL, which
on another maker's processor does without the widest instructions. oneDNN comes with torch, too, and uses
whatever a processor has: where that is AVX-512 on an AMD, it is about twice as fast. Nobody needs
to know which machine is which, since a moment's trial shows it.
"""

import os
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slm_core.caching import computed_once

_FEWEST_ROWS = 256  # oneDNN prepares itself for each new shape, which a small product would not pay for
_CLEARLY_FASTER = 1.3  # noise alone does not make a library so much faster: each start decides alike
_TRIALS = 9
_KEPT_SHAPES = 64  # two runs' worth


class Linear(nn.Linear):
    """A linear layer without bias, (…, K) -> (…, N). Its weight (N, K) is named as in nn.Linear."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if _suits_onednn(x, rows=x.numel() // self.in_features):
            return OneDNNProduct.apply(x.contiguous(), self.weight)
        return F.linear(x, self.weight)


class OneDNNProduct(torch.autograd.Function):
    """x W^T by oneDNN, and by the chain rule what the gradient of y says of x and of W."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        """x (…, K), weight (N, K) -> (…, N)."""
        ctx.save_for_backward(x, weight)
        return _product(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """grad (…, N) -> grad W (…, K) and grad^T x (N, K)."""
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()  # of a plain sum it is one number, repeated: oneDNN has no fast way for that
        of_x = _product(grad, weight.t())
        x, grad = x.flatten(0, -2), grad.flatten(0, -2)  # (rows, K), (rows, N)
        if weight.size(0) > weight.size(1):  # the longer side first, which is faster
            return of_x, _product(x.t(), grad.t()).t()
        return of_x, _product(grad.t(), x.t())


def times_transposed(x: Tensor, y: Tensor) -> Tensor:
    """x y^T of several pairs of matrices, (parts, rows, K) and (parts, N, K) -> (parts, rows, N), by the
    faster library. No gradient goes back through it."""
    if _suits_onednn(x, rows=x.size(1)):
        return torch.stack([_product(*pair) for pair in zip(x, y, strict=True)])
    return x @ y.mT


def plus_product(a: float, z: Tensor, b: float, x: Tensor, y: Tensor) -> Tensor:
    """a z + b x y^T of several matrices each, z (parts, rows, N), x (parts, rows, K) and y (parts, N, K). No
    gradient goes back through it."""
    if _suits_onednn(x, rows=x.size(1)):
        products = (_product(*pair) for pair in zip(x, y, strict=True))
        return torch.stack([torch.add(b * xy, one, alpha=a) for xy, one in zip(products, z, strict=True)])
    return torch.baddbmm(z, x, y.mT, beta=a, alpha=b)


def _suits_onednn(x: Tensor, rows: int) -> bool:
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
    return on_cpu and rows >= _FEWEST_ROWS and onednn_is_faster()


@computed_once(1)
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies clearly faster than what torch takes by itself. Tried once, for a few
    hundredths of a second, on the calling thread's number of threads."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    # Half a megabyte is kept for each shape, and by default of a thousand shapes: a class with thirty sizes
    # of model would fill a small server.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(_KEPT_SHAPES))
    x, weight = torch.ones(1_024, 256), torch.ones(512, 256)
    seconds: dict = {F.linear: [], _product: []}
    with torch.no_grad():
        for _ in range(_TRIALS):  # in turns, so that whatever slows the machine slows both
            for product, took in seconds.items():
                began = time.perf_counter()
                product(x, weight)
                took.append(time.perf_counter() - began)
    return min(seconds[F.linear]) > _CLEARLY_FASTER * min(seconds[_product])


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x (…, K) times the transpose of weight (N, K), by oneDNN. torch has no public name for it: this is what
    torch.compile replaces linear layers with."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
