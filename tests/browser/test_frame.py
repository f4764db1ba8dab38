"""Every page, at its own address, in a server that nobody has visited before, by day and by night."""

import signal
from pathlib import Path

import pytest

from tests.browser.conftest import links, sections

PAGES = Path(__file__).resolve().parents[2] / "pages"
PAGE_FILES = sorted(file for file in PAGES.glob("*/*.py") if file.parent.name != "ui")
# Streamlit makes a page's address of its file's name; the first page has none.
ADDRESSES = ["" if file.stem == "train" else file.stem for file in PAGE_FILES]
BACKGROUNDS = {"light": "rgb(252, 249, 242)", "dark": "rgb(17, 21, 28)"}


def addresses(page) -> list[str]:
    """Where the links of the navigation lead."""
    return [link.get_attribute("href") for _ in sections(page) for link in links(page).all()]


def check_frame(page, theme: str) -> None:
    """The page has a title, a navigation, and a sidebar; nothing has gone wrong; it wears the theme."""
    page.get_by_test_id("stTopNavSection").first.wait_for()
    page.wait_for_selector('[data-testid="stMain"] [data-testid="stHeading"]')
    assert page.get_by_test_id("stSidebarUserContent").locator("[data-testid^=st]").count(), (
        "app.py's sidebar is missing"
    )
    assert page.get_by_role("dialog").count() == 0, page.get_by_role("dialog").inner_text()
    assert page.get_by_text("Page not found").count() == 0
    background = page.get_by_test_id("stApp").evaluate("element => getComputedStyle(element).backgroundColor")
    assert background == BACKGROUNDS[theme]


def test_the_navigation_has_one_link_for_each_page(app_url, visit):
    found = addresses(visit(app_url))
    assert {address.rpartition("/")[2] for address in found} == set(ADDRESSES)
    assert len(found) == len(PAGE_FILES)


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_opens_cold(start_server, visit, address):
    server = start_server()
    page = visit(f"{server.url}/{address}")
    check_frame(page, "light")
    check_frame(visit(page.url, theme="dark"), "dark")
    visit.leave()
    assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_fit_their_width(app_url, visit, address):
    page = visit(f"{app_url}/{address}")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_selector('[data-testid="stMain"] [data-testid="stHeading"]')
        overhang = page.get_by_test_id("stMain").evaluate(
            "element => element.scrollWidth - element.clientWidth"
        )
        assert overhang <= 0, f"{page.url} is {overhang} pixels wider than a window of {width}"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_server_with_a_visitor_stops_when_asked(start_server, visit, sent):
    server = start_server()
    visit(server.url)
    status = server.end(sent)
    visit.forgive()
    assert status in (0, 1, -signal.SIGTERM), server.log  # 1 after Ctrl-C; torch left running: -SIGABRT
    assert "Traceback" not in server.log, server.log
