"""Whether an answer is right, by what was measured; and what was, in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from slm_core.teach.lesson import LOWEST, Question, Step
from slm_core.teach.measures import MEASURES, Value, Values

Answer = int | float | str  # the place of a choice, a number, or the name of a run


@dataclass(frozen=True, kw_only=True)
class Grade:
    """right: None where nothing was measured that could tell. said, truth: the answer and what was measured,
    in words."""

    right: bool | None
    said: str
    truth: str


def fits(question: Question, answer: object) -> bool:
    """Whether an answer is one that this question can have; files and addresses may hold anything."""
    if question.choices:
        return type(answer) is int and 0 <= answer < len(question.choices)
    if question.pick:
        return answer in question.runs
    return type(answer) in (int, float) and math.isfinite(answer)


def without_answers(step: Step, answers: Mapping[str, object], values: Values) -> Values:
    """The values as they may be shown: what a check of this step still asks for is a question mark."""
    told = {run: dict(measures) for run, measures in values.items()}
    for question in step.checks:
        asked = question.number
        if asked is None or fits(question, answers.get(question.id)):
            continue
        if asked.measure in told.get(asked.run, {}):
            told[asked.run][asked.measure] = "?"
    return told


def still_hidden(step: Step, answers: Mapping[str, object]) -> tuple[str, ...]:
    """The settings of a step's runs that are hidden until all its checks are answered."""
    return (
        () if all(fits(each, answers.get(each.id)) for each in step.checks) and step.checks else step.hidden
    )


def grade(question: Question, answer: Answer, values: Values, labels: Mapping[str, str]) -> Grade:
    """Grade an answer that `fits`; labels are what runs are called, by name."""
    if question.choices:
        right = [choice.when.holds(values) for choice in question.choices]
        truth = [choice.text for choice, so in zip(question.choices, right, strict=True) if so]
        said = question.choices[int(answer)].text
        if None in right or not truth:
            return Grade(right=None, said=said, truth="This run does not show it either way.")
        return Grade(right=right[int(answer)], said=said, truth=" Or: ".join(truth))
    if question.pick:
        return _picked(question, str(answer), values, labels)
    return _number(question, float(answer), values)


def _picked(question: Question, answer: str, values: Values, labels: Mapping[str, str]) -> Grade:
    which, measure = question.pick
    found = {run: values.get(run, {}).get(measure) for run in question.runs}
    said = labels[answer]
    if None in found.values():
        return Grade(right=None, said=said, truth="Not all of it was measured.")
    wanted = (min if which == LOWEST else max)(found.values())
    best = [run for run in question.runs if found[run] == wanted]
    shown = " and ".join(f"{labels[run]} ({MEASURES[measure].shown(wanted)})" for run in best)
    return Grade(right=answer in best, said=said, truth=shown)


def _number(question: Question, answer: float, values: Values) -> Grade:
    measure, truth = MEASURES[question.number.measure], question.number.value(values)
    said = measure.shown(scaled(question, answer))
    if not isinstance(truth, int | float):
        return Grade(right=None, said=said, truth="It was not measured.")
    allowed = question.within * abs(truth) if question.relative else scaled(question, question.within)
    # A hair more: what a page shows is rounded, and 0.3 is no binary fraction.
    right = abs(scaled(question, answer) - truth) <= allowed + 1e-9
    return Grade(right=right, said=said, truth=measure.shown(truth))


def scaled(question: Question, answer: float) -> float:
    """A number as typed, in the measure's own unit: people give shares in per cent."""
    return answer / 100 if MEASURES[question.number.measure].unit == "%" else answer


def score(grades: list[Grade]) -> tuple[int, int]:
    """How many answers are right, of how many that could be checked."""
    known = [each.right for each in grades if each.right is not None]
    return sum(known), len(known)


def table(show: tuple[str, ...], runs: tuple[str, ...], values: Values) -> list[list[str]]:
    """What was measured, without units: a row for each run, a cell for each measure; "…" if not known."""

    def cell(run: str, name: str) -> str:
        value: Value | None = values.get(run, {}).get(name)
        return "…" if value is None else MEASURES[name].number(value)

    return [[cell(run, name) for name in show] for run in runs]
