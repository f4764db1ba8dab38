"""Lesson links: exactly what was shared comes back; whatever else an address holds is answered in words."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.errors import ConfigError
from slm_core.teach.card import MEASURES
from slm_core.teach.link import LONGEST_QUESTION, Expected, Link, LinkError, read_link

PRESETS = load_presets()
FLOATS = st.floats(-1_000, 1_000)
QUESTIONS = st.text(max_size=LONGEST_QUESTION).filter(
    lambda text: text.isprintable() and text == text.strip() and "<" not in text
)


@st.composite
def configs(draw) -> ExperimentConfig:
    """Any config that a link may carry, far from every preset."""
    settings = {}
    for name, knob in KNOBS.items():
        if knob.choices:
            settings[name] = draw(st.sampled_from([each for each in knob.choices if each != "own"]))
        elif isinstance(knob.default, int):
            settings[name] = draw(st.integers(int(knob.low), int(knob.high)))
        else:
            settings[name] = draw(st.floats(knob.low, knob.high))
    settings["n_head"] = draw(st.sampled_from([1, 2, 4]))
    settings["n_embd"] = 8 * draw(st.integers(1, 128))
    settings["min_lr"] = settings["learning_rate"] * draw(st.floats(0, 1))
    settings["warmup_iters"] = min(settings["warmup_iters"], settings["max_iters"])
    settings["vocab_size"] = max(settings["vocab_size"], 257)
    settings["dataset_size"] = max(settings["dataset_size"], settings["block_size"] + 1)
    if settings["architecture"] == "qwen3":
        settings["positions"] = "rotary"
    return ExperimentConfig(**settings)


@st.composite
def links(draw) -> Link:
    low, high = sorted([draw(FLOATS), draw(FLOATS)])
    return Link(
        preset=draw(st.sampled_from(sorted(PRESETS))),
        config=draw(configs()),
        locked=frozenset(draw(st.sets(st.sampled_from(sorted(KNOBS))))),
        ask=draw(QUESTIONS),
        expect=draw(st.none() | st.just(Expected(draw(st.sampled_from(sorted(MEASURES))), low, high))),
        wall=draw(st.sampled_from(["", "sizes-0123456789"])),
    )


@settings(deadline=None, max_examples=200)
@given(links())
def test_what_is_shared_comes_back_through_the_address(link):
    address = link.address("https://school.example/slm/")
    assert read_link(dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))) == link


def test_a_preset_as_it_is_makes_the_shortest_link():
    link = Link(preset="TINY_CPU", config=PRESETS["TINY_CPU"].config)
    assert link.query == {"preset": "TINY_CPU", "v": "1"}


def test_a_link_can_be_read_by_people():
    base = PRESETS["TINY_CPU"].config
    link = Link(
        preset="TINY_CPU",
        config=base.with_changes({"dataset_size": 1_000, "n_layer": 3}),
        locked=frozenset(KNOBS) - {"dataset_size"},
        ask="Why?",
        expect=Expected("best", 4.5, 5.6),
    )
    assert link.address("/") == (
        "/?preset=TINY_CPU&set=dataset_size:1000,n_layer:3&lock=all,-dataset_size&ask=Why%3F"
        "&expect=best:4.5:5.6&v=1"
    )


GOOD = {"preset": "TINY_CPU", "v": "1"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"set": "n_layr:3"}, "did you mean n_layer"),
        ({"set": "n_layer:99"}, "from 1 to 24"),
        ({"set": "n_layer:three"}, "whole number"),
        ({"set": "learning_rate:nan"}, "must be a number"),
        ({"set": "n_layer"}, "no setting"),
        ({"set": "n_layer:3,n_layer:4"}, "twice"),
        ({"set": "n_layer:<script>"}, "whole number"),
        ({"set": "n_embd:24,n_head:5"}, "multiple of n_head"),
        ({"set": "corpus:own"}, "cannot carry your own text"),
        ({"set": "seed:" + "9" * 700}, "must be a whole number"),
        ({"set": "x" * 5_000}, "too long"),
        ({"preset": "MOON"}, "not known here"),
        ({"preset": "../../etc"}, "not known here"),
        ({"lock": "n_layer,result"}, "no such setting"),
        ({"lock": "all,-nothing"}, "no such setting"),
        ({"ask": "<img src=x onerror=alert(1)>"}, "markup"),
        ({"ask": "</b>"}, "markup"),
        ({"ask": "a\nb"}, "control characters"),
        ({"ask": "\u202egnp.exe"}, "control characters"),
        ({"ask": "\x00"}, "control characters"),
        ({"ask": "why " * 100}, "too long"),
        ({"expect": "best:5:4"}, "upwards"),
        ({"expect": "best:nan:4"}, "upwards"),
        ({"expect": "best:0:inf"}, "upwards"),
        ({"expect": "luck:1:2"}, "cannot be expected"),
        ({"expect": "best"}, "is written like"),
        ({"wall": "../../runs"}, "no class wall"),
        ({"wall": "sizes"}, "no class wall"),
        ({"v": "2"}, "version"),
        ({"v": ""}, "without a version"),
        ({"v": "1.0"}, "version"),
    ],
)
def test_what_cannot_be_followed_is_said(said, words):
    with pytest.raises(LinkError) as error:
        read_link({**GOOD, **said})
    assert words in str(error.value)
    assert len(str(error.value)) < 500


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["preset", "set", "lock", "ask", "expect", "wall", "v"]),
        st.text(max_size=60) | st.sampled_from(["TINY_CPU", "1", "all", "n_layer:3", "best:1:2"]),
    )
)
def test_any_address_gives_a_link_or_a_sentence(said):
    try:
        assert read_link({**GOOD, **said}).config.corpus != "own"
    except LinkError as error:
        assert str(error)


def test_own_text_is_refused_when_the_link_is_made():
    with pytest.raises(LinkError, match="cannot carry your own text"):
        Link(preset="TINY_CPU", config=ExperimentConfig(corpus="own"))


def test_other_parameters_are_left_alone():
    link = read_link({**GOOD, "run": "20260101-x", "embed": "true"})
    assert link.config == PRESETS["TINY_CPU"].config


def test_departures_are_locked_settings_that_differ():
    base = PRESETS["TINY_CPU"].config
    link = Link(preset="TINY_CPU", config=base, locked=frozenset(KNOBS) - {"dataset_size"})
    assert link.departures(base.with_changes({"dataset_size": 999})) == []
    assert link.departures(base.with_changes({"seed": 1, "n_layer": 3})) == ["n_layer", "seed"]


def test_a_lock_of_all_holds_settings_that_come_later():
    assert read_link({**GOOD, "lock": "all"}).locked == frozenset(KNOBS)
    assert read_link({**GOOD, "lock": "all,-seed"}).locked == frozenset(KNOBS) - {"seed"}


def test_config_errors_do_not_leak_out():
    with pytest.raises(LinkError):
        try:
            read_link({**GOOD, "set": "n_layer:0"})
        except ConfigError:
            pytest.fail("an address is a link's business")
