"""Is what the lessons say true? Each lesson's runs with several seeds, and each of its claims for each seed.

    python benchmarks/lessons.py                          all lessons, five seeds
    python benchmarks/lessons.py week-1 --seeds 3

A claim is the condition under which a lesson's page says that the effect is there, `when` under `see`. Prints
Markdown tables: claims by seed, the choices that are right by seed, and what each run of a lesson took. Fails
at its end if not exactly one choice of a question was right. Takes about 25 minutes on two cores.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.hardware import cpu, devices, ready_to_compute  # noqa: E402
from slm_core.runs.history import History  # noqa: E402
from slm_core.runs.scheduler import Scheduler  # noqa: E402
from slm_core.runs.store import open_run  # noqa: E402
from slm_core.teach.lesson import Lesson, LessonRun, Question, load_lesson  # noqa: E402
from slm_core.teach.measures import MEASURES, Told, Values, measured  # noqa: E402

LESSONS = ROOT / "pages" / "lessons"
BESIDES = ("writing_speed", "file_kilobytes")  # measured by hand in the app, not by a run


def main() -> None:
    """Trains, and prints a table for each lesson."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="names of lessons; all, if there are none")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    ready_to_compute()
    files = sorted(LESSONS.glob("week-*.yaml"))
    files = [file for file in files if not asked.lessons or file.stem in asked.lessons]
    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(Path(folder))
        wrong = []
        for lesson in map(load_lesson, files):
            found = train(lesson, scheduler, asked.seeds)
            tables = claims(lesson, found), choices(lesson, found), numbers(lesson, found)
            print(*filter(None, tables), sep="\n\n", end="\n\n", flush=True)
            wrong += undecided(lesson, found)
    print(f"Made by `python benchmarks/lessons.py` on {cpu().label}.")
    if wrong:
        sys.exit("Not exactly one choice is right:\n" + "\n".join(wrong))


def train(lesson: Lesson, scheduler: Scheduler, seeds: int) -> list[Values]:
    """What was measured for each seed, two runs at a time with one thread each."""
    started: list[dict[str, str]] = []
    for place in range(seeds):
        ids = {}
        for run in lesson.runs.values():
            if (device := _device(run)) is not None:
                config = run.config.with_changes({"seed": run.config.seed + place})
                ids[run.name] = scheduler.start(config, name=run.label, device=device, threads=1)
        started.append(ids)
    return [{name: _measured(scheduler, run_id) for name, run_id in ids.items()} for ids in started]


def _measured(scheduler: Scheduler, run_id: str) -> dict:
    scheduler.wait(run_id)
    run = open_run(scheduler.root, run_id)
    return measured(Told(config=run.config, history=History(run.folder).refresh(), report=run.report()))


def _device(run: LessonRun) -> str | None:
    best = devices()[0].name
    if run.device == "gpu":
        return best if best != "cpu" else None
    return best if run.device == "best" else "cpu"


def claims(lesson: Lesson, found: list[Values]) -> str:
    """Each claim by seed: yes, no, or a dash where it was not measured."""
    lines = [
        f"### {lesson.title}",
        "",
        f"| step | claim | {' | '.join(f'seed {place + 1}' for place in range(len(found)))} |",
        f"|---|---|{'---|' * len(found)}",
    ]
    for step in lesson.steps:
        for finding in step.see:
            if finding.when is None or any(word in finding.when.text for word in BESIDES):
                continue
            words = {True: "yes", False: "**no**", None: "–"}
            cells = [words[finding.when.holds(values)] for values in found]
            lines.append(f"| {step.title} | {finding.when.text} | {' | '.join(cells)} |")
    return "\n".join(lines)


def choices(lesson: Lesson, found: list[Values]) -> str:
    """Which choice of each question is right by seed, or a dash where it was not measured; empty without such
    questions."""
    lines = [
        f"| question | {' | '.join(f'seed {place + 1}' for place in range(len(found)))} |",
        f"|---|{'---|' * len(found)}",
    ]
    for question in _questions(lesson):
        rights = [_right(question, values) for values in found]
        cells = ["–" if right is None else " *and* ".join(right) or "**none**" for right in rights]
        lines.append(f"| {question.id}: {question.ask} | {' | '.join(cells)} |")
    return "\n".join(lines) if lines[2:] else ""


def undecided(lesson: Lesson, found: list[Values]) -> list[str]:
    """A sentence for each question and seed for which none of the choices is right, or more than one."""
    return [
        f"{lesson.id} {question.id}, seed {place}: {right or 'none'}"
        for question in _questions(lesson)
        for place, values in enumerate(found, 1)
        if (right := _right(question, values)) is not None and len(right) != 1
    ]


def _questions(lesson: Lesson) -> list[Question]:
    """The questions with choices that runs can decide."""
    return [
        question
        for step in lesson.steps
        for question in step.questions
        if question.choices and not any(word in question.choices[0].when.text for word in BESIDES)
    ]


def _right(question: Question, values: Values) -> list[str] | None:
    """The choices that are right; None where that was not measured."""
    holds = {choice.text: choice.when.holds(values) for choice in question.choices}
    return None if None in holds.values() else [text for text, so in holds.items() if so]


def numbers(lesson: Lesson, found: list[Values]) -> str:
    """For each run the lowest and highest of what the lesson shows of it, over the seeds."""
    lines = ["| run | measure | lowest | highest |", "|---|---|---|---|"]
    for name, run in lesson.runs.items():
        shown = dict.fromkeys(each for step in lesson.steps if name in step.runs for each in step.show)
        for measure in [*shown, "seconds"] if "seconds" not in shown else shown:
            values = [each[name][measure] for each in found if measure in each.get(name, {})]
            if values and not isinstance(values[0], str):
                low, high = (MEASURES[measure].shown(edge(values)) for edge in (min, max))
                lines.append(f"| {run.label} | {MEASURES[measure].title} | {low} | {high} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
