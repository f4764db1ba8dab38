"""Pictures of the running app's pages, from top to bottom: by day and by night, 1280 and 390 pixels wide.

    streamlit run app.py &
    python docs/take_screenshots.py / /playground --out /tmp/pictures

The picture of a run in README is `/ --train --window --widths 1280 --themes light --out docs/pictures`.

Needs `pip install playwright` and a Chromium (found on the PATH, or `playwright install chromium`).
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'


def main() -> None:
    """Take the pictures asked for on the command line and name each file as it is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("addresses", nargs="+", help="such as / /playground")
    parser.add_argument("--app", default="http://localhost:8501", help="where it runs (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--widths", type=int, nargs="+", default=[1280, 390])
    parser.add_argument("--themes", nargs="+", default=["light", "dark"], choices=["light", "dark"])
    parser.add_argument("--wait", type=float, default=1.5, help="seconds that charts get to draw")
    parser.add_argument("--train", action="store_true", help="press Train first, and wait for the run to end")
    parser.add_argument("--window", action="store_true", help="only what a window of 900 pixels shows")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        )
        for address in asked.addresses:
            for theme in asked.themes:
                for width in asked.widths:
                    name = address.split("?")[0].strip("/").replace("/", "-") or "start"
                    file = asked.out / f"{name}-{theme}-{width}.png"
                    take(
                        browser,
                        asked.app.rstrip("/") + address,
                        theme,
                        width,
                        asked.wait,
                        file,
                        asked.train,
                        asked.window,
                    )
                    print(file)
        browser.close()


def take(
    browser: Browser,
    url: str,
    theme: str,
    width: int,
    wait_seconds: float,
    file: Path,
    train: bool = False,
    window: bool = False,
) -> None:
    """Write one picture of the whole page at `url` to `file`."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(SETTLED, timeout=60_000)
    if train:
        page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).click()
        page.get_by_text("Finished:").wait_for(timeout=600_000)
    page.wait_for_timeout(wait_seconds * 1000)
    if not window:
        _unroll(page, width)
    page.screenshot(path=file)
    context.close()


def _unroll(page: Page, width: int) -> None:
    # Streamlit scrolls inside the window, and Playwright's full_page sees the window only: make that tall.
    heights = [900]
    for part in ["stMain", "stSidebarContent"] if width > 768 else ["stMain"]:
        found = page.get_by_test_id(part).all()
        heights += [each.evaluate("element => element.scrollHeight") for each in found]
    page.set_viewport_size({"width": width, "height": max(heights)})
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main()
