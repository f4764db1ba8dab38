"""How does what it costs grow? With the model, the text, the runs that are kept, the people who are there.

    python benchmarks/growth.py --write docs/speed.md --picture docs/pictures/growth.png

Four curves, one after the other: a training step for wider and wider models; making ids of longer and longer
texts, their tokens learned first; drawing the page Compare over more and more finished runs; a class of more
and more students who all train. Each point is measured a few times in turns, and the median is drawn. Takes
about five minutes. Needs what requirements-dev.txt installs; the picture a Chromium as well.
"""

import argparse
import asyncio
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import made_by, table, times, write_section  # noqa: E402
from speed_rounds import in_turn, seconds_each, slope  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.config import load_preset  # noqa: E402
from slm_core.hardware import physical_cores, ready_to_compute, use_threads  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.text.corpus import get_sample_text, prepare  # noqa: E402

WIDTHS = (32, 64, 128, 256, 512)
STORIES = (100, 1_000, 10_000, 40_000)
RUNS = (1, 10, 100, 400)
STUDENTS = (1, 3, 10, 30)
WITHIN_SECONDS = 3.0  # in which a class does what it is told
INK, GROUND, LINE = "#211C15", "#FCF9F2", "#0067A6"


@dataclass(frozen=True)
class Curve:
    """What something costs at several sizes: seconds, in rounds."""

    what: str
    unit: str
    sizes: Sequence[float]
    took: Sequence[Sequence[float]]
    remarks: Sequence[str] = field(default_factory=list)

    @property
    def power(self) -> float:
        """Cost grows as the size to this power, over the upper half of the sizes."""
        half = len(self.sizes) // 2
        return slope(self.sizes[half - 1 :], self.took[half - 1 :])


def main() -> None:
    """Measures, prints a table, and writes what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--quick", action="store_true", help="two sizes of each, to see that it works")
    asked = parser.parse_args()
    ready_to_compute()
    busy = others_busy()
    most, rounds = (2, 1) if asked.quick else (99, asked.rounds)
    curves = [
        models(WIDTHS[:most], rounds),
        texts(STORIES[:most], rounds),
        runs(RUNS[:most], rounds),
        students(STUDENTS[:most]),
    ]
    picture = f"![Four curves]({asked.picture.parent.name}/{asked.picture.name})\n\n" if asked.picture else ""
    section = f"{picture}{tables(curves)}\n\n{made_by(busy)}"
    print(section)
    if asked.write:
        write_section(asked.write, "growth", section)
    if asked.picture:
        draw(curves, asked.picture)


def models(widths: Sequence[int], rounds: int) -> Curve:
    """A training step of models of four layers."""
    import speed_rivals as rivals

    use_threads(physical_cores())
    base = load_preset("TINY_CPU").config.with_changes({"n_layer": 4})
    dataset = prepare(base)
    configs = {width: base.with_changes({"n_embd": width}) for width in widths}
    steps = {width: rivals.our_step(config, dataset) for width, config in configs.items()}
    found = in_turn({width: partial(seconds_each, step, 1.0) for width, step in steps.items()}, rounds)
    costs = [budget(config) for config in configs.values()]
    return Curve(
        "a training step",
        "parameters",
        [cost.parameters for cost in costs],
        list(found.values()),
        [
            f"{cost.flops_per_step / statistics.median(took) / 1e9:,.0f} GFLOP/s"
            for cost, took in zip(costs, found.values(), strict=True)
        ],
    )


def texts(stories: Sequence[int], rounds: int) -> Curve:
    """Reading one's own text: its tokens are learned, and it is turned into their ids."""
    written = {count: get_sample_text(count) for count in stories}
    fresh = iter(range(1_000_000))  # no text is read twice

    def read(count: int) -> float:
        text = f"Number {next(fresh)}.\n\n{written[count]}"
        size = min(1_000_000, len(text) // 8)
        config = load_preset("TINY_CPU").config.with_changes({"corpus": "own", "dataset_size": size})
        return _seconds(lambda: prepare(config, text))

    found = in_turn({count: partial(read, count) for count in stories}, rounds)
    megabytes = [len(text.encode()) / 1e6 for text in written.values()]
    return Curve("reading one's own text", "megabytes", megabytes, list(found.values()))


def runs(counts: Sequence[int], rounds: int) -> Curve:
    """Drawing the page that lists all runs."""
    from slm_core.runs.scheduler import Scheduler
    from slm_core.runs.store import open_run

    found = []
    with tempfile.TemporaryDirectory() as folder:
        root, scheduler = Path(folder), Scheduler(Path(folder))
        few = {"max_iters": 20, "eval_interval": 5, "warmup_iters": 1}
        run = open_run(root, scheduler.start(load_preset("ULTRA_TINY").config.with_changes(few), name="run"))
        scheduler.wait(run.id)
        made = 1
        for count in counts:
            for number in range(made, count):
                shutil.copytree(run.folder, root / f"{run.id}-{number:04}")
            made = max(made, count)
            found.append(with_server(root, lambda address: asyncio.run(leaf(address, rounds))))
    return Curve("drawing the page Compare", "runs", counts, found)


async def leaf(address: str, times_: int) -> list[float]:
    """Seconds of turning to the page, after the first time."""
    from students import Student

    student, took = Student(address), []
    await student.open()
    for _ in range(times_ + 1):
        took.append(await student.turn_to("Compare"))
        await student.turn_to("Train")
    await student.leave()
    return took[1:]


def students(counts: Sequence[int]) -> Curve:
    """From pressing Train to the end of the run, where so many do it."""
    import classroom
    import psutil

    found, remarks = [], []
    for count in counts:
        asked = argparse.Namespace(students=count, within=WITHIN_SECONDS, preset="ULTRA_TINY", minutes=15.0)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SLM_PROFILE"] = classroom.PROFILE
            server, address = classroom.start_server(Path(folder))
            load = classroom.Load(psutil.Process(server.pid))
            try:
                lessons = asyncio.run(classroom.lesson(address, load, asked))
            finally:
                server.terminate()
                server.wait()
        if failures := [said for each in lessons for said in each.failures]:
            sys.exit(f"{count} students: {failures[0]}")
        found.append([each.to_finish for each in lessons])
        pages = sorted(seconds for each in lessons for seconds in each.page_seconds)
        p95 = pages[math.ceil(0.95 * len(pages)) - 1]
        remarks.append(f"pages p95 {p95:.2f} s, {load.peak_bytes / 1e6:,.0f} MB")
    return Curve("training in a class", "students", counts, found, remarks)


def with_server(folder: Path, use: Callable[[str], list[float]]) -> list[float]:
    """What `use` gives of the address of a server over these runs."""
    from watching import start_server

    server, address = start_server(folder)
    try:
        return use(address)
    finally:
        server.terminate()
        server.wait()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tables(curves: Sequence[Curve]) -> str:
    """One table of all curves."""
    rows = [
        [
            curve.what if place == 0 else "",
            f"{_number(size)} {curve.unit}",
            times(took),
            curve.remarks[place] if curve.remarks else "",
            f"{curve.power:.2f}" if place == len(curve.sizes) - 1 and len(curve.sizes) > 2 else "",
        ]
        for curve in curves
        for place, (size, took) in enumerate(zip(curve.sizes, curve.took, strict=True))
    ]
    return f"""{table(["what", "size", "time", "and", "grows as size to the power of"], rows)}

Models: 4 layers, {", ".join(map(str, WIDTHS))} wide, {physical_cores()} threads. Texts: a vocabulary of 1,024
tokens is learned first. Runs: the page as a student's browser gets it, from the click to its last part.
Students: all train ULTRA_TINY on one server and act within {WITHIN_SECONDS:g} s of being told, every third
leafs through the other pages; time is from pressing Train to the end of the run, of all of them. The power is
that of the upper sizes."""


def _number(size: float) -> str:
    return f"{size:,.0f}" if size >= 10 else f"{size:.2g}"


def draw(curves: Sequence[Curve], file: Path) -> None:
    """The picture, drawn by Plotly in a browser."""
    from playwright.sync_api import sync_playwright
    from plotly.subplots import make_subplots

    figure = make_subplots(2, 2, subplot_titles=[curve.what for curve in curves], vertical_spacing=0.2)
    for place, curve in enumerate(curves):
        row, column = place // 2 + 1, place % 2 + 1
        medians = [statistics.median(took) for took in curve.took]
        figure.add_scatter(
            x=list(curve.sizes),
            y=medians,
            mode="lines+markers+text",
            text=[f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s" for seconds in medians],
            textposition="top center",
            line={"color": LINE, "width": 3},
            marker={"size": 10},
            cliponaxis=False,
            row=row,
            col=column,
        )
        ticks = {"tickvals": list(curve.sizes), "ticktext": [f"{_short(size)}" for size in curve.sizes]}
        figure.update_xaxes(type="log", title=curve.unit, **ticks, row=row, col=column)
        low, high = math.log10(min(medians)), math.log10(max(medians))
        room = max(0.5, 0.25 * (high - low))  # a factor of three at least, for what is written there
        heights = {"type": "log", "range": [low - room, high + room], "title": "time"}
        figure.update_yaxes(**heights, showticklabels=False, ticks="", row=row, col=column)
    figure.update_layout(
        template="simple_white",
        width=1200,
        height=900,
        showlegend=False,
        font={"size": 18, "family": "sans-serif", "color": INK},
        paper_bgcolor=GROUND,
        plot_bgcolor=GROUND,
        margin={"t": 60, "r": 30},
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_content(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
        page.wait_for_selector(".main-svg")
        file.parent.mkdir(parents=True, exist_ok=True)
        page.locator(".js-plotly-plot").screenshot(path=file)
        browser.close()


def _short(size: float) -> str:
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{float(f'{size / limit:.2g}'):g}{letter}"
    return f"{size:.2g}" if size < 10 else f"{size:.0f}"


if __name__ == "__main__":
    main()
