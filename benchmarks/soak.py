"""Does the server's memory stay flat? An hour of short runs: started, watched, used and deleted again.

    python benchmarks/soak.py --minutes 60 --csv memory.csv --write docs/speed.md

A server is started on this machine with its runs in a temporary folder. A few students train small models,
let them write in the Playground and delete them, again and again; some close the page and come back, as the
same visitor or as a new one. Each begins a round every --pace seconds, or when the last one has ended, if
that is later: for some minutes a server keeps something of each visit that has left, so what it holds follows
how many come, and a machine that gets faster would look like a leak. The server's resident memory is read
every ten seconds. Printed: its curve, and whether it was flat within 5 % after the warm-up, the first fifth
of the time. Ends with exit code 1 if it was not, or if anything failed. Needs what requirements-dev.txt
installs.
"""

import argparse
import asyncio
import csv
import itertools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import made_by, write_section  # noqa: E402
from students import NotThereError, Student  # noqa: E402
from watching import start_server  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402

SAMPLE_SECONDS = 10.0
WARM_UP_SHARE = 0.2
FLAT = 1.05  # the largest over the smallest of the medians of PARTS equal parts of the time after the warm-up
PARTS = 5
STEPS = "20"  # of each run, as written on its slider
ROWS, BAR = 30, 50  # of the curve that is printed
LONGEST_RUN_SECONDS = 300.0


@dataclass(frozen=True)
class Sample:
    """What was read at one time."""

    seconds: float
    resident_bytes: int
    disk_bytes: int  # of the folder with the runs
    rounds: int  # runs that were trained, used and deleted until then


@dataclass
class Soak:
    """What has happened so far."""

    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def main() -> None:
    """Soaks, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--students", type=int, default=3, choices=range(1, 21), metavar="1..20")
    parser.add_argument("--preset", default="ULTRA_TINY")
    parser.add_argument(
        "--pace", type=float, default=6.0, help="seconds from one round of a student to the next"
    )
    parser.add_argument("--csv", type=Path, help="where to write the curve")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    os.environ.setdefault("SLM_PROFILE", "classroom")
    busy = others_busy()
    soak, seconds = Soak(), asked.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(Path(folder))
        try:
            asyncio.run(hold(soak, address, server, Path(folder), asked, seconds))
        finally:
            server.terminate()
            server.wait()
    if asked.csv:
        write_csv(asked.csv, soak.samples)
    medians = levels(soak.samples, seconds)
    rise = max(medians) / min(medians) if len(medians) == PARTS else math.inf
    section = f"{report(soak, medians, rise, asked)}\n\n{made_by(busy)}"
    print(section)
    for said in soak.failures[:20]:
        print(f"failure: {said}")
    if asked.write:
        write_section(asked.write, "soak", section)
    sys.exit(0 if rise <= FLAT and not soak.failures else 1)


async def hold(
    soak: Soak,
    address: str,
    server: subprocess.Popen,
    folder: Path,
    asked: argparse.Namespace,
    seconds: float,
) -> None:
    """Let the students work and read the memory, for so many seconds, or until the server ends."""
    began, process = time.monotonic(), psutil.Process(server.pid)
    students = [
        asyncio.create_task(work(soak, address, asked.preset, asked.pace, number))
        for number in range(asked.students)
    ]
    for tick in itertools.count(1):
        await asyncio.sleep(max(0.0, min(tick * SAMPLE_SECONDS, seconds) - (time.monotonic() - began)))
        elapsed = time.monotonic() - began
        if server.poll() is not None:
            soak.failures.append(f"The server ended after {elapsed:.0f} s with status {server.returncode}.")
            break
        soak.samples.append(Sample(elapsed, process.memory_info().rss, _size(folder), soak.rounds))
        if elapsed >= seconds:
            break
    for each in students:
        each.cancel()
    await asyncio.gather(*students, return_exceptions=True)


async def work(soak: Soak, address: str, preset: str, pace: float, number: int) -> None:
    """One seat in the class: rounds without end, one in so many seconds. Every third round closes the page,
    and the next visitor is the same one or a new one, in turn."""
    student, due = Student(address), time.monotonic()
    for turn in itertools.count(number):
        await asyncio.sleep(due - time.monotonic())
        due = max(due + pace, time.monotonic())
        try:
            if turn == number:
                await student.open()
            elif turn % 3 == 0:
                await student.leave()
                student = Student(address, cookies=student.cookies if turn % 2 else None)
                await student.open()
            await one_round(student, preset)
            soak.rounds += 1
        except (NotThereError, OSError) as error:
            soak.failures.append(str(error))
            await student.leave()
            student = Student(address)
            await asyncio.sleep(1)
        soak.failures += student.failures
        student.failures.clear()


async def one_round(student: Student, preset: str) -> None:
    """Train a model in a few steps, let it write, and delete it."""
    await student.choose("Preset", preset)
    await student.slide("max_iters", STEPS)
    await student.press("Train")
    await student.until(
        lambda: student.page.has_finished or student.failures, LONGEST_RUN_SECONDS, "the end of the run"
    )
    await student.turn_to("Playground")
    await student.press("Write")
    await student.turn_to("Train")
    await student.press("Delete for good")
    await student.turn_to("Train")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # deleted in this moment
            continue
    return total


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Writes the curve, a line for each sample."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(each.name for each in fields(Sample))
        table.writerows(astuple(sample) for sample in samples)


def report(soak: Soak, medians: Sequence[float], rise: float, asked: argparse.Namespace) -> str:
    """The curve and what is to be said of it, in Markdown. rise: the highest median over the lowest."""
    if not soak.samples:
        return "There was no time to read the memory."
    largest = max(each.resident_bytes for each in soak.samples)
    rows = [
        f"{each.seconds / 60:8.1f} {each.resident_bytes / 1e6:6.0f} {each.rounds:6}  "
        f"{'█' * round(BAR * each.resident_bytes / largest)}"
        for each in soak.samples[:: max(1, len(soak.samples) // ROWS)]
    ]
    curve = "\n".join([f"{'minutes':>8} {'MB':>6} {'runs':>6}", *rows])
    disk = max(each.disk_bytes for each in soak.samples)
    said = ", ".join(f"{each / 1e6:.0f}" for each in medians)
    flat = f"so it is {'' if rise <= FLAT else 'not '}flat within {FLAT - 1:.0%}"
    return f"""{asked.minutes:g} minutes: {asked.students} students train {asked.preset} ({STEPS} steps),
let it write, delete it, leave and come back, each every {asked.pace:g} s. {soak.rounds:,} runs, failures:
{len(soak.failures)}. After the first fifth of the time, the medians of {PARTS} equal parts are {said} MB:
{rise - 1:.1%} from the lowest to the highest, {flat}. The most was {largest / 1e6:.0f} MB of memory and
{disk / 1e6:.1f} MB on disk.

```
{curve}
```"""


def levels(samples: Sequence[Sample], seconds: float) -> list[float]:
    """Median resident bytes in each of PARTS equal parts of the time after the warm-up, without those that
    have no samples."""
    parts: list[list[int]] = [[] for _ in range(PARTS)]
    for each in samples:
        share = (each.seconds / seconds - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
        if share >= 0:
            parts[min(PARTS - 1, int(share * PARTS))].append(each.resident_bytes)
    return [statistics.median(part) for part in parts if part]


if __name__ == "__main__":
    main()
