"""A small GPT, whole: token ids go in, for every position a score for each possible next token comes out.

Shapes in comments: B sequences side by side, T positions, C = n_embd numbers per position, nh heads of hs = C
/ nh numbers each, H = hidden_width, V = vocab_size.

There are two architectures. To see all that differs, look for `modern`:

               gpt2 (2019)                  qwen3 (2025)
    norm       LayerNorm                    RMSNorm
    attention  queries and keys as read     queries and keys of each head normalized first (QK-norm)
    thinking   GELU: 2 matrices, H = 4 C    SwiGLU: 3 matrices, H = 8/3 C, so about as many weights
    positions  learned or rotary            rotary

Sources: Radford et al. 2019 (GPT-2), without biases; Su et al. 2021 (rotary positions); Yang et al. 2025
(Qwen3), from Zhang and Sennrich 2019 (RMSNorm), Shazeer 2020 (SwiGLU) and Henry et al. 2020 (QK-norm).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slm_core.config import ExperimentConfig
from slm_core.model.linear import Linear


class Dropout(nn.Module):
    """Sets a share of its input to zero while training. It draws from a generator of its own run, never from
    torch's global one: two runs in two threads would otherwise change each other's numbers."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None  # given by the trainer

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept / (1 - self.share)  # divided, so that the sum stays what it is on average


def rotary_angles(positions: Tensor, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine by which each pair of numbers is turned at each position; shapes (T, hs / 2).

    The first pair turns by one radian a position, the last ten thousand times slower (Su et al. 2021,
    equation 15).
    """
    speeds = 10_000.0 ** (-torch.arange(0, head_size, 2, device=positions.device) / head_size)  # (hs / 2,)
    angles = positions[:, None] * speeds  # (T, hs / 2)
    return angles.cos(), angles.sin()


def for_each_head(angles: tuple[Tensor, Tensor], n_head: int) -> tuple[Tensor, Tensor]:
    """The factors of `rotate`, for each number of each head; shapes (T, nh, hs). Laid out in full, since one
    multiplication of long rows is faster than many of short ones."""
    cos, sin = angles  # (T, hs / 2) each
    own, partners = torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)  # (T, hs) each
    return own[:, None].repeat(1, n_head, 1), partners[:, None].repeat(1, n_head, 1)


def rotate(x: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (x[i], x[i + hs / 2]) by its position's angle. Two tokens' dot product then depends on
    how far they stand apart, not on where. x: (B, T, nh, hs)."""
    own, partners = factors
    in_its_place = x.roll(x.size(-1) // 2, dims=-1)  # each number's partner
    return torch.addcmul(x * own, in_its_place, partners)


def norm(config: ExperimentConfig, size: int) -> nn.Module:
    """Brings `size` numbers to a common size, then scales each by a number that is learned. LayerNorm takes
    their mean away first; RMSNorm leaves that out, and learns as well (Zhang and Sennrich 2019)."""
    modern = config.architecture == "qwen3"
    return nn.RMSNorm(size, eps=1e-6) if modern else nn.LayerNorm(size, bias=False)


class Cache:
    """Keys and values of the positions read so far, so that a new token need not read them again."""

    def __init__(self, config: ExperimentConfig, batch: int, device: torch.device) -> None:
        shape = (config.n_layer, 2, batch, config.n_head, config.block_size, config.n_embd // config.n_head)
        self.stored = torch.empty(shape, device=device)  # (L, key or value, B, nh, block_size, hs)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (B, nh, T, hs) of one layer; give those of all positions so far."""
        end = self.length + k.size(2)
        self.stored[layer, 0, :, :, self.length : end] = k
        self.stored[layer, 1, :, :, self.length : end] = v
        return self.stored[layer, 0, :, :, :end], self.stored[layer, 1, :, :, :end]


class Attention(nn.Module):
    """Every position looks back at itself and those before it, and takes a weighted mean of what they
    offer."""

    def __init__(self, config: ExperimentConfig, layer: int) -> None:
        super().__init__()
        self.n_head, self.layer = config.n_head, layer
        modern, head_size = config.architecture == "qwen3", config.n_embd // config.n_head
        self.qkv = Linear(config.n_embd, 3 * config.n_embd)
        self.norm_q = norm(config, head_size) if modern else None
        self.norm_k = norm(config, head_size) if modern else None
        self.out = Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, factors: tuple[Tensor, Tensor] | None, cache: Cache | None) -> Tensor:
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, 3 * self.n_head, C // self.n_head)  # (B, T, 3 nh, hs)
        qk, v = heads.split((2 * self.n_head, self.n_head), dim=2)
        if self.norm_q is not None:
            # Where they are normalized, no query or key can grow so long that the softmax below sees one
            # token only, and stops learning (Henry et al. 2020).
            q, k = qk.chunk(2, dim=2)
            qk = torch.cat((self.norm_q(q), self.norm_k(k)), dim=2)
        if factors is not None:
            qk = rotate(qk, factors)  # at once, which is faster
        q, k = qk.chunk(2, dim=2)  # (B, T, nh, hs) each
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, nh, T, hs)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        # softmax(q k^T / sqrt(hs)) v. Without a past, position t may see only positions up to t (causal). A
        # single new token may see all that is stored. Several new tokens after a stored past would need a
        # mask: `GPT` forbids it.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)  # (B, nh, T, hs)
        return self.out(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """Look around (attention), then think (a small network on each position alone); each adds to what is
    there."""

    def __init__(self, config: ExperimentConfig, layer: int) -> None:
        super().__init__()
        modern, width = config.architecture == "qwen3", config.hidden_width
        self.norm_1 = norm(config, config.n_embd)
        self.attention = Attention(config, layer)
        self.norm_2 = norm(config, config.n_embd)
        self.gate = Linear(config.n_embd, width) if modern else None
        self.widen = Linear(config.n_embd, width)
        self.narrow = Linear(width, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, factors: tuple[Tensor, Tensor] | None, cache: Cache | None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_1(x), factors, cache))
        return x + self.dropout(self.narrow(self.thought(self.norm_2(x))))  # (B, T, C)

    def thought(self, x: Tensor) -> Tensor:
        """The small network's inner numbers (B, T, H). GELU lets through what is positive. SwiGLU has a
        second matrix say how much of each number is let through."""
        if self.gate is None:
            return F.gelu(self.widen(x))
        return F.silu(self.gate(x)) * self.widen(x)


class GPT(nn.Module):
    """The model. Its weights are drawn from `generator`, so the same seed gives the same model. Without one
    it has shapes but no weights (torch's "meta" device), ready for loading them with assign=True."""

    def __init__(self, config: ExperimentConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # else torch would draw weights here, from its global generator
            self.embedding = _table(config.vocab_size, config.n_embd)
            learned = config.positions == "learned"
            self.position_embedding = _table(config.block_size, config.n_embd) if learned else None
            self.dropout = Dropout(config.dropout)
            self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
            self.norm = norm(config, config.n_embd)
            self.head = Linear(config.n_embd, config.vocab_size)
        self.tie()
        if generator is not None:
            self.to_empty(device="cpu")
            self.tie()
            self._draw_weights(generator)
        if not learned:  # nothing to learn or to save, but it goes where the weights go
            angles = rotary_angles(torch.arange(config.block_size), config.n_embd // config.n_head)
            own, partners = for_each_head(angles, 2 * config.n_head)  # of queries and of keys
            self.register_buffer("rotary_own", own, persistent=False)
            self.register_buffer("rotary_partners", partners, persistent=False)

    def tie(self) -> None:
        """Let head and embedding be one tensor: reading a token and predicting it share their knowledge. To
        be called again after loading with assign=True or giving memory, which untie them."""
        self.head.weight = self.embedding.weight

    @torch.no_grad()
    def _draw_weights(self, generator: torch.Generator) -> None:
        """Small numbers everywhere, so that the first guess is nearly uniform and the first loss nearly ln V.
        What adds to the residual stream starts smaller still, as 2 L such terms pile up (Radford et al.
        2019)."""
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                adds = name.endswith(("out.weight", "narrow.weight"))
                std = 0.02 / math.sqrt(2 * self.config.n_layer) if adds else 0.02
                weight.normal_(0.0, std, generator=generator)
            else:
                weight.fill_(1.0)

    def forward(self, idx: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each position of idx (B, T), T at most block_size.

        With a cache, idx continues what the cache has read: a whole prompt at first, then one token at a
        time.
        """
        past = cache.length if cache is not None else 0
        T = idx.size(1)
        assert past + T <= self.config.block_size, (
            f"{past + T} positions, block_size {self.config.block_size}"
        )
        assert T == 1 or past == 0, "several tokens at once only at the start of a cache"
        x = self.embedding(idx)  # (B, T, C)
        factors = None
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[past : past + T]  # (T, C), the same for each sequence
        else:
            factors = self.rotary_own[past : past + T], self.rotary_partners[past : past + T]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, factors, cache)
        if cache is not None:
            cache.length = past + T
        return self.head(self.norm(x))  # (B, T, V)


def _table(rows: int, width: int) -> nn.Embedding:
    # nn.Embedding(rows, width) would draw weights, on the meta device by way of torch's compiler: 75 MB and a
    # second to load, for weights that are drawn anew anyway.
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
