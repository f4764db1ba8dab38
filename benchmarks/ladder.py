"""More text, and only more text: one model, the same steps, from 200 to 300,000 unique tokens, three seeds
each.

    python benchmarks/ladder.py --picture docs/pictures/ladder.png --table docs/ladder.md

Trains every rung and, beside them, the exhibit that repeats its 1,000 tokens before it splits them. Writes a
table and a
picture: best validation loss by unique training tokens, with the floor that no model can pass, and the gap at
the end. Takes about half an hour on two cores. The picture needs Playwright and a Chromium.
"""

import argparse
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.config import load_preset  # noqa: E402
from slm_core.hardware import cpu, ready_to_compute  # noqa: E402
from slm_core.runs.history import History  # noqa: E402
from slm_core.runs.scheduler import Scheduler  # noqa: E402
from slm_core.runs.store import open_run  # noqa: E402

RUNGS = (200, 1_000, 3_000, 30_000, 300_000)
EXHIBIT = 1_000


@dataclass(frozen=True)
class Rung:
    """What the seeds of one rung found: nats per token."""

    name: str
    tokens: int
    best: list[float]
    train: list[float]
    validation: list[float]
    error: float
    floor: float | None


def main() -> None:
    """Trains, and writes what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    ready_to_compute()
    with tempfile.TemporaryDirectory() as folder:
        rungs = train(Path(folder), asked.steps, asked.seeds)
    text = table(rungs, asked.steps, asked.seeds)
    print(text)
    if asked.table:
        asked.table.write_text(text, encoding="utf-8")
    if asked.picture:
        draw(rungs, asked.picture)


def train(root: Path, steps: int, seeds: int) -> list[Rung]:
    """All rungs, two runs at a time with one thread each."""
    scheduler = Scheduler(root)
    base = load_preset("TINY_CPU").config.with_changes({"max_iters": steps, "eval_interval": 20})
    asked = [("honest", size) for size in RUNGS] + [("repeated", EXHIBIT)]
    started = {
        (kind, size, seed): scheduler.start(
            base.with_changes(
                {
                    "dataset_size": size,
                    "seed": seed,
                    "corpus": "repeated" if kind == "repeated" else "stories",
                }
            ),
            name=f"{kind} {size} {seed}",
            threads=1,
        )
        for kind, size in asked
        for seed in range(1, seeds + 1)
    }
    found = {}
    for (kind, size, seed), run_id in started.items():
        scheduler.wait(run_id)
        run = open_run(root, run_id)
        history = History(run.folder).refresh()
        last = history.evaluations[max(history.evaluations)]
        print(
            f"{kind:>8} {size:>8,} seed {seed}: best {history.best.validation_loss:.3f} "
            f"at {history.best.step:,}, end {last.train_loss:.3f} / {last.validation_loss:.3f}",
            flush=True,
        )
        found.setdefault((kind, size), []).append((history.best, last, run.report()))
    return [
        Rung(
            name=kind,
            tokens=size,
            best=[best.validation_loss for best, _, _ in results],
            train=[last.train_loss for _, last, _ in results],
            validation=[last.validation_loss for _, last, _ in results],
            error=results[0][0].validation_standard_error,
            floor=results[0][2].floor.nats_per_token if results[0][2] and results[0][2].floor else None,
        )
        for (kind, size), results in found.items()
    ]


def table(rungs: list[Rung], steps: int, seeds: int) -> str:
    """A page of Markdown with the numbers, the machine and the command."""
    rows = [
        f"| {'repeat, then split: ' if rung.name == 'repeated' else ''}{rung.tokens:,} | {spread(rung.best)} "
        f"| {rung.error:.3f} | {spread(rung.train)} | {spread(rung.validation)} "
        f"| {statistics.mean(rung.validation) - statistics.mean(rung.train):.2f} |"
        for rung in rungs
    ]
    floor = next(rung.floor for rung in rungs if rung.floor is not None)
    return f"""# More text, and only more text

![Best validation loss by unique training tokens](pictures/ladder.png)

One model (TINY_CPU), {steps:,} steps each, {seeds} seeds; nats per token, mean (lowest to highest seed).
The floor, below which no model can stay on this validation set, is {floor:.4f}.

| unique training tokens | best validation | its standard error | training, end | validation, end | gap, end |
|---|---|---|---|---|---|
{chr(10).join(rows)}

The last row is the recipe that leaks: the text is repeated and only then cut in two, so what is called
validation stands in the training text. Its loss falls with the training loss and the gap is gone, though the
model has read no more than the second row's.

Made by `python benchmarks/ladder.py --picture docs/pictures/ladder.png --table docs/ladder.md` on
{cpu().label.removeprefix("CPU · ")} ({platform.system()}).
"""


def spread(values: list[float]) -> str:
    """Mean and range."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def draw(rungs: list[Rung], file: Path) -> None:
    """The picture, drawn by Plotly in a browser."""
    import plotly.graph_objects as go
    from playwright.sync_api import sync_playwright

    honest = [rung for rung in rungs if rung.name == "honest"]
    exhibit = next(rung for rung in rungs if rung.name == "repeated")
    x = [rung.tokens for rung in honest]
    means = [statistics.mean(rung.best) for rung in honest]
    figure = go.Figure()
    figure.add_scatter(
        x=x,
        y=means,
        mode="lines+markers",
        name="best validation loss",
        line={"color": "#C9540A", "width": 4},
        marker={"size": 11},
        error_y={
            "type": "data",
            "array": [max(rung.best) - mean for rung, mean in zip(honest, means, strict=True)],
            "arrayminus": [mean - min(rung.best) for rung, mean in zip(honest, means, strict=True)],
        },
    )
    ends = [statistics.mean(rung.train) for rung in honest]
    figure.add_scatter(
        x=x,
        y=ends,
        mode="lines+markers",
        name="training loss at the end",
        line={"color": "#0067A6", "width": 4},
    )
    figure.add_scatter(
        x=[exhibit.tokens],
        y=[statistics.mean(exhibit.best)],
        mode="markers",
        name="the recipe that leaks: repeat, then split",
        marker={"color": "#B03060", "size": 18, "symbol": "x"},
        cliponaxis=False,
    )
    figure.add_scatter(
        x=[x[0] * 0.7, x[-1] * 1.4],
        y=[honest[0].floor] * 2,
        mode="lines",
        name=f"no model can do better: {honest[0].floor:.2f}",
        line={"dash": "dot", "color": "#211C15", "width": 3},
    )
    figure.update_layout(
        template="simple_white",
        width=1200,
        height=640,
        font={"size": 20, "family": "sans-serif", "color": "#211C15"},
        paper_bgcolor="#FCF9F2",
        plot_bgcolor="#FCF9F2",
        legend={"x": 0.98, "xanchor": "right", "y": 1.0},
        margin={"t": 30, "r": 30},
        xaxis={
            "type": "log",
            "title": "unique training tokens",
            "tickvals": x,
            "ticktext": [f"{size:,}" for size in x],
        },
        yaxis={"title": "nats per token", "rangemode": "tozero"},
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 640})
        page.set_content(
            f"<body style='margin:0'>{figure.to_html(full_html=False, include_plotlyjs=True)}</body>"
        )
        page.wait_for_selector(".plot-container")
        page.wait_for_timeout(500)
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main()
