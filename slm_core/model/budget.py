"""What a model costs, in closed form and without building it: parameters, arithmetic, memory, file size."""

from dataclasses import dataclass

from slm_core.config import ExperimentConfig

TOKENS_PER_PARAMETER = 20  # compute-optimal training reads about this many (Hoffmann et al. 2022)
_BYTES = 4  # of one float32


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Costs of one config. Parameters are counted once though embedding and head share theirs."""

    embedding_parameters: int
    block_parameters: int
    flops_per_step: int
    training_flops: int
    training_memory_bytes: int
    checkpoint_bytes: int
    tokens_per_parameter: float

    @property
    def parameters(self) -> int:
        """All numbers that training changes."""
        return self.embedding_parameters + self.block_parameters


def budget(config: ExperimentConfig) -> Budget:
    """The costs of a config.

    Embedding: V d, and T d for learned positions. Blocks: L (12 d^2 + 2 d) + d, the last d being the final
    norm.
    Arithmetic: 6 per parameter and token (2 forward, 4 backward), and 12 L d T for attention (Kaplan et al.
    2020; Chowdhery et al. 2022, appendix B); positions that are looked up cost none. Memory: weights,
    gradients and AdamW's two moments, and the activations that the backward pass needs, of which the logits
    are often the largest.
    """
    V, T, d, layers = config.vocab_size, config.block_size, config.n_embd, config.n_layer
    positions = T * d if config.positions == "learned" else 0
    embedding = V * d + positions
    blocks = layers * (12 * d * d + 2 * d) + d
    flops_per_token = 6 * (embedding - positions + blocks) + 12 * layers * d * T
    per_token_activations = layers * 20 * d + 3 * V  # about 20 d a block; logits, their softmax and gradient
    passes = config.batch_size * T
    return Budget(
        embedding_parameters=embedding,
        block_parameters=blocks,
        flops_per_step=flops_per_token * config.tokens_per_step,
        training_flops=flops_per_token * config.tokens_per_step * config.max_iters,
        training_memory_bytes=_BYTES * (4 * (embedding + blocks) + per_token_activations * passes),
        checkpoint_bytes=_BYTES * (embedding + blocks),
        tokens_per_parameter=config.dataset_size / (embedding + blocks),
    )
