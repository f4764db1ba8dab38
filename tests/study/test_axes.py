"""What varying one thing does to a config, and that the usual grids make sense on every preset."""

import json

import numpy as np
import pytest

from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.study import axes
from slm_core.study.axes import AXES, changes, problem_of, standard_values
from slm_core.text.corpus import prepare, story_tokenizer

PRESETS = {name: preset.config for name, preset in load_presets().items()}
ON_CPU = [name for name, preset in load_presets().items() if preset.hardware == "cpu"]
SETTINGS = [name for name in AXES if name != "device"]


@pytest.mark.parametrize("vary", AXES)
def test_every_axis_asks_one_question_and_names_what_exists(vary):
    axis = AXES[vary]
    assert axis.question.endswith("?") and axis.question.count("?") == 1
    assert vary in KNOBS or vary in ("epochs", "device")
    assert AXES[vary].by_best_model == (vary != "device"), "seconds fall when a run ends early"
    assert set(axis.follows) <= KNOBS.keys()


@pytest.mark.parametrize("preset", ON_CPU)
@pytest.mark.parametrize("vary", SETTINGS)
def test_the_usual_grids_fit_every_preset(vary, preset):
    base = PRESETS[preset]
    values = standard_values(vary, base)
    assert len(values) >= min(4, len(AXES[vary].values)) and set(values) <= set(AXES[vary].values)
    for value in values:
        base.with_changes(changes(vary, value, values, base))
    left_out = set(AXES[vary].values) - set(values)
    assert all(vary == "dataset_size" and value <= base.block_size for value in left_out)


@pytest.mark.parametrize("vary", SETTINGS)
def test_no_value_of_a_usual_grid_is_a_problem_and_nonsense_is(vary):
    assert [problem_of(vary, value) for value in AXES[vary].values] == [None] * len(AXES[vary].values)
    for value in (True, None, "much", [], {}, float("nan"), float("inf"), -1, 10**400):
        assert problem_of(vary, value)


@pytest.mark.parametrize("name", ["cpu", "mps", "cuda", "cuda:0", "cuda:11"])
def test_devices_as_torch_calls_them(name):
    assert problem_of("device", name) is None


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:0\n", "cpu; rm", 0, None, ["cpu"]])
def test_other_devices_are_a_problem(name):
    assert problem_of("device", name)


def test_epochs_share_out_the_tokens_that_are_read():
    base = ExperimentConfig(batch_size=8, block_size=128, max_iters=200)  # reads 204,800 tokens
    sizes = [changes("epochs", epochs, (1, 4, 64), base) for epochs in (1, 4, 64)]
    assert sizes == [{"dataset_size": 204_800}, {"dataset_size": 51_200}, {"dataset_size": 3_200}]
    assert [base.with_changes(size).epochs for size in sizes] == [1, 4, 64]


@pytest.mark.parametrize(
    ("heads", "widths", "positions", "held"),
    [
        (4, (64, 96, 128, 192), "rotary", 4),
        (10, (64, 96, 128, 192), "rotary", 8),
        (6, (60, 90), "rotary", 5),
        (6, (60, 90), "learned", 6),
        (4, (64, 98), "rotary", 1),
    ],
)
def test_all_widths_have_the_same_heads(heads, widths, positions, held):
    base = ExperimentConfig(n_head=heads, n_embd=heads * 32, positions=positions)
    configs = [base.with_changes(changes("n_embd", width, widths, base)) for width in widths]
    assert [config.n_head for config in configs] == [held] * len(widths)


def test_both_architectures_have_rotary_positions_whatever_the_base_has():
    base = ExperimentConfig(positions="learned")
    assert standard_values("architecture", base) == ("gpt2", "qwen3")
    configs = [base.with_changes(changes("architecture", each, (), base)) for each in ("gpt2", "qwen3")]
    assert [config.positions for config in configs] == ["rotary", "rotary"]


def test_min_lr_stays_the_same_share_of_the_learning_rate():
    base = ExperimentConfig(learning_rate=0.002, min_lr=0.0004)
    changed = changes("learning_rate", 0.03, (0.03,), base)
    assert changed["min_lr"] == pytest.approx(0.006)


def test_larger_batches_take_fewer_steps_to_read_as_many_tokens():
    base = ExperimentConfig(batch_size=8, max_iters=200, warmup_iters=20, eval_interval=20)
    assert changes("batch_size", 32, (8, 32), base) == {"batch_size": 32}
    config = base.with_changes(changes("batch_size", 32, (8, 32), base, hold="tokens"))
    assert (config.max_iters, config.warmup_iters, config.eval_interval) == (50, 5, 5)
    assert config.tokens_per_step * config.max_iters == base.tokens_per_step * base.max_iters


@pytest.mark.parametrize("corpus", ["tales", "own"])
def test_more_text_changes_nothing_but_how_much_text_there_is(corpus, own_text):
    base = ExperimentConfig(corpus=corpus, vocab_size=300, block_size=32)
    values = (200, 1_000, 3_000)
    prepared = [
        prepare(base.with_changes(changes("dataset_size", size, values, base)), own_text) for size in values
    ]
    largest = prepared[-1]
    for size, dataset in zip(values, prepared, strict=True):
        assert np.array_equal(dataset.train, largest.train[:size]) and len(dataset.train) == size
        assert np.array_equal(dataset.validation, largest.validation)
        assert json.dumps(dataset.tokenizer.to_dict()) == json.dumps(largest.tokenizer.to_dict())


@pytest.mark.parametrize("corpus", ["tales", "stories"])
def test_the_built_in_stories_have_as_many_tokens_as_the_usual_vocabularies_ask_for(corpus):
    for size in (AXES["vocab_size"].values[0], AXES["vocab_size"].values[-1]):
        assert story_tokenizer(corpus, size).vocab_size == size


def test_a_text_no_longer_than_a_block_is_left_out():
    base = ExperimentConfig(dataset_size=5_000, block_size=1_008)
    assert standard_values("dataset_size", base)[0] == 3_000
    assert axes.AXES["dataset_size"].values[0] == 200
