"""A concept check: the same questions before and after the lessons, what was gained, and a table without
names."""

import csv
import io
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slm_core.teach.progress import FOLDER, kept_file, write_kept
from slm_core.teach.sheet import Sheet, shown

BEFORE, AFTER = "before", "after"
COLUMNS = ("student", "when", "question", "answer", "right")
_NAME = "concept-check"
_MOST_STUDENTS = 2_000


@dataclass(frozen=True, kw_only=True)
class QuizQuestion:
    """One question with its choices; right is the place of the right one, from 0."""

    id: str
    about: str
    ask: str
    choices: tuple[str, ...]
    right: int
    explain: str


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What one student answered, before and after: places of choices by question. student: drawn by lot."""

    student: str = field(default_factory=lambda: secrets.token_hex(4))
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)

    def with_answers(self, when: str, answers: Mapping[str, int]) -> "Attempts":
        """With the answers given at a time, BEFORE or AFTER; those given first stay."""
        return self if getattr(self, when) else replace(self, **{when: dict(answers)})


def load_quiz(file: Path) -> tuple[QuizQuestion, ...]:
    """The questions in a file. Raises ConfigError saying all that is wrong with it."""
    sheet = Sheet(file)
    given = sheet.fields("the file", sheet.whole(), ["questions"])
    found = [
        _question(sheet, f"question {place}", entry)
        for place, entry in enumerate(sheet.items("questions", given.get("questions", []), least=1), 1)
    ]
    ids = [each.id for each in found]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        sheet.wrong("questions", f"the id {shown(name)} stands there more than once.")
    sheet.finish()
    return tuple(found)


def _question(sheet: Sheet, place: str, entry: Any) -> QuizQuestion:
    given = sheet.fields(place, entry, ["id", "about", "ask", "choices", "right", "explain"])
    choices = [
        sheet.text(f"{place}, choice {at}", each)
        for at, each in enumerate(sheet.items(f"{place}, choices", given.get("choices", []), most=8), 1)
    ]
    right = sheet.number(f"{place}, right", given.get("right", 1), 1, max(1, len(choices)))
    return QuizQuestion(
        id=sheet.text(f"{place}, id", given.get("id", "?"))[:40],
        about=sheet.text(f"{place}, about", given.get("about", "?")),
        ask=sheet.text(f"{place}, ask", given.get("ask", "?")),
        choices=tuple(choices),
        right=int(right) - 1,
        explain=sheet.text(f"{place}, explain", given.get("explain", "?")),
    )


def correct(questions: Sequence[QuizQuestion], answers: Mapping[str, int]) -> int:
    """How many answers are right."""
    return sum(answers.get(each.id) == each.right for each in questions)


def gain(questions: Sequence[QuizQuestion], attempts: Attempts) -> float | None:
    """What was gained, as a share of what could be: 1 if everything that was wrong before is right after
    (Hake 1998). None if one of the two is missing or nothing could be gained."""
    before, after = (correct(questions, each) for each in (attempts.before, attempts.after))
    if not attempts.before or not attempts.after or before == len(questions):
        return None
    return (after - before) / (len(questions) - before)


def to_csv(questions: Sequence[QuizQuestion], everybody: Sequence[Attempts]) -> str:
    """A row for each answer: whose (a random mark), when, to what, which (from 1), and whether it is
    right."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for attempts in everybody:
        for when in (BEFORE, AFTER):
            answers = getattr(attempts, when)
            for question in questions:
                if question.id in answers:
                    answer = answers[question.id]
                    row = (attempts.student, when, question.id, answer + 1, int(answer == question.right))
                    writer.writerow(row)
    return table.getvalue()


def load_attempts(root: Path, owner: str) -> Attempts:
    """What an owner has answered; a new student if nothing is kept, or it is damaged."""
    return _read(kept_file(root, owner, _NAME)) or Attempts()


def keep_attempts(root: Path, owner: str, attempts: Attempts) -> None:
    """Keep it. Raises RunError if it cannot be written."""
    kept = {name: getattr(attempts, name) for name in ("student", "before", "after")}
    write_kept(kept_file(root, owner, _NAME), json.dumps(kept))


def forget_attempts(root: Path, owner: str) -> None:
    """Let an owner begin anew, as another student."""
    kept_file(root, owner, _NAME).unlink(missing_ok=True)


def all_attempts(root: Path) -> list[Attempts]:
    """What everybody on this server has answered, in the order of the random marks, which tells nothing."""
    files = sorted((root / FOLDER).glob(f"*/{_NAME}.json"))[:_MOST_STUDENTS]
    found = [attempts for file in files if (attempts := _read(file))]
    return sorted(found, key=lambda each: each.student)


def _read(file: Path) -> Attempts | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        student = str(kept["student"])
        if not student.isalnum() or len(student) > 40:
            raise ValueError("student")
        sides = {
            when: {str(name): int(each) for name, each in kept[when].items()} for when in (BEFORE, AFTER)
        }
        return Attempts(student=student, **sides)
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
        return None
