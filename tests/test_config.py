"""Settings, their ranges and the presets."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.config import (
    KNOBS,
    ExperimentConfig,
    Knob,
    config_from_dict,
    load_preset,
    load_presets,
    parse_setting,
)
from slm_core.errors import ConfigError

PRESETS = [
    "ULTRA_TINY",
    "TINY_CPU",
    "SMALL_CPU",
    "MEDIUM_CPU",
    "LARGE_CPU",
    "TINY_GPU",
    "MEDIUM_GPU",
    "LARGE_GPU",
]


def test_the_defaults_are_a_valid_config():
    assert ExperimentConfig().to_dict() == {name: knob.default for name, knob in KNOBS.items()}


def test_every_knob_says_what_it_is_and_lets_its_default_and_its_ends_in():
    for knob in KNOBS.values():
        assert knob.help.endswith(".") and knob.group in ("data", "model", "training")
        ends = knob.choices or (type(knob.default)(knob.low), type(knob.default)(knob.high))
        for value in (knob.default, *ends):
            assert knob.problem(value) is None, (knob.name, value)


@pytest.mark.parametrize(
    "knob", [each for each in KNOBS.values() if not each.choices], ids=lambda knob: knob.name
)
def test_a_number_out_of_range_is_refused_with_the_range(knob: Knob):
    step = 1 if isinstance(knob.default, int) else 1e-9
    for value in (knob.low - step, knob.high + 1, 10**400, math.nan, math.inf, "3", None, True, [3]):
        problem = knob.problem(value)
        assert problem and knob.name in problem and f"{knob.low:,}" in problem and f"{knob.high:,}" in problem


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig(n_layer=0, corpus="poems", dropout=2.0)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == ["corpus", "n_layer", "dropout"]
    assert "tales, stories, own" in lines[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_embd": 128, "n_head": 5}, ["n_head = 4", "n_embd = 130"]),
        ({"n_embd": 40, "n_head": 8}, ["even", "learned"]),
        ({"architecture": "qwen3", "positions": "learned"}, ["qwen3", "learned", "rotary positions", "gpt2"]),
        ({"min_lr": 0.5}, ["min_lr", "learning_rate"]),
        ({"warmup_iters": 301}, ["warmup_iters", "max_iters"]),
        ({"dataset_size": 128}, ["dataset_size", "block_size"]),
        ({"vocab_size": 256}, ["vocab_size is 256", "bpe", "257"]),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig(**changes)
    assert all(word in str(caught.value) for word in words)


def test_odd_head_sizes_are_fine_with_learned_positions():
    assert ExperimentConfig(n_embd=40, n_head=8, positions="learned").n_head == 8


def test_a_config_survives_json():
    config = ExperimentConfig(n_layer=3, learning_rate=1e-3, positions="learned", min_lr=0.0)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_left_out_take_their_defaults():
    assert config_from_dict({"n_layer": 5}) == ExperimentConfig(n_layer=5)


@pytest.mark.parametrize("foreign", [None, [1], "n_layer=3", 3])
def test_settings_that_are_no_mapping_are_refused(foreign):
    with pytest.raises(ConfigError, match="names with values"):
        config_from_dict(foreign)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="'lerning_rate'; did you mean learning_rate"):
        ExperimentConfig().with_changes({"lerning_rate": 1e-3})
    with pytest.raises(ConfigError, match="'N_LAYER'; did you mean n_layer"):
        config_from_dict({"N_LAYER": 3})


@given(st.integers(1, 24), st.floats(1e-6, 1.0))
def test_what_the_command_line_spells_is_what_it_means(layers, rate):
    assert parse_setting(f"n_layer={layers}") == ("n_layer", layers)
    assert parse_setting(f"learning_rate={rate!r}") == ("learning_rate", rate)


def test_the_command_line_takes_underscores_and_words():
    assert parse_setting("dataset_size=1_000_000") == ("dataset_size", 1_000_000)
    assert parse_setting("corpus=own") == ("corpus", "own")


@pytest.mark.parametrize(
    ("given_text", "answer"),
    [
        ("n_layer", "name=value"),
        ("n_layer=2.5", "whole number"),
        ("n_layer=", "whole number"),
        ("learning_rate=fast", "a number"),
        ("n_layers=3", "did you mean n_layer"),
        ("seed=" + "9" * 5_000, "whole number"),
    ],
)
def test_what_the_command_line_cannot_mean_is_refused(given_text, answer):
    with pytest.raises(ConfigError, match=answer):
        parse_setting(given_text)


def test_epochs_are_tokens_read_over_tokens_there():
    config = ExperimentConfig(
        batch_size=3, block_size=16, gradient_accumulation_steps=2, max_iters=50, dataset_size=1_200
    )
    assert config.tokens_per_step == 96
    assert config.epochs == 4.0


def test_the_presets_are_the_eight_that_were_agreed():
    presets = load_presets()
    assert list(presets) == PRESETS
    sizes = {name: presets[name].config.dataset_size for name in ("TINY_CPU", "SMALL_CPU", "MEDIUM_CPU")}
    assert sizes == {"TINY_CPU": 200, "SMALL_CPU": 1_000, "MEDIUM_CPU": 3_000}
    for preset in presets.values():
        assert preset.hardware == preset.name.partition("_")[2].lower().replace("tiny", "cpu")
        assert preset.shows.endswith(".")


def test_a_preset_is_its_difference_from_the_defaults(tmp_path):
    file = tmp_path / "presets.yaml"
    file.write_text("MINE:\n  shows: A try.\n  hardware: gpu\n  n_layer: 3\n")
    preset = load_preset("MINE", file)
    assert (preset.shows, preset.hardware, preset.config) == ("A try.", "gpu", ExperimentConfig(n_layer=3))


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean TINY_CPU"):
        load_preset("tiny_cpu")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"A:\n  n_layers: 3\n", "Preset A.*'n_layers'; did you mean n_layer"),
        (b"A:\n  n_layer: three\n", "Preset A.*n_layer is 'three'.*whole number"),
        (b"A:\n  n_layer: 1" + b"0" * 400, "n_layer is 10"),
        (b"A:\n  n_layer: 1" + b"0" * 5_000, "not valid YAML"),
        (b"A:\n  shows: 2026-99-99\n", "not valid YAML"),
        (b"A:\n  1: 2\n", "Preset A.*'1'"),
        (b"A:\n  hardware: tpu\n", "cpu or gpu"),
        (b"A: 3\n", "Preset A must be"),
        (b"- A\n", "list presets by name"),
        (b"", "list presets by name"),
        (b"A: [\n", "not valid YAML"),
        (b"[" * 10_000, "not valid YAML"),
        (b"A:\n  !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_bad_presets_file_is_refused_with_what_is_wrong(tmp_path, content, answer):
    file = tmp_path / "presets.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"(?s){answer}"):
        load_presets(file)


def test_a_missing_presets_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_presets(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("tokenizer", ["bytes", "characters", "gpt2"])
def test_only_bpe_needs_room_for_its_bytes(tokenizer):
    assert ExperimentConfig(tokenizer=tokenizer, vocab_size=3).vocab_size == 3
