"""Before training: how much a model could learn by heart, beside how much there is to learn in its text.

A GPT stores about 3.6 bits per parameter (Morris et al., "How much do language models memorize?", 2025). They
saw models remember their text until that is full, and only then begin to generalize. The information in a
text is what cannot be guessed of it: its tokens times their surprise for the best predictor there is. For the
story worlds that is exact, as the chance of every story is known. For other texts it is what a good
compressor leaves, which is too much: a model that knows the language needs less.

Two things this leaves out. A model that does not know the language yet has more to store than what is
surprising to somebody who does; a small text is all surprise. And it needs time: how often the text is read
decides how much of it is stored.
"""

import bz2
import math
import zlib
from dataclasses import dataclass
from itertools import islice

from slm_core.caching import computed_once
from slm_core.config import LARGEST_VOCABULARY, SMALLEST_BPE, ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.model.budget import TOKENS_PER_PARAMETER, budget
from slm_core.text import exhibit, stories
from slm_core.text.corpus import VALIDATION_SHARE, story_tokenizer
from slm_core.text.tokenizer import make_tokenizer

BITS_PER_PARAMETER = 3.6  # Morris et al. (2025)
FEWEST_TOKENS_PER_PARAMETER = 10.5  # enough for the smaller models of nanochat (Karpathy 2025)
# Reading a text so often is worth nearly as much as new text (Muennighoff et al. 2023).
READINGS_AS_GOOD_AS_NEW = 4
_LIMITS = (
    "Both are rules of thumb from larger models; a beginner has more to store of a text than somebody who "
    "knows its language."
)
_SAMPLE_SEED, _SAMPLE_STORIES = 3, 200
_MOST_MEASURED = 300_000  # characters of one's own text


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a model could hold of its text. Bits are of information; fill is their ratio.

    prediction   what that leads one to expect, in sentences
    """

    parameters: int
    capacity_bits: float
    text_bits: float
    fill: float
    tokens_per_parameter: float
    prediction: str


def capacity(config: ExperimentConfig, text_bits: float) -> Capacity:
    """The gauge of a config whose training text holds so many bits of information (more than 0)."""
    cost = budget(config)
    bits = BITS_PER_PARAMETER * cost.parameters
    return Capacity(
        parameters=cost.parameters,
        capacity_bits=bits,
        text_bits=text_bits,
        fill=text_bits / bits,
        tokens_per_parameter=cost.tokens_per_parameter,
        prediction=(
            f"{_by_heart(text_bits / bits, config.epochs)} {_ratio(cost.tokens_per_parameter)} {_LIMITS}"
        ),
    )


def estimated_text_bits(config: ExperimentConfig, text: str | None = None) -> float:
    """The information in the training text that a config asks for, in bits, without preparing it; `text` is
    measured when config.corpus is "own".

    A repeated text holds no more than it does once. Takes up to half a second the first time, then a
    thousandth, and a few hundredths for each new vocab_size. Raises CorpusError if there is no text to
    measure, TokenizerError when its tokenizer is not to be had.
    """
    if config.corpus == "own":
        if not text:
            raise CorpusError("The corpus is your own text, but no text was given. Paste or upload one.")
        bits, tokens = _own_rates(text[:_MOST_MEASURED], config.tokenizer, config.vocab_size)
        there = (1 - VALIDATION_SHARE) * len(text) * tokens
        return min(config.dataset_size, there) * bits / tokens
    size, world = config.dataset_size, config.corpus
    if config.corpus == "repeated":
        size, world = min(size, exhibit.MOST_TOKENS), "stories"
    return size * _story_bits_per_token(world, config.tokenizer, config.vocab_size)


@computed_once(maxsize=64)
def _story_bits_per_token(world: str, kind: str, vocab_size: int) -> float:
    """The entropy of a story world per token, end marks counted, from a sample of it."""
    if kind == "bpe":  # a smaller vocabulary is the beginning of the largest: it is learned only once
        tokenizer = story_tokenizer(world, LARGEST_VOCABULARY)
        if vocab_size < tokenizer.vocab_size:
            tokenizer = tokenizer.with_merges(vocab_size - SMALLEST_BPE)
    else:
        tokenizer = story_tokenizer(world, vocab_size, kind)
    sample, nats = _story_sample(world)
    return nats / math.log(2) / (len(tokenizer.encode_documents(sample)) - 1)


@computed_once(maxsize=len(stories.SIZES))
def _story_sample(world: str) -> tuple[tuple[str, ...], float]:
    """Some stories, and the nats of information that they hold together."""
    sample = tuple(islice(stories.draw(world, _SAMPLE_SEED), _SAMPLE_STORIES))
    return sample, -sum(stories.score(story, world).log_probability for story in sample)


@computed_once(maxsize=8)
def _own_rates(sample: str, kind: str, vocab_size: int) -> tuple[float, float]:
    """Bits of information and tokens per character of a text, from its beginning."""
    content = sample.encode("utf-8", "replace")
    compressed = min(len(zlib.compress(content, 9)), len(bz2.compress(content)))
    tokens = len(make_tokenizer(kind, [sample], vocab_size).encode(sample))
    return 8 * compressed / len(sample), tokens / len(sample)


def _by_heart(fill: float, readings: float) -> str:
    if fill > 1:
        return (
            f"This text holds {fill:,.1f} times as much as the model can store, so it cannot learn all of it "
            "by heart: to get better, it has to learn what the passages have in common."
        )
    room = f"The model could store about {float(f'{1 / fill:.2g}'):,.0f} times what this text holds"
    if fill > 0.5:
        room = "The model could just store what this text holds"
    if readings <= READINGS_AS_GOOD_AS_NEW:
        return (
            f"{room}, but reads it only {readings:.2g} times. Up to about {READINGS_AS_GOOD_AS_NEW} readings "
            "are nearly as good as new text, so expect it to learn little by heart."
        )
    return f"{room}. It reads it {readings:,.0f} times: the more often, the more it learns by heart."


def _ratio(tokens_per_parameter: float) -> str:
    said = (
        f"It has {tokens_per_parameter:,.2g} tokens of text per parameter; computing time goes furthest with "
        f"about {FEWEST_TOKENS_PER_PARAMETER:g} to {TOKENS_PER_PARAMETER}"
    )
    if tokens_per_parameter < FEWEST_TOKENS_PER_PARAMETER:
        return f"{said}, so more text would help more than a larger model."
    if tokens_per_parameter <= TOKENS_PER_PARAMETER:
        return f"{said}."
    return f"{said}, so a larger model could make use of this text."
