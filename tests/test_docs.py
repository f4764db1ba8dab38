"""The guides are true: links lead somewhere, commands can be typed, tables are those of today."""

import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slm_core import cli
from slm_core.config import load_preset, load_presets, parse_setting
from slm_core.study import verdict as verdicts
from slm_core.study.verdict import verdict
from slm_core.teach.lesson import load_lesson

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LESSONS = sorted((ROOT / "pages" / "lessons").glob("week-*.yaml"))
LECTURER = (ROOT / "docs" / "lecturer.md").read_text(encoding="utf-8")


def quoted(path: Path) -> Iterator[str]:
    """All code of a guide: each line of its blocks, and what stands between two backticks in its prose."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`]+)`", prose)


def commands(pattern: str) -> list[tuple[str, str]]:
    """What follows a pattern wherever a guide quotes it, with the guide's name."""
    found = [(path.name, re.search(pattern, code)) for path in GUIDES for code in quoted(path)]
    return [(name, match[1]) for name, match in found if match]


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(path):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    for link in links:
        assert (path.parent / link).exists(), f"{path.name} links to {link}"


COMMANDS = [found for found in commands(r"-m slm_core (.*)") if "..." not in found[1]]


def test_commands_are_found_at_all():
    assert {"README.md", "cpu.md", "export.md", "lecturer.md"} <= {name for name, _ in COMMANDS}
    assert {said.split()[0] for _, said in COMMANDS} >= {"train", "generate", "export", "corpora", "bench"}


@pytest.mark.parametrize(("name", "said"), COMMANDS)
def test_every_command_that_is_quoted_can_be_typed(name, said):
    try:
        parsed = cli._parser().parse_args(shlex.split(said, comments=True))
    except SystemExit:
        pytest.fail(f"{name} quotes: python -m slm_core {said}")
    if hasattr(parsed, "preset"):
        load_preset(parsed.preset).config.with_changes(dict(map(parse_setting, parsed.settings)))
    for preset in getattr(parsed, "presets", None) or ():
        load_preset(preset)


@pytest.mark.parametrize(("name", "script"), commands(r"python ((?:docs|benchmarks)/\w+\.py)"))
def test_every_script_that_is_quoted_exists(name, script):
    assert (ROOT / script).is_file(), f"{name} quotes {script}"


# ---- what is written by a script


@pytest.fixture(scope="module")
def writer() -> dict:
    """The names of docs/write_tables.py."""
    path = list(sys.path)
    try:
        return runpy.run_path(str(ROOT / "docs" / "write_tables.py"))
    finally:
        sys.path[:] = path


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_table_is_the_one_of_today(writer, path):
    text = path.read_text(encoding="utf-8")
    places = set(re.findall(r"<!-- (?!end )(\w+) -->", text))
    assert places <= writer["TABLES"].keys() | writer["MEASURED"].keys()
    assert not places or path.relative_to(ROOT).as_posix() in writer["FILES"]
    assert writer["with_tables"](text) == text, "run: python docs/write_tables.py"


def test_a_table_takes_the_place_of_the_one_before_and_nothing_else(writer):
    text = "Before.\n\n<!-- a -->\nold\nrows\n<!-- end -->\n\nBetween.\n<!-- b -->\n<!-- end -->\nAfter.\n"
    tables: dict[str, Callable[[], str]] = {"a": lambda: r"| \1 |"}
    made = writer["with_tables"](text, tables)
    assert made == text.replace("old\nrows", r"| \1 |")
    assert writer["with_tables"](made, tables) == made


def test_the_measured_table_has_every_preset_and_names_its_machine():
    text = (ROOT / "docs" / "cpu.md").read_text(encoding="utf-8")
    table = text.partition("<!-- bench -->")[2].partition("<!-- end -->")[0]
    rows = [line.split()[1] for line in table.splitlines() if line.startswith("| ")]
    assert rows[1:] == list(load_presets())
    assert re.search(r"Made by `python -m slm_core bench --markdown` on \S+.* torch \d", table)


# ---- what the app says in trouble


def test_every_kind_of_verdict_is_explained_by_an_example_of_it(writer):
    examples = writer["troubles"].EXAMPLES
    kinds = {
        verdicts.UNDERFITTING, verdicts.LEARNING, verdicts.GOOD_FIT, verdicts.OVERFITTING, verdicts.MEMORIZED,
        verdicts.DIVERGED, verdicts.LEAKING, verdicts.TOO_LITTLE, verdicts.CANT_TELL,
    }  # fmt: skip
    assert {kind for kind, _ in examples} == kinds
    assert [verdict(evidence).kind for _, evidence in examples] == [kind for kind, _ in examples]


def test_no_two_examples_are_said_in_the_same_words(writer):
    said = [verdict(evidence).sentence for _, evidence in writer["troubles"].EXAMPLES]
    words = [re.sub(r"[\d.,%]+", "", sentence) for sentence in said]
    assert len(set(words)) == len(words)


def test_what_is_not_refused_is_no_message(writer):
    with pytest.raises(AssertionError, match="not refused"):
        writer["troubles"].refusal(lambda: None)


# ---- the lecturer's plans


@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_a_plan_takes_as_long_as_its_lesson_and_has_its_steps_in_order(file):
    lesson = load_lesson(file)
    heading = f"## {lesson.title} ({lesson.minutes} minutes)\n"
    assert heading in LECTURER
    plan = LECTURER.partition(heading)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*?) ?\|", plan, re.MULTILINE)
    minutes = [int(minute) for minute, _ in rows]
    assert minutes == sorted(set(minutes)) and minutes[0] == 0 and minutes[-1] < lesson.minutes
    assert [step for _, step in rows if step] == [step.title for step in lesson.steps]
