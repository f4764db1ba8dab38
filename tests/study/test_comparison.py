"""Runs compared: in what they differ, how far they were when, and sentences that the numbers bear out."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.config import KNOBS, ExperimentConfig
from slm_core.model.budget import budget
from slm_core.runs.history import History
from slm_core.runs.store import Run, create_run
from slm_core.study.comparison import (
    ALONG,
    BITS,
    CURVE_COLUMNS,
    NATS,
    Standing,
    changed,
    curve_rows,
    differing,
    doubts,
    finding,
    labels,
    logarithmic,
    smoothed,
    standing,
    to_csv,
    track,
    unit_of,
    warnings,
)
from slm_core.train.events import EvalDone, RunFinished, RunStarted, StepDone, to_json

BASE = ExperimentConfig(corpus="tales", dataset_size=500, block_size=64, batch_size=4, max_iters=40)


def make_run(root: Path, config: ExperimentConfig, losses: dict[int, tuple[float, float]], name="run") -> Run:
    """A run's folder with (training, validation) losses by step, two seconds a step and half as many bits."""
    run = create_run(root, config, name=name, device="cpu", threads=1)
    events = [begun(config)]
    for step in range(max(losses, default=0) + 1):
        if step:
            events.append(stepped(step, 2.0 * step))
        if step in losses:
            events.append(evaluated(step, *losses[step]))
    lines = [to_json(event) for event in [*events, ended(max(losses, default=0))]]
    (run.folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return run


def begun(config: ExperimentConfig, step: int = 0, **facts) -> RunStarted:
    given = {"parameters": budget(config).parameters, "train_tokens": config.dataset_size}
    return RunStarted(
        step=step, max_iters=config.max_iters, device="cpu", threads=1, validation_tokens=9_000,
        loss_at_chance=6.0, **given | facts,
    )  # fmt: skip


def stepped(step: int, seconds: float) -> StepDone:
    return StepDone(
        step=step, loss=1.0, learning_rate=0.1, grad_norm=1.0, tokens_per_second=1.0, elapsed_seconds=seconds,
        remaining_seconds=0.0,
    )  # fmt: skip


def evaluated(step: int, train: float, validation: float) -> EvalDone:
    return EvalDone(
        step=step, train_loss=train, train_bits_per_byte=train / 2, validation_loss=validation,
        validation_standard_error=0.01, validation_bits_per_byte=validation / 2, windows=100, is_best=False,
    )  # fmt: skip


def ended(step: int) -> RunFinished:
    return RunFinished(
        step=step, reason="finished", text="", best_step=0, best_validation_loss=1.0,
        elapsed_seconds=2.0 * step + 1,
    )  # fmt: skip


def stood(
    best: float | None = 3.0, error: float = 0.01, tokens: int = 9_000, steps=40, **changes
) -> Standing:
    """A run with these settings whose best loss is `best` nats per token, and half as many bits a byte."""
    return Standing(
        config=BASE.with_changes(changes),
        steps=steps,
        seconds=1.0,
        validation_tokens=tokens,
        best=None if best is None else {NATS: best, BITS: best / 2},
        error=error,
        gap=1.0,
    )


@given(st.lists(st.floats(-9, 9), max_size=20), st.floats(0, 0.95))
def test_smoothing_is_the_weighted_mean_of_a_value_and_those_before(values, share):
    weights = [share**back for back in range(len(values))]
    for place, mean in enumerate(smoothed(values, share)):
        weighed = [weight * value for weight, value in zip(weights, values[place::-1], strict=False)]
        assert mean == pytest.approx(sum(weighed) / sum(weights[: place + 1]), abs=1e-9)


def test_what_is_constant_or_not_smoothed_stays():
    assert smoothed([2.5] * 9, 0.9) == pytest.approx([2.5] * 9)
    assert smoothed([3.0, 1.0, 2.0], 0.0) == [3.0, 1.0, 2.0]


def test_a_track_says_how_far_a_run_was_by_every_measure(tmp_path):
    run = make_run(tmp_path, BASE, {0: (6.0, 6.1), 20: (2.0, 4.0), 40: (0.5, 5.0)})
    found = track(BASE, History(run.folder).refresh())
    assert found.places["steps"] == [0, 20, 40]
    assert found.places["tokens"] == [0, 20 * 4 * 64, 40 * 4 * 64]
    assert found.places["epochs"][-1] == pytest.approx(BASE.epochs)
    assert found.places["seconds"] == [0.0, 40.0, 80.0]
    assert found.places["flops"][-1] == budget(BASE).training_flops
    assert found.losses[NATS] == ([6.0, 2.0, 0.5], [6.1, 4.0, 5.0])
    assert found.losses[BITS] == ([3.0, 1.0, 0.25], [3.05, 2.0, 2.5])
    assert list(found.places) == list(ALONG)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_arithmetic_and_epochs_are_those_of_the_model_and_text_there_were(positions):
    asked = BASE.with_changes({"positions": positions})
    made = asked.with_changes({"vocab_size": 600, "dataset_size": 250})  # what the text was good for
    history = History(Path("nowhere"), evaluations={40: evaluated(40, 1.0, 1.0)})
    history.started = begun(asked, parameters=budget(made).parameters, train_tokens=250)
    found = track(asked, history).places
    assert found["flops"] == [budget(made).training_flops] and found["epochs"] == [made.epochs]


def test_a_step_that_was_lost_takes_the_seconds_of_the_one_before():
    history = History(Path("nowhere"), elapsed={1: 1.5, 3: 4.0})
    history.evaluations = {step: evaluated(step, 1.0, 1.0) for step in (0, 1, 2, 3)}
    assert track(BASE, history).places["seconds"] == [0.0, 1.5, 1.5, 4.0]


def test_seconds_of_a_resumed_run_are_those_of_what_was_kept(tmp_path):
    run = create_run(tmp_path, BASE, name="a", device="cpu", threads=1)
    for event in [begun(BASE), stepped(1, 1.0), stepped(2, 2.0), begun(BASE, step=1), stepped(2, 7.0)]:
        run.append(event)
    assert History(run.folder).refresh().elapsed == {1: 1.0, 2: 7.0}
    run.append(begun(BASE, step=1))
    assert History(run.folder).refresh().elapsed == {1: 1.0}


def test_a_standing_is_the_best_and_the_last(tmp_path):
    run = make_run(tmp_path, BASE, {0: (6.0, 6.1), 20: (2.0, 4.0), 40: (0.5, 5.0)})
    found = standing(BASE, History(run.folder).refresh())
    assert (found.best, found.gap, found.error) == ({NATS: 4.0, BITS: 2.0}, 4.5, 0.01)
    assert (found.steps, found.seconds, found.validation_tokens) == (40, 81.0, 9_000)


def test_a_run_that_has_not_begun_stands_at_nothing():
    found = standing(BASE, History(Path("nowhere")))
    assert (found.best, found.gap, found.steps, found.seconds, found.validation_tokens) == (
        None,
        None,
        0,
        0,
        0,
    )
    assert track(BASE, History(Path("nowhere"))).places["steps"] == []


CHANGES = {
    "corpus": "stories", "dataset_size": 900, "n_layer": 3, "n_embd": 64, "positions": "learned",
    "dropout": 0.1, "batch_size": 5, "max_iters": 90, "learning_rate": 0.01, "seed": 1,
}  # fmt: skip


@given(st.sets(st.sampled_from(sorted(CHANGES))))
def test_the_settings_that_differ_are_those_that_were_changed(names):
    other = BASE.with_changes({name: CHANGES[name] for name in names})
    assert differing([BASE, other, BASE]) == [name for name in KNOBS if name in names]


def test_a_vocabulary_size_without_effect_is_no_difference():
    sizes = [BASE.with_changes({"tokenizer": "bytes", "vocab_size": size}) for size in (300, 400)]
    assert differing(sizes) == [] and differing([BASE, sizes[0]]) == ["tokenizer", "vocab_size"]


def test_what_bears_on_learning_leaves_out_chance_and_what_only_follows():
    assert changed([stood(), stood(seed=1, eval_interval=5)]) == []
    assert changed([stood(), stood(learning_rate=6e-3, min_lr=6e-4)]) == ["learning_rate"]
    assert changed([stood(), stood(learning_rate=6e-3)]) == ["learning_rate"]
    assert changed([stood(), stood(learning_rate=6e-3, min_lr=1e-4)]) == ["learning_rate", "min_lr"]
    assert changed([stood(), stood(min_lr=1e-4)]) == ["min_lr"]
    assert changed([stood(corpus="own"), stood(corpus="own", tokens=8_000)]) == ["the text itself"]
    assert changed([stood(corpus="own"), stood(corpus="own")]) == []


def test_a_label_says_what_differs():
    sizes = [stood(dataset_size=size) for size in (200, 30_000)]
    assert labels(sizes, ["a", "b"]) == ["dataset_size 200", "dataset_size 30,000"]
    assert labels([stood(dropout=0.1, seed=1), stood(dropout=0.1, seed=2), stood()], ["a", "a", "a"]) == [
        "dropout 0.1, seed 1",
        "dropout 0.1, seed 2",
        "dropout 0",
    ]
    assert labels([stood(), stood(), stood()], ["a", "b", "b"]) == ["a", "b", "b (2)"]
    assert labels([stood(n_layer=1), stood(n_layer=1), stood()], ["a", "b", "c"])[:2] == [
        "n_layer 1, a",
        "n_layer 1, b",
    ]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.integers(0, 2), st.sampled_from(["a", "a (2)", "a, seed 1", "seed 1", ""])
        ),
        max_size=12,
    )
)
def test_no_two_labels_are_alike(runs):
    standings = [stood(n_layer=layers, seed=seed) for layers, seed, _ in runs]
    found = labels(standings, [name for *_, name in runs])
    assert len(set(found)) == len(found) == len(runs)


def test_losses_of_different_tokens_are_compared_in_bits():
    assert unit_of([stood(), stood(dataset_size=900, n_layer=3)]) == (NATS, "")
    assert unit_of([stood(corpus="stories"), stood(corpus="repeated")])[0] == NATS  # one tokenizer
    for other in (stood(vocab_size=300), stood(tokenizer="bytes"), stood(corpus="stories")):
        unit, why = unit_of([stood(), other])
        assert unit == BITS and "bits per byte" in why
    own = [stood(corpus="own", tokens=tokens) for tokens in (9_000, 9_000, 8_000)]
    assert unit_of(own[:2])[0] == NATS and unit_of(own)[0] == BITS
    assert unit_of([own[0], stood(corpus="own", tokens=0)])[0] == NATS  # that one has not begun
    assert unit_of([]) == (NATS, "")


def test_a_finding_gives_the_best_loss_at_each_value_in_their_order():
    runs = [stood(4.75, dataset_size=3_000), stood(5.73, dataset_size=200)]
    told, numbers = finding(runs, NATS).split(": ")
    assert told == "They differ in dataset_size. Best validation loss in nats per token"
    assert numbers == "5.73 at 200, 4.75 at 3,000 tokens."
    assert "2.87 at 200, 2.38 at 3,000" in finding(runs, BITS)
    named = [stood(5.0, positions="rotary"), stood(6.0, positions="learned")]
    assert finding(named, NATS).endswith("6.00 with learned, 5.00 with rotary.")


def test_a_finding_over_seeds_gives_means():
    runs = [stood(loss, dropout=dropout, seed=seed) for loss, dropout, seed in
            [(3.0, 0.0, 1), (4.0, 0.0, 2), (2.0, 0.1, 1), (2.2, 0.1, 2)]]  # fmt: skip
    assert "(means over seeds) in nats per token: 3.50 at 0, 2.10 at 0.1." in finding(runs, NATS)


def test_of_many_values_a_finding_gives_the_lowest_and_the_highest():
    runs = [stood(abs(layers - 3) + 1.0, n_layer=layers) for layers in range(1, 8)]
    assert "lowest, 1.00, at 3; highest, 5.00, at 7 layers." in finding(runs, NATS)


def test_a_finding_of_seeds_alone_calls_it_chance():
    assert finding([stood(3.0), stood(3.1, seed=1)], NATS).endswith(
        "3.00 to 3.10 nats per token. So much is chance."
    )
    assert "same settings and the same seed" in finding([stood(), stood()], NATS)
    assert "needs two runs" in finding([stood(), stood(None)], NATS) == finding([], NATS)


def test_when_more_than_one_thing_differs_nothing_is_proved():
    [warning] = warnings([stood(), stood(n_layer=3, dropout=0.1)])
    assert "n_layer and dropout" in warning and "proves nothing" in warning
    assert warnings([stood(), stood(n_layer=3, seed=7)]) == [] == warnings([])


@pytest.mark.parametrize(
    ("runs", "apart"),
    [
        ([stood(), stood(corpus="stories")], True),
        ([stood(corpus="own"), stood(corpus="own", tokens=8_000)], True),
        ([stood(corpus="own"), stood(corpus="own", tokens=8_000, tokenizer="bytes")], False),
        ([stood(corpus="repeated"), stood(corpus="repeated", tokens=8_000, dataset_size=900)], True),
        ([stood(), stood(tokens=8_000, vocab_size=900)], False),
    ],
)
def test_runs_tested_on_different_texts_are_told_apart(runs, apart):
    assert any("different texts" in each for each in warnings(runs)) == apart


def test_a_block_size_decides_what_is_tested():
    runs = [stood(), stood(block_size=32)]
    assert "held-out story" in warnings(runs)[0]
    own = [replace(each, config=each.config.with_changes({"corpus": "own"})) for each in runs]
    assert warnings(own) == []


def test_doubts_name_runs_under_way_chance_and_noise():
    short = stood(steps=10, n_layer=3)
    assert "1 of 2 has not done all steps." in doubts([stood(), short])[0]
    early = doubts([stood(), replace(short, ended_early=True)])
    assert "1 of 2 has not done all steps: the validation loss had stopped falling." in early[0]
    assert "one seed" in doubts([stood(3.0), stood(4.0, n_layer=3)])[0]
    assert (
        "closer together than they can be measured"
        in doubts([stood(3.0, 0.1), stood(3.4, 0.1, n_layer=3)])[0]
    )
    assert "one seed" in doubts([stood(3.0, 0.1), stood(3.5, 0.1, n_layer=3)])[0]  # 3 * hypot(.1, .1) is 0.42
    repeated = [stood(3.0, n_layer=layers, seed=seed) for layers in (2, 3) for seed in (1, 2)]
    assert "closer together" in doubts(repeated)[0]
    assert (
        doubts([replace(each, best={NATS: 3.0 + place, BITS: 1.0}) for place, each in enumerate(repeated)])
        == []
    )
    assert doubts([]) == []


def test_only_ends_far_apart_need_a_logarithmic_axis():
    assert not logarithmic([]) and not logarithmic([0, 0, 5]) and not logarithmic([100, 3_000])
    assert logarithmic([100, 0, 3_001])


def test_a_csv_reads_back_and_holds_no_formula(tmp_path):
    run = make_run(tmp_path, BASE, {0: (6.0, 6.1), 20: (2.0, 4.0)})
    rows = curve_rows(run.id, '=cmd("x"),\n@', track(BASE, History(run.folder).refresh()))
    head, *body = csv.reader(io.StringIO(to_csv(CURVE_COLUMNS, rows)))
    assert tuple(head) == CURVE_COLUMNS and len(body) == 2
    last = dict(zip(head, body[-1], strict=True))
    assert last["run"] == run.id and last["name"] == '\'=cmd("x"),\n@'
    assert [float(last[name]) for name in ("step", "tokens", "seconds", "train", "validation")] == [
        20, 5_120, 40.0, 2.0, 4.0,
    ]  # fmt: skip
    assert math.isclose(float(last["validation_bits_per_byte"]), 2.0)
    assert to_csv(["a"], [["-1"], [-1], [None]]) == 'a\n\'-1\n-1\n""\n'
