"""What is known by heart: a planted text, models whose answers are known, and writing token by token."""

import itertools
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from slm_core.config import ExperimentConfig
from slm_core.model.generate import generate
from slm_core.model.gpt import GPT
from slm_core.model.loss import token_losses
from slm_core.model.probe import (
    FEWEST_PLACES,
    LENGTH,
    MOST_PLACES,
    extraction_rate,
    passage_length,
    passages_of,
)
from slm_core.model.sampling import Sampling

E = 0  # the end mark


def random_document(seed: int, length: int) -> np.ndarray:
    """Ids that nobody can guess: to know them is to have read them."""
    return np.random.default_rng(seed).integers(1, 300, length).astype(np.uint16)


READ, UNREAD = random_document(1, 100), random_document(2, 100)


@pytest.fixture(scope="module")
def fresh() -> GPT:
    config = ExperimentConfig(vocab_size=300, n_layer=2, n_head=2, n_embd=32, block_size=32, dropout=0.5)
    return GPT(config, torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def reader(fresh) -> GPT:
    """A model that has read READ, and nothing else, until it knows it by heart."""
    model = GPT(fresh.config, torch.Generator().manual_seed(0)).eval()  # it learns without dropout
    windows = torch.from_numpy(READ.astype(np.int64)).unfold(0, 33, 1)  # (68, 33)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        batch = windows[torch.randint(len(windows), (16,), generator=generator)]
        optimizer.zero_grad()
        token_losses(model(batch[:, :-1]), batch[:, 1:]).mean().backward()
        optimizer.step()
    return model


class Counter(nn.Module):
    """After any number, it expects the next one."""

    def forward(self, idx: Tensor) -> Tensor:
        return nn.functional.one_hot(idx + 1, 300).float()


def with_changes_at(passages: Tensor, places: list[int]) -> Tensor:
    """The passages, each with one token of what is asked for replaced by another one."""
    changed, rows = passages.clone(), torch.arange(len(passages))
    columns = passages.size(1) // 2 + torch.tensor(places)
    changed[rows, columns] = (changed[rows, columns] + 1) % 300
    return changed


def first_mistake(model: GPT, passage: list[int]) -> int:
    """How many tokens `generate`, one at a time and without randomness, writes as they stand in the text."""
    half = len(passage) // 2
    written = list(generate(model, passage[:half], Sampling(max_new_tokens=half, temperature=0)))
    wrong = (place for place in range(half) if written[place] != passage[half + place])
    return next(wrong, half)


def test_a_text_read_until_known_is_extracted_and_an_unread_one_is_not(reader):
    known, unknown = (extraction_rate(reader, passages_of(ids, 16, E)) for ids in (READ, UNREAD))
    assert known.rate > 0.9 and known.share_right > 0.95 and known.places == MOST_PLACES
    assert unknown.rate == 0 and unknown.share_right < 0.05


def test_a_model_that_has_read_nothing_extracts_nothing(fresh):
    found = extraction_rate(fresh, passages_of(READ, 16, E))
    assert found.rate == 0 and found.share_right < 0.05


def test_a_model_that_counts_extracts_what_counts_up_to_its_first_break():
    counting = torch.arange(32).repeat(17, 1) + torch.arange(17)[:, None]
    broken = with_changes_at(counting[:16], list(range(16)))  # after the break it is right again, too late
    found = extraction_rate(Counter(), torch.cat([broken, counting[16:]]))
    assert found.places == 17 and found.rate == 1 / 17
    assert found.share_right == pytest.approx(sum(range(17)) / 16 / 17)


def test_what_is_given_is_not_asked_for():
    passage = torch.arange(32)[None]
    passage[:, :15] = 7  # only the token right before the asked ones matters to one who counts
    assert extraction_rate(Counter(), passage).rate == 1


def test_one_pass_finds_the_first_mistake_of_writing_token_by_token(reader, fresh):
    known = passages_of(READ, 16, E)
    random = Random(0)
    changed = with_changes_at(known, [random.randrange(16) for _ in known])
    mixed = torch.cat([known, changed, passages_of(UNREAD, 16, E)])
    expected = np.array([first_mistake(reader, passage.tolist()) for passage in mixed])
    assert len(set(expected)) > 10, "the law needs mistakes at many places"
    found = extraction_rate(reader, mixed)
    assert found.rate == (expected == 16).mean() and 0.2 < found.rate < 0.4
    assert found.share_right == pytest.approx(expected.mean() / 16)
    alone = [extraction_rate(reader, passage[None]).share_right * 16 for passage in mixed]
    assert alone == expected.tolist()


def test_the_model_is_tested_without_dropout_and_left_as_it_was(reader, random_state_kept):
    passages, before = passages_of(READ, 16, E), [weight.clone() for weight in reader.parameters()]
    resting = extraction_rate(reader, passages)
    assert not reader.training
    reader.train()
    assert extraction_rate(reader, passages) == resting
    assert reader.training and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    reader.eval()
    assert all(map(torch.equal, before, reader.parameters()))


@pytest.mark.parametrize(
    ("block_size", "fewest_ids", "length"), [(1024, 9_999, 16), (32, 33, 16), (16, 9_999, 8), (64, 21, 10)]
)
def test_both_halves_fit_into_the_model_and_into_the_shorter_text(block_size, fewest_ids, length):
    assert passage_length(block_size, fewest_ids) == length <= LENGTH


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(1, 10), st.booleans())
def test_passages_are_different_and_lie_within_documents_if_those_are_long_enough(lengths, length, closed):
    stream, new_token = [E], itertools.count(1)
    for words in lengths:
        stream += [*itertools.islice(new_token, words), E]
    ids = np.array(stream if closed else stream[:-1], dtype=np.uint16)
    assume(len(ids) >= 2 * length)
    passages = passages_of(ids, length, E).tolist()
    everywhere = np.lib.stride_tricks.sliding_window_view(ids, 2 * length)
    within = [passage for passage in everywhere.tolist() if E not in passage]  # no two alike
    if len(within) < FEWEST_PLACES:
        assert passages == everywhere.tolist() or len(passages) == MOST_PLACES < len(everywhere)
        assert all(passage in everywhere.tolist() for passage in passages)
    else:
        places = [within.index(passage) for passage in passages]
        steps = set(np.diff(places).tolist())
        assert len(places) == min(MOST_PLACES, len(within)) and (places[0], places[-1]) == (
            0,
            len(within) - 1,
        )
        assert min(steps) > 0 and max(steps) - min(steps) <= 1, "evenly spread"


def test_a_text_hardly_longer_than_a_passage_gives_what_there_is():
    ids = np.arange(1, 35, dtype=np.uint16)
    assert passages_of(ids, 16, E)[:, 0].tolist() == [1, 2, 3]
