"""What a lecturer waits for: the app to open, the first point on the chart, the end of the run.

    python benchmarks/waiting.py --rounds 4

Each round starts a fresh server, opens it in Chromium, presses Train once and waits. Printed, in seconds:
from starting the server to a page that can be used; from the click to the first point; from the click to the
end. Needs what requirements-dev.txt installs, and a Chromium.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent))

from watching import CHART_POINT, start_server

IDLE_SECONDS = 4.0  # a lecturer says a word or two before pressing Train


def main() -> None:
    """Runs the rounds and prints a line for each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--preset", default="TINY_CPU")
    asked = parser.parse_args()
    rounds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        browser.new_page().goto("about:blank")
        for number in range(asked.rounds):
            rounds.append(once(browser, asked.preset))
            opened, first, end = rounds[-1]
            print(
                f"round {number + 1}: open {opened:.1f}, first point {first:.1f}, end {end:.1f}", flush=True
            )
        browser.close()
    opened, first, end = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"median: open {opened:.1f} s, first point {first:.1f} s, end {end:.1f} s; preset {asked.preset}")


def once(browser: Browser, preset: str) -> tuple[float, float, float]:
    """Seconds to a page that can be used, to the first point, and to the end of the run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        server, url = start_server(Path(folder))
        page = browser.new_page()
        try:
            page.goto(f"{url}/?preset={preset}")
            page.get_by_text("How it learns").wait_for()
            opened = time.perf_counter() - began
            page.wait_for_timeout(IDLE_SECONDS * 1000)
            clicked = time.perf_counter()
            page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).click()
            page.wait_for_selector(CHART_POINT, timeout=60_000)
            first = time.perf_counter() - clicked
            page.get_by_text("Finished:").wait_for(timeout=3_600_000)
            return opened, first, time.perf_counter() - clicked
        finally:
            page.close()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
