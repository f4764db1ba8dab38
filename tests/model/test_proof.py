"""The proof of sameness: one changed weight is caught wherever it is, and rounding is not."""

import hashlib
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from slm_core.model.gpt import GPT
from slm_core.model.proof import (
    TOLERANCE,
    Proof,
    Sameness,
    compare,
    fingerprint,
    fixed_windows,
    prove,
)
from slm_core.text.tokenizer import Tokenizer


@pytest.fixture(scope="module", params=["rotary", "learned"])
def model(request, tiny_config, tokenizer) -> GPT:
    config = tiny_config.with_changes({"vocab_size": tokenizer.vocab_size, "positions": request.param})
    return GPT(config, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tokenizer(tiny_dataset) -> Tokenizer:
    return tiny_dataset.tokenizer


def test_the_same_model_proves_to_be_the_same_and_is_left_as_it_was(model, tokenizer, random_state_kept):
    for training in (True, False):
        model.train(training)
        found = compare(model, tokenizer, prove(model, tokenizer))
        assert (found.same, found.identical, found.largest_difference) == (True, True, 0.0)
        assert model.training == training
    assert str(found).startswith("Same model: largest difference 0 ")


def test_one_changed_number_is_caught_in_whatever_row_of_whatever_tensor(model, tokenizer):
    proof = prove(model, tokenizer)
    for name, weight in model.named_parameters():
        for row in range(len(weight)):
            flat = weight.data[row].view(-1)
            before = flat[-1].clone()
            flat[-1] = torch.nextafter(before, torch.tensor(math.inf))  # the smallest change there is
            changed = fingerprint(model, tokenizer)
            flat[-1] = before
            assert changed != proof.sha256, f"{name}, row {row}"
    assert fingerprint(model, tokenizer) == proof.sha256


def test_a_large_change_shows_in_the_answers_too(model, tokenizer):
    proof = prove(model, tokenizer)
    for name, weight in model.named_parameters():
        kept = weight.data.clone()
        weight.data.view(-1)[0] += 1.0
        found = compare(model, tokenizer, proof)
        weight.data.copy_(kept)
        assert found.broken and found.largest_difference > 0, name
        assert str(found).startswith("Not the same model")


def test_the_fingerprint_is_that_of_the_tokenizer_and_every_named_weight_in_order(model, tokenizer):
    about = {"block_size": 16, "n_head": 2, "tokenizer": tokenizer.to_dict()}
    content = json.dumps(about, sort_keys=True).encode()
    for name, weight in model.named_parameters():
        content += f"{name} {tuple(weight.shape)}".encode() + weight.detach().numpy().astype("<f4").tobytes()
    assert fingerprint(model, tokenizer) == hashlib.sha256(content).hexdigest()


def test_the_answers_are_logits_of_the_fixed_windows(model, tokenizer):
    windows = fixed_windows(model.config.vocab_size, model.config.block_size)
    assert windows.shape == (2, 16) and windows.min() >= 0 and windows.max() < model.config.vocab_size
    with torch.no_grad():
        logits = model.eval()(windows)
    answers = prove(model, tokenizer).answers
    for window in range(2):
        *kept, mean, spread = answers[window * len(answers) // 2 : (window + 1) * len(answers) // 2]
        assert kept[0] == pytest.approx(float(logits[window, -1, 0]), abs=1e-6)
        assert kept[-1] == pytest.approx(float(logits[window, -1, -1]), abs=1e-6)
        assert mean == pytest.approx(float(logits[window].double().mean()), abs=1e-6)
        assert spread == pytest.approx(float(logits[window].double().std()), abs=1e-6)


@pytest.mark.parametrize(("apart", "same"), [(TOLERANCE / 300, True), (TOLERANCE * 3, False)])
def test_another_machines_rounding_is_told_and_judged(model, tokenizer, apart, same):
    proof = prove(model, tokenizer)
    elsewhere = replace(proof, answers=tuple(each + apart for each in proof.answers), device="cuda")
    found = compare(model, tokenizer, elsewhere)
    assert found.identical and found.same == same and found.broken != same
    assert found.largest_difference == pytest.approx(apart, rel=1e-3)
    assert "recorded on cuda and those computed here on cpu" in str(found)
    assert str(found).startswith(
        "Same model: largest difference 3e-6" if same else "The weights are the same"
    )


def test_another_tokenizer_is_another_model(model, tokenizer):
    class Other:
        def to_dict(self) -> dict[str, Any]:
            return {**tokenizer.to_dict(), "kind": "another"}

    assert not compare(model, Other(), prove(model, tokenizer)).same


def test_answers_that_cannot_be_compared_are_infinitely_far_apart(model, tokenizer):
    proof = prove(model, tokenizer)
    for answers in (proof.answers[:-1], (*proof.answers[:-1], math.nan)):
        found = compare(model, tokenizer, replace(proof, answers=answers))
        assert found.largest_difference == math.inf and found.broken


def test_a_file_without_a_proof_is_neither_the_same_nor_broken(model, tokenizer):
    found = compare(model, tokenizer, None)
    assert found == Sameness(recorded=False) and not found.same and not found.broken
    assert str(found).startswith("No proof recorded")


def test_a_proof_survives_json(model, tokenizer):
    proof = prove(model, tokenizer)
    assert Proof.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof


@pytest.mark.parametrize(
    "change",
    [{"answers": []}, {"answers": ["1"]}, {"answers": 3}, {"sha256": 3}, {"device": "<b>"}, {"device": None}],
)
def test_what_is_no_proof_is_refused(change):
    sound = {"sha256": "0" * 64, "answers": [0.5], "device": "cpu"}
    assert Proof.from_dict(sound).answers == (0.5,)
    with pytest.raises((TypeError, ValueError)):
        Proof.from_dict(sound | change)
