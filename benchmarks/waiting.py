"""What a lecturer waits for: the app to open, the first point on the chart, the end of the run, other pages.

    python benchmarks/waiting.py --rounds 4

Each round starts a fresh server, opens it in Chromium, presses Train once and waits. Printed, in seconds:
from starting the server to a page that can be used; from the click to the first point; from the click to the
end; and then, from the click on a page in the menu until it stands there complete, the first time and from
then on. Needs what requirements-dev.txt installs, and a Chromium.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import made_by, table, times, write_section  # noqa: E402
from watching import CHART_POINT, start_server  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402

IDLE_SECONDS = 4.0  # a lecturer says a word or two before pressing Train
PAGES = {  # by its title, the menu it is in
    "Playground": "Learn",
    "Data": "Text",
    "Tokenizer": "Text",
    "Compare": "Labs",
    "Scaling lab": "Labs",
    "Train": "Learn",
}
TURNS = 4  # to each page, the first of which is taken by itself
COMPLETE = """title => {
    const heading = document.querySelector("[data-testid=stMain] h1");
    const app = document.querySelector("[data-testid=stApp]");
    return heading?.innerText.trim().startsWith(title) && app.dataset.testScriptState === "notRunning";
}"""


@dataclass
class Waits:
    """What was waited for in one round, in seconds."""

    opened: float
    first_point: float
    end: float
    first_turns: dict[str, float] = field(default_factory=dict)
    turns: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    """Runs the rounds and prints a line for each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--preset", default="TINY_CPU")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    busy, rounds = others_busy(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        browser.new_page().goto("about:blank")
        for number in range(asked.rounds):
            rounds.append(once(browser, asked.preset))
            print(f"round {number + 1}: {told(rounds[-1:])}", flush=True)
        browser.close()
    section = f"{tables(rounds, asked.preset)}\n\n{made_by(busy)}"
    print(section)
    if asked.write:
        write_section(asked.write, "waiting", section)


def tables(rounds: list[Waits], preset: str) -> str:
    """What was waited for, in Markdown."""
    whats = {
        "from starting the server to a page that can be used": [each.opened for each in rounds],
        f"from the click on Train to the first point on the chart, {preset}": [
            each.first_point for each in rounds
        ],
        "from that click to the end of the run and its verdict": [each.end for each in rounds],
    }
    turns = [
        [
            title,
            times([each.first_turns[title] for each in rounds]),
            times([seconds for each in rounds for seconds in each.turns[title]]),
        ]
        for title in PAGES
    ]
    return f"""{table(["what", "time"], [[what, times(took)] for what, took in whats.items()])}

{table(["turning to", "the first time", "from then on"], turns)}

Chromium and the server on the same machine, a fresh server in each of {len(rounds)} rounds; turning to a page
{TURNS} times in each, until it stands there complete."""


def told(rounds: list[Waits]) -> str:
    """Medians over rounds."""
    names = {"opened": "open", "first_point": "first point", "end": "end"}
    medians = {
        said: statistics.median(getattr(each, name) for each in rounds) for name, said in names.items()
    }
    return ", ".join(f"{said} {seconds:.1f} s" for said, seconds in medians.items())


def once(browser: Browser, preset: str) -> Waits:
    """A fresh server, from its start to turning its pages."""
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
            waits = Waits(opened, first, time.perf_counter() - clicked)
            leaf(page, waits)
            return waits
        finally:
            page.close()
            server.terminate()
            server.wait()


def leaf(page: Page, waits: Waits) -> None:
    """Turn to every page a few times."""
    for turn in range(TURNS):
        for title, section in PAGES.items():
            page.get_by_test_id("stTopNavSection").get_by_text(section, exact=True).click()
            link = page.get_by_test_id("stTopNavDropdownLink").get_by_text(title, exact=True)
            link.wait_for()
            began = time.perf_counter()
            link.click()
            page.wait_for_function(COMPLETE, arg=title)
            took = time.perf_counter() - began
            if turn == 0:
                waits.first_turns[title] = took
            else:
                waits.turns.setdefault(title, []).append(took)


if __name__ == "__main__":
    main()
