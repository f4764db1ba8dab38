"""Sweeps: all else is equal, whatever is varied; plans survive JSON and hostile JSON is refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import ConfigError, SlmError
from slm_core.model.budget import budget
from slm_core.study.axes import AXES, standard_values
from slm_core.study.sweep import MOST_RUNS, Prediction, Sweep, cost, next_to_train

BASE = ExperimentConfig(corpus="tales", n_embd=48, block_size=64)
DEVICES = ("cpu", "cuda:0")


def plan(vary: str = "dataset_size", **changes: object) -> Sweep:
    base = changes.get("base", BASE)
    usual = DEVICES if vary == "device" else standard_values(vary, base)[:4]
    facts = {"values": usual, "seeds": (1, 2, 3), "base": base, "name": "Mine", "question": "Why?"}
    return Sweep(vary=vary, **{**facts, **changes})


@pytest.mark.parametrize(
    "preset", [each.config for each in load_presets().values() if each.hardware == "cpu"]
)
@pytest.mark.parametrize("hold", ["steps", "tokens"])
@pytest.mark.parametrize("vary", AXES)
def test_two_runs_differ_in_what_is_varied_and_in_nothing_undeclared(vary, hold, preset):
    sweep = plan(vary, base=preset, hold=hold)
    cells = sweep.cells()
    assert [(cell.value, cell.seed) for cell in cells] == [(v, s) for s in sweep.seeds for v in sweep.values]
    for one, other in combinations(cells, 2):
        mine, theirs = one.config.to_dict(), other.config.to_dict()
        differing = {name for name in mine if mine[name] != theirs[name]}
        same_value, same_seed = one.value == other.value, one.seed == other.seed
        assert ("seed" in differing) == (not same_seed)
        assert differing - {"seed"} <= sweep.differing
        assert same_value <= (not differing - {"seed"} and one.device == other.device)
        if not same_value:
            varied = {"epochs": "dataset_size"}.get(vary, vary)
            assert one.device != other.device if vary == "device" else varied in differing


@pytest.mark.parametrize("vary", AXES)
def test_what_is_not_varied_is_as_in_the_base(vary):
    sweep = plan(vary, hold="tokens")
    for cell in sweep.cells("cuda:0"):
        mine, base = cell.config.to_dict(), BASE.to_dict()
        assert {name for name in mine if mine[name] != base[name]} <= sweep.differing | {"seed"}
        assert cell.device == (cell.value if vary == "device" else "cuda:0")


@pytest.mark.parametrize("hold", ["steps", "tokens"])
@pytest.mark.parametrize("vary", AXES)
def test_what_is_held_is_equal(vary, hold):
    configs = [cell.config for cell in plan(vary, hold=hold).cells()]
    held = {
        config.max_iters if hold == "steps" else config.max_iters * config.tokens_per_step
        for config in configs
    }
    assert len(held) == 1


def test_notes_tell_what_follows_and_what_was_changed_for_all():
    large = load_presets()["LARGE_CPU"].config
    assert any("n_head is 8 instead of 10" in note for note in plan("n_embd", base=large).notes)
    assert plan("n_layer").notes == ()
    assert "max_iters follows" in plan("batch_size", hold="tokens").notes[0]
    assert "larger batches read more" in plan("batch_size").notes[0]
    patient = plan("n_layer", base=BASE.with_changes({"patience": 3}))
    assert "A run ends once 3 measurements" in patient.notes[0]
    assert Sweep.from_json(patient.to_json()) == patient


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": (200, 10**10)}, "dataset_size is 10000000000; it must be a whole number"),
        ({"values": (200, 64)}, "With dataset_size 64: dataset_size is 64 and block_size is 64"),
        ({"values": (200,)}, "at least two values"),
        ({"values": (200, 300, 200)}, "each of them once"),
        ({"values": (200, "300")}, "dataset_size is '300'"),
        ({"values": tuple(range(200, 221))}, "21 values with 3 seeds each are 63 runs; at most 60"),
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (1, 1)}, "each of them once"),
        ({"seeds": (1, -1)}, "seed is -1"),
        ({"seeds": (1, True)}, "seed is True"),
        ({"name": ""}, "name of a sweep"),
        ({"question": "x" * 301}, "question of a sweep"),
        ({"hold": "breath"}, "hold is 'breath'"),
        ({"vary": "seed"}, "'seed' cannot be varied; choose one of dataset_size"),
        ({"vary": ["n_layer"]}, "cannot be varied"),
        ({"vary": "device", "values": ("cpu", "gpu")}, "no device 'gpu'"),
        ({"vary": "epochs", "values": (1, 0.5)}, "epochs is 0.5"),
        ({"vary": "n_embd", "values": (64, 99)}, "With n_embd 99"),
        ({"base": BASE.with_changes({"corpus": "repeated"})}, "leaks"),
        (
            {"vary": "device", "values": DEVICES, "base": BASE.with_changes({"patience": 3})},
            "runs that end early take fewer seconds",
        ),
        (
            {"vary": "vocab_size", "values": (300, 400), "base": BASE.with_changes({"tokenizer": "bytes"})},
            "no effect on the tokenizer bytes",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(changes, said):
    facts = {"vary": "dataset_size", "values": (200, 1_000), "seeds": (1, 2, 3), "base": BASE}
    with pytest.raises(ConfigError) as raised:
        Sweep(**{**facts, "name": "Mine", "question": "Why?", **changes})
    assert said in str(raised.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as raised:
        plan(values=(0, 1), seeds=(-1,), name="")
    assert len(str(raised.value).splitlines()) == 4


plans = st.builds(
    lambda vary, count, seeds, hold, name: plan(
        vary,
        values=DEVICES if vary == "device" else AXES[vary].values[-count:],
        seeds=tuple(seeds),
        hold=hold,
        name=name,
    ),
    st.sampled_from(sorted(AXES)),
    st.integers(2, 4),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=15, unique=True),
    st.sampled_from(["steps", "tokens"]),
    st.text(min_size=1, max_size=80),
)


@settings(deadline=None, max_examples=60)
@given(plans)
def test_a_plan_survives_json(sweep):
    text = sweep.to_json()
    again = Sweep.from_json(text)
    assert again == sweep and again.cells() == sweep.cells()
    assert text.isascii() and len(text) < 2_000  # so it fits an address


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["name", "question", "vary", "values", "seeds", "base", "hold"]), json_values)
def test_a_damaged_plan_is_a_plan_or_refused(field, value):
    stored = {**json.loads(plan().to_json()), field: value}
    try:
        assert Sweep.from_json(json.dumps(stored)).cells()
    except SlmError as error:
        assert str(error)


HOSTILE = [
    "",
    "null",
    "[]",
    "{}",
    "7",
    "{",
    "[" * 15_000,
    "9" * 5_000,
    "x" * 30_000,
    json.dumps({**json.loads(plan().to_json()), "more": 1}),
    json.dumps({**json.loads(plan().to_json()), "base": {"n_layer": 10**300}}),
    json.dumps({**json.loads(plan().to_json()), "base": {"sed": 1}}),
    json.dumps({**json.loads(plan().to_json()), "values": [200, float("nan")]}),
    json.dumps({**json.loads(plan().to_json()), "values": list(range(200, 3_000))}),
    json.dumps({**json.loads(plan().to_json()), "values": 3}),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", [Sweep, Prediction])
def test_hostile_json_is_refused(kind, text):
    with pytest.raises(ConfigError) as raised:
        kind.from_json(text)
    assert len(str(raised.value)) < 1_000


def test_the_cost_is_that_of_all_runs():
    sweep = plan("n_layer")
    asked = []

    def seconds(cell):
        asked.append(cell.value)
        return 2.0 * cell.config.n_layer

    found = cost(sweep, seconds)
    assert found.seconds == 3 * 2.0 * (2 + 3 + 4 + 6) and asked == [2, 3, 4, 6]
    assert found.flops == sum(budget(cell.config).training_flops for cell in sweep.cells())


NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def guess(value: object = 3_000, loss: float = 2.5) -> Prediction:
    return Prediction(value=value, guess=loss, made_at=NOW)


def test_what_is_held_out_is_not_trained_before_the_guess():
    sweep = plan(values=(200, 1_000, 3_000), seeds=(1, 2))
    before = next_to_train(sweep, [], held_out=3_000)
    assert [(cell.value, cell.seed) for cell in before] == [(200, 1), (1_000, 1), (200, 2), (1_000, 2)]
    done = {(cell.value, cell.seed) for cell in before}
    assert next_to_train(sweep, done, held_out=3_000) == []
    after = next_to_train(sweep, done, held_out=3_000, guess=guess(), device="mps")
    assert [(cell.value, cell.seed, cell.device) for cell in after] == [(3_000, 1, "mps"), (3_000, 2, "mps")]
    assert next_to_train(sweep, {*done, (3_000, 1), (3_000, 2)}, 3_000, guess()) == []
    assert next_to_train(sweep, []) == sweep.cells()
    assert next_to_train(sweep, [(200, 1)]) == sweep.cells()[1:]


def test_a_guess_for_something_else_opens_nothing():
    sweep = plan(values=(200, 1_000, 3_000))
    for held_out, other in ((1_000, guess(3_000)), (None, guess(3_000)), (7_000, None)):
        with pytest.raises(ConfigError):
            next_to_train(sweep, [], held_out, other)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    st.floats(1e-9, 100),
    st.datetimes(min_value=datetime(1900, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_guess_survives_json(value, loss, moment, minutes):
    made = Prediction(
        value=value, guess=loss, made_at=moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    )
    assert Prediction.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    "changes",
    [{"guess": each} for each in (0, -1, float("nan"), float("inf"), 10**400, "2.5", None, True)]
    + [{"value": each} for each in (None, [], float("nan"), True)]
    + [{"made_at": each} for each in ("", "soon", "2026-01-02T03:04:05", 5, None)],
)
def test_a_guess_that_is_none_is_refused(changes):
    stored = {**json.loads(guess().to_json()), **changes}
    with pytest.raises(ConfigError):
        Prediction.from_json(json.dumps(stored))


def test_the_usual_sweeps_are_small_enough_with_three_seeds():
    for vary in AXES:
        assert len(AXES[vary].values) * 3 <= MOST_RUNS
