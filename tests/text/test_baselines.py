"""Yardsticks: by hand, against texts whose entropy is known, and against the standard library's gzip."""

import gzip
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig
from slm_core.text.baselines import Trigram, yardsticks
from slm_core.text.corpus import Dataset, prepare
from slm_core.text.floor import irreducible_loss
from slm_core.text.tokenizer import Bytes
from slm_core.train.evaluate import consecutive_windows, windows_from_starts

BYTES = Bytes()
END = BYTES.end_of_text
IDS = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(lambda ids: np.array([5, *ids]))  # 5: end mark


def dataset_of(train: list[str], validation: list[str], from_starts: bool = True) -> Dataset:
    sides = map(BYTES.encode_documents, (train, validation))
    return Dataset(*sides, tokenizer=BYTES, scored_from_starts=from_starts)


@pytest.fixture(scope="module")
def stories() -> Dataset:
    return prepare(ExperimentConfig(dataset_size=60_000))


def test_uniform_and_unigram_by_hand():
    found = yardsticks(dataset_of(["abab", "b"], ["ab", "c"] * 10), 64)
    counts = {"a": 2, "b": 3, "c": 0, "end": 2}
    expected = [-math.log((counts[each] + 1) / (7 + 257)) for each in ("a", "b", "end", "c", "end")]
    assert found.unigram_nats == pytest.approx(sum(expected) / 5)
    assert found.unigram_bits_per_byte == pytest.approx(sum(expected) / 3 / math.log(2))
    assert found.uniform_nats == pytest.approx(math.log(257))
    assert found.uniform_bits_per_byte == pytest.approx(math.log2(257) * 5 / 3)
    assert (found.scored_tokens, found.scored_bytes, found.training_tokens) == (50, 30, 8)


@settings(deadline=None)
@given(IDS, st.integers(0, 6), st.integers(0, 5))
def test_the_trigrams_chances_add_up_to_one_and_none_is_zero(ids, second, before):
    trigram = Trigram(ids, vocab_size=6, end_of_text=5)
    assert trigram.nothing == 6
    chances = trigram.probabilities(np.full(6, second), np.full(6, before), np.arange(6))
    assert chances.sum() == pytest.approx(1) and (chances > 0).all()


def slow_trigram(
    ids: list[int], counted: list[bool], weights: np.ndarray, second: int, before: int
) -> list[float]:
    """The chances of ids 0..5 in words: counts in dictionaries, weights by how often a context was seen."""
    triples, pairs, singles = Counter(), Counter(), Counter()
    for place in range(1, len(ids)):
        if counted[place]:
            a = 6 if place == 1 or ids[place - 1] == 5 else ids[place - 2]
            triples[a, ids[place - 1], ids[place]] += 1
            pairs[ids[place - 1], ids[place]] += 1
            singles[ids[place]] += 1
    seen = (
        sum(triples[second, before, each] for each in range(6)) if second != 6 else 0,
        sum(pairs[before, each] for each in range(6)),
        sum(singles.values()),
    )
    chances = []
    for target in range(6):
        chance = 1 / 6
        together = (triples[second, before, target], pairs[before, target], singles[target])
        for order in (2, 1, 0):
            if seen[order]:
                weight = weights[order][math.ceil(math.log2(seen[order] + 1))]
                chance = weight * together[order] / seen[order] + (1 - weight) * chance
        chances.append(chance)
    return chances


@settings(deadline=None)
@given(IDS, st.integers(0, 6), st.integers(0, 5))
def test_the_trigram_is_that_of_a_slow_one(ids, second, before):
    trigram = Trigram(ids, vocab_size=6, end_of_text=5)
    found = trigram.probabilities(np.full(6, second), np.full(6, before), np.arange(6))
    slow = slow_trigram(ids.tolist(), [True] * len(ids), trigram._weights, second, before)
    assert found.tolist() == pytest.approx(slow)


def test_no_other_weights_make_the_held_out_text_more_probable():
    """Weights are fitted on documents left out of counting: here, of every tenth."""
    random = np.random.default_rng(0)
    tables = random.dirichlet([0.5] * 5, size=5)  # of a chain of pairs
    documents = []
    for _ in range(200):
        documents.append([5, 0])
        for _ in range(29):
            documents[-1].append(int(random.choice(5, p=tables[documents[-1][-1]])))
    ids = np.array([*itertools.chain(*documents), 5])
    trigram = Trigram(ids, vocab_size=6, end_of_text=5)
    counted = [document % 10 != 0 for document in range(200) for _ in range(31)] + [True]
    counted = [True, *counted[:-1]]  # an end mark belongs to the document it ends

    def held_out_nats(weights: np.ndarray) -> float:
        cached = {}
        total = 0.0
        for place in range(1, len(ids)):
            if not counted[place]:
                a = 6 if place == 1 or ids[place - 1] == 5 else int(ids[place - 2])
                context = a, int(ids[place - 1])
                if context not in cached:
                    cached[context] = slow_trigram(ids.tolist(), counted, weights, *context)
                total -= math.log(cached[context][ids[place]])
        return total

    best, others = held_out_nats(trigram._weights), []
    for order in range(3):
        for change in (-0.3, -0.1, 0.1, 0.3):
            weights = trigram._weights.copy()
            weights[order] = (weights[order] + change).clip(0.001, 0.999)
            others.append(held_out_nats(weights))
    assert min(others) > 0.998 * best, "the half observations that hold weights back cost no more"
    assert max(others) > 1.02 * best


def chain(length: int, seed: int) -> tuple[np.ndarray, float]:
    """Ids of a text in which each token depends on the two before it, and its entropy in nats per token."""
    tables = np.random.default_rng(1).dirichlet([0.3] * 6, size=(6, 6))
    random = np.random.default_rng(seed)
    ids, nats = [0, 1], 0.0
    for _ in range(length):
        table = tables[ids[-2], ids[-1]]
        ids.append(int(random.choice(6, p=table)))
        nats -= math.log(table[ids[-1]])
    return np.array(ids, dtype=np.uint16), nats / length


def test_a_text_that_is_a_chain_of_triples_is_predicted_as_well_as_it_can_be():
    train, _ = chain(30_000, seed=2)
    validation, entropy = chain(8_000, seed=3)
    found = yardsticks(Dataset(train, validation, BYTES, scored_from_starts=False), 128)
    assert entropy < found.trigram_nats < entropy + 0.03
    assert found.trigram_nats < found.unigram_nats - 0.3


def test_a_text_without_any_order_is_predicted_as_if_all_were_alike():
    random = np.random.default_rng(0)
    train, validation = (random.integers(0, 257, size, dtype=np.uint16) for size in (50_000, 8_000))
    found = yardsticks(Dataset(train, validation, BYTES, scored_from_starts=False), 128)
    assert found.trigram_nats == pytest.approx(math.log(257), abs=0.03)
    assert found.unigram_nats == pytest.approx(math.log(257), abs=0.01)


def test_what_stands_before_a_story_changes_nothing():
    texts = [f"{number} said {'abc' * number}." for number in range(20)]
    train = ["3 said abcabcabc.", "9 said cba."]
    forward, backward = (yardsticks(dataset_of(train, order), 16) for order in (texts, texts[::-1]))
    assert forward.trigram_nats == pytest.approx(backward.trigram_nats, rel=1e-12)


@pytest.mark.parametrize("from_starts", [True, False])
def test_scored_are_the_tokens_that_the_validation_loss_scores(stories, from_starts):
    dataset = Dataset(stories.train, stories.validation, stories.tokenizer, from_starts)
    if from_starts:
        windows = windows_from_starts(dataset.validation, 64, dataset.tokenizer.end_of_text)
    else:
        windows = consecutive_windows(dataset.validation, 64)
    scored = windows.targets[windows.targets >= 0]
    lengths = torch.from_numpy(dataset.tokenizer.byte_lengths())
    found = yardsticks(dataset, 64)
    assert (found.scored_tokens, found.scored_bytes) == (len(scored), int(lengths[scored].sum()))


def test_on_stories_each_knows_more_than_the_one_before_and_the_floor_is_below(stories):
    found = yardsticks(stories, 128)
    floor = irreducible_loss(stories.validation, stories.tokenizer, 128, "stories")
    assert found.uniform_nats > found.unigram_nats > found.trigram_nats > 2 * floor.nats_per_token
    assert found.gzip_bits_per_byte > found.gzip_after_training_bits_per_byte > floor.bits_per_byte


def test_compressed_size_is_that_of_gzip_without_its_envelope():
    texts = [f"The {word} sat on the {word * 2}. " * 3 for word in ("cat", "dog", "owl", "hen") * 6]
    found = yardsticks(dataset_of(["x"], texts), 512)
    scored = "".join(text + "\n\n" for text in texts).encode()
    size = len(gzip.compress(scored, 9)) - 18  # ten bytes before, eight behind: RFC 1952
    assert found.gzip_bits_per_byte == pytest.approx(8 * size / sum(map(len, texts)))
    known = yardsticks(dataset_of(texts, texts), 512)
    assert known.gzip_after_training_bits_per_byte < 0.3 * known.gzip_bits_per_byte
    assert known.gzip_bits_per_byte == found.gzip_bits_per_byte


@pytest.mark.parametrize("train", [["a"], ["ab"], [""], ["a", "b"]])
def test_the_smallest_training_texts_have_yardsticks(train):
    found = yardsticks(dataset_of(train, ["abc"] * 30), 16)
    assert 0 < found.trigram_nats < 6 and 0 < found.gzip_bits_per_byte < 8
