"""Drawing tokens against distributions computed by hand, and writing text without the cache."""

import numpy as np
import pytest
import torch

from slm_core.config import ExperimentConfig
from slm_core.model.generate import draw, generate, stream_text, write_text
from slm_core.model.gpt import GPT
from slm_core.model.sampling import Sampling
from slm_core.text.tokenizer import train_bpe

LOGITS = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -3.0], dtype=np.float32)
DRAWS = 3_000


def softmax(logits) -> np.ndarray:
    chances = np.exp(np.asarray(logits, dtype=float))
    return chances / chances.sum()


def cut(chances: np.ndarray, kept: int) -> np.ndarray:
    return np.where(np.arange(len(chances)) < kept, chances, 0) / chances[:kept].sum()


P = softmax(LOGITS)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"temperature": 1.0}, P),
        ({"temperature": 2.0}, softmax(LOGITS / 2)),
        ({"temperature": 0.5}, softmax(LOGITS / 0.5)),
        ({"temperature": 1.0, "top_k": 3}, cut(P, 3)),
        ({"temperature": 1.0, "top_k": 6}, P),
        ({"temperature": 1.0, "top_k": 100}, P),
        ({"temperature": 1.0, "top_p": P[:2].sum() - 0.01}, cut(P, 2)),
        ({"temperature": 1.0, "top_p": P[:2].sum() + 0.01}, cut(P, 3)),
        ({"temperature": 1.0, "top_p": 0.01}, cut(P, 1)),
        ({"temperature": 2.0, "top_k": 4, "top_p": 0.6}, cut(softmax(LOGITS / 2), 2)),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_they_should(how, expected):
    random = np.random.default_rng(0)
    order = random.permutation(6)  # the likeliest need not come first
    drawn = [draw(LOGITS[order], Sampling(**how), random) for _ in range(DRAWS)]
    counts = np.bincount(order[drawn], minlength=6)
    assert not counts[expected == 0].any(), "a token was drawn that had been cut off"
    due = DRAWS * expected[expected > 0]
    chi_square = ((counts[expected > 0] - due) ** 2 / due).sum()
    assert chi_square < 20.5  # five degrees of freedom exceed this once in a thousand times


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 1e-30])
def test_without_temperature_the_likeliest_token_is_taken(temperature):
    random = np.random.default_rng(0)
    assert {draw(LOGITS[::-1], Sampling(temperature=temperature), random) for _ in range(20)} == {5}


class Given(np.random.Generator):
    """Gives one number again and again where a random one is asked for."""

    def __init__(self, number: float) -> None:
        super().__init__(np.random.PCG64())
        self.number = number

    def random(self) -> float:
        return self.number


@pytest.mark.parametrize("place", range(6))
def test_the_token_is_that_whose_stretch_holds_the_random_number(place):
    """All probabilities side by side fill the line from 0 to 1."""
    ends = np.cumsum(P)
    for number in (ends[place] - P[place] + 1e-6, ends[place] - 1e-6):
        assert draw(LOGITS, Sampling(temperature=1.0), Given(number)) == place


@pytest.mark.parametrize("number", [0.0, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("how", [{"top_k": 2}, {"top_p": 0.5}, {"temperature": 1e-5}, {}], ids=str)
def test_at_both_ends_of_the_line_no_token_without_a_chance_is_drawn(number, how):
    logits = np.array([-200, 3, 1, 2.5, -3e38], dtype=np.float32)
    assert draw(logits, Sampling(**how), Given(number)) in (1, 2, 3)


@pytest.mark.parametrize(
    "logits", [[0.0] * 5, [3e38] * 5, [3e38, -3e38, 0, 0, 0], [-3e38] * 5], ids=["even", "huge", "far", "low"]
)
@pytest.mark.parametrize("how", [{}, {"top_k": 1}, {"top_p": 0.01}, {"temperature": 1e-5}], ids=str)
def test_any_finite_logits_give_a_token(logits, how):
    logits = np.array(logits, dtype=np.float32)
    token = draw(logits, Sampling(**how), np.random.default_rng(0))
    assert logits[token] == logits.max()


@pytest.fixture(scope="module", params=["rotary", "learned"])
def model(request) -> GPT:
    config = ExperimentConfig(
        vocab_size=300, n_layer=2, n_head=2, n_embd=32, block_size=16, positions=request.param
    )
    model = GPT(config, torch.Generator().manual_seed(3)).eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.mul_(6)  # so that the likeliest token is clearly the likeliest
    return model


@pytest.mark.parametrize("length", [1, 5, 15, 40])
def test_greedy_text_is_that_of_the_full_model_over_the_same_window(model, length):
    prompt = list(range(length))
    written = list(generate(model, prompt, Sampling(max_new_tokens=40, temperature=0)))
    window = prompt[-15:]
    for token in written:
        assert token == int(model(torch.tensor([window]))[0, -1].argmax())
        window.append(token)
        if len(window) > 16:  # full: the older half is dropped
            window = window[-8:]
    assert len(written) == 40


def test_the_same_seed_writes_the_same_text_and_touches_no_global_state(model, random_state_kept):
    texts = [list(generate(model, [1, 2], Sampling(seed=seed, max_new_tokens=30))) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_writing_ends_at_the_mark_without_giving_it(model):
    free = list(generate(model, [1], Sampling(max_new_tokens=30)))
    mark = next(token for token in free if free.index(token) > 3)
    stopped = list(generate(model, [1], Sampling(max_new_tokens=30), stop_at=mark))
    assert stopped == free[: free.index(mark)]


def test_between_two_tokens_the_caller_is_not_in_inference_mode(model):
    for _ in generate(model, [1], Sampling(max_new_tokens=2)):
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_streamed_text_never_shows_half_a_character():
    tokenizer = train_bpe(["abc"], 257)  # single bytes, so that characters come in pieces
    text = "aé你🌱b"
    pieces = list(stream_text(tokenizer, tokenizer.encode(text)))
    assert "".join(pieces) == text and "\ufffd" not in "".join(pieces)
    assert len(pieces) == len(text.encode()) + 1
    assert "".join(stream_text(tokenizer, tokenizer.encode("a🌱")[:-1])) == "a\ufffd"


@pytest.mark.parametrize("prompt", ["", "the cat", "🌱\ud800", "long " * 100])
def test_text_is_written_after_any_prompt(model, own_text, prompt):
    tokenizer = train_bpe([own_text], model.config.vocab_size)
    sampling = Sampling(max_new_tokens=5)
    prompt_ids = [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    ids = list(generate(model, prompt_ids, sampling, stop_at=tokenizer.end_of_text))
    assert "".join(write_text(model, tokenizer, prompt, sampling)) == tokenizer.decode(ids)
