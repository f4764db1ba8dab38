"""Grading: by planted measurements, and never by anything else."""

import pytest

from slm_core.teach.grading import fits, grade, score, table
from slm_core.teach.lesson import load_lesson
from tests.teach.planted import LESSON, lesson_file

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
