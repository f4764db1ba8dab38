"""A class at work: thirty students train at once on one server and watch. Does everybody get a fair share?

    python benchmarks/classroom.py --students 30 --within 3 --write docs/speed.md
    python benchmarks/classroom.py --students 30 --within 0

A server is started on this machine, with the profile "classroom" and its runs in a temporary folder. The
lecturer asks for three things, one after the other: open the app, choose a preset, press Train. Each student
does each at a moment of their own within so many seconds, as people do; within 0, all do it in the same
thousandth of a second, which is the worst that a server can meet. They watch until their run has ended; every
third one leafs through the other pages meanwhile. Printed, as a table in Markdown: how long they waited, how
evenly, how fast pages answered, what the server needed, and whether each target was met. Ends with exit code
1 if anything failed for anybody or a target was missed. SLM_PROFILE=cloud tries a free cloud server's limits.
The students share the machine with the server, so both are slower than in a class. Needs what
requirements-dev.txt installs.
"""

import argparse
import asyncio
import collections
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import made_by, table, write_section  # noqa: E402
from students import NotThereError, Student  # noqa: E402
from watching import start_server  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402

PROFILE = "classroom"
WARM_UP_SECONDS = 8.0  # a lecturer has opened the app before the class comes
READING_SECONDS = 3.0  # that a student looks at a page before turning to the next
PAGES = ("Playground", "Data", "Tokenizer", "Train")
MOST_MEDIANS, MOST_BYTES, MOST_PAGE_SECONDS = 2.0, 1e9, 1.0  # the targets: of the slowest, of memory, p95
WATCHED = "a refresh of the live view"


@dataclass
class Lesson:
    """What one student went through, in seconds."""

    student: Student
    to_start: float = math.nan  # from pressing Train to the first measured point
    to_finish: float = math.nan  # from pressing Train to the end of the run
    answers: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    failure: str = ""

    @property
    def failures(self) -> list[str]:
        """Everything that went wrong."""
        return [*self.student.failures, *([self.failure] if self.failure else [])]

    @property
    def page_seconds(self) -> list[float]:
        """How long all pages took that were asked for."""
        return [second for what, seconds in self.answers.items() if what != WATCHED for second in seconds]


@dataclass
class Load:
    """What the server needs while the class works."""

    process: psutil.Process
    peak_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    async def watch(self) -> None:
        """Look twice a second, until cancelled."""
        began, before = time.perf_counter(), sum(self.process.cpu_times()[:2])
        while True:
            self.peak_bytes = max(self.peak_bytes, self.process.memory_info().rss)
            self.seconds = time.perf_counter() - began
            self.cpu_seconds = sum(self.process.cpu_times()[:2]) - before
            await asyncio.sleep(0.5)


def main() -> None:
    """Holds the lesson and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=30, choices=range(1, 101), metavar="1..100")
    parser.add_argument(
        "--within", type=float, default=3.0, help="seconds in which all do what they are told"
    )
    parser.add_argument("--preset", default="ULTRA_TINY")
    parser.add_argument("--minutes", type=float, default=15.0, help="after which who is not done has failed")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    os.environ.setdefault("SLM_PROFILE", PROFILE)
    busy = others_busy()
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(Path(folder))
        load = Load(psutil.Process(server.pid))
        try:
            lessons = asyncio.run(lesson(address, load, asked))
        finally:
            server.terminate()
            server.wait()
    failures = [(number, said) for number, each in enumerate(lessons) for said in each.failures]
    finished = [each.to_finish for each in lessons if not math.isnan(each.to_finish)]
    said, met = targets(lessons, load, finished)
    section = f"{report(lessons, load, finished, asked)}\n\n{said}\n\n{made_by(busy)}"
    print(section)
    for number, said in failures[:20]:
        print(f"student {number}: {said}")
    print(f"{len(failures)} failures")
    if asked.write:
        profile = os.environ["SLM_PROFILE"]
        write_section(asked.write, "class" if profile == PROFILE else f"class-{profile}", section)
    sys.exit(0 if met and not failures and len(finished) == len(lessons) else 1)


async def lesson(address: str, load: Load, asked: argparse.Namespace) -> list[Lesson]:
    """The whole lesson, in at most about the minutes asked for."""
    lecturer = Student(address)
    await lecturer.open()
    await asyncio.sleep(WARM_UP_SECONDS)
    await lecturer.leave()
    lessons = [Lesson(Student(address)) for _ in range(asked.students)]
    random = Random(0)  # the same moments each time
    watching = asyncio.create_task(load.watch())

    async def told(do: Callable[[Lesson], Awaitable[None]]) -> None:
        """Has all do something who can, each at a moment of their own."""
        moments = [(each, random.uniform(0, asked.within)) for each in lessons if not each.failure]
        await asyncio.gather(*(_at(moment, each, do) for each, moment in moments))

    await told(arrive)
    await told(lambda each: choose(each, asked.preset))
    print(f"{sum(not each.failure for each in lessons)} of {asked.students} students are ready.", flush=True)
    await told(lambda each: take_part(each, lessons.index(each), asked.minutes * 60))
    watching.cancel()
    await asyncio.gather(*(each.student.leave() for each in lessons))
    return lessons


async def _at(moment: float, lesson: Lesson, do: Callable[[Lesson], Awaitable[None]]) -> None:
    await asyncio.sleep(moment)
    try:
        await do(lesson)
    except (NotThereError, OSError) as error:
        lesson.failure = str(error)


async def arrive(lesson: Lesson) -> None:
    """Open the app."""
    lesson.answers["open the app"].append(await lesson.student.open())


async def choose(lesson: Lesson, preset: str) -> None:
    """Choose a preset."""
    lesson.answers["choose a preset"].append(await lesson.student.choose("Preset", preset))


async def take_part(lesson: Lesson, number: int, seconds: float) -> None:
    """Press Train and watch to the end of the run; every third student leafs through the pages meanwhile."""
    student, began = lesson.student, time.perf_counter()
    lesson.answers["press Train"].append(await student.press("Train"))
    try:
        await student.until(
            lambda: student.page.has_point or student.failures, seconds, "the first measured point"
        )
        if student.page.has_point:
            lesson.to_start = time.perf_counter() - began
        if number % 3 == 0:
            await _leaf(lesson)
        left = seconds - (time.perf_counter() - began)
        await student.until(lambda: student.page.has_finished or student.failures, left, "the end of the run")
        if student.page.has_finished:
            lesson.to_finish = time.perf_counter() - began
    finally:
        lesson.answers[WATCHED] += student.refreshes


async def _leaf(lesson: Lesson) -> None:
    for title in PAGES:
        lesson.answers[f"turn to {title}"].append(await lesson.student.turn_to(title))
        await asyncio.sleep(READING_SECONDS)


def report(
    lessons: Sequence[Lesson], load: Load, finished: Sequence[float], asked: argparse.Namespace
) -> str:
    """How long the class waited, and what the server needed, in Markdown."""
    waits: dict[str, list[float]] = collections.defaultdict(list)
    waits["click on Train to the first point"] = [
        each.to_start for each in lessons if not math.isnan(each.to_start)
    ]
    waits["click on Train to the end of the run"] = list(finished)
    for each in lessons:
        for what, seconds in each.answers.items():
            waits[what] += seconds
    waits["all pages together"] = [second for each in lessons for second in each.page_seconds]
    evenly = f"; the slowest took {max(finished) / statistics.median(finished):.2f} times the median"
    received = sum(each.student.received_bytes for each in lessons) / 1e6
    own = sum(psutil.Process().cpu_times()[:2])
    rows = [_row(*each) for each in waits.items()]
    return f"""{table(("seconds", "count", "median", "p95", "worst"), rows)}

{len(lessons)} browsers train {asked.preset} at once, profile {os.environ["SLM_PROFILE"]}, and each acts
within {asked.within:g} s of being told; every third leafs through the other pages meanwhile.
{len(finished)} of {len(lessons)} runs finished{evenly if finished else ""}. The server held at most
{load.peak_bytes / 1e6:.0f} MB, computed for {load.cpu_seconds:.0f} s in {load.seconds:.0f} s and sent
{received:.0f} MB; the students, on the same machine, computed for {own:.0f} s. Pages whose end was lost on
the way, and that were asked for again: {sum(each.student.cut_short for each in lessons)}."""


def targets(lessons: Sequence[Lesson], load: Load, finished: Sequence[float]) -> tuple[str, bool]:
    """Each target and whether it was met, in Markdown; and whether all were."""
    slowest = max(finished) / statistics.median(finished) if finished else math.inf
    page = _p95([second for each in lessons for second in each.page_seconds])
    rows = [
        ("the slowest run, in medians", f"{slowest:.2f}", f"{MOST_MEDIANS:g}", slowest <= MOST_MEDIANS),
        ("memory, MB", f"{load.peak_bytes / 1e6:.0f}", f"{MOST_BYTES / 1e6:g}", load.peak_bytes < MOST_BYTES),
        ("pages, p95, s", f"{page:.2f}", f"{MOST_PAGE_SECONDS:g}", page <= MOST_PAGE_SECONDS),
    ]
    met = [[what, measured, most, "met" if well else "missed"] for what, measured, most, well in rows]
    return table(("target", "measured", "at most", ""), met), all(well for *_, well in rows)


def _p95(seconds: Sequence[float]) -> float:
    ranked = sorted(seconds)
    return ranked[math.ceil(0.95 * len(ranked)) - 1] if ranked else math.inf


def _row(what: str, seconds: Sequence[float]) -> list[str]:
    if not seconds:
        return [what, "0", "–", "–", "–"]
    ranked = sorted(seconds)
    times = (statistics.median(ranked), _p95(ranked), ranked[-1])
    return [what, str(len(ranked)), *(f"{each:.2f}" for each in times)]


if __name__ == "__main__":
    main()
