"""Remedies: the values they name, and that every one of them makes a config that can be trained."""

from random import Random

import pytest

from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.errors import ConfigError
from slm_core.study import remedies
from slm_core.study.remedies import Remedy

CONFIG = ExperimentConfig()
ALL = {
    "more_text": lambda config: remedies.more_text(config, config.dataset_size),
    "more_steps": remedies.more_steps,
    "smaller_updates": remedies.smaller_updates,
    "more_measurements": remedies.more_measurements,
    "honest_text": remedies.honest_text,
    "learn_more": lambda config: remedies.learn_more(config, falling=False),
    "go_on_learning": lambda config: remedies.learn_more(config, falling=True),
    "lower_still": remedies.lower_still,
}


def config(**changes: object) -> ExperimentConfig:
    return CONFIG.with_changes(changes)


@pytest.mark.parametrize(
    ("found", "text", "changes"),
    [
        (
            remedies.more_text(CONFIG, 200),
            "More text: dataset_size from 200 to 1,000.",
            {"dataset_size": 1_000},
        ),
        (
            remedies.more_text(config(dataset_size=9_000), 4_000),
            "All 4,000 tokens of this text are in use: add 5 times as much of its kind.",
            {},
        ),
        (remedies.more_steps(CONFIG), "More steps: max_iters from 200 to 400.", {"max_iters": 400}),
        (
            remedies.more_steps(config(max_iters=150_000)),
            "More steps: max_iters from 150,000 to 200,000.",
            {"max_iters": 200_000},
        ),
        (
            remedies.more_steps(config(max_iters=200_000)),
            "More steps: max_iters beyond 200,000, the largest there is here.",
            {},
        ),
        (
            remedies.smaller_updates(CONFIG),
            "Smaller updates: learning_rate from 0.003 to 0.001.",
            {"learning_rate": 0.001},
        ),
        (
            remedies.smaller_updates(config(learning_rate=0.0006)),
            "Smaller updates: learning_rate from 0.0006 to 0.0002, and min_lr from 0.0003 to 2e-05.",
            {"learning_rate": 0.0002, "min_lr": 0.00002},
        ),
        (
            remedies.more_measurements(config(max_iters=55)),
            "Measure more often: eval_interval from 20 to 5.",
            {"eval_interval": 5},
        ),
        (
            remedies.more_measurements(config(max_iters=3, warmup_iters=1, eval_interval=1)),
            "More steps: max_iters from 3 to 6.",
            {"max_iters": 6},
        ),
        (
            remedies.honest_text(config(corpus="repeated")),
            "An honest test of the same model: corpus from repeated to stories.",
            {"corpus": "stories"},
        ),
        (
            remedies.lower_still(config(max_iters=200_000)),
            "To get lower still, change one thing at a time: max_iters beyond 200,000, the largest there is "
            "here, or n_embd from 128 to 256.",
            {"n_embd": 256},
        ),
    ],
)
def test_words_and_changes_say_the_same(found, text, changes):
    assert found == Remedy(text, changes)


@pytest.mark.parametrize(
    ("changes", "falling", "words"),
    [
        ({}, False, "n_embd from 128 to 256. Or more steps: max_iters from 200 to 400."),
        ({}, True, "More steps: max_iters from 200 to 400."),
        ({"n_embd": 640, "n_head": 10}, False, "n_layer from 2 to 4."),
        ({"dropout": 0.5}, False, "dropout from 0.5 to 0."),
        ({"dropout": 0.5}, True, "More steps"),
        ({"learning_rate": 1.0, "dropout": 0.5}, True, "Smaller updates: learning_rate from 1 to 0.003."),
        ({"learning_rate": 1e-6, "min_lr": 0.0}, True, "Larger updates: learning_rate from 1e-06 to 0.001."),
    ],
)
def test_who_learns_too_little_is_told_what_is_furthest_from_what_works(changes, falling, words):
    assert words in remedies.learn_more(config(**changes), falling).text


def drawn(random: Random) -> ExperimentConfig:
    """Any config that can be trained, its numbers anywhere in their ranges, the ends among them."""
    while True:
        changes = {}
        for each in random.sample(list(KNOBS.values()), 8):
            if each.choices:
                changes[each.name] = random.choice(each.choices)
            elif isinstance(each.default, int):
                ends = int(each.low), int(each.high)
                changes[each.name] = random.choice([*ends, random.randint(*ends)])
            else:
                changes[each.name] = random.choice([each.low, each.high, random.uniform(each.low, each.high)])
        try:
            return config(**changes)
        except ConfigError:
            continue


@pytest.mark.parametrize("name", ALL)
def test_every_remedy_makes_a_config_that_can_be_trained(name):
    random = Random(name)
    for given in [preset.config for preset in load_presets().values()] + [drawn(random) for _ in range(200)]:
        remedy = ALL[name](given)
        tried = given.with_changes(remedy.changes)  # raises ConfigError if they do not fit
        assert tried != given or not remedy.changes or given.learning_rate == KNOBS["learning_rate"].low
        assert remedy.text.endswith(".") and all(f"{each} from " in remedy.text for each in remedy.changes)
