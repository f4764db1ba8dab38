"""The floor: the loss of a perfect predictor, which knows the story world and no more of a story than the
model.

A predictor that gives each token its true chance p(token | tokens before) is surprised by a span of tokens
t1 ... tm by -log P(A), A being "the tokens of a story begin with t1 ... tm": the conditionals multiply up to
that, whatever the tokenizer. P(A) is exact here, in one of two ways:

- A span that holds a whole story and its end mark. Text and tokens determine each other, so P(A) is the
  chance of the story.
- A span cut off inside a story. Its text alone does not settle its tokens: " cat" may go on as " cats", and
  that may be one other token. But tokens never reach from a letter or sign across the blank behind it. So all
  ways to go on to the next such blank are gone through, with their chances; those whose tokens begin with
  t1 ... tm add up to P(A). Nothing is left out and nothing is taken for granted about what comes behind the
  cut, so this is what a model can reach, to the last digit.

Source: Shannon, "A Mathematical Theory of Communication" (1948), section 7.
"""

import math
from dataclasses import dataclass

import numpy as np

from slm_core.errors import CorpusError
from slm_core.text import stories
from slm_core.text.spans import mean_and_error, spans_from_starts
from slm_core.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Floor:
    """No model can do better on average: the perfect predictor's loss on the scored tokens of given stories.

    nats_per_token   its mean surprise; standard_error is from story to story, as the validation loss's is
    bits_per_byte    the same per UTF-8 byte of the scored tokens; an end mark has none
    tokens           how many are scored, in `documents` stories
    """

    nats_per_token: float
    standard_error: float
    bits_per_byte: float
    tokens: int
    documents: int


def irreducible_loss(ids: np.ndarray, tokenizer: Tokenizer, block_size: int, corpus: str) -> Floor:
    """The floor of exactly the tokens that are scored of these ids, stories with an end mark before each.

    On average means: over stories newly drawn. On one fixed set a model may by luck be below it, by about as
    much as the standard error. The held-out stories are kept out of the training stories, and no story comes
    twice; the perfect predictor makes no use of that. At a million training tokens it would be worth less
    than 0.0001 nats.

    Raises CorpusError if corpus is no story world, or a text is no story of it.
    """
    if corpus not in stories.SIZES:
        raise CorpusError(
            f"The irreducible loss of {corpus!r} is not known: nobody knows how probable its texts are. "
            f"It is known for {' and '.join(stories.SIZES)}."
        )
    spans = spans_from_starts(ids, block_size, tokenizer.end_of_text)
    if not len(spans):
        raise CorpusError("There are no stories to compute the irreducible loss of.")
    scored = [
        ids[start + 1 : start + 1 + length].tolist()
        for start, length in zip(spans.starts, spans.lengths, strict=True)
    ]
    nats = np.array([span_surprise(span, tokenizer, corpus) for span in scored])
    if np.isinf(nats).any():
        text = tokenizer.decode(scored[int(np.argmax(nats))])
        raise CorpusError(f"This is not one of the {corpus}, so it has no irreducible loss: {text[:80]!r}.")
    mean, error = mean_and_error(nats, spans.lengths)
    scored_bytes = int(tokenizer.byte_lengths()[ids[spans.scored()]].sum())
    return Floor(
        nats_per_token=mean,
        standard_error=error,
        bits_per_byte=float(nats.sum()) / (math.log(2) * scored_bytes),
        tokens=spans.tokens,
        documents=len(spans),
    )


def span_surprise(span: list[int], tokenizer: Tokenizer, corpus: str) -> float:
    """-log of the chance that the tokens of a story begin with these, in nats; inf if no story's do.

    A last id that is the end mark says that the story ends there.
    """
    whole = span[-1:] == [tokenizer.end_of_text]
    tokens = span[:-1] if whole else span
    try:
        text = b"".join(map(tokenizer.token_bytes, tokens)).decode("ascii")
    except UnicodeDecodeError:  # the world has plain letters and signs only
        return math.inf
    if whole:
        canonical = tokenizer.encode(text) == tokens
        return -stories.score(text, corpus).log_probability if canonical else math.inf
    chance = sum(
        chance
        for way, chance in stories.continuations(text, corpus).items()
        if tokenizer.encode(text + way)[: len(tokens)] == tokens
    )
    return -math.log(chance) if chance else math.inf
