"""The quick way through the model against the model itself: the same logits, the same tokens."""

import threading
import warnings

import numpy as np
import pytest
import torch

from slm_core.config import ExperimentConfig
from slm_core.errors import CheckpointError
from slm_core.model.decoder import Decoder
from slm_core.model.generate import generate
from slm_core.model.gpt import GPT, Cache
from slm_core.model.sampling import Sampling

KINDS = [
    {"architecture": "gpt2", "positions": "rotary"},
    {"architecture": "gpt2", "positions": "learned"},
    {"architecture": "qwen3", "positions": "rotary"},
]
SHAPES = [
    {},
    {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 16},
    {"n_layer": 4, "n_head": 3, "n_embd": 24, "block_size": 48, "vocab_size": 257},
    {"n_layer": 1, "n_embd": 512, "block_size": 16, "vocab_size": 600},  # so large that torch multiplies
]
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
CPU = torch.device("cpu")


def made_model(**settings: object) -> GPT:
    """A model whose weights are so different that a swapped one changes the logits."""
    config = ExperimentConfig(**{"n_embd": 32, "block_size": 32, "vocab_size": 300, **settings})
    generator = torch.Generator().manual_seed(5)
    model = GPT(config, generator).eval()
    with torch.no_grad():
        for weight in model.parameters():
            spread = 0.2 if weight.dim() == 1 else 2.5 / weight.size(1) ** 0.5
            weight.add_(torch.empty_like(weight).normal_(0, spread, generator=generator))
    return model


def random_ids(config: ExperimentConfig) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(config.vocab_size, (1, config.block_size), generator=generator)


@torch.no_grad()
def full_logits(model: GPT, idx: torch.Tensor) -> np.ndarray:
    """The model's own, of all positions at once and without a cache: (T, V)."""
    return model(idx)[0].numpy()


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@EACH_KIND
@EACH_SHAPE
def test_logits_are_those_of_the_whole_model_at_every_position(kind, shape):
    model = made_model(**kind, **shape)
    idx, decoder, cache = random_ids(model.config), Decoder(model), Cache(model.config, 1, CPU)
    expected = full_logits(model, idx)
    found = np.array([decoder.next_logits(token, cache) for token in idx[0].tolist()])
    assert found.dtype == np.float32 and close(found, expected)
    assert np.abs(expected).max() > 1 and cache.length == model.config.block_size


@EACH_KIND
@pytest.mark.parametrize("given", [1, 2, 20, 31])
def test_it_goes_on_from_what_the_model_has_read_and_the_model_from_it(kind, given):
    model = made_model(**kind)
    idx, decoder, cache = random_ids(model.config), Decoder(model), Cache(model.config, 1, CPU)
    expected = full_logits(model, idx)
    with torch.no_grad():
        model(idx[:, :given], cache)
    for place in range(given, model.config.block_size):
        if place % 5 == 4:  # in turn, out of one cache
            with torch.no_grad():
                found = model(idx[:, place : place + 1], cache)[0, 0].numpy()
        else:
            found = decoder.next_logits(int(idx[0, place]), cache)
        assert close(found, expected[place])


@EACH_KIND
@EACH_SHAPE
@pytest.mark.parametrize(
    "how", [{}, {"temperature": 1.5, "top_k": 40}, {"top_p": 0.9}, {"temperature": 0.0}], ids=str
)
def test_the_same_seed_writes_the_same_tokens_either_way_through_several_windows(kind, shape, how):
    model = made_model(**kind, **shape)
    sampling = Sampling(**how, seed=3, max_new_tokens=2 * model.config.block_size)
    for prompt in ([7], list(range(40))):
        quick, plain = (list(generate(model, prompt, sampling, quick=quick)) for quick in (True, False))
        assert quick == plain and len(quick) == sampling.max_new_tokens


def test_it_reads_the_weights_as_they_are_now():
    model = made_model()
    decoder, idx = Decoder(model), random_ids(model.config)
    before = decoder.next_logits(int(idx[0, 0]), Cache(model.config, 1, CPU))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)  # as an update does: in place
    after = decoder.next_logits(int(idx[0, 0]), Cache(model.config, 1, CPU))
    assert close(after, full_logits(model, idx[:, :1])[0]) and not close(after, before)


def test_a_full_cache_takes_no_more():
    model = made_model(block_size=16)
    decoder, cache = Decoder(model), Cache(model.config, 1, CPU)
    for token in range(16):
        decoder.next_logits(token, cache)
    with pytest.raises(AssertionError, match="full with 16"):
        decoder.next_logits(0, cache)


@EACH_KIND
def test_numbers_that_grow_too_large_are_told_once_and_in_words(kind):
    model = made_model(**kind)
    with torch.no_grad():
        model.blocks[0].narrow.weight.mul_(1e38)
        model.blocks[0].widen.weight.mul_(1e3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match="grow too large"):
            list(generate(model, [1], Sampling(max_new_tokens=3)))


def test_texts_written_at_the_same_time_in_threads_do_not_touch_each_other():
    model, found = made_model(), {}
    alone = {
        seed: list(generate(model, [1], Sampling(seed=seed, max_new_tokens=60), quick=False))
        for seed in range(4)
    }

    def write(seed: int) -> None:
        found[seed] = list(generate(model, [1], Sampling(seed=seed, max_new_tokens=60)))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone
