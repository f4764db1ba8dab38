"""The floor is what a perfect predictor scores: by enumeration in a small world, by laws in the large one."""

import math
import re
from collections import defaultdict
from functools import lru_cache
from itertools import islice, permutations

import numpy as np
import pytest
import torch

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import spans, stories
from slm_core.text.corpus import prepare, story_tokenizer
from slm_core.text.floor import irreducible_loss, span_surprise
from slm_core.text.tokenizer import Tokenizer, make_tokenizer
from slm_core.train.evaluate import Measured, measure, windows_from_starts

# Words that begin like other words, signs behind signs, an end where another text goes on: whatever makes a
# beginning of a text have more than one way to be cut into tokens.
WORLD = """
[list toy]
cat, cats, catkin, car, yo-yo, yo
[rule tales]
A {toy}(.|!|."|, a {toy2}.|, a {toy2}!|, a {toy2}."|)
"""
TOYS = ("cat", "cats", "catkin", "car", "yo-yo", "yo")


def enumerated() -> dict[str, float]:
    """Every text of WORLD and its probability, by plain loops."""
    texts: dict[str, float] = defaultdict(float)
    for toy, toy2 in permutations(TOYS, 2):
        for end in ("", ".", "!", '."'):
            texts[f"A {toy}{end}"] += 1 / 7 / 30
            if end:
                texts[f"A {toy}, a {toy2}{end}"] += 1 / 7 / 30
    return texts


TEXTS = enumerated()
TOKENIZERS = [("bpe", 257), ("bpe", 264), ("bpe", 272), ("bpe", 290), ("bytes", 0), ("characters", 0)]


@pytest.fixture
def small_world(monkeypatch):
    program = stories.compile_world(WORLD, "tales")
    monkeypatch.setattr(stories, "_program", lambda size: program)


def made(kind: str, size: int) -> Tokenizer:
    return make_tokenizer(kind, list(TEXTS) * 3, size)


def beginnings(tokenizer: Tokenizer) -> dict[tuple[int, ...], float]:
    """The probability of every beginning of a row of tokens, end mark included, added up over all texts."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for text, chance in TEXTS.items():
        row = (*tokenizer.encode(text), tokenizer.end_of_text)
        for length in range(len(row) + 1):
            found[row[:length]] += chance
    return found


def test_the_enumeration_is_of_the_whole_world(small_world):
    assert sum(TEXTS.values()) == pytest.approx(1)
    assert all(
        stories.score(text, "tales").log_probability == pytest.approx(math.log(chance))
        for text, chance in TEXTS.items()
    )


@pytest.mark.parametrize(("kind", "size"), TOKENIZERS)
def test_every_beginning_has_its_exact_surprise(small_world, kind, size):
    tokenizer = made(kind, size)
    for row, chance in beginnings(tokenizer).items():
        assert span_surprise(list(row), tokenizer, "tales") == pytest.approx(-math.log(chance), abs=1e-12)


def test_neither_the_letters_nor_the_letters_and_a_boundary_would_do(small_world):
    """So the test above can fail: " cat" is less than all texts with these letters, and more than all in
    which a word ends there."""
    tokenizer = made("bpe", 290)
    known = {row: p for row, p in beginnings(tokenizer).items() if tokenizer.end_of_text not in row}
    letters, boundary = (
        [
            sum(p for text, p in TEXTS.items() if re.match(re.escape(tokenizer.decode(row)) + then, text))
            for row in known
        ]
        for then in ("", r"(?![a-z])")
    )
    assert any(p < 0.99 * more for p, more in zip(known.values(), letters, strict=True))
    assert any(p > 1.01 * less for p, less in zip(known.values(), boundary, strict=True))


class Perfect(torch.nn.Module):
    """A model whose logits are the exact conditional probabilities of the small world."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(1, 1)  # `measure` asks it for its device
        self.known, self.size = beginnings(tokenizer), tokenizer.vocab_size

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = torch.full((*inputs.shape, self.size), -1e4)
        for number, row in enumerate(inputs.tolist()):
            for place in range(len(row)):
                before = tuple(row[1 : place + 1])  # the first is the end mark of the text before
                for token in range(self.size):
                    if chance := self.known.get((*before, token)):
                        logits[number, place, token] = math.log(chance / self.known[before])
        return logits


@pytest.mark.parametrize(("kind", "size", "block_size"), [("bpe", 272, 16), ("bpe", 290, 4), ("bytes", 0, 9)])
def test_a_perfect_predictor_measured_as_models_are_reaches_the_floor(small_world, kind, size, block_size):
    tokenizer = made(kind, size)
    random = np.random.default_rng(0)
    drawn = random.choice(list(TEXTS), size=40, p=list(TEXTS.values()))
    ids = tokenizer.encode_documents(map(str, drawn))
    windows = windows_from_starts(ids, block_size, tokenizer.end_of_text)
    lengths = torch.from_numpy(tokenizer.byte_lengths())
    *_, scored = measure(Perfect(tokenizer), windows, lengths, lambda work: work())
    assert isinstance(scored, Measured)
    floor = irreducible_loss(ids, tokenizer, block_size, "tales")
    assert floor.nats_per_token == pytest.approx(scored.loss, rel=1e-5)
    assert floor.bits_per_byte == pytest.approx(scored.bits_per_byte, rel=1e-5)
    assert floor.standard_error == pytest.approx(scored.standard_error, rel=1e-4)
    assert (floor.tokens, floor.documents) == (windows.tokens, len(windows))


@lru_cache(maxsize=2)
def fresh(corpus: str) -> list[str]:
    return list(islice(stories.draw(corpus, seed=77), 2_000))


@pytest.mark.parametrize(
    ("corpus", "kind", "vocab_size", "block_size"),
    [
        ("tales", "bpe", 768, 64),
        ("tales", "bytes", 257, 64),
        ("stories", "bpe", 1024, 128),
        ("stories", "bpe", 2048, 64),
        ("stories", "bpe", 1024, 256),
    ],
)
def test_fresh_stories_are_as_surprising_as_the_validation_set(
    monkeypatch, corpus, kind, vocab_size, block_size
):
    config = ExperimentConfig(
        corpus=corpus, tokenizer=kind, vocab_size=vocab_size, block_size=block_size, dataset_size=400
    )
    dataset = prepare(config)
    floor = irreducible_loss(dataset.validation, dataset.tokenizer, block_size, corpus)
    monkeypatch.setattr(spans, "MOST_TOKENS", 10**9)  # all 2,000 of them
    new = irreducible_loss(
        dataset.tokenizer.encode_documents(fresh(corpus)), dataset.tokenizer, block_size, corpus
    )
    assert new.documents == 2_000 and new.standard_error < floor.standard_error
    off_by = abs(new.nats_per_token - floor.nats_per_token)
    assert off_by < 2 * math.hypot(new.standard_error, floor.standard_error)


@pytest.mark.parametrize("corpus", ["tales", "stories"])
@pytest.mark.parametrize("vocab_size", [300, 1024])
def test_the_chances_of_all_next_tokens_add_up_to_that_of_the_tokens_before(corpus, vocab_size):
    tokenizer = story_tokenizer(corpus, vocab_size)
    row = tokenizer.encode(next(stories.draw(corpus, seed=5)))
    for length in (1, 7, 20):
        before = row[:length]
        after = sum(
            math.exp(-span_surprise([*before, token], tokenizer, corpus)) for token in range(vocab_size)
        )
        assert after == pytest.approx(math.exp(-span_surprise(before, tokenizer, corpus)), rel=1e-9)


def test_bits_per_byte_of_whole_stories_does_not_depend_on_the_tokenizer():
    texts = list(islice(stories.draw("tales", seed=3), 30))
    found = [
        irreducible_loss(tokenizer.encode_documents(texts), tokenizer, 512, "tales").bits_per_byte
        for tokenizer in (story_tokenizer("tales", 300), story_tokenizer("tales", 1024), made("bytes", 0))
    ]
    whole = -sum(stories.score(text, "tales").log_probability for text in texts)
    assert found == pytest.approx([whole / math.log(2) / sum(map(len, texts))] * 3, rel=1e-12)


def test_what_is_no_story_has_no_floor():
    tokenizer = story_tokenizer("tales", 300)
    with pytest.raises(CorpusError, match=r"'own' is not known.*tales and stories"):
        irreducible_loss(tokenizer.encode_documents(["Hello."]), tokenizer, 64, "own")
    with pytest.raises(CorpusError, match=r"not one of the tales.*Hello"):
        irreducible_loss(tokenizer.encode_documents(["Hello."]), tokenizer, 64, "tales")
    with pytest.raises(CorpusError, match="no stories"):
        irreducible_loss(tokenizer.encode_documents([]), tokenizer, 64, "tales")
    story = next(stories.draw("tales", seed=1))
    assert span_surprise(list(story.encode()), tokenizer, "tales") == math.inf, "letters where BPE has words"
    assert span_surprise([255], tokenizer, "tales") == math.inf
