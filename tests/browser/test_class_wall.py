"""A class in a real browser: a lecturer shares a set-up; a student follows the link and has a point."""

import re

from slm_core.config import load_preset
from slm_core.teach.wall import list_walls, pins

TINY = "n_layer:1,n_head:2,n_embd:16,block_size:32,batch_size:2,max_iters:6,warmup_iters:1,eval_interval:3"


def test_from_sharing_a_set_up_to_a_point_on_the_wall(start_server, visit, tmp_path):
    server, runs = start_server(SLM_PROFILE="classroom"), tmp_path / "server-0" / "runs"
    lecturer = visit(f"{server.url}/?preset=ULTRA_TINY&set={TINY}&v=1")
    lecturer.get_by_role("button", name="Share this set-up").click()
    lecturer.get_by_text("all but").click()
    lecturer.get_by_text("Collect the results").click()
    title = lecturer.get_by_label("Name of the wall")
    title.fill("Sizes")
    title.press("Enter")
    lecturer.get_by_role("button", name="Make the wall").click()
    lecturer.get_by_text("The link leads to the wall").wait_for(timeout=30_000)
    [wall] = list_walls(runs)
    link = lecturer.get_by_role("dialog").get_by_test_id("stCode").inner_text().replace("\n", "")
    assert link == wall.link.address(f"{server.url}/")
    picture = lecturer.get_by_role("dialog").locator("img")
    assert picture.evaluate("it => it.naturalWidth") > 300
    assert picture.get_attribute("src").startswith("data:")  # a file may be gone before it is asked for

    student = visit(link)
    main = student.get_by_test_id("stMain")
    for name, locked in (("n_layer", True), ("dataset_size", False)):
        assert student.locator(f".st-key-setting_{name} input").first.is_disabled(timeout=30_000) == locked
    main.get_by_role("button", name="Train", exact=True).click()
    student.locator("[class*='st-key-nickname-'] input").fill("Ada", timeout=60_000)
    student.get_by_role("button", name="Put my result on the wall").click()
    student.get_by_text("Your point is on the class wall").wait_for(timeout=30_000)
    [[pin], _] = pins(wall)
    assert (
        pin.card.nickname == "Ada" and pin.card.config == wall.link.config != load_preset("ULTRA_TINY").config
    )
    student.get_by_role("button", name="See the wall").click()
    student.wait_for_url(re.compile(f"wall.*show={wall.id}"), timeout=30_000)
    student.wait_for_selector(".live-chart .scatterlayer .point", timeout=30_000)
    assert student.get_by_text("1 result of 1 student").count()
