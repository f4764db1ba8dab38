"""Lessons: the ones that come with the app are sound; a wrong one is said with file, place and cure."""

from pathlib import Path

import pytest

from slm_core.config import load_preset
from slm_core.errors import ConfigError
from slm_core.runs.store import create_run
from slm_core.teach.lesson import load_lesson
from tests.teach.planted import LESSON, lesson_file

FILES = sorted((Path(__file__).resolve().parents[2] / "pages" / "lessons").glob("week-*.yaml"))


def problems(tmp_path, old: str, new: str, name: str = "planted") -> str:
    assert old in LESSON
    with pytest.raises(ConfigError) as error:
        load_lesson(lesson_file(tmp_path, LESSON.replace(old, new), name))
    return str(error.value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_lessons_that_come_with_the_app_are_sound(file):
    lesson = load_lesson(file)
    assert len(lesson.steps) >= 3
    for step in lesson.steps:
        assert step.predict is not None and step.see and step.why, f"{step.id} misses a part"


def test_there_are_four_weeks():
    assert [file.stem for file in FILES] == ["week-1", "week-2", "week-3", "week-4"]


def test_a_lesson_is_read_as_written(tmp_path):
    lesson = load_lesson(lesson_file(tmp_path))
    [step] = lesson.steps
    assert lesson.id == "planted" and lesson.minutes == 10 and step.runs == ("small", "large")
    expected = load_preset("ULTRA_TINY").config.with_changes({"dataset_size": 3_000})
    assert lesson.runs["large"].config == expected and lesson.runs["large"].changed == ("dataset_size",)
    assert [each.id for each in step.questions] == ["gaps.predict", "gaps.check-1", "gaps.check-2"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: A title", "titel: A title", "did you mean title?"),
        ("minutes: 10", "minutes: -1", "minutes"),
        (LESSON[LESSON.index("steps:") :], "steps: []", "steps: is []; it must be a list of 1 to 12"),
        ("preset: ULTRA_TINY", "preset: ULTRA", "choose one of ULTRA_TINY"),
        ("dataset_size: 200}", "dataset_sise: 200}", "did you mean dataset_size?"),
        ("dataset_size: 200}", "dataset_size: 2}", "dataset_size is 2"),
        ("dataset_size: 200}", "corpus: own}", "a lesson has no text of its own"),
        ("runs: [small, large]", "runs: [small, larg]", "step 1, runs: is 'larg'"),
        ("show: [train_loss, gap]", "show: [loss]", "step 1, show"),
        ("gap of small > gap of large", "gap of smal > 1", "predict, choice 1, when"),
        ("{gap of small} against", "{gapp of small} against", "see 1, text"),
        ("        otherwise: It is not much wider.\n", "", "when and otherwise go together"),
        ("number: gap of small", "number: verdict of small", "a measure that is a number"),
        ("within: 0.5", "within: near", "'near'"),
        ("        within: 0.5\n", "", "check 1, within"),
        ("pick: lowest best_validation", "pick: best loss", "lowest or highest"),
        ("pick: lowest best_validation", "pick: lowest gap\n        number: gap of small", "exactly one of"),
        ("- id: gaps", "- id: ../gaps", "step 1, id"),
        ("  small:", "  small_one_with_a_long_name:", "a run's name must be"),
        ("why: Because.", "why: [1]", "step 1, why"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, old, new, said):
    found = problems(tmp_path, old, new)
    assert said in found and all(line.startswith("planted.yaml, ") for line in found.split("\n"))


def test_several_problems_are_said_at_once(tmp_path):
    text = LESSON.replace("ULTRA_TINY", "NONE").replace("minutes: 10", "minutes: 0")
    with pytest.raises(ConfigError) as error:
        load_lesson(lesson_file(tmp_path, text))
    assert len(str(error.value).split("\n")) == 3


@pytest.mark.parametrize("text", ["", "3", "[]", "title: a", "steps: {}", "runs: [1]\nsteps: 3"])
def test_a_file_of_another_shape_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"planted\.yaml"):
        load_lesson(lesson_file(tmp_path, text))


def test_the_longest_names_fit_into_a_runs_tag(tmp_path):
    lesson = load_lesson(lesson_file(tmp_path, LESSON.replace("small", "a" * 12), "l" * 10))
    run = lesson.runs["a" * 12]
    tag = f"lesson {lesson.id} {run.name}"
    kept = create_run(tmp_path, run.config, name="x", device="cpu", threads=1, tags=[tag])
    assert kept.tags == (tag,)
