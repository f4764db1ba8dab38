"""A lesson as its file tells it: runs, and steps of question, prediction, run, what is seen, why, check.

No result stands in a lesson file. Answers, and what the page says of a run, follow from measures of the run
itself, by conditions that the file states; docs/lessons.md is the lecturer's guide to such files.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_core.config import KNOBS, ExperimentConfig, load_presets
from slm_core.errors import ConfigError
from slm_core.teach.conditions import Condition, Term, parse_condition, parse_term, terms_in
from slm_core.teach.measures import MEASURES
from slm_core.teach.sheet import Sheet, shown

DEVICES = {
    "cpu": "on the processor",
    "gpu": "on a graphics card, and nowhere else",
    "best": "on a graphics card if there is one",
}
LOWEST, HIGHEST = "lowest", "highest"
_LESSON_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,9}")  # with a run's name it must fit into a run's tag
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,11}")


@dataclass(frozen=True, kw_only=True)
class LessonRun:
    """A run that a lesson needs: a preset with some settings changed."""

    name: str
    label: str
    preset: str
    changed: tuple[str, ...]
    config: ExperimentConfig
    device: str = "cpu"


@dataclass(frozen=True)
class Choice:
    """One answer to choose, and on what condition it is the right one."""

    text: str
    when: Condition


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prediction or a check. Exactly one of choices, number and pick says what is asked for.

    within: how far a number may be from what was measured; a share of it if `relative`. pick: "lowest" or
    "highest" of a measure, among runs.
    """

    id: str
    ask: str
    runs: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    number: Term | None = None
    within: float = 0.0
    relative: bool = False
    pick: tuple[str, str] | None = None
    explain: str = ""


@dataclass(frozen=True)
class Finding:
    """What the page says once the runs have ended: `text` if the condition holds, else `otherwise`."""

    when: Condition | None
    text: str
    otherwise: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One question of a lesson, from asking it to checking what was learned.

    hidden   settings that are not shown before the checks are answered
    show     measures in the table below the chart
    written  the run whose texts are shown
    speed    of these runs, the first that has a model file: it is offered, and its model writes here, timed
    """

    id: str
    title: str
    text: str
    why: str
    predict: Question | None
    runs: tuple[str, ...]
    hidden: tuple[str, ...]
    show: tuple[str, ...]
    written: str
    speed: tuple[str, ...]
    see: tuple[Finding, ...]
    checks: tuple[Question, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """The prediction, then the checks."""
        return (*((self.predict,) if self.predict else ()), *self.checks)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A whole lesson. minutes: how long it takes in a room."""

    id: str
    title: str
    question: str
    minutes: int
    runs: dict[str, LessonRun]
    steps: tuple[Step, ...]

    def runs_of(self, step: Step) -> list[LessonRun]:
        """The runs that a step shows, in its order."""
        return [self.runs[name] for name in step.runs]


def load_lesson(file: Path) -> Lesson:
    """The lesson in a file. Raises ConfigError saying all that is wrong with it, with the place."""
    sheet = Sheet(file)
    if not _LESSON_NAME.fullmatch(file.stem):
        sheet.wrong("its name", f"is {shown(file.stem)}; it must be 1 to 10 of a-z, 0-9 and -.")
    given = sheet.fields("the file", sheet.whole(), ["title", "question", "minutes", "runs", "steps"])
    runs = _runs(sheet, given.get("runs", {}))
    steps = [
        _step(sheet, f"step {place}", each, runs)
        for place, each in enumerate(sheet.items("steps", given.get("steps", []), most=12, least=1), 1)
    ]
    _no_repeats(sheet, "steps", [step.id for step in steps])
    lesson = Lesson(
        id=file.stem,
        title=sheet.text("title", given.get("title", "?")),
        question=sheet.text("question", given.get("question", "?")),
        minutes=int(sheet.number("minutes", given.get("minutes", 1), 1, 240)),
        runs=runs,
        steps=tuple(steps),
    )
    sheet.finish()
    return lesson


def _runs(sheet: Sheet, given: Any) -> dict[str, LessonRun]:
    if not isinstance(given, dict) or not given:
        sheet.wrong("runs", f"is {shown(given)}; it must name runs, each with label and preset.")
        return {}
    found = (_run(sheet, str(name), entry) for name, entry in given.items())
    return {run.name: run for run in found if run is not None}


def _run(sheet: Sheet, name: str, entry: Any) -> LessonRun | None:
    place = f"run {name[:40]}"
    if not _NAME.fullmatch(name):
        sheet.wrong(place, "a run's name must be 1 to 12 of a-z, 0-9 and -.")
    given = sheet.fields(place, entry, ["label", "preset"], ["change", "device"])
    if not given:
        return None
    presets, changes = load_presets(), given.get("change", {})
    preset = sheet.one_of(f"{place}, preset", given.get("preset"), presets)
    if not isinstance(changes, dict):
        sheet.wrong(f"{place}, change", f"is {shown(changes)}; it must be settings, like n_layer: 3.")
        changes = {}
    try:
        config = presets[preset].config.with_changes(changes)
    except ConfigError as error:
        for line in str(error).split("\n"):
            sheet.wrong(f"{place}, change", line)
        config = presets[preset].config
    if config.corpus == "own":
        sheet.wrong(f"{place}, change", "corpus is own; a lesson has no text of its own. Take another.")
    return LessonRun(
        name=name,
        label=sheet.text(f"{place}, label", given.get("label", "?")),
        preset=preset,
        changed=tuple(name for name in changes if name in KNOBS),
        config=config,
        device=sheet.one_of(f"{place}, device", given.get("device", "cpu"), DEVICES),
    )


def _step(sheet: Sheet, place: str, entry: Any, runs: dict[str, LessonRun]) -> Step:
    given = sheet.fields(
        place,
        entry,
        ["id", "title", "text", "runs", "show"],
        ["predict", "hidden", "written", "speed", "see", "why", "check"],
    )
    step_id = str(given.get("id", "?"))
    if not _NAME.fullmatch(step_id) and "id" in given:
        sheet.wrong(f"{place}, id", f"is {shown(given['id'])}; it must be 1 to 12 of a-z, 0-9 and -.")
    here = _names(sheet, f"{place}, runs", given.get("runs", []), runs)
    if not here and given:
        sheet.wrong(f"{place}, runs", f"names none. Known: {', '.join(runs)}.")
    read = _Reader(sheet, here)
    predict, checks = given.get("predict"), sheet.items(f"{place}, check", given.get("check", []))
    see, speed = sheet.items(f"{place}, see", given.get("see", [])), given.get("speed", [])
    return Step(
        id=step_id,
        title=sheet.text(f"{place}, title", given.get("title", "?")),
        text=read.filled(f"{place}, text", given.get("text", "?")),
        why=read.filled(f"{place}, why", given["why"]) if "why" in given else "",
        predict=read.question(f"{place}, predict", predict, f"{step_id}.predict") if predict else None,
        runs=here,
        hidden=_names(sheet, f"{place}, hidden", given.get("hidden", []), KNOBS),
        show=_names(sheet, f"{place}, show", given.get("show", []), MEASURES),
        written=sheet.one_of(f"{place}, written", given["written"], here) if "written" in given else "",
        speed=_names(sheet, f"{place}, speed", speed if isinstance(speed, list) else [speed], here),
        see=tuple(read.finding(f"{place}, see {at}", each) for at, each in enumerate(see, 1)),
        checks=tuple(
            read.question(f"{place}, check {at}", each, f"{step_id}.check-{at}")
            for at, each in enumerate(checks, 1)
        ),
    )


def _names(sheet: Sheet, place: str, given: Any, known: Collection[str]) -> tuple[str, ...]:
    names = [name for name in sheet.items(place, given) if sheet.one_of(place, name, known) == name]
    _no_repeats(sheet, place, names)
    return tuple(names)


def _no_repeats(sheet: Sheet, place: str, names: Iterable[str]) -> None:
    names = list(names)
    for name in sorted({name for name in names if names.count(name) > 1}):
        sheet.wrong(place, f"{shown(name)} stands there more than once.")


@dataclass(frozen=True)
class _Reader:
    """Reads the parts of one step, whose runs are known by now."""

    sheet: Sheet
    runs: tuple[str, ...]

    def filled(self, place: str, given: Any) -> str:
        text = self.sheet.text(place, given)
        try:
            terms_in(text, self.runs)
        except ConfigError as error:
            self.sheet.wrong(place, str(error))
        return text

    def condition(self, place: str, given: Any) -> Condition:
        text = self.sheet.text(place, given)
        try:
            return parse_condition(text, self.runs) if text else Condition("", ())
        except ConfigError as error:
            self.sheet.wrong(place, str(error))
            return Condition(text, ())

    def finding(self, place: str, entry: Any) -> Finding:
        given = self.sheet.fields(place, entry, ["text"], ["when", "otherwise"])
        when = self.condition(f"{place}, when", given["when"]) if "when" in given else None
        if ("when" in given) != ("otherwise" in given) and given:
            self.sheet.wrong(place, "when and otherwise go together: say what is to be said if it is not so.")
        otherwise = self.filled(f"{place}, otherwise", given["otherwise"]) if "otherwise" in given else ""
        return Finding(when, self.filled(f"{place}, text", given.get("text", "?")), otherwise)

    def question(self, place: str, entry: Any, question_id: str) -> Question:
        kinds = ("choices", "number", "pick")
        given = self.sheet.fields(place, entry, ["ask"], [*kinds, "within", "explain"])
        if sum(kind in given for kind in kinds) != 1 and given:
            self.sheet.wrong(place, f"needs exactly one of {', '.join(kinds)}.")
        within, relative = self._within(place, given)
        return Question(
            id=question_id,
            ask=self.sheet.text(f"{place}, ask", given.get("ask", "?")),
            runs=self.runs,
            choices=self._choices(place, given["choices"]) if "choices" in given else (),
            number=self._number(place, given["number"]) if "number" in given else None,
            within=within,
            relative=relative,
            pick=self._pick(place, given["pick"]) if "pick" in given else None,
            explain=self.filled(f"{place}, explain", given["explain"]) if "explain" in given else "",
        )

    def _choices(self, place: str, given: Any) -> tuple[Choice, ...]:
        found = []
        for at, each in enumerate(self.sheet.items(f"{place}, choices", given, most=8), 1):
            here = f"{place}, choice {at}"
            entry = self.sheet.fields(here, each, ["text", "when"])
            text = self.sheet.text(f"{here}, text", entry.get("text", "?"))
            if "when" in entry:
                found.append(Choice(text, self.condition(f"{here}, when", entry["when"])))
        if isinstance(given, list) and len(given) < 2:
            self.sheet.wrong(f"{place}, choices", "needs at least two.")
        return tuple(found)

    def _number(self, place: str, given: Any) -> Term | None:
        try:
            term = parse_term(self.sheet.text(f"{place}, number", given), self.runs)
        except ConfigError as error:
            self.sheet.wrong(f"{place}, number", str(error))
            return None
        if term.measure in ("", "verdict"):
            self.sheet.wrong(f"{place}, number", f"is {shown(given)}; name a measure that is a number.")
        return term

    def _within(self, place: str, given: dict[str, Any]) -> tuple[float, bool]:
        if "number" not in given:
            if "within" in given:
                self.sheet.wrong(f"{place}, within", "is for numbers only.")
            return 0.0, False
        said = given.get("within")
        if isinstance(said, str) and (found := re.fullmatch(r"(\d{1,3}) ?%", said)):
            return int(found[1]) / 100, True
        if type(said) in (int, float) and said > 0:
            return float(said), False
        self.sheet.wrong(f"{place}, within", f"is {shown(said)}; write a number above 0, or such as 20%.")
        return 0.0, False

    def _pick(self, place: str, given: Any) -> tuple[str, str]:
        which, _, measure = str(given).partition(" ")
        numbers = [name for name in MEASURES if name != "verdict"]
        if which not in (LOWEST, HIGHEST) or measure not in numbers:
            self.sheet.wrong(
                f"{place}, pick",
                f"is {shown(given)}; write lowest or highest and one of {', '.join(numbers)}.",
            )
            return LOWEST, "gap"
        return which, measure
