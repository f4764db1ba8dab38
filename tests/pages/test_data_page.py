"""The Data page: every text it can show, leafing through it, the story world, and downloads."""

import re
import time
from dataclasses import replace

import pytest

from pages.ui import downloads, marked, server, words
from slm_core.text import library, stories
from slm_core.text.corpus import get_sample_text
from tests.pages.test_train import button
from tests.text.test_download import TEXT, site  # noqa: F401 (a fixture)

PAGE = "pages/text/data.py"
EVIL = "<script>alert(1)</script> <img src=x onerror=y> [a](javascript:b) :red[c] $d$ 猫🐱 “q” number {}."


def shown(app) -> str:
    """All HTML on the page."""
    return "".join(each.proto.body for each in app.get("html"))


def open_text(app, name: str):
    app.selectbox(key="data_source").select(name).run()
    assert not app.exception, app.exception
    return app


def metric(app, label: str) -> str:
    return next(each.value for each in app.metric if each.label == label)


def complaints(app) -> str:
    return " ".join(each.value.replace("\\", "") for each in app.error)


@pytest.mark.parametrize("name", ["tales", "stories", "repeated"])
def test_every_built_in_text_is_shown_with_its_numbers(open_app, name):
    app = open_text(open_app(PAGE), name)
    assert not app.error and int(metric(app, "Documents").replace(",", "")) > 10
    assert "slm-text" in shown(app) and app.get("plotly_chart")
    leaks = [each for each in app.warning if "leaks" in each.value]
    assert bool(leaks) == (name == "repeated")
    assert ('class="slm-odds"' in shown(app)) == (name in stories.SIZES)


def test_it_marks_what_the_preset_reads_and_leafs_on(open_app):
    app = open_app(PAGE)
    assert re.search(r'class="end now">200 tokens · TINY_CPU<', shown(app))
    assert 'class="unread"' in shown(app)
    first, second = get_sample_text(2).split("\n\n")
    assert second[:40] not in shown(app)
    app.button(key="Next-train").click().run()
    assert second[:40] in shown(app)
    app.button(key="Previous-train").click().run()
    app.button(key="Previous-train").click().run()  # before the first stands the last
    assert app.number_input(key="document_train_stories").value == int(
        metric(app, "Documents").replace(",", "")
    )
    app.number_input(key="document_train_stories").set_value(1).run()
    assert not app.exception and first[:40] in shown(app)


def test_a_story_is_coloured_and_judged(open_app):
    app = open_app(PAGE)
    story = app.text_area(key="checked_story").value
    assert 'data-odds="1 in ' in shown(app) and any("A possible story" in each.value for each in app.success)
    app.text_area(key="checked_story").set_value(story[:50]).run()
    assert any("The beginning of a story" in each.value for each in app.info)
    app.text_area(key="checked_story").set_value(story[:50] + "<b>zebra</b>").run()
    assert "Impossible from character 51 on" in complaints(app)
    assert "&lt;b&gt;zebra" in shown(app) and "<b>" not in shown(app)
    app.text_area(key="checked_story").set_value("").run()
    assert not app.exception
    button(app, "Take the training story shown above").click().run()
    assert app.text_area(key="checked_story").value == story


def test_own_text_stays_text_and_goes_to_the_train_page(open_app):
    app = open_text(open_app(PAGE), "own")
    assert app.info and not app.metric
    text = "\n\n".join(EVIL.format(number) for number in range(200))
    app.text_area(key="own_pasted").set_value(text).run()
    assert not app.exception and not app.error
    assert "&lt;script&gt;" in shown(app) and "<script" not in shown(app) and "<img" not in shown(app)
    assert all("](javascript" not in each.value and ":red[" not in each.value for each in app.markdown)
    button(app, "Train on this text").click().run()
    assert app.session_state["setting_corpus"] == "own" and app.session_state["own_text"] == text


def test_a_text_too_short_is_said(open_app):
    app = open_text(open_app(PAGE), "own")
    app.text_area(key="own_pasted").set_value("word " * 20).run()
    assert not app.exception and "at least 2,000" in complaints(app) and not app.metric


def test_settings_that_cannot_read_the_text_are_said(open_app):
    app = open_app(PAGE)
    app.session_state["setting_block_size"] = 1024
    app.session_state["setting_tokenizer"] = "characters"
    assert not open_text(app, "tales").error
    app.session_state["setting_tokenizer"] = "bpe"
    app.session_state["own_text"] = "".join(f"{number} is a number. " for number in range(150))
    assert "block" in complaints(open_text(app, "own")) and not app.metric


@pytest.fixture
def few(site, monkeypatch):  # noqa: F811
    """The server of a library with one text."""
    for name in reversed(list(library.LIBRARY)):  # what is undone in reverse stands in its order again
        monkeypatch.delitem(library.LIBRARY, name)
    monkeypatch.setitem(library.LIBRARY, "few", site.entry)
    monkeypatch.delenv("SLM_CORPORA", raising=False)
    return site


def wait_for_downloads() -> None:
    end = time.monotonic() + 30
    while downloads._live():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_text_is_downloaded_read_and_trained_on(open_app, few, runs):
    app = open_app(PAGE)
    app.button(key="fetch-few").click().run()
    wait_for_downloads()
    app.run()
    assert (runs.parent / "corpora" / "few.txt").read_bytes() == TEXT
    assert not app.exception and any("here" in each.value for each in app.markdown)
    open_text(app, "few")
    assert (
        int(metric(app, "Documents").replace(",", "")) + int(metric(app, "Held out").replace(",", ""))
        == 4_000
    )
    button(app, "Train on this text").click().run()
    assert app.session_state["own_text"] == TEXT.decode()
    assert app.session_state["setting_corpus"] == "own" and not app.exception


def test_a_download_is_stopped_and_goes_on(open_app, few, runs):
    few.stall_after = 100_000
    app = open_app(PAGE)
    app.button(key="fetch-few").click().run()
    told = server.process_state()["fetches"]["few"]
    while told["received"] < 100_000:
        time.sleep(0.01)
    app.run()
    button(app, "Stop").click().run()
    few.leave.set()
    wait_for_downloads()
    few.stall_after = None
    app.run()
    assert app.button(key="fetch-few").label == f"Go on ({words.size(len(TEXT) - 100_000)} left)"
    app.button(key="fetch-few").click().run()
    wait_for_downloads()
    assert (runs.parent / "corpora" / "few.txt").read_bytes() == TEXT


def test_on_a_shared_server_the_lecturer_alone_fetches_texts(open_app, few, monkeypatch):
    monkeypatch.setenv("SLM_PROFILE", "classroom")
    monkeypatch.setenv("SLM_PASSWORD", "chalk")
    app = open_app(PAGE)
    assert any("only the lecturer fetches" in each.value for each in app.caption)
    assert not [each for each in app.button if (each.key or "").startswith("fetch-")]
    app.session_state["lecturer"] = True
    assert app.run().button(key="fetch-few")
    assert not any("only the lecturer" in each.value for each in app.caption)


def test_without_a_network_it_says_so(open_app, few, monkeypatch):
    monkeypatch.setitem(library.LIBRARY, "few", replace(few.entry, url="http://127.0.0.1:1/few.txt"))
    app = open_app(PAGE)
    app.button(key="fetch-few").click().run()
    wait_for_downloads()
    app.run()
    assert "The built-in stories need no network" in complaints(app)
    assert not app.exception and "slm-text" in shown(app)


@pytest.mark.parametrize(
    ("nats", "said"),
    [(0, "certain"), (0.405, "1 in 1.5"), (2.0794415, "1 in 8"), (4.8, "1 in 120"), (67.5, "1 in 10^29")],
)
def test_odds_are_said_as_people_say_them(nats, said):
    assert marked.odds(nats) == said
    assert marked.odds(float("inf")) == "cannot be"


def test_a_document_is_marked_where_sizes_end():
    page = marked.document("a<b>c", [(2, "two", False), (4, "four & set", True)], read=4)
    body = page.removeprefix(marked.STYLE)
    assert re.sub(r"<span class=\"end[^<]*</span>|<[^>]+>", "", body) == "a&lt;b&gt;c"
    assert '<span class="unread">c</span>' in body and 'class="end now">four &amp; set<' in body
