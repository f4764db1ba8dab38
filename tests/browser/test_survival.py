"""What a run outlives: a killed server, a closed tab, a saved source file; and who sees it if many share."""

import re
import shutil

from tests.browser.conftest import ROOT
from tests.browser.test_training import CHART_POINT, step, train


def test_a_run_goes_on_after_its_server_was_killed(start_server, visit):
    killed = start_server(folder="kept")
    page = visit(f"{killed.url}/?preset=MEDIUM_CPU")
    train(page)
    page.get_by_text(re.compile(r"Step \d\d+ of")).first.wait_for(timeout=120_000)
    page.close()  # it would complain, and rightly so
    killed.kill()
    page = visit(start_server(folder="kept").url)
    page.get_by_text("interrupted when the server ended").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    page.get_by_text(re.compile(r"Step [\d,]+ of")).first.wait_for(timeout=60_000)
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    page.get_by_text("The run can go on from here").wait_for(timeout=90_000)


def test_a_run_goes_on_while_nobody_looks(app_url, visit):
    page = visit(f"{app_url}/?preset=MEDIUM_CPU")
    address = train(page)
    before = step(page)
    page.close()
    page = visit(address)
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    page.get_by_text(re.compile(r"Step [\d,]+ of|Finished")).first.wait_for(timeout=60_000)
    page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stProgress]')].some("
        "each => (each.innerText.match(/Step (\\d+) of/) || [0, 0])[1] > before)",
        arg=before,
        timeout=60_000,
    )
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    page.get_by_text("The run can go on from here").wait_for(timeout=90_000)


def test_a_run_goes_on_when_a_source_file_is_saved(start_server, visit, tmp_path):
    root = tmp_path / "project"
    for name in ("app.py", "presets.yaml", "pages", "slm_core", ".streamlit"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        root.mkdir(exist_ok=True)
        copy(ROOT / name, root / name)
    server = start_server(root=root, server_fileWatcherType="poll", server_runOnSave="true")
    page = visit(f"{server.url}/?preset=MEDIUM_CPU")
    train(page)
    before = step(page)
    # Streamlit throws out all modules then. A second file would make it do so again while the page imports
    # them, which ends in a KeyError of its own.
    with (root / "slm_core/runs/scheduler.py").open("a", encoding="utf-8") as file:
        file.write("\n# saved\n")
    page.wait_for_timeout(4_000)  # its watcher looks once a second
    page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stProgress]')].some("
        "each => (each.innerText.match(/Step (\\d+) of/) || [0, 0])[1] > before + 3)",
        arg=before,
        timeout=120_000,
    )
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    page.get_by_text("The run can go on from here").wait_for(timeout=90_000)
    assert "Traceback" not in server.log


def test_on_a_shared_server_everybody_has_their_own_runs(start_server, visit):
    server = start_server(SLM_PROFILE="classroom", SLM_PASSWORD="chalk")
    first, second = visit(f"{server.url}/?preset=ULTRA_TINY"), visit(f"{server.url}/?preset=ULTRA_TINY")
    address = train(first)
    first.get_by_text("Finished:").wait_for(timeout=120_000)
    second.goto(address)
    second.get_by_text("belongs to somebody else").wait_for()
    first.reload()
    first.get_by_text("Finished:").wait_for()
    first.get_by_text("Show to everybody").click()
    first.get_by_role("button", name="New run").click()
    first.get_by_text("published", exact=True).wait_for()
    second.goto(address)
    second.get_by_text("Finished:").wait_for()
    assert not second.get_by_role("button", name="Delete").count()
    second.goto(f"{server.url}/server")
    password = second.get_by_test_id("stTextInputField")
    password.fill("cheese")
    password.press("Enter")
    second.get_by_text("not the password").wait_for()
    password.fill("chalk")
    password.press("Enter")
    second.get_by_text("Tokens per second").wait_for()
