"""What does a watching browser cost the training? Runs with and without one, in turn, in one server.

    python benchmarks/watching.py --rounds 5

Each round trains the same config twice, once with nobody looking and once with Chromium showing the live
page, in an order that alternates. Printed: the ratio of the training throughputs (watched to unwatched), its
spread. Needs what requirements-dev.txt installs, and a Chromium.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import made_by, write_section  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.runs.history import History  # noqa: E402
from slm_core.runs.store import list_runs  # noqa: E402

CHART_POINT = ".live-chart .scatterlayer .point"


def main() -> None:
    """Runs the rounds and prints a line for each and the ratio at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="TINY_CPU")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    busy, ratios = others_busy(), []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server, url = start_server(Path(folder))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            once(browser.new_page(), url, asked.preset, Path(folder), watched=True)  # warm-up, not counted
            for number in range(asked.rounds):
                order = (True, False) if number % 2 else (False, True)
                speeds = {
                    watched: once(browser.new_page(), url, asked.preset, Path(folder), watched)
                    for watched in order
                }
                ratios.append(speeds[True] / speeds[False])
                print(
                    f"round {number + 1}: {speeds[False]:8,.0f} tokens/s unwatched, "
                    f"{speeds[True]:8,.0f} watched, ratio {ratios[-1]:.3f}",
                    flush=True,
                )
        finally:
            browser.close()
            server.terminate()
            server.wait()
    spread = statistics.stdev(ratios) if len(ratios) > 1 else 0.0
    section = f"""Throughput of {asked.preset} with Chromium showing the live page, as a share of that with
nobody looking: median {statistics.median(ratios):.3f}, mean {statistics.mean(ratios):.3f}, standard deviation
{spread:.3f} over {len(ratios)} rounds. Chromium draws on the same cores that train.

{made_by(busy)}"""
    print(section)
    if asked.write:
        write_section(asked.write, "watching", section)


def start_server(folder: Path) -> tuple[subprocess.Popen, str]:
    """The app on a free port of this machine, with its runs in `folder`."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.port", str(port), "--server.address", "localhost"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "SLM_RUNS": str(folder)}, stdout=subprocess.DEVNULL
    )
    url = f"http://localhost:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5)
            return process, url
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server did not start.")


def once(page: Page, url: str, preset: str, runs: Path, watched: bool) -> float:
    """Trains one run to its end; gives its tokens per second of wall time, evaluations and samples
    included."""
    page.goto(f"{url}/?preset={preset}")
    page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector(CHART_POINT, timeout=60_000)
    if not watched:
        page.close()
    run = list_runs(runs)[0]
    history = History(run.folder).refresh()
    began, first = time.perf_counter(), history.last_step.step if history.last_step else 0
    while history.refresh().finished is None:  # read from outside: the page is what is being measured
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    if watched:
        page.close()
    return run.config.tokens_per_step * (run.config.max_iters - first) / seconds


if __name__ == "__main__":
    main()
