"""Comparing in a real browser: tick, sort, rename, zoom, take a picture, come back."""

import re

from slm_core.runs.store import open_run
from tests.study.test_comparison import BASE, make_run

LOSSES = {0: (6.0, 6.2), 20: (2.0, 4.0), 40: (0.5, 5.0)}
LINE = ".live-chart .scatterlayer .trace"
RANGE = "() => document.querySelector('.live-chart')._fullLayout.xaxis.range"


def chosen(page) -> list[str]:
    """The runs in the address."""
    return re.search(r"runs=([^&]*)", page.url)[1].replace("%2C", ",").split(",")


def cell(page, row: int, column: int) -> tuple[float, float]:
    """A point in a cell of the table, whose cells are drawn as one picture; the heading is row -1."""
    grid = page.get_by_test_id("stDataFrame").bounding_box()
    height = page.evaluate("() => 2.1875 * parseFloat(getComputedStyle(document.documentElement).fontSize)")
    return grid["x"] + (30, 110)[column], grid["y"] + height * (row + 1.5)


def test_runs_are_ticked_named_zoomed_into_and_found_again(start_server, visit, tmp_path):
    server = start_server(folder="kept")
    root = tmp_path / "kept" / "runs"
    made = [
        make_run(root, BASE.with_changes({"n_layer": layers}), LOSSES, name=f"run {layers}").id
        for layers in (1, 3, 2)
    ]
    page = visit(f"{server.url}/compare?runs={made[1]},{made[2]}")
    page.wait_for_selector(LINE)
    page.mouse.click(*cell(page, -1, 1))  # sorted by name, the first made stands first, not last
    page.wait_for_timeout(500)
    page.mouse.click(*cell(page, 0, 0))
    page.wait_for_url(re.compile(made[0]))
    assert chosen(page) == [made[1], made[2], made[0]]

    page.mouse.click(*cell(page, 0, 1))
    page.keyboard.press("Enter")
    editor = page.locator("textarea.gdg-input")
    editor.fill("shallow")
    editor.press("Enter")
    for _ in range(100):
        if open_run(root, made[0]).name == "shallow":
            break
        page.wait_for_timeout(100)
    assert [open_run(root, run_id).name for run_id in made] == ["shallow", "run 3", "run 2"]

    drawing = page.locator(".live-chart .nsewdrag").bounding_box()
    page.mouse.move(drawing["x"] + 50, drawing["y"] + 20)
    page.mouse.down()
    page.mouse.move(drawing["x"] + 200, drawing["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_function(f"({RANGE})()[1] < 35")
    zoomed = page.evaluate(RANGE)
    page.get_by_role("slider", name="Smoothing").press("ArrowRight")
    page.get_by_text("smoothed").wait_for()
    assert page.evaluate(RANGE) == zoomed, "the same axes: the zoom is kept"
    page.get_by_test_id("stMain").get_by_text("epochs", exact=True).click()
    page.get_by_text("times the text was read").wait_for()
    assert page.evaluate(RANGE)[0] == 0, "other axes: all is shown"

    page.locator(".live-chart").hover()
    with page.expect_download() as picture:
        page.locator('.live-chart [data-title="Save as PNG"]').click()
    assert picture.value.suggested_filename == "compare.png"
    address = page.url
    assert "along=epochs" in address and "smooth=0.1" in address
    again = visit(address)
    again.wait_for_selector(LINE)
    again.get_by_text("times the text was read").wait_for()
    assert chosen(again) == [made[1], made[2], made[0]]
    assert again.locator(".live-chart .legend .traces").count() == 3
