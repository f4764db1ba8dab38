"""Grading: by planted measurements, and never by anything else."""

import math
from pathlib import Path
from random import Random

import pytest

from slm_core.teach.conditions import VERDICTS
from slm_core.teach.grading import fits, grade, score, table
from slm_core.teach.lesson import load_lesson
from slm_core.teach.measures import Told, measured
from slm_core.teach.recording import find_recording
from tests.teach.planted import LESSON, lesson_file

LESSONS = Path(__file__).resolve().parents[2] / "pages" / "lessons"
WEEKS = [load_lesson(file) for file in sorted(LESSONS.glob("week-*.yaml"))]
QUESTIONS = {
    f"{lesson.id} {question.id}": (lesson, question)
    for lesson in WEEKS
    for step in lesson.steps
    for question in step.questions
}
UNRECORDED = {"week-4 card.predict"}  # needs a graphics card

LABELS = {"small": "200 tokens", "large": "3,000 tokens"}
WIDE = {"small": {"gap": 4.0, "best_validation": 5.0}, "large": {"gap": 1.0, "best_validation": 2.0}}
NARROW = {"small": {"gap": 1.0, "best_validation": 2.0}, "large": {"gap": 4.0, "best_validation": 2.5}}


@pytest.fixture
def step(tmp_path):
    return load_lesson(lesson_file(tmp_path)).steps[0]


@pytest.mark.parametrize(("values", "right"), [(WIDE, 0), (NARROW, 1)])
def test_the_right_choice_follows_from_what_was_measured(step, values, right):
    for answer in (0, 1):
        found = grade(step.predict, answer, values, LABELS)
        assert found.right is (answer == right)
        assert found.truth == ("The first.", "The second.")[right]


@pytest.mark.parametrize(("values", "best"), [(WIDE, "large"), (NARROW, "small")])
def test_the_run_to_pick_follows_from_what_was_measured(step, values, best):
    for answer in ("small", "large"):
        found = grade(step.checks[1], answer, values, LABELS)
        assert found.right is (answer == best) and found.truth.startswith(LABELS[best])


@pytest.mark.parametrize(
    ("answer", "right"), [(4.0, True), (3.5, True), (4.5, True), (3.4, False), (99, False)]
)
def test_a_number_may_be_off_by_as_much_as_the_file_says(step, answer, right):
    found = grade(step.checks[0], answer, WIDE, LABELS)
    assert found.right is right and found.truth == "4.00 nats"


@pytest.mark.parametrize(("answer", "right"), [(50, True), (60, True), (61, False), (0.5, False)])
def test_shares_are_answered_in_per_cent(tmp_path, answer, right):
    text = LESSON.replace("number: gap of small", "number: extraction_rate of small")
    question = (
        load_lesson(lesson_file(tmp_path, text.replace("within: 0.5", "within: 10"))).steps[0].checks[0]
    )
    found = grade(question, answer, {"small": {"extraction_rate": 0.5}}, LABELS)
    assert found.right is right and found.truth == "50 %"


@pytest.mark.parametrize(("answer", "right"), [(4.8, True), (3.2, True), (4.9, False)])
def test_a_tolerance_can_be_a_share_of_the_truth(tmp_path, answer, right):
    text = LESSON.replace("within: 0.5", "within: 20%")
    question = load_lesson(lesson_file(tmp_path, text)).steps[0].checks[0]
    assert grade(question, answer, WIDE, LABELS).right is right


def test_what_was_not_measured_is_not_held_against_anybody(step):
    grades = [
        grade(each, answer, {}, LABELS)
        for each, answer in zip(step.questions, (0, 1.0, "small"), strict=True)
    ]
    assert [each.right for each in grades] == [None] * 3 and score(grades) == (0, 0)


def test_answers_of_other_kinds_do_not_fit(step):
    predict, number, pick = step.questions
    assert fits(predict, 1) and fits(number, 1.5) and fits(number, 2) and fits(pick, "large")
    for wrong in (None, 2, -1, True, "0", 0.0, [0]):
        assert not fits(predict, wrong)
    for wrong in (None, "1", True, float("nan"), float("inf")):
        assert not fits(number, wrong)
    for wrong in (None, 0, "huge", ["small"]):
        assert not fits(pick, wrong)


def test_the_table_says_what_is_known():
    values = {"small": {"gap": 1.0}, "large": {}}
    assert table(("gap", "rise"), ("small", "large"), values) == [["1.00", "…"], ["…", "…"]]


def recorded(lesson, run):
    found = find_recording(LESSONS / "recordings", lesson.id, run)
    if found is None:
        return None
    return measured(
        Told(config=run.config, history=found.history(), report=found.report, besides=found.besides)
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_recordings_can_tell_every_question(name):
    lesson, question = QUESTIONS[name]
    values = {run: recorded(lesson, lesson.runs[run]) for run in question.runs}
    if None in values.values():
        missing = [run for run, known in values.items() if known is None]
        assert name in UNRECORDED, f"no recording with the settings of {missing}"
        pytest.skip(f"{name}: no recording of {missing}")
    if question.number:
        assert math.isfinite(values[question.number.run][question.number.measure])
    elif question.pick:
        assert all(math.isfinite(values[run][question.pick[1]]) for run in question.runs)
    else:
        assert [choice.when.holds(values) for choice in question.choices].count(True) == 1
        assert None not in [choice.when.holds(values) for choice in question.choices]


@pytest.mark.parametrize("name", [name for name, (_, question) in QUESTIONS.items() if question.choices])
def test_exactly_one_choice_is_right_whatever_is_measured(name):
    _, question = QUESTIONS[name]
    terms = {
        (term.run, term.measure)
        for choice in question.choices
        for part in choice.when.parts
        for term in (part.left, part.right)
        if term is not None and term.measure
    }
    random, met = Random(0), set()
    for _ in range(2_000):
        values = {run: {} for run in question.runs}
        for run, measure in sorted(terms):
            number = random.choice((0.0, random.uniform(0, 2), 10 ** random.uniform(-2, 5)))
            if measure == "best_step":
                number = float(random.randrange(0, 220, 20))
            values[run][measure] = random.choice(VERDICTS) if measure == "verdict" else number
        right = [place for place, choice in enumerate(question.choices) if choice.when.holds(values)]
        assert len(right) == 1, f"{values}: right are {[question.choices[each].text for each in right]}"
        met |= set(right)
    assert met == set(range(len(question.choices))), "a choice that is never right"
