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

    Embedding: V d, and T d for learned positions. Blocks: L (4 d^2 + m d h + 2 d) + d: attention, m matrices
    with h = hidden_width (2 for gpt2, where this is 12 d^2 + 2 d; 3 for qwen3), two norms, and the final one.
    qwen3 has two norms more in each block, as long as a head.
    Arithmetic: 6 per parameter and token (2 forward, 4 backward), and 12 L d T for attention (Kaplan et al.
    2020; Chowdhery et al. 2022, appendix B); positions that are looked up cost none. AdamW's update is not
    worth counting; Muon's is (`_orthogonalizing`). Memory: weights, gradients, the optimizer's two moments
    (Muon: one, for the blocks' matrices), and the activations that the backward pass needs, of which the
    logits are often the largest.
    """
    V, T, d, layers = config.vocab_size, config.block_size, config.n_embd, config.n_layer
    h, modern, muon = config.hidden_width, config.architecture == "qwen3", config.optimizer == "muon"
    positions = T * d if config.positions == "learned" else 0
    embedding = V * d + positions
    matrices = layers * (4 * d * d + (3 if modern else 2) * d * h)
    scales = layers * (2 * d + (2 * d // config.n_head if modern else 0)) + d
    parameters = embedding + matrices + scales
    flops_per_token = 6 * (parameters - positions) + 12 * layers * d * T
    flops_per_step = flops_per_token * config.tokens_per_step + (_orthogonalizing(config) if muon else 0)
    # About 20 d in a block of gpt2, 24 d in one of qwen3. Then logits, their softmax and gradient.
    per_token_activations = layers * (16 * d + (3 * h if modern else h)) + 3 * V
    passes = config.batch_size * T
    optimizer = 2 * parameters - (matrices if muon else 0)
    return Budget(
        embedding_parameters=embedding,
        block_parameters=matrices + scales,
        flops_per_step=flops_per_step,
        training_flops=flops_per_step * config.max_iters,
        training_memory_bytes=_BYTES * (2 * parameters + optimizer + per_token_activations * passes),
        checkpoint_bytes=_BYTES * parameters,
        tokens_per_parameter=config.dataset_size / parameters,
    )


def _orthogonalizing(config: ExperimentConfig) -> int:
    """The arithmetic of one update by Muon: five times three products for each matrix (a, b), a <= b, of a
    block: 2 a^2 b, 2 a^3 and 2 a^2 b."""
    d, h = config.n_embd, config.hidden_width
    squares, others = 4, 2 if config.architecture == "gpt2" else 3  # query, key, value, out; thinking
    once = squares * 6 * d**3 + others * (4 * d * d * h + 2 * d**3)
    return 5 * once * config.n_layer
