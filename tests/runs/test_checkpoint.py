"""Model files: what is saved comes back, and whatever else a file may hold is refused in words."""

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from slm_core.errors import CheckpointError, RunError, VocabularyError
from slm_core.model.gpt import GPT
from slm_core.runs.checkpoint import (
    FORMAT,
    import_checkpoint,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from slm_core.runs.store import list_runs, open_run
from slm_core.text import gpt2, tokenizer

METRICS = {"step": 6, "train_loss": 1.5, "validation_loss": 2.5, "validation_bits_per_byte": 0.7}


@pytest.fixture(scope="module", params=["rotary", "learned"])
def model(request, tiny_config, tiny_dataset) -> GPT:
    config = tiny_config.with_changes(
        {"vocab_size": tiny_dataset.tokenizer.vocab_size, "positions": request.param}
    )
    return GPT(config, torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def saved(model, tiny_dataset, tmp_path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(
        path, model, tiny_dataset.tokenizer, name="Größe", metrics=METRICS, data_sha256=tiny_dataset.sha256()
    )
    return path


def test_a_model_comes_back_bit_for_bit_with_all_that_was_said_about_it(
    saved, model, tiny_dataset, random_state_kept
):
    loaded = load_checkpoint(saved)
    idx = torch.arange(16)[None]
    assert torch.equal(loaded.model(idx), model(idx))
    assert not loaded.model.training
    assert loaded.tokenizer.to_dict() == tiny_dataset.tokenizer.to_dict()
    assert (loaded.config, loaded.name, dict(loaded.metrics)) == (model.config, "Größe", METRICS)
    assert loaded.data_sha256 == tiny_dataset.sha256()


def test_after_loading_the_head_is_still_the_embedding(saved):
    model = load_checkpoint(saved).model
    assert model.head.weight is model.embedding.weight
    assert "head.weight" not in safetensors.torch.load_file(saved)


def test_a_file_proves_that_it_holds_the_model_that_was_saved(saved):
    sameness = load_checkpoint(saved).sameness
    assert sameness.same and sameness.largest_difference == 0 and sameness.there == "cpu"


def test_one_changed_weight_in_a_file_is_caught_whatever_tensor_it_is_in(saved):
    tensors, facts = read_tensors(saved, FORMAT)
    for name, tensor in tensors.items():
        changed = tensor.clone()
        changed.view(-1)[-1] += 1e-4
        write_tensors(saved, {**tensors, name: changed}, FORMAT, facts)
        assert load_checkpoint(saved).sameness.broken, name


def test_another_number_of_heads_fits_the_weights_and_is_caught(saved):
    found = load_checkpoint(rewritten(saved, lambda t, f: f["config"].update(n_head=1))).sameness
    assert found.broken and not found.identical


def test_a_file_from_before_there_was_a_choice_of_architecture_is_gpt2(saved, model):
    def older(tensors: dict, facts: dict) -> None:
        for name in ("architecture", "optimizer"):
            del facts["config"][name]

    loaded = load_checkpoint(rewritten(saved, older))
    assert (loaded.config.architecture, loaded.config.optimizer) == ("gpt2", "adamw")
    assert loaded.sameness.same and loaded.config == model.config


def test_a_modern_model_comes_back_and_is_taken_for_no_other(tiny_config, tiny_dataset, tmp_path):
    size = {"vocab_size": tiny_dataset.tokenizer.vocab_size}
    config = tiny_config.with_changes({**size, "architecture": "qwen3", "optimizer": "muon"})
    model, path = GPT(config, torch.Generator().manual_seed(0)).eval(), tmp_path / "best.safetensors"
    save_checkpoint(path, model, tiny_dataset.tokenizer, name="Modern", metrics={}, data_sha256="ab")
    loaded, idx = load_checkpoint(path), torch.arange(16)[None]
    assert loaded.sameness.same and loaded.config == config
    assert torch.equal(loaded.model(idx), model(idx))
    with pytest.raises(CheckpointError, match="does not hold the weights"):
        load_checkpoint(rewritten(path, lambda t, f: f["config"].update(architecture="gpt2")))


def test_a_file_from_before_there_were_proofs_still_loads(saved):
    found = load_checkpoint(rewritten(saved, lambda t, f: f.pop("proof"))).sameness
    assert not found.recorded and not found.broken


def test_the_file_is_as_large_as_its_weights_and_its_tokenizer_ask(saved, model):
    weights = 4 * sum(weight.numel() for weight in model.parameters())
    assert weights < saved.stat().st_size < weights + 20_000


def test_a_failed_save_leaves_the_old_model(saved, model, tiny_dataset, monkeypatch):
    before = saved.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, model, tiny_dataset.tokenizer, name="new", metrics={}, data_sha256="")
    assert saved.read_bytes() == before
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]


def test_every_cut_off_file_is_refused(saved):
    whole = saved.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"best\.safetensors"):
            load_checkpoint(saved)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"model": [1, 2, 3]}),
        b"PK\x03\x04" + bytes(1_000),
        b"once upon a time " * 100,
        b"\xff" * 100,
        (10).to_bytes(8, "little") + b"{" * 10,
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
    ids=["pickle", "zip", "text", "huge header", "no json", "deep json"],
)
def test_foreign_bytes_are_refused(tmp_path, content):
    path = tmp_path / "found.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"found\.safetensors.*[Dd]ownload it again"):
        load_checkpoint(path)


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_checkpoint(path)


def test_safetensors_of_other_programs_are_refused_as_such(tmp_path):
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"format": "slm-resume-1", "facts": "{}"}):
        path.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}, metadata))
        with pytest.raises(CheckpointError, match=r"other\.safetensors.*program"):
            load_checkpoint(path)


def rewritten(path: Path, change) -> Path:
    """The file with `change(tensors, facts)` applied to what it holds."""
    tensors, facts = read_tensors(path, FORMAT)
    answer = change(tensors, facts)
    facts = answer if isinstance(answer, list) else facts
    path.write_bytes(safetensors.torch.save(tensors, {"format": FORMAT, "facts": json.dumps(facts)}))
    return path


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda t, f: t.pop("norm.weight"), "does not hold the weights"),
        (lambda t, f: t.update({"more": torch.zeros(5)}), "does not hold the weights"),
        (lambda t, f: t.update({"name": t.pop("norm.weight")}), r"norm\.weight is missing"),
        (
            lambda t, f: t.update({"embedding.weight": t["embedding.weight"].T.contiguous()}),
            r"embedding\.weight is .*float32 of shape \(16, 300\); the config asks for float32 \(300, 16\)",
        ),
        (lambda t, f: t.update({"norm.weight": t["norm.weight"].half()}), "float16"),
        (lambda t, f: t["norm.weight"].fill_(float("nan")), r"norm\.weight holds numbers that are not"),
        (lambda t, f: t["norm.weight"].fill_(float("inf")), r"norm\.weight holds numbers that are not"),
        (lambda t, f: f["config"].update(vocab_size=301), "301.* tokenizer has 300"),
        (lambda t, f: f["config"].update(n_layer=3), "does not hold the weights"),
        (lambda t, f: f["config"].update(n_layer=0), "n_layer is 0"),
        (lambda t, f: f["config"].update(n_layer=10**400), "does not describe"),
        (lambda t, f: f["config"].update(n_layers=2), "did you mean n_layer"),
        (lambda t, f: f.update(config=None), "does not describe"),
        (lambda t, f: f.update(tokenizer={"kind": "words"}), "'words'"),
        (lambda t, f: f.update(tokenizer=[]), "does not describe"),
        (lambda t, f: f.pop("tokenizer"), "does not describe"),
        (lambda t, f: f.update(metrics=3), "does not describe"),
        (lambda t, f: f.update(proof=3), "does not describe"),
        (lambda t, f: f["proof"].update(answers=[10**400]), "does not describe"),
        (lambda t, f: f.update(metrics={"step": "<b>6</b>"}), "does not describe"),
        (lambda t, f: [1, 2], "does not describe"),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused_with_what_was_found(saved, change, answer):
    with pytest.raises(CheckpointError, match=answer):
        load_checkpoint(rewritten(saved, change))


def test_tensors_and_facts_come_back(tmp_path):
    tensors = {
        "a": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).T,
        "step": torch.tensor(7.0),
    }
    write_tensors(
        tmp_path / "x", tensors, "kind-1", {"progress": {"step": 3, "best": float("inf")}, "é": "\u2028"}
    )
    read, facts = read_tensors(tmp_path / "x", "kind-1")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert facts == {"progress": {"step": 3, "best": float("inf")}, "é": "\u2028"}


def test_a_file_brought_along_becomes_a_run_of_its_own(saved, tmp_path):
    root = tmp_path / "runs"
    run = import_checkpoint(root, saved.read_bytes(), "../best.safetensors")
    assert open_run(root, run.id).imported and not run.resumable
    assert run.name == "Größe"
    assert run.checkpoints["last"].read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("name", ["bad.safetensors", "..", ".", "", "../../x", "a/b", "\0", "𝒳" * 200])
def test_a_damaged_file_brought_along_leaves_no_run(tmp_path, name):
    with pytest.raises(CheckpointError):
        import_checkpoint(tmp_path / "runs", b"once upon a time", name)
    assert list_runs(tmp_path / "runs") == []


def test_a_file_that_cannot_be_kept_is_told_in_words(saved, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="No run can be kept"):
        import_checkpoint(tmp_path / "file", saved.read_bytes(), "best.safetensors")


def test_a_model_made_with_gpt2s_vocabulary_says_how_to_get_it_where_it_is_missing(saved, monkeypatch):
    def missing() -> None:
        raise VocabularyError("GPT-2's vocabulary is not on this machine. Install it.")

    tensors, facts = read_tensors(saved, FORMAT)
    facts["tokenizer"] = {"kind": "gpt2", "sha256": gpt2.SHA256}
    write_tensors(saved, tensors, FORMAT, facts)
    tokenizer._gpt2.cache_clear()
    monkeypatch.setattr(gpt2, "gpt2_tokens", missing)
    with pytest.raises(VocabularyError, match="Install it"):
        load_checkpoint(saved)
