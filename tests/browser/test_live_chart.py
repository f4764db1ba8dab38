"""The live chart is drawn once and then grows: nobody's zoom is lost, and it follows theme and width."""

import pytest

PLOT = ".live-chart .main-svg"
SEEN = """() => {
    const chart = document.querySelector(".live-chart")
    const { xaxis, font, width } = chart._fullLayout
    return { marked: chart.querySelector(".main-svg").dataset.marked, points: chart.data[0].x.length,
             label: chart.getAttribute("aria-label"), color: chart.data[0].line.color,
             right: xaxis.range[1], text: font.color, width, room: chart.clientWidth }
}"""


@pytest.fixture
def page(start_server, visit):
    page = visit(start_server("tests/browser/growing_chart.py").url)
    page.wait_for_selector(PLOT)
    page.locator(PLOT).first.evaluate("drawing => { drawing.dataset.marked = 'the first' }")
    return page


def grown(page) -> dict:
    """What the chart shows two points from now."""
    points = page.evaluate(SEEN)["points"]
    page.wait_for_function(f"document.querySelector('.live-chart').data[0].x.length >= {points + 2}")
    return page.evaluate(SEEN)


def test_it_grows_in_place_and_keeps_the_zoom(page):
    box = page.locator(".live-chart .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.live-chart')._fullLayout.xaxis.range[1] < 90")
    zoomed = page.evaluate(SEEN)
    later = grown(page)
    assert later["marked"] == "the first"
    assert later["points"] > zoomed["points"]
    assert later["right"] == zoomed["right"] < 90
    assert later["label"] == f"A curve of {later['points']} points."


def test_it_follows_the_theme_and_the_width(page):
    by_day = page.evaluate(SEEN)
    assert (by_day["color"], by_day["text"]) == ("#0067A6", "#211C15")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.querySelector('.live-chart')._fullLayout.font.color === '#F1ECE1'")
    by_night = page.evaluate(SEEN)
    assert by_night["color"] == "#6CB6FF"
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelector('.live-chart')._fullLayout.width < 390")
    narrow = grown(page)
    assert narrow["width"] == narrow["room"]
    assert narrow["marked"] == "the first"
