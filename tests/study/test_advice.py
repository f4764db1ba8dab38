"""What to take instead of a run that is too long or too large."""

import pytest

from slm_core.config import ExperimentConfig, load_presets
from slm_core.model.budget import budget
from slm_core.study.advice import PATIENCE_SECONDS, of_memory, of_time, quicker, that_fits

CONFIGS = {name: preset.config for name, preset in load_presets().items()}
LARGE = CONFIGS["LARGE_CPU"]


@pytest.mark.parametrize("seconds", [130, 1_000, 10_000, 1e6])
def test_the_most_that_ends_in_time_is_named(seconds):
    name, its_seconds = quicker(LARGE, seconds, CONFIGS)
    flops = {each: budget(config).training_flops for each, config in CONFIGS.items()}
    per_flop = seconds / flops["LARGE_CPU"]
    assert its_seconds == pytest.approx(flops[name] * per_flop)
    in_time = [each for each, needed in flops.items() if needed * per_flop <= PATIENCE_SECONDS]
    assert name in (in_time or flops)
    assert all(flops[each] <= flops[name] for each in in_time)


def test_there_is_nothing_quicker_than_the_quickest():
    quickest = min(CONFIGS.values(), key=lambda config: budget(config).training_flops)
    assert quicker(quickest, 500.0, {"it": quickest}) is None


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_a_smaller_batch_fits_and_a_batch_twice_as_large_does_not(share):
    room = share * budget(LARGE).training_memory_bytes
    change = that_fits(LARGE, room)
    assert set(change) == {"batch_size"}
    assert budget(LARGE.with_changes(change)).training_memory_bytes <= room
    twice = LARGE.with_changes({"batch_size": 2 * change["batch_size"]})
    assert budget(twice).training_memory_bytes > room or twice.batch_size == LARGE.batch_size


def test_where_no_batch_fits_the_model_gets_narrower():
    config = ExperimentConfig(n_embd=256, batch_size=1)
    room = 0.5 * budget(config).training_memory_bytes
    change = that_fits(config, room)
    assert set(change) == {"n_embd"}
    assert budget(config.with_changes(change)).training_memory_bytes <= room


def test_nothing_fits_into_nothing():
    assert that_fits(LARGE, 1.0) == {}


def test_the_advice_is_said_with_what_it_names():
    assert of_time("TINY_CPU", "20 s").endswith("The preset TINY_CPU takes about 20 s here.")
    said = of_memory("9 GB", "2 GB", {"batch_size": 8})
    assert "9 GB" in said and "2 GB is free" in said and said.endswith("It would fit with batch_size 8.")
    assert of_memory("9 GB", "2 GB", {}).endswith("Take a smaller preset.")
