"""What a larger vocabulary gives, and what it costs: shorter texts, and more of the model spent on its
embedding."""

from collections.abc import Mapping
from dataclasses import dataclass

from slm_core.config import ExperimentConfig
from slm_core.model.budget import budget
from slm_core.text.tokenizer import BytePairs, Tokenizer

_SIZES = (257, 300, 400, 512, 700, 1_024, 1_500, 2_048, 3_000, 4_096, 6_000, 8_192)


@dataclass(frozen=True, kw_only=True)
class VocabularyPoint:
    """One tokenizer: its size, tokens per word of the text measured, and the embedding's share (0..1) of all
    parameters."""

    name: str
    vocab_size: int
    tokens_per_word: float
    embedding_share: float


def vocabulary_points(
    tokenizers: Mapping[str, Tokenizer], text: str, config: ExperimentConfig
) -> list[VocabularyPoint]:
    """A point for each named tokenizer, measured on a text that has words, for models like config's."""
    words = len(text.split())
    points = []
    for name, tokenizer in tokenizers.items():
        cost = budget(config.with_changes({"tokenizer": tokenizer.kind, "vocab_size": tokenizer.vocab_size}))
        points.append(
            VocabularyPoint(
                name=name,
                vocab_size=tokenizer.vocab_size,
                tokens_per_word=len(tokenizer.encode(text)) / words,
                embedding_share=cost.embedding_parameters / cost.parameters,
            )
        )
    return points


def of_every_size(tokenizer: BytePairs) -> dict[str, BytePairs]:
    """The same merges in vocabularies of growing size, from bytes alone to all of them, by a name that says
    how many tokens there are."""
    sizes = [size for size in _SIZES if size < tokenizer.vocab_size]
    return {f"{size:,} tokens": tokenizer.with_merges(size - 257) for size in sizes} | {
        f"{tokenizer.vocab_size:,} tokens, all it found": tokenizer
    }
