"""What vocabularies give and cost, against closed forms."""

from itertools import pairwise

import pytest

from slm_core.config import ExperimentConfig
from slm_core.study.vocabulary import of_every_size, vocabulary_points
from slm_core.text.corpus import held_out_stories, story_tokenizer
from slm_core.text.tokenizer import make_tokenizer, train_bpe

CONFIG = ExperimentConfig(n_layer=1, n_head=2, n_embd=16)


def test_bytes_of_a_known_text():
    (point,) = vocabulary_points({"bytes": make_tokenizer("bytes", [], 0)}, "four more", CONFIG)
    assert (point.name, point.vocab_size, point.tokens_per_word) == ("bytes", 257, 4.5)
    embedding, block = 257 * 16, 12 * 16 * 16 + 2 * 16 + 16
    assert point.embedding_share == pytest.approx(embedding / (embedding + block))


def test_on_stories_a_larger_vocabulary_means_shorter_texts_and_a_larger_embedding():
    family = of_every_size(story_tokenizer("stories", 4_096, "bpe"))
    points = vocabulary_points(family, held_out_stories("stories"), CONFIG)
    assert points[0].vocab_size == 257
    for small, large in pairwise(points):
        assert small.vocab_size < large.vocab_size
        assert small.tokens_per_word > large.tokens_per_word
        assert small.embedding_share < large.embedding_share


def test_a_smaller_vocabulary_of_the_family_is_the_tokenizer_of_that_size():
    family = of_every_size(story_tokenizer("stories", 4_096, "bpe"))
    assert family["1,024 tokens"].to_dict() == story_tokenizer("stories", 1_024, "bpe").to_dict()


def test_the_last_of_the_family_is_as_large_as_was_made_not_as_was_asked_for():
    made = train_bpe(["abab cdcd"], 5_000)
    assert [*of_every_size(made)] == ["257 tokens", f"{made.vocab_size} tokens, all it found"]
