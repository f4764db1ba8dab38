"""Experiments from Python: what they read, what they keep, and what they give back."""

from dataclasses import replace

import pytest
import torch

from slm_core import experiment
from slm_core.config import ExperimentConfig, Preset
from slm_core.errors import ConfigError, CorpusError, RunError
from slm_core.experiment import get_sample_text, run_experiment, train_on_cloud
from slm_core.runs.checkpoint import load_checkpoint
from slm_core.runs.history import History
from slm_core.runs.store import list_runs, runs_folder
from slm_core.text.corpus import prepare
from slm_core.train.events import EvalDone, RunStarted, StepDone
from slm_core.train.trainer import Trainer

SMALL = ExperimentConfig(
    dataset_size=200, vocab_size=300, n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2,
    max_iters=4, warmup_iters=1, eval_interval=2,
)  # fmt: skip
PRESET = Preset(name="SMALL_GPU", shows="", hardware="gpu", config=SMALL)


@pytest.fixture(autouse=True)
def _own_runs_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(experiment, "fastest_threads", lambda config: 1)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("n", [50, 200, 1_000])
def test_the_sample_is_what_a_model_with_that_dataset_size_reads(n):
    read = prepare(ExperimentConfig(dataset_size=n, block_size=16))
    assert get_sample_text(n) == read.tokenizer.decode(read.train).strip("\n")


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(CorpusError, match="at least 1"):
        get_sample_text(0)


def test_the_best_model_comes_back_and_the_run_is_kept(capsys):
    model, tokenizer = run_experiment(get_sample_text(200), SMALL, "Mine")
    [run] = list_runs(runs_folder())
    assert (run.name, History(run.folder).refresh().finished.reason) == ("Mine", "finished")
    best = load_checkpoint(run.checkpoints["best"]).model
    assert all(map(torch.equal, model.parameters(), best.parameters()))
    assert not model.training and tokenizer.vocab_size == model.config.vocab_size
    said = capsys.readouterr()
    assert "4/4" in said.err and "validation" in said.err and said.out == ""


def test_a_sample_of_the_stories_is_tested_on_the_stories_that_are_held_out():
    """The same run as the app's, to the last bit."""
    seen = []
    run_experiment(get_sample_text(150), SMALL.with_changes({"corpus": "own"}), "a", watch=seen.append)
    config = list_runs(runs_folder())[0].config
    assert config.corpus == "stories" and 150 <= config.dataset_size <= 200
    expected = Trainer(config, prepare(config)).events()
    told = [event for event in seen if isinstance(event, EvalDone)]
    assert told == [event for event in expected if isinstance(event, EvalDone)] and len(told) == 3


def test_own_text_is_split_and_read(own_text):
    seen = []
    run_experiment(own_text, Preset(name="", shows="", hardware="cpu", config=SMALL), "a", watch=seen.append)
    [run] = list_runs(runs_folder())
    assert run.config == SMALL.with_changes({"corpus": "own"})
    read = prepare(run.config, own_text)
    started = next(event for event in seen if isinstance(event, RunStarted))
    assert started.validation_tokens >= len(read.validation) - 1 and not read.scored_from_starts


@pytest.mark.parametrize(
    ("text", "change", "kind", "answer"),
    [
        ("Too short.", {}, CorpusError, "at least 2,000"),
        ("", {}, CorpusError, "at least 2,000"),
        (None, {"corpus": "own"}, CorpusError, "no text was given"),
        (get_sample_text(30), {"block_size": 128}, ConfigError, "longer than one block"),
    ],
    ids=["short", "empty", "none", "shorter than a block"],
)
def test_what_cannot_be_trained_on_leaves_no_run(text, change, kind, answer):
    with pytest.raises(kind, match=answer):
        run_experiment(text, SMALL.with_changes(change), "a")
    assert list_runs(runs_folder()) == []


def test_a_run_that_diverges_is_told_with_its_folder(monkeypatch):
    monkeypatch.setattr(Trainer, "_backward", lambda self, starts: float("nan"))
    with pytest.raises(RunError, match=r"(?s)learning_rate.*runs"):
        run_experiment(None, SMALL, "a", watch=lambda event: None)


def test_the_cloud_goes_on_after_an_interruption_and_ends_with_the_unbroken_runs_file(tmp_path):
    def disconnect(event: object) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_cloud(PRESET, watch=disconnect)
    assert not (tmp_path / "SMALL_GPU.safetensors").exists()
    steps = []
    file = train_on_cloud(
        PRESET, watch=lambda event: steps.append(event.step) if isinstance(event, StepDone) else None
    )
    assert file == tmp_path / "SMALL_GPU.safetensors" and steps == [4]
    [run] = list_runs(runs_folder())
    whole, _ = run_experiment(None, SMALL, "whole", watch=lambda event: None)
    brought = load_checkpoint(file)
    assert all(map(torch.equal, brought.model.parameters(), whole.parameters())) and brought.sameness.same
    assert (
        train_on_cloud(PRESET, file="again.safetensors", watch=pytest.fail).read_bytes() == file.read_bytes()
    )
    other = replace(PRESET, config=SMALL.with_changes({"seed": 2}))
    assert train_on_cloud(other, file="other.safetensors", watch=lambda event: None) != file
    assert len(list_runs(runs_folder())) == 3 and run.id in {each.id for each in list_runs(runs_folder())}


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean TINY_GPU"):
        train_on_cloud("TINY_GPUS")
