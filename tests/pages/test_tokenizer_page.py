"""The Tokenizer page: two tokenizers at once, merges one by one, and nobody's text as markup; the choice of a
tokenizer on the Train page."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import engine, tokens
from slm_core.errors import VocabularyError
from slm_core.runs.store import list_runs, open_run
from slm_core.text import gpt2
from slm_core.text.bins import read_tokenizer
from slm_core.text.corpus import story_tokenizer
from slm_core.text.pieces import cut
from slm_core.text.tokenizer import make_tokenizer
from tests.pages.test_train import set_small, train_to_the_end

PAGE = "pages/text/tokenizer.py"
_HERE, _WHY = gpt2.gpt2_state()


@pytest.fixture
def without_gpt2(monkeypatch):
    """A machine without GPT-2's vocabulary."""
    monkeypatch.setattr(gpt2, "places", dict)


def write(app: AppTest, text: str) -> AppTest:
    app.text_area(key="token_text").set_value(text).run()
    assert not app.exception, app.exception
    return app


def drawn(app: AppTest) -> list[str]:
    """The three rows of tokens, as HTML: left, right, after some merges."""
    found = [each.proto.body for each in app.get("html") if "tokens" in each.proto.body]
    assert len(found) == 3
    return found


def ids(markup: str) -> list[int]:
    return [int(each) for each in re.findall(r"<small>(\d+)</small>", markup)]


def test_the_ids_are_those_of_the_tokenizers_chosen(open_app):
    app = write(open_app(PAGE), "The little fox, 你好 🌱")
    left, right, merged = drawn(app)
    bpe = story_tokenizer("stories", 1_024, "bpe")
    assert ids(left) == [*"The little fox, 你好 🌱".encode()]
    assert ids(right) == bpe.encode("The little fox, 你好 🌱")
    assert ids(merged) == bpe.with_merges(20).encode("The little fox, 你好 🌱")
    assert app.metric[0].value == str(len(ids(left))) and app.metric[3].value == str(len(ids(right)))


def test_half_characters_are_shown_in_hex_and_whole_ones_as_they_are(open_app):
    app = write(open_app(PAGE), "你")
    assert "<i>e4</i>" in drawn(app)[0] and "你" not in drawn(app)[0]
    app.selectbox(key="tokenizer_bytes").select("characters").run()
    assert "你" in drawn(app)[0] and ids(drawn(app)[0]) == [256]


def test_every_tokenizer_can_be_chosen_on_both_sides(open_app):
    app = open_app(PAGE)
    for key in tokens.choices():
        app.selectbox(key="tokenizer_bytes").select(key).run()
        app.selectbox(key="tokenizer_bpe-1024").select(key).run()
        assert not app.exception and not app.error, key
        left, right, _ = drawn(app)
        assert left == right


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "\x00\x1f", "e\u0301\u200d\ufe0f", "שלום مرحبا", "a" * 5_000]
)
def test_any_text_can_be_looked_at(open_app, text):
    write(open_app(PAGE), text)


def test_markup_in_a_text_stays_text(open_app):
    app = write(open_app(PAGE), "<script>alert(1)</script><b>&amp;</b> :red[x] [a](javascript:b) $c$")
    app.selectbox(key="tokenizer_bpe-1024").select("characters").run()
    for markup in drawn(app):
        spans = re.sub(r"<style>.*?</style>", "", markup, flags=re.S)
        assert set(re.findall(r"<(/?\w+)", spans)) <= {
            "div",
            "/div",
            "span",
            "/span",
            "small",
            "/small",
            "i",
            "/i",
            "br",
        }
    assert "&lt;" in drawn(app)[1]


def test_a_size_that_was_asked_for_and_not_made_is_told(open_app):
    made = story_tokenizer("stories", 4_096, "bpe").vocab_size
    app = open_app(PAGE)
    assert made < 4_096
    assert f"{made:,} tokens, no more found (4,096 asked)" in " ".join(
        app.selectbox(key="tokenizer_bytes").options
    )


def test_merges_are_applied_one_after_the_other(open_app):
    app = write(open_app(PAGE), " the the the")
    counts = []
    for count in (0, 1, 19, 2_000):
        app.select_slider(key="merges-The stories").set_value(count).run()
        assert not app.exception
        counts.append(len(ids(drawn(app)[2])))
    assert counts[0] == 12 and counts == sorted(counts, reverse=True) and counts[-1] == 3
    app.select_slider(key="merges-The stories").set_value(3).run()
    rows = app.dataframe[0].value
    assert [*rows["merge"]] == [3, 2, 1]


def test_the_stops_of_the_slider_begin_one_by_one_and_end_with_all():
    for total in (0, 7, 2_496, 50_000):
        stops = tokens.stops(total)
        assert stops[0] == 0 and stops[-1] == total == max(stops) and stops == sorted(set(stops))
    assert tokens.stops(2_496)[:20] == [*range(20)]


def test_without_gpt2s_vocabulary_the_page_says_so_and_offers_to_fetch_it(
    open_app, without_gpt2, monkeypatch
):
    def offline() -> None:
        raise VocabularyError("GPT-2's vocabulary cannot be fetched: offline.")

    monkeypatch.setattr(gpt2, "download", offline)
    app = open_app(PAGE)
    assert not any("GPT-2" in each for each in app.selectbox(key="tokenizer_bytes").options)
    assert any("not on this machine" in each.value for each in app.caption)
    next(each for each in app.button if "Fetch" in each.label).click().run()
    assert not app.exception and "offline" in app.error[0].value


def test_the_tokenizer_of_a_run_on_another_text_can_be_chosen(open_app, runs):
    run_id = train_to_the_end(set_small(open_app()))  # on the tales
    app = open_app(PAGE)
    app.selectbox(key="tokenizer_bytes").select(f"run-{run_id}").run()
    write(app, "One day, Anna")
    assert ids(drawn(app)[0]) == read_tokenizer(open_run(runs, run_id).folder).encode("One day, Anna")


def test_the_page_shows_what_the_engine_cuts():
    made = cut(make_tokenizer("bytes", [], 0), "a<b")
    assert tokens._span(made.pieces[1]) == "<span>&lt;<small>60</small></span>"


@pytest.mark.parametrize("kind", ["bytes", "characters"])
def test_a_run_with_another_tokenizer_shows_the_size_made_and_trains(open_app, runs, kind):
    app = set_small(open_app(), tokenizer=kind, vocab_size=300)
    assert any("257 tokens" in each.value for each in app.markdown)
    assert not [each for each in app.select_slider if each.key == "setting_vocab_size"]
    train_to_the_end(app)
    (run,) = list_runs(runs)
    assert engine.state_of(run) == "finished" and run.config.vocab_size == 257
    assert read_tokenizer(run.folder).kind == kind
    assert not [each for each in engine.history(run).notices if "vocab_size" in each.text]


def test_bpe_gets_its_slider_back_with_the_size_it_had(open_app):
    app = set_small(open_app(), vocab_size=500)
    app.selectbox(key="setting_tokenizer").select("bytes").run()
    app.selectbox(key="setting_tokenizer").select("bpe").run()
    slider = app.select_slider(key="setting_vocab_size")
    assert slider.value == 500 and slider.options[0] == "257"


def test_gpt2_is_only_offered_where_its_vocabulary_is(open_app, without_gpt2):
    box = open_app().selectbox(key="setting_tokenizer")
    assert box.value == "bpe" and len(box.options) == 3
    assert "not on this machine" in box.help


@pytest.mark.skipif(not _HERE, reason=_WHY)
def test_gpt2s_size_is_in_the_costs_and_the_choice_falls_back_when_its_vocabulary_goes(open_app, monkeypatch):
    app = set_small(open_app(), tokenizer="gpt2")
    assert any("50,257 tokens" in each.value for each in app.markdown)
    assert app.metric[0].value == "807 K"  # 50,257 rows of 16 numbers, and 3,120 more
    monkeypatch.setattr(gpt2, "places", dict)
    app.run()
    assert not app.exception and app.selectbox(key="setting_tokenizer").value == "bpe"
