"""Tables of the benchmarks of speed, and the page that they are written to."""

import datetime
import re
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from slm_core.bench import machine

PAGE = """\
# How fast it is

Training, writing and sweeps beside other programs on the same machine. What is compared took turns, round by
round; given are the median over the rounds and, in brackets, the lowest and the highest. A factor is taken in
each round by itself. The line below each table says where and when; yours differ, so measure them:

```bash
python benchmarks/suite.py --text book.txt --write docs/speed.md
```

## Training

<!-- measured: step -->
<!-- end -->

<!-- measured: beside -->
<!-- end -->

<!-- measured: gpu -->
<!-- end -->

## Writing

<!-- measured: generation -->
<!-- end -->

## How soon a model knows as much

Each recipe is the one before it with one thing changed; all but GPT-2's own have their learning rate chosen
from the same grid, with a seed of its own. Time is that of the updates, without measuring.

<!-- measured: recipe -->
<!-- end -->

<!-- measured: presets -->
<!-- end -->

## Many runs

<!-- measured: sweep -->
<!-- end -->

## What a lecturer waits for

<!-- measured: waiting -->
<!-- end -->

<!-- measured: watching -->
<!-- end -->

## A class of thirty on one small server

<!-- measured: class -->
<!-- end -->

<!-- measured: soak -->
<!-- end -->

## Memory

<!-- measured: memory -->
<!-- end -->

## How it grows

<!-- measured: growth -->
<!-- end -->
"""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def rates(per_second: Sequence[float]) -> str:
    """Per second, to two digits; a dash where nothing was measured."""
    return _spread(per_second, lambda value: f"{float(f'{value:.2g}'):,.0f}")


def factors(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times as long theirs took, in each round; a dash where nothing was measured."""
    return _spread([their / our for our, their in zip(ours, theirs, strict=False)], "{:.2f}".format)


def shares(values: Sequence[float]) -> str:
    """Shares (0..1) in percent."""
    return _spread(values, "{:.0%}".format)


def times(seconds: Sequence[float]) -> str:
    """Seconds, or milliseconds where they are few."""
    small = statistics.median(seconds) < 1
    return _spread(seconds, lambda value: f"{1000 * value:,.1f} ms" if small else f"{value:,.1f} s")


def _spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    if not values:
        return "–"
    whole = shown(statistics.median(values))
    return f"{whole} ({shown(min(values))} to {shown(max(values))})" if len(values) > 1 else whole


def made_by(busy: float, *packages: str) -> str:
    """Command, machine, day and versions in a line. busy: the share of the processor that others took."""
    versions = "".join(f", {package} {found}" for package in packages if (found := _version(package)))
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    day = f"{datetime.date.today():%d %B %Y}"
    return (
        f"Made by `{command}` on {machine()}{versions}, {day}. Other programs took {busy:.0%} of the "
        "processor when it began."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def write_section(file: Path, name: str, section: str) -> None:
    """Put a section where its place is in the page; the page is made if it is not there."""
    text = file.read_text(encoding="utf-8") if file.exists() else PAGE
    mark = f"<!-- measured: {name} -->\n"
    place = re.compile(rf"({mark}).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"{file} has no place for it: a line {mark.strip()} and one <!-- end -->")
    file.write_text(place.sub(lambda found: f"{found[1]}{section}\n{found[2]}", text), encoding="utf-8")
