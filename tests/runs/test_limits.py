"""What a server lets its visitors do: profiles, their changes, and the sentences of those who want more."""

import psutil
import pytest

from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import ConfigError
from slm_core.model.budget import budget
from slm_core.runs.limits import LIMITS, PROFILES, Limits, allowed_presets, largest_file_bytes, load_limits


def test_the_profile_is_the_one_named_else_the_laptops():
    assert load_limits() == load_limits("laptop") == PROFILES["laptop"] == Limits()
    assert load_limits("cloud") is not None and load_limits("cloud") == PROFILES["cloud"]


def test_single_limits_can_be_changed_and_the_others_stay():
    changed = load_limits("classroom", "parameters=5_000_000  max_iters=500\tactive_runs=0")
    assert (changed.parameters, changed.max_iters, changed.active_runs) == (5_000_000, 500, 0)
    kept = {name for name in LIMITS if getattr(changed, name) == getattr(PROFILES["classroom"], name)}
    assert kept == set(LIMITS) - {"parameters", "max_iters", "active_runs"} and changed.separate


@pytest.mark.parametrize(
    ("profile", "changes", "words"),
    [
        ("school", "", "no profile 'school'.*laptop, classroom, cloud"),
        ("x" * 500, "", r"no profile 'x{40}'"),
        ("cloud", "paramters=3", "no limit called 'paramters'.*parameters"),
        ("cloud", "separate=0", "no limit called 'separate'"),
        ("cloud", "parameters", "parameters is ''; it must be a whole number"),
        ("cloud", "parameters=many", "parameters is 'many'"),
        ("cloud", "parameters=1e6", "parameters is '1e6'"),
        ("cloud", "parameters=-1", "parameters is -1; it must be a whole number from 0"),
        ("cloud", "parameters=" + "9" * 5_000, "it must be a whole number"),
        ("cloud", "=", "no limit called ''"),
    ],
)
def test_a_profile_or_a_limit_that_there_is_not_is_told(profile, changes, words):
    with pytest.raises(ConfigError, match=words):
        load_limits(profile, changes)


def test_every_limit_out_of_range_is_told_at_once():
    with pytest.raises(ConfigError, match=r"(?s)max_iters is -1.*session_bytes is 0\.5"):
        Limits(max_iters=-1, session_bytes=0.5)


def test_a_laptop_forbids_nothing_that_fits_into_its_memory():
    for preset in load_presets().values():
        if budget(preset.config).training_memory_bytes <= psutil.virtual_memory().total * 9 // 10:
            assert Limits().problems(preset.config) == []


def test_a_run_beyond_a_limit_is_told_what_was_asked_what_is_allowed_and_what_to_lower():
    config = ExperimentConfig(max_iters=100, dataset_size=1_000, batch_size=8, block_size=128)
    at_most = {
        "parameters": budget(config).parameters,
        "max_iters": 100,
        "dataset_size": 1_000,
        "tokens_read": 100 * 8 * 128,
        "memory_bytes": budget(config).training_memory_bytes,
    }
    assert Limits(**at_most).problems(config) == [], "exactly what is allowed"
    cures = {
        "parameters": "n_embd", "max_iters": "max_iters", "dataset_size": "dataset_size",
        "tokens_read": "batch_size", "memory_bytes": "batch_size",
    }  # fmt: skip
    for name, most in at_most.items():
        (sentence,) = Limits(**{**at_most, name: most - 1}).problems(config)
        assert f"{most:,}" in sentence and f"{most - 1:,}" in sentence, sentence
        assert f"Lower {cures[name]}" in sentence or cures[name] in sentence.split("Lower")[1]
        assert "others" not in sentence
    shared = Limits(separate=True, **{name: most - 1 for name, most in at_most.items()})
    assert len(shared.problems(config)) == 5
    assert all("others use this server" in each for each in shared.problems(config))


def test_memory_is_what_was_set_else_nine_tenths_of_the_machines(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 1_000})())
    assert Limits().memory == 900 and Limits(memory_bytes=5).memory == 5


def test_presets_are_those_that_a_servers_limits_allow():
    configs = {"small": ExperimentConfig(max_iters=100), "long": ExperimentConfig(max_iters=101)}
    assert allowed_presets(Limits(max_iters=100), configs) == ["small"]
    assert allowed_presets(Limits(), configs) == ["small", "long"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_room_for_the_models_that_it_allows(profile):
    """A model as large as allowed can be trained, kept and brought along as a file."""
    limits, config = PROFILES[profile], load_presets()["ULTRA_TINY"].config
    assert limits.problems(config) == []
    largest = 4 * min(limits.parameters, 60_000_000)
    assert largest < limits.session_bytes <= limits.server_bytes
    assert largest < largest_file_bytes(limits)
