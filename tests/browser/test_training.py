"""The main job in a real browser: train, watch, refresh, steer, write."""

import re

import pytest

from slm_core.text.corpus import get_sample_text
from tests.browser.conftest import turn_to

_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
CHART_POINT = ".live-chart .scatterlayer .point"


def train(page) -> str:
    """Press Train and wait for the first point on the chart; gives the address of the run."""
    page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    page.wait_for_url(re.compile("run="))
    return page.url


def metric(page, label: str) -> float:
    """The number of one tile."""
    tile = page.get_by_test_id("stMetric").filter(has_text=label).first
    return float(tile.get_by_test_id("stMetricValue").inner_text().strip())


def step(page) -> int:
    """The step that the progress bar names."""
    text = page.get_by_text(re.compile(r"Step [\d,]+ of")).first.inner_text(timeout=20_000)
    return int(re.search(r"Step ([\d,]+) of", text).group(1).replace(",", ""))


def wait_until_stopped(page) -> None:
    """Wait for the sentence that a stopped run bears; where it does not come, tell what is shown in its
    place."""
    try:
        page.get_by_text("The run can go on from here").wait_for(timeout=60_000)
    except _api.TimeoutError:
        raise AssertionError(page.get_by_test_id("stMain").inner_text()[:2_000]) from None


def test_tiny_cpu_memorizes_and_writes_what_it_read(app_url, visit):
    page = visit(app_url)
    train(page)
    page.get_by_text("Finished:").wait_for(timeout=180_000)
    assert metric(page, "Training loss") < 0.1
    assert metric(page, "Validation loss") > metric(page, "Best validation") + 0.5
    assert page.get_by_text("copied", exact=True).count(), "its text is known to be copied"
    page.get_by_role("button", name="Let it write").click()
    page.get_by_text("Take it home").wait_for(timeout=60_000)
    page.get_by_role("button", name="Write", exact=True).click()
    page.get_by_text(re.compile("tokens per second")).wait_for(timeout=60_000)
    written = page.get_by_test_id("stMain").inner_text()
    opening = " ".join(get_sample_text(1).split()[:12])  # of the first story that it trains on
    assert opening in " ".join(written.split()), "it writes the beginning that it learned by heart"


def test_a_run_survives_refresh_page_change_and_a_second_tab(app_url, visit):
    page = visit(f"{app_url}/?preset=MEDIUM_CPU")
    address = train(page)
    before = step(page)
    page.reload()
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    assert step(page) >= before
    turn_to(page, "Playground")
    page.get_by_role("heading", name="Playground").wait_for()
    turn_to(page, "Train")
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    assert step(page) >= before
    second = visit(address)
    second.wait_for_selector(CHART_POINT, timeout=60_000)
    assert step(second) >= before
    second.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    wait_until_stopped(page)
    stopped_at = int(re.search(r"after step (\d+)", page.get_by_test_id("stMain").inner_text()).group(1))
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for(timeout=30_000)
    page.get_by_text(re.compile(r"Step [\d,]+ of")).wait_for(timeout=30_000)
    assert step(page) >= stopped_at
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused.").wait_for(timeout=60_000)
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    wait_until_stopped(page)


def test_a_chart_keeps_its_element_while_it_grows(app_url, visit):
    page = visit(app_url)
    train(page)
    page.evaluate("document.querySelector('.live-chart').marked = true")
    page.get_by_text("Finished:").wait_for(timeout=180_000)
    assert page.evaluate("document.querySelector('.live-chart').marked") is True


def test_own_text_trains(app_url, visit, tmp_path):
    from pydoc_data import topics  # half a megabyte of real English that every Python has

    file = tmp_path / "topics.txt"
    file.write_text("\n\n".join(topics.topics.values()), encoding="utf-8")
    page = visit(f"{app_url}/?preset=ULTRA_TINY")
    page.get_by_test_id("stSelectbox").filter(has_text="text").last.click()
    page.get_by_role("option", name="Your own text").click()
    page.get_by_text("Upload or paste a text").wait_for()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(file)
    page.get_by_text("held out").wait_for(timeout=60_000)
    train(page)
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    wait_until_stopped(page)
    page.get_by_role("button", name="Let it write").click()  # with a preset in the address, as here
    page.get_by_text("Take it home").wait_for(timeout=60_000)


@pytest.mark.parametrize(
    "address", ["?run=../../etc/passwd", "?run=20990101-000000-nothing-abcdef", "?preset=NO_SUCH"]
)
def test_a_bad_address_is_answered_in_words(app_url, visit, address):
    page = visit(f"{app_url}/{address}")
    page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).wait_for()
    if "run=" in address:
        page.get_by_test_id("stAlert").wait_for()
