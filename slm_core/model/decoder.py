"""One token more through a model on the processor, in NumPy: the logits of gpt.py in a part of the time.

For a single token a small model has little to compute, and most of the time goes into calling PyTorch, again
and again; a call of NumPy costs less. So `GPT` reads a prompt, all of it at once, and `Decoder` each token
after it, out of the same cache. It takes the weights where they are: nothing is copied.

Each line here mirrors one of gpt.py, which says why it is there. Shapes in comments are as there, without B
and T, which are 1; P positions have been read, with the new one.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from slm_core.model.gpt import GPT, Cache, rotary_angles

_SMALL = 2**18  # numbers in a matrix
_ROOT_OF_HALF = math.sqrt(0.5)


class Decoder:
    """A model's next step for one token of one text. The model must be on the CPU, and not in training mode
    when it is asked."""

    def __init__(self, model: GPT) -> None:
        config = model.config
        self.modern, self.n_head = config.architecture == "qwen3", config.n_head
        self.whole = _weights(model)
        self.blocks = [_weights(block) for block in model.blocks]
        self.eps = model.norm.eps
        self.angles = None
        if config.positions == "rotary":
            positions = torch.arange(config.block_size)
            cos, sin = rotary_angles(positions, config.n_embd // config.n_head)
            self.angles = cos.numpy(), sin.numpy()  # (block_size, hs / 2) each

    @np.errstate(over="ignore", invalid="ignore")  # whether numbers grew too large is seen in the logits
    def next_logits(self, token: int, cache: Cache) -> np.ndarray:
        """Logits (V,) for what follows a token, which continues what the cache has read: as `GPT` gives them,
        up to the last digits. The cache holds one text and is not full; it is extended."""
        place = cache.length
        assert place < cache.stored.size(4), f"the cache is full with {place} positions"
        x = self.whole["embedding"][token]  # (C,)
        angles = None
        if self.angles is None:
            x = x + self.whole["position_embedding"][place]
        else:
            angles = self.angles[0][place], self.angles[1][place]  # (hs / 2,) each
        stored = cache.stored.numpy()[:, :, 0]  # (L, key or value, nh, block_size, hs)
        for weights, past in zip(self.blocks, stored, strict=True):
            x = x + self._attention(weights, self._norm(x, weights["norm_1"]), angles, past, place)
            x = x + self._thought(weights, self._norm(x, weights["norm_2"]))  # (C,)
        cache.length = place + 1
        return _product(self.whole["embedding"], self._norm(x, self.whole["norm"]))  # (V,)

    def _norm(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """x (..., size), each row normalized: LayerNorm is RMSNorm of what differs from the mean."""
        if x.ndim == 1:  # in plain numbers, which is faster
            if not self.modern:
                x = x - float(x.sum()) / x.size
            return x * (weight / math.sqrt(float(x @ x) / x.size + self.eps))
        squares = np.vecdot(x, x)[..., None]  # (..., 1)
        return x / np.sqrt(squares / x.shape[-1] + self.eps) * weight

    def _attention(
        self,
        weights: dict[str, np.ndarray],
        x: np.ndarray,
        angles: tuple[np.ndarray, np.ndarray] | None,
        past: np.ndarray,
        place: int,
    ) -> np.ndarray:
        """past: keys and values of this block (key or value, nh, block_size, hs); the new ones are added."""
        qkv = _product(weights["attention.qkv"], x).reshape(3, self.n_head, -1)  # (3, nh, hs)
        if self.modern:
            qkv[0] = self._norm(qkv[0], weights["attention.norm_q"])
            qkv[1] = self._norm(qkv[1], weights["attention.norm_k"])
        if angles is not None:
            qkv[:2] = _rotate(qkv[:2], angles)
        past[:, :, place] = qkv[1:]
        q, (k, v) = qkv[0], past[:, :, : place + 1]  # (nh, hs); (nh, P, hs) each
        scores = k @ q[:, :, None] / math.sqrt(q.shape[1])  # (nh, P, 1)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        y = shares.transpose(0, 2, 1) @ v  # (nh, 1, hs)
        return _product(weights["attention.out"], y.reshape(-1))  # (C,)

    def _thought(self, weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        wide = _product(weights["widen"], x)  # (H,)
        if self.modern:
            wide *= F.silu(torch.from_numpy(_product(weights["gate"], x))).numpy()
        else:  # GELU; NumPy has no error function, and torch's own takes long to begin
            wide *= 0.5 + 0.5 * torch.erf(torch.from_numpy(wide * _ROOT_OF_HALF)).numpy()
        return _product(weights["narrow"], wide)  # (C,)


def _rotate(x: np.ndarray, angles: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    cos, sin = angles
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]  # (2, nh, hs / 2) each
    return np.concatenate((first * cos - second * sin, first * sin + second * cos), axis=-1)


def _product(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """matrix (rows, columns) times x (columns,).

    NumPy shares a large product among all cores, which then wait for each other if one is busy; measured
    beside a training run, that was ten times slower. Torch keeps to the number of threads that it was told.
    """
    if matrix.size < _SMALL:
        return matrix @ x
    return torch.mv(torch.from_numpy(matrix), torch.from_numpy(x)).numpy()


def _weights(module: nn.Module) -> dict[str, np.ndarray]:
    """A module's weights by their names in gpt.py, such as "attention.out"; they share its memory."""
    return {
        name.removesuffix(".weight"): weight.detach().numpy() for name, weight in module.named_parameters()
    }
