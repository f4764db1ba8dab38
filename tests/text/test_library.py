"""The library's list, where its texts are kept, and reading files and folders."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from slm_core.errors import CorpusError
from slm_core.text import library
from slm_core.text.corpus import split_text
from slm_core.text.library import (
    LIBRARY,
    corpora_folder,
    end_of_documents,
    entry_called,
    file_of,
    present_bytes,
    read,
    read_path,
)

FEW = replace(LIBRARY["tiny-stories"], name="few", title="A few")
STORIES = [
    f"Story {number} begins.\n\nIt ends well for number {number}, “yes”, it does." for number in range(60)
]
MARKED = "\n<|endoftext|>\n".join(STORIES) + "\n<|endoftext|>\n"


@pytest.mark.parametrize("entry", LIBRARY.values(), ids=lambda entry: entry.name)
def test_every_text_states_what_a_person_must_know(entry):
    assert entry.licence and entry.title and entry.about.endswith(".")
    assert urlsplit(entry.url).scheme == "https"
    assert 1_000_000 < entry.fetched_bytes <= library.LARGEST_FILE_BYTES
    assert entry_called(entry.name) is entry


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(CorpusError, match="did you mean tiny-shakespeare"):
        entry_called("shakespeare")


def test_corpora_lie_beside_the_runs_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("SLM_CORPORA", raising=False)
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "a" / "runs"))
    assert corpora_folder() == tmp_path / "a" / "corpora"
    monkeypatch.setenv("SLM_CORPORA", str(tmp_path / "b"))
    assert corpora_folder() == tmp_path / "b"


def test_a_text_that_is_not_there_says_how_to_get_it(tmp_path):
    assert present_bytes(FEW, tmp_path) is None
    with pytest.raises(CorpusError, match="corpora fetch few"):
        read(FEW, tmp_path)


def test_a_text_is_read_whole_or_up_to_its_last_whole_document(tmp_path):
    file_of(FEW, tmp_path).write_text(MARKED, encoding="utf-8")
    assert read(FEW, tmp_path) == MARKED
    size = present_bytes(FEW, tmp_path)
    for most in range(size - 200, size):  # some of them cut a character or the mark in two
        assert MARKED.startswith(begun := read(FEW, tmp_path, most))
        assert begun.endswith("it does.\n") and len(begun.encode()) > most - 100


@pytest.mark.parametrize(
    ("content", "kept"),
    [("a\n<|endoftext|>\nb b", "a\n"), ("a\n\nb\nc", "a"), ("a b\nc", "a b"), ("abc", "abc"), ("\n", "\n")],
)
def test_what_is_cut_off_is_left_out(content, kept):
    assert content.encode()[: end_of_documents(content.encode())].decode() == kept


def test_texts_with_end_marks_are_divided_by_document_and_not_within():
    split = split_text(MARKED)
    assert sorted(split.train + split.validation) == sorted(STORIES)
    assert split.validation and not set(split.train) & set(split.validation)


def test_few_marked_documents_are_divided_by_paragraph_without_their_marks():
    paragraphs = [
        f"Paragraph number {number} has a few words to say about itself, as always." for number in range(60)
    ]
    text = "\n\n".join(paragraphs[:30]) + "\n<|endoftext|>\n" + "\n\n".join(paragraphs[30:])
    split = split_text(text)
    assert sorted(split.train + split.validation) == sorted(paragraphs)


def test_dropped_duplicates_are_counted():
    text = "\n<|endoftext|>\n".join([*STORIES, STORIES[3].upper(), STORIES[5].replace(" ", "  ")])
    assert split_text(MARKED).duplicates == 0
    assert split_text(text).duplicates == 2


def test_a_folder_gives_each_file_as_a_document_in_order(tmp_path):
    for name, content in {
        "b.txt": "Bee",
        "a.md": "Ant\n\nAxe",
        "C.TXT": "Cow",
        ".d.txt": "x",
        "e.png": "x",
    }.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "f.txt").mkdir()
    mark = "\n<|endoftext|>\n"
    assert read_path(tmp_path) == mark.join(["Cow", "Ant\n\nAxe", "Bee"])
    assert read_path(tmp_path / "a.md") == "Ant\n\nAxe"


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no \.txt or \.md files"):
        read_path(tmp_path)


def test_a_bad_file_in_a_folder_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match=r"b\.txt is not UTF-8"):
        read_path(tmp_path)


def test_too_much_text_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "LARGEST_FILE_BYTES", 10)
    (tmp_path / "a.txt").write_text("123456")
    (tmp_path / "b.txt").write_text("123456")
    assert read_path(tmp_path / "a.txt") == "123456"
    monkeypatch.setattr(library, "read_text", lambda *_: pytest.fail("was read"))
    with pytest.raises(CorpusError, match="at most 0 MB"):
        read_path(tmp_path)
