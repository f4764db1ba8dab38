"""The capacity gauge, against closed forms and texts whose information is known."""

import math
from itertools import islice, pairwise
from random import Random

import numpy as np
import pytest

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.study.capacity import capacity, estimated_text_bits
from slm_core.text import stories
from slm_core.text.corpus import prepare, story_tokenizer
from slm_core.text.exhibit import MOST_TOKENS

CONFIG = ExperimentConfig(n_layer=2, n_embd=128, vocab_size=1_024)
PARAMETERS = 1_024 * 128 + 2 * (12 * 128**2 + 2 * 128) + 128  # V d + L (12 d^2 + 2 d) + d


def with_settings(**changes: object) -> ExperimentConfig:
    return CONFIG.with_changes(changes)


def test_the_gauge_is_arithmetic():
    found = capacity(with_settings(dataset_size=1_000_000), text_bits=1e6)
    assert found.parameters == PARAMETERS
    assert found.capacity_bits == pytest.approx(3.6 * PARAMETERS)
    assert found.fill == pytest.approx(1e6 / (3.6 * PARAMETERS))
    assert found.tokens_per_parameter == pytest.approx(1e6 / PARAMETERS)


@pytest.mark.parametrize(("world", "kind"), [("tales", "bpe"), ("stories", "bpe"), ("tales", "bytes")])
def test_the_estimate_is_the_information_in_the_very_stories_that_are_read(world, kind):
    config = with_settings(corpus=world, tokenizer=kind, dataset_size=30_000)
    dataset = prepare(config)
    marks = np.flatnonzero(dataset.train == dataset.tokenizer.end_of_text)
    texts = [dataset.tokenizer.decode(dataset.train[start + 1 : end]) for start, end in pairwise(marks)]
    nats = -sum(stories.score(text, world).log_probability for text in texts)
    exact = nats / math.log(2) * 30_000 / (marks[-1] - marks[0])  # the last story is cut off
    assert estimated_text_bits(config) == pytest.approx(exact, rel=0.03)


def test_a_vocabulary_changes_what_a_token_holds_and_not_what_a_story_holds():
    """Bits per token go up as stories take fewer tokens; the largest asked for is more than is ever found."""
    told = list(islice(stories.draw("tales", 5), 200))
    bits_a_story = []
    for size in (257, 1_024, 30_000):
        tokens = len(story_tokenizer("tales", size).encode_documents(told)) / 200
        config = with_settings(corpus="tales", vocab_size=size, dataset_size=1_000)
        bits_a_story.append(estimated_text_bits(config) / 1_000 * tokens)
    assert bits_a_story == pytest.approx([np.mean(bits_a_story)] * 3, rel=0.02)


def test_a_text_told_again_holds_no_more():
    once = estimated_text_bits(with_settings(dataset_size=5_000))
    assert estimated_text_bits(with_settings(corpus="repeated", dataset_size=5_000)) == once
    largest = estimated_text_bits(with_settings(dataset_size=MOST_TOKENS))
    assert estimated_text_bits(with_settings(corpus="repeated", dataset_size=9 * MOST_TOKENS)) == largest


def digits(count: int) -> str:
    random = Random(5)
    return "".join(random.choice("0123456789abcdef") for _ in range(count))


@pytest.mark.parametrize("tokenizer", ["bytes", "characters", "bpe"])
def test_sixteen_digits_at_random_hold_four_bits_each(tokenizer):
    config = with_settings(corpus="own", tokenizer=tokenizer, vocab_size=257, dataset_size=20_000)
    assert estimated_text_bits(config, digits(100_000)) == pytest.approx(4 * 20_000, rel=0.1)


def test_of_a_short_text_only_what_is_not_held_out_is_learned_from():
    config = with_settings(corpus="own", tokenizer="bytes", dataset_size=10**7)
    assert estimated_text_bits(config, digits(100_000)) == pytest.approx(0.9 * 4 * 100_000, rel=0.1)


def test_one_sentence_over_and_over_holds_next_to_nothing():
    config = with_settings(corpus="own", tokenizer="bytes", dataset_size=10**6)
    assert estimated_text_bits(config, "The same again. " * 5_000) < 8 * 200


@pytest.mark.parametrize("text", [None, ""])
def test_ones_own_text_must_be_given(text):
    with pytest.raises(CorpusError, match="no text was given"):
        estimated_text_bits(with_settings(corpus="own"), text)


@pytest.mark.parametrize(
    ("fill", "readings", "words"),
    [
        (0.001, 100, ["about 1,000 times what this text holds", "reads it 100 times"]),
        (0.001, 3, ["reads it only 3 times", "little by heart"]),
        (0.9, 100, ["could just store"]),
        (4.0, 100, ["4.0 times as much as the model can store", "cannot learn all of it by heart"]),
        (4.0, 2, ["cannot learn all of it by heart"]),
    ],
)
def test_what_room_and_readings_lead_one_to_expect(fill, readings, words):
    size = 8 * 128 * 1_000 // readings
    config = with_settings(dataset_size=size, max_iters=1_000)
    said = capacity(config, fill * 3.6 * PARAMETERS).prediction
    assert all(word in said for word in words), said
    assert "rules of thumb" in said and said.endswith(".") and "  " not in said


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0.1, "more text would help"), (15, "about 10.5 to 20."), (100, "a larger model could")],
)
def test_what_tokens_per_parameter_lead_one_to_expect(ratio, words):
    config = with_settings(dataset_size=int(ratio * PARAMETERS))
    assert words in capacity(config, 1e6).prediction
