"""Sheets: all problems of a file are said at once, each with its place."""

import pytest

from slm_core.errors import ConfigError
from slm_core.teach.sheet import LARGEST_BYTES, Sheet


def sheet_of(tmp_path, text):
    file = tmp_path / "sheet.yaml"
    file.write_text(text)
    return Sheet(file)


def test_all_that_is_wrong_is_said_with_its_place(tmp_path):
    sheet = sheet_of(tmp_path, "titel: 1\nminutes: soon\n")
    given = sheet.fields("the file", sheet.whole(), ["title"], ["minutes"])
    sheet.number("minutes", given["minutes"], 1, 60)
    sheet.text("title", "")
    sheet.one_of("colour", "green", ["red", "blue"])
    with pytest.raises(ConfigError) as error:
        sheet.finish()
    lines = str(error.value).split("\n")
    assert len(lines) == 5 and all(line.startswith("sheet.yaml, ") for line in lines)
    assert "did you mean title?" in lines[0] and "title is missing" in lines[1]
    assert "'soon'" in lines[2] and "1 to 60" in lines[2] and "red, blue" in lines[4]


def test_a_sound_sheet_has_nothing_to_say(tmp_path):
    sheet = sheet_of(tmp_path, "title: A\n")
    assert sheet.fields("the file", sheet.whole(), ["title"]) == {"title": "A"}
    sheet.finish()


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.getcwd []", "2026-99-99"])
def test_what_is_no_yaml_or_more_than_yaml_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"sheet\.yaml"):
        sheet_of(tmp_path, text).whole()


def test_a_file_that_is_missing_or_huge_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Sheet(tmp_path / "none.yaml").whole()
    with pytest.raises(ConfigError, match="larger"):
        sheet_of(tmp_path, "#" * (LARGEST_BYTES + 1)).whole()
