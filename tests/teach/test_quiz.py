"""The concept check: its ten questions are sound; scores and gains are those counted by hand; no names."""

import csv
import io
from pathlib import Path

import pytest

from slm_core.errors import ConfigError
from slm_core.teach import quiz
from slm_core.teach.quiz import Attempts

FILE = Path(__file__).resolve().parents[2] / "pages" / "lessons" / "concept-check.yaml"
QUESTION = "- {id: one, about: x, ask: 'A?', choices: [a, b], right: 2, explain: So.}"


@pytest.fixture(scope="module")
def questions():
    return quiz.load_quiz(FILE)


def answers(questions, right: int) -> dict[str, int]:
    """So many right answers, and the others wrong."""
    return {
        each.id: each.right if place < right else (each.right + 1) % len(each.choices)
        for place, each in enumerate(questions)
    }


def test_ten_questions_each_about_something_else(questions):
    assert len(questions) == 10 and len({each.about for each in questions}) == 10
    assert len({each.right for each in questions}) > 2, "always the same place would be found out"


@pytest.mark.parametrize(
    ("before", "after", "gained"), [(4, 7, 0.5), (4, 10, 1.0), (4, 4, 0.0), (5, 0, -1.0), (10, 10, None)]
)
def test_gain_is_the_share_of_what_was_left_to_learn(questions, before, after, gained):
    found = Attempts(before=answers(questions, before), after=answers(questions, after))
    assert quiz.correct(questions, found.before) == before
    assert quiz.gain(questions, found) == gained


def test_there_is_no_gain_before_the_second_time(questions):
    assert quiz.gain(questions, Attempts(before=answers(questions, 3))) is None


def test_answers_are_kept_and_the_first_ones_count(tmp_path, questions):
    first = quiz.load_attempts(tmp_path, "ann").with_answers(quiz.BEFORE, answers(questions, 4))
    quiz.keep_attempts(tmp_path, "ann", first)
    again = quiz.load_attempts(tmp_path, "ann")
    assert again == first and again.with_answers(quiz.BEFORE, answers(questions, 9)) == first
    assert quiz.load_attempts(tmp_path, "ben").student != first.student
    quiz.forget_attempts(tmp_path, "ann")
    assert quiz.load_attempts(tmp_path, "ann").student != first.student


def test_the_table_of_a_class_has_every_answer_and_no_owner(tmp_path, questions):
    for owner, right in (("ann", 3), ("ben", 8)):
        told = quiz.load_attempts(tmp_path, owner).with_answers(quiz.BEFORE, answers(questions, right))
        quiz.keep_attempts(tmp_path, owner, told)
    table = quiz.to_csv(questions, quiz.all_attempts(tmp_path))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 20 and sum(int(row["right"]) for row in rows) == 11
    assert "ann" not in table and "ben" not in table
    assert {row["when"] for row in rows} == {"before"}


def test_a_damaged_file_counts_as_none(tmp_path, questions):
    quiz.keep_attempts(tmp_path, "ann", Attempts(before=answers(questions, 3)))
    [file] = (tmp_path / "_lessons" / "ann").iterdir()
    for damaged in ("", "[]", '{"student": "=1+1", "before": {}, "after": {}}', '{"student": "a"}'):
        file.write_text(damaged)
        assert not quiz.load_attempts(tmp_path, "ann").before and quiz.all_attempts(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("right: 2", "right: 3", "question 1, right"),
        ("ask:", "aks:", "did you mean ask?"),
        ("choices: [a, b]", "choices: [a, 2]", "choice 2"),
        (QUESTION, f"{QUESTION}\n{QUESTION}", "more than once"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, old, new, said):
    file = tmp_path / "check.yaml"
    file.write_text(f"questions:\n{QUESTION}\n")
    assert quiz.load_quiz(file)[0].right == 1
    file.write_text(f"questions:\n{QUESTION}\n".replace(old, new))
    with pytest.raises(ConfigError, match=r"check\.yaml") as error:
        quiz.load_quiz(file)
    assert said in str(error.value)
