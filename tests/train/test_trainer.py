"""The training loop: the order of events, what changes a run and what must not, and what it learns."""

import itertools
import math
import re
import threading
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import CheckpointError, CorpusError
from slm_core.model.gpt import Dropout
from slm_core.model.probe import extraction_rate, passages_of
from slm_core.text import spans
from slm_core.text.corpus import Dataset, prepare
from slm_core.train import trainer as trainer_module
from slm_core.train.evaluate import Measured
from slm_core.train.events import (
    EvalDone,
    Event,
    ExtractionDone,
    Notice,
    RunFinished,
    RunStarted,
    SampleDrawn,
    StepDone,
    Working,
)
from slm_core.train.parallel import Team
from slm_core.train.trainer import Trainer

LETTERS = {
    RunStarted: "S",
    Notice: "n",
    Working: "w",
    StepDone: "t",
    EvalDone: "e",
    ExtractionDone: "x",
    SampleDrawn: "s",
    RunFinished: "F",
}


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def of_kind(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def without_clock(event: Event) -> Event:
    """The event with its times set to zero."""
    times = ("tokens_per_second", "elapsed_seconds", "remaining_seconds")
    return replace(event, **{name: 0.0 for name in times if hasattr(event, name)})


def test_events_come_in_the_order_that_was_promised(tiny_config, tiny_dataset):
    events = list(Trainer(tiny_config, replace(tiny_dataset, notices=("one", "two"))).events())
    letters = "".join(LETTERS[type(event)] for event in events)
    measuring = "w+ewxss"  # both losses, what is known by heart of each side, a sample for each side
    assert re.fullmatch(f"Snn{measuring}(wt){{3}}{measuring}(wt){{3}}{measuring}F", letters), letters
    assert [event.step for event in of_kind(events, StepDone)] == [1, 2, 3, 4, 5, 6]
    for kind in (EvalDone, ExtractionDone):
        assert [event.step for event in of_kind(events, kind)] == [0, 3, 6]
    assert [event.source for event in of_kind(events, SampleDrawn)] == ["training", "validation"] * 3
    assert events[-1].reason == "finished"


@pytest.mark.parametrize(
    ("max_iters", "eval_interval", "measured"), [(5, 2, [0, 2, 4, 5]), (4, 9, [0, 4]), (1, 1, [0, 1])]
)
def test_losses_are_measured_first_last_and_in_between(
    tiny_config, tiny_dataset, max_iters, eval_interval, measured
):
    changes = {"max_iters": max_iters, "eval_interval": eval_interval, "warmup_iters": 0}
    events = list(Trainer(tiny_config.with_changes(changes), tiny_dataset).events())
    assert [event.step for event in of_kind(events, EvalDone)] == measured


def test_the_beginning_says_what_is_trained_on_what(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config, tiny_dataset)
    started = next(trainer.events())
    assert started.parameters == sum(weight.numel() for weight in trainer.model.parameters())
    assert started.train_tokens == len(tiny_dataset.train) == 1_000
    assert started.loss_at_chance == math.log(tiny_dataset.tokenizer.vocab_size)
    assert (started.step, started.max_iters, started.device) == (0, 6, "cpu")


def test_the_first_losses_are_those_of_guessing(tiny_config, tiny_dataset):
    events = list(Trainer(tiny_config, tiny_dataset).events())
    first, chance = of_kind(events, EvalDone)[0], math.log(tiny_dataset.tokenizer.vocab_size)
    assert first.train_loss == pytest.approx(chance, abs=0.1)
    assert first.validation_loss == pytest.approx(chance, abs=0.1)
    assert of_kind(events, StepDone)[0].loss == pytest.approx(chance, abs=0.1)


@pytest.mark.parametrize(("block_size", "tokens", "length"), [(16, 999, 8), (32, 999, 16), (64, 25, 12)])
def test_what_is_known_by_heart_is_asked_of_both_sides_with_one_length(
    tiny_config, tiny_dataset, block_size, tokens, length
):
    dataset = replace(tiny_dataset, validation=tiny_dataset.validation[:tokens])
    trainer = Trainer(tiny_config.with_changes({"block_size": block_size, "max_iters": 2}), dataset)
    for event in trainer.events():
        if isinstance(event, ExtractionDone):
            train, validation = (
                extraction_rate(trainer.model, passages_of(ids, length, dataset.tokenizer.end_of_text))
                for ids in (dataset.train, dataset.validation)
            )
            assert event == ExtractionDone(
                step=trainer.progress.step,
                train_rate=train.rate,
                validation_rate=validation.rate,
                places_train=train.places,
                places_validation=validation.places,
                length_tokens=length,
            )
            assert train.places > 20 and validation.places > 1


def test_the_time_it_takes_is_counted_and_foreseen(tiny_config, tiny_dataset, monkeypatch):
    """On a clock by which every piece of work takes one second."""
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    trainer, seconds = Trainer(tiny_config, tiny_dataset), {}
    for event in itertools.takewhile(lambda event: getattr(event, "step", 0) < 2, trainer.events()):
        seconds[type(event)] = trainer.progress.elapsed_seconds
        if isinstance(event, StepDone):
            told = event.remaining_seconds
    assert seconds[ExtractionDone] - seconds[EvalDone] == 2  # one for each side
    measuring = seconds[EvalDone] + 2
    a_step = 4  # two passes, clipping, the update
    assert told == 5 * a_step + 2 * measuring


def test_the_best_is_the_lowest_validation_loss(tiny_config, tiny_dataset):
    changes = {"max_iters": 40, "eval_interval": 2, "learning_rate": 0.05, "dropout": 0.0}
    events = list(Trainer(tiny_config.with_changes(changes), tiny_dataset).events())
    measured = of_kind(events, EvalDone)
    lowest = np.minimum.accumulate([event.validation_loss for event in measured])
    assert [event.is_best for event in measured] == [True, *(np.diff(lowest) < 0)]
    assert not all(event.is_best for event in measured), "the law needs a loss that rises once"
    assert events[-1].best_validation_loss == lowest[-1]
    assert events[-1].best_step == next(e.step for e in measured if e.validation_loss == lowest[-1])


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    tiny_config, tiny_dataset, random_state_kept
):
    trainers = [Trainer(tiny_config.with_changes({"seed": seed}), tiny_dataset) for seed in (1, 1, 2)]
    runs = [list(map(without_clock, trainer.events())) for trainer in trainers]
    assert runs[0] == runs[1]
    assert same(weights(trainers[0]), weights(trainers[1]))
    assert not same(weights(trainers[0]), weights(trainers[2]))


def test_whatever_others_draw_from_the_global_generators_a_run_stays_the_same(tiny_config, tiny_dataset):
    alone = Trainer(tiny_config, tiny_dataset)
    list(alone.events())
    disturbed = Trainer(tiny_config, tiny_dataset)
    for _ in disturbed.events():
        torch.rand(3)
    assert same(weights(alone), weights(disturbed))


def test_two_runs_in_turns_are_each_as_alone(tiny_config, tiny_dataset):
    configs = [tiny_config, tiny_config.with_changes({"seed": 5, "dropout": 0.3})]
    alone, together = ([Trainer(config, tiny_dataset) for config in configs] for _ in range(2))
    expected = [list(map(without_clock, trainer.events())) for trainer in alone]
    turns = itertools.zip_longest(*(trainer.events() for trainer in together))
    seen = [[without_clock(event) for event in run if event] for run in zip(*turns, strict=True)]
    assert seen == expected
    for first, second in zip(alone, together, strict=True):
        assert same(weights(first), weights(second))


def test_measuring_and_sampling_do_not_change_what_is_learned(tiny_config, tiny_dataset):
    ends = []
    for interval in (1, 2, 100):
        trainer = Trainer(tiny_config.with_changes({"eval_interval": interval}), tiny_dataset)
        list(trainer.events())
        ends.append(weights(trainer))
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])


@pytest.mark.parametrize(
    "setting", ["dropout", "weight_decay", "grad_clip", "beta2", "batch_size", "warmup_iters"]
)
def test_every_setting_of_learning_takes_effect(tiny_config, tiny_dataset, setting):
    other = {
        "dropout": 0.0,
        "weight_decay": 1.0,
        "grad_clip": 0.01,
        "beta2": 0.5,
        "batch_size": 5,
        "warmup_iters": 0,
    }
    ends = []
    for config in (tiny_config, tiny_config.with_changes({setting: other[setting]})):
        trainer = Trainer(config, tiny_dataset)
        list(trainer.events())
        ends.append(weights(trainer))
    assert not same(*ends)


def test_every_step_drops_other_activations(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config, tiny_dataset)
    seeds = [
        {each.generator.initial_seed() for each in trainer.model.modules() if isinstance(each, Dropout)}
        for event in trainer.events()
        if isinstance(event, StepDone)
    ]
    assert all(len(each) == 1 for each in seeds) and len(set.union(*seeds)) == 6


@pytest.mark.parametrize("passes", [2, 4])
def test_accumulated_small_batches_are_one_large_batch(tiny_config, tiny_dataset, passes):
    both = []
    for batch_size, accumulated in ((8, 1), (8 // passes, passes)):
        changes = {"batch_size": batch_size, "gradient_accumulation_steps": accumulated, "dropout": 0.0}
        trainer = Trainer(tiny_config.with_changes(changes), tiny_dataset)
        steps = of_kind(list(trainer.events()), StepDone)
        both.append([(step.loss, step.grad_norm) for step in steps])
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4)


def test_the_gradient_is_clipped_after_it_is_measured(tiny_config, tiny_dataset):
    config = tiny_config.with_changes({"grad_clip": 0.01, "max_iters": 2})
    trainer, norms = Trainer(config, tiny_dataset), []
    step = trainer.optimizer.step

    def watched() -> None:
        norms.append(math.sqrt(sum(float(w.grad.square().sum()) for w in trainer.model.parameters())))
        step()

    trainer.optimizer.step = watched
    told = [event.grad_norm for event in trainer.events() if isinstance(event, StepDone)]
    assert norms == pytest.approx([0.01, 0.01], rel=1e-3)
    assert min(told) > 0.1


def test_the_learning_rate_told_is_the_one_used(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config, tiny_dataset)
    for event in trainer.events():
        if isinstance(event, StepDone):
            assert [group["lr"] for group in trainer.optimizer.param_groups] == [event.learning_rate] * 2
    assert event.step == 6


@pytest.mark.parametrize("planted", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(tiny_config, tiny_dataset, planted):
    trainer = Trainer(tiny_config, tiny_dataset)
    events = trainer.events()
    seen = list(itertools.takewhile(lambda event: getattr(event, "step", 0) < 2, events))
    before = weights(trainer)
    backward = trainer._backward
    trainer._backward = lambda random: backward(random) * 0 + planted
    seen = list(events)
    assert LETTERS[type(seen[-1])] == "F" and seen[-1].reason == "diverged" and seen[-1].step == 2
    assert not of_kind(seen, StepDone)
    assert "learning_rate of 0.001" in seen[-1].text
    assert same(before, weights(trainer))
    assert all(weight.isfinite().all() for weight in weights(trainer).values())


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_update(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config.with_changes({"grad_clip": 0.0}), tiny_dataset)
    trainer.model.norm.weight.register_hook(lambda gradient: gradient * math.nan)
    before = weights(trainer)
    ended = list(trainer.events())[-1]
    assert (ended.reason, ended.step) == ("diverged", 0)
    assert same(before, weights(trainer))


def test_weights_that_are_not_finite_end_the_run_when_measured(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config, tiny_dataset)
    trainer.model.norm.weight.data[0] = math.inf
    events = list(trainer.events())
    assert events[-1].reason == "diverged" and not of_kind(events, EvalDone)


@pytest.mark.parametrize(("architecture", "optimizer"), [("gpt2", "adamw"), ("qwen3", "muon")])
def test_a_state_put_back_goes_on_as_if_nothing_had_been(tiny_config, tiny_dataset, architecture, optimizer):
    tiny_config = tiny_config.with_changes({"architecture": architecture, "optimizer": optimizer})
    check_resuming(tiny_config, tiny_dataset, every=1 if optimizer == "adamw" else 4)


def test_a_state_put_back_has_as_much_patience_left(tiny_config, tiny_dataset, monkeypatch):
    plant(monkeypatch, [5.0, 3.0, 4.0, 4.0, 2.0])
    changes = {"max_iters": 4, "eval_interval": 1, "warmup_iters": 0, "patience": 2}
    assert check_resuming(tiny_config.with_changes(changes), tiny_dataset, every=4).step == 3


def check_resuming(tiny_config: ExperimentConfig, tiny_dataset: Dataset, every: int = 1) -> RunFinished:
    """Stop after every so many events, put the state back and compare; gives how the run ends."""
    whole = Trainer(tiny_config, tiny_dataset)
    expected = list(map(without_clock, whole.events()))
    for stop in range(0, len(expected), every):
        first, second = (
            Trainer(tiny_config, tiny_dataset),
            Trainer(tiny_config.with_changes({}), tiny_dataset),
        )
        before = list(map(without_clock, itertools.islice(first.events(), stop)))
        tensors, progress = first.state()
        second.restore({name: tensor.clone() for name, tensor in tensors.items()}, progress)
        after = list(map(without_clock, second.events()))
        assert same(weights(whole), weights(second)), f"stopped after {stop} events"
        kept = (StepDone, EvalDone, ExtractionDone, SampleDrawn)
        history = [event for event in before + after if isinstance(event, kept)]
        assert history == [event for event in expected if isinstance(event, kept)], (
            f"stopped after {stop} events"
        )
        assert after[-1] == expected[-1]
    return expected[-1]


def plant(monkeypatch, losses: list[float]) -> None:
    """Let the validation loss at each step be the one that is listed; the training loss is 1."""

    def measure(self, windows, doing):
        yield Working(step=self.progress.step, doing=doing, share=1.0)
        loss = losses[self.progress.step] if windows is self.validation_windows else 1.0
        return Measured(loss=loss, standard_error=0.1, bits_per_byte=loss, windows=30)

    monkeypatch.setattr(Trainer, "_measure", measure)


FALLS_RISES_FALLS = [5.0, 4.0, 3.0, 3.1, 3.2, 3.3, 2.0, 1.0]


@pytest.mark.parametrize(
    ("losses", "patience", "end", "said"),
    [
        (FALLS_RISES_FALLS, 0, 7, "All 7 steps are done."),
        (FALLS_RISES_FALLS, 1, 3, "Ended early, after step 3 of 7: .* 1 time without .* step 2"),
        (FALLS_RISES_FALLS, 3, 5, "Ended early, after step 5 of 7: .* 3 times without .* step 2"),
        (FALLS_RISES_FALLS, 4, 7, "All 7 steps are done."),
        ([5.0, 4.0, 4.0, 4.0, 3.0], 2, 3, "Ended early, after step 3 of 4: .* 2 times without .* step 1"),
        ([5.0, 6.0, 5.5, 5.2], 2, 2, "Ended early, after step 2 of 3: .* step 0"),
        ([5.0, 6.0, 7.0], 2, 2, "All 2 steps are done."),
        ([5.0, 6.0, 4.0, 6.0, 6.0, 6.0], 2, 4, "Ended early, after step 4 of 5: .* step 2"),
    ],
)
def test_patience_ends_a_run_once_so_many_losses_were_no_better(
    tiny_config, tiny_dataset, monkeypatch, losses, patience, end, said
):
    plant(monkeypatch, losses)
    changes = {"max_iters": len(losses) - 1, "eval_interval": 1, "warmup_iters": 0, "patience": patience}
    ended = list(Trainer(tiny_config.with_changes(changes), tiny_dataset).events())[-1]
    assert (ended.reason, ended.step) == ("finished", end)
    assert re.fullmatch(f"{said}.*", ended.text), ended.text
    assert ended.best_validation_loss == min(losses[: end + 1])
    assert losses[ended.best_step] == ended.best_validation_loss


def test_a_run_that_ends_early_is_the_beginning_of_the_one_without_patience(
    tiny_config, tiny_dataset, monkeypatch
):
    plant(monkeypatch, FALLS_RISES_FALLS)
    changes = {"max_iters": 7, "eval_interval": 1, "warmup_iters": 0}
    whole, patient, early = (
        list(map(without_clock, Trainer(config, tiny_dataset).events()))
        for config in (tiny_config.with_changes({**changes, "patience": times}) for times in (0, 4, 3))
    )
    assert patient == whole
    assert early[:-1] == whole[: len(early) - 1]
    assert early[-1].step == 5 and len(early) < len(whole)


def test_all_processes_of_a_team_end_early_together(tiny_config, tiny_dataset, monkeypatch):
    """Two trainers in threads, which tell each other numbers as processes do."""
    plant(monkeypatch, FALLS_RISES_FALLS)
    told, meet, ends = [0.0, 0.0], threading.Barrier(2, timeout=30), {}

    class Pair(Team):
        def averaging(self, model):
            return model

        def averaging_once(self, model, last):
            return nullcontext()

        def mean(self, value):
            told[self.rank] = value
            meet.wait()
            mean = sum(told) / 2
            meet.wait()
            return mean

    changes = {"max_iters": 7, "eval_interval": 1, "warmup_iters": 0, "patience": 3}

    def train(rank: int) -> None:
        trainer = Trainer(tiny_config.with_changes(changes), tiny_dataset, team=Pair(rank, 2))
        ends[rank] = list(trainer.events())[-1]

    threads = [threading.Thread(target=train, args=(rank,), daemon=True) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [(ends[rank].reason, ends[rank].step) for rank in range(2)] == [("finished", 5)] * 2


def test_a_state_kept_before_there_was_patience_goes_on(tiny_config, tiny_dataset):
    trainer, later = (Trainer(tiny_config, tiny_dataset) for _ in range(2))
    list(itertools.islice(trainer.events(), 10))
    tensors, progress = trainer.state()
    del progress["in_vain"]
    later.restore(tensors, progress)
    assert later.progress == trainer.progress
    assert list(later.events())[-1].step == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, progress: tensors.pop("model.norm.weight"),
        lambda tensors, progress: tensors.update({"model.embedding.weight": torch.zeros(3, 3)}),
        lambda tensors, progress: tensors.update({"model.embedding.weight": torch.zeros(16)}),
        lambda tensors, progress: tensors.update({"optimizer.exp_avg.norm.weight": torch.zeros(1)}),
        lambda tensors, progress: progress.update({"mood": 1}),
    ],
    ids=["missing", "wrong shape", "a shape that would spread", "wrong moment", "unknown progress"],
)
def test_a_state_of_another_model_is_refused(tiny_config, tiny_dataset, damage):
    trainer = Trainer(tiny_config, tiny_dataset)
    list(itertools.islice(trainer.events(), 10))
    tensors, progress = trainer.state()
    damage(tensors, progress)
    with pytest.raises(CheckpointError, match="does not fit"):
        Trainer(tiny_config, tiny_dataset).restore(tensors, progress)


def test_samples_begin_a_text_of_their_side(tiny_config, tiny_dataset):
    samples = of_kind(list(Trainer(tiny_config, tiny_dataset).events()), SampleDrawn)
    tokenizer = tiny_dataset.tokenizer
    for sample in samples:
        ids = tiny_dataset.train if sample.source == "training" else tiny_dataset.validation
        assert sample.prompt and tokenizer.decode(ids).strip().startswith(sample.prompt)
    assert len({sample.prompt for sample in samples}) == 2


def test_between_two_events_the_trainer_is_at_rest(tiny_config, tiny_dataset):
    trainer = Trainer(tiny_config, tiny_dataset)
    for _ in trainer.events():
        assert trainer.model.training and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_too_little_validation_text_is_refused(tiny_config, tiny_dataset):
    with pytest.raises(CorpusError, match="at least 20"):
        Trainer(tiny_config, replace(tiny_dataset, validation=tiny_dataset.validation[:10]))


def test_a_text_that_fits_into_the_model_is_learned_by_heart(monkeypatch):
    monkeypatch.setattr(spans, "MOST_TOKENS", 2_560)
    config = ExperimentConfig(
        corpus="tales", dataset_size=200, vocab_size=512, n_embd=64, block_size=64,
        max_iters=160, eval_interval=20, learning_rate=1e-2,
    )  # fmt: skip
    events = list(Trainer(config, prepare(config)).events())
    measured, extracted = of_kind(events, EvalDone), of_kind(events, ExtractionDone)
    assert measured[-1].train_loss < 0.1
    assert extracted[0].train_rate == 0 and extracted[-1].train_rate > 0.5
    assert max(event.validation_rate for event in extracted) < 0.1
    best = min(event.validation_loss for event in measured)
    assert measured[-1].validation_loss > best + 3 * measured[-1].validation_standard_error
    assert measured[-1].validation_loss > measured[-1].train_loss + 1


@pytest.mark.parametrize("name", list(load_presets()))
def test_every_preset_takes_its_first_steps(name, monkeypatch):
    monkeypatch.setattr(spans, "MOST_TOKENS", 640)
    config = load_presets()[name].config
    changes = {"batch_size": 1, "block_size": 32, "max_iters": 2, "warmup_iters": 0, "eval_interval": 2}
    config = config.with_changes({**changes, "dataset_size": min(config.dataset_size, 2_000)})
    trainer = Trainer(config, prepare(config))
    steps = of_kind(
        list(itertools.takewhile(lambda event: getattr(event, "step", 0) < 2, trainer.events())), StepDone
    )
    assert steps[0].loss == pytest.approx(math.log(trainer.config.vocab_size), abs=0.5)
    assert trainer.progress.step == 2
    assert all(weight.isfinite().all() for weight in weights(trainer).values())
