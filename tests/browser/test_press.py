"""Pressing Train over a slow connection, in a hurry, and twice."""

import re
from pathlib import Path

import pytest

from slm_core.runs.store import list_runs, open_run

CHART_POINT = ".live-chart .scatterlayer .point"
# What the server says reaches the page `window.late` milliseconds later, in order.
LATE = """
window.late = 0
window.WebSocket = class extends WebSocket {
  addEventListener(kind, heard) {
    super.addEventListener(kind, kind === "message" ? (e) => setTimeout(() => heard(e), window.late) : heard)
  }
}
"""


@pytest.fixture
def warm(start_server, browser, tmp_path):
    """A page of a server that has loaded torch, on the settings of a model that it has not yet timed."""
    server = start_server()
    page = browser.new_page()
    page.add_init_script(LATE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    train_button(page).wait_for(timeout=60_000)
    page.get_by_text("Looking for a GPU").wait_for(state="hidden", timeout=60_000)
    page.goto(f"{server.url}/?preset=ULTRA_TINY")
    train_button(page).wait_for(timeout=60_000)
    yield page, tmp_path / "server-0" / "runs"
    page.close()
    assert not errors, errors


def train_button(page):
    return page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True)


def run_shown(page, runs: Path):
    """The run whose page is open."""
    page.wait_for_url(re.compile("run="), timeout=60_000)
    return open_run(runs, re.search(r"run=([\w-]+)", page.url).group(1))


def test_a_tile_that_refreshes_while_the_page_changes_is_not_drawn_into_the_next(warm):
    page, _ = warm
    page.evaluate("window.late = 3000")  # the browser goes on asking for the tile of the page it still shows
    train_button(page).click()
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    assert not page.get_by_text("Time here").count()


def test_a_number_typed_last_counts(warm):
    page, runs = warm
    seed = page.locator(".st-key-setting_seed input")
    for more in page.get_by_text("More settings").all():
        more.click()
    seed.fill("4321")
    train_button(page).click()  # takes the focus from the number, which only then is sent
    assert run_shown(page, runs).config.seed == 4321


def test_pressing_twice_begins_one_run(warm):
    page, runs = warm
    page.evaluate("window.late = 1000")  # so that the button is still there for the second press
    train_button(page).click()
    page.wait_for_timeout(100)  # two presses that close together would be sent as one
    train_button(page).click()
    shown = run_shown(page, runs)
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    assert [run.id for run in list_runs(runs)] == [shown.id]
