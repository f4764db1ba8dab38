"""What people see of a text's tokens: all of it, and each sign for what has no look of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_core.text.pieces import MOST_CHARACTERS, Part, cut, example_text, shown
from slm_core.text.tokenizer import END_OF_TEXT, Tokenizer, make_tokenizer, train_bpe


@pytest.fixture(scope="module", params=["bytes", "characters", "bpe"])
def tokenizer(request) -> Tokenizer:
    return make_tokenizer(request.param, ["the cat and the hat é 你"] * 9, 280)


def spelt(text: str, tokenizer: Tokenizer) -> list[str]:
    return ["".join(part.text for part in piece.parts) for piece in cut(tokenizer, text).pieces]


@given(text=st.text())
def test_the_pieces_are_the_tokens_and_the_counts_are_theirs(tokenizer, text):
    made = cut(tokenizer, text)
    assert [piece.token for piece in made.pieces] == tokenizer.encode(text)
    assert (made.tokens, made.bytes) == (len(made.pieces), len(text.encode()))
    assert made.words == len(text.split())
    if made.words:
        assert made.tokens_per_word == made.tokens / made.words
    if made.tokens:
        assert made.bytes_per_token == made.bytes / made.tokens


@given(text=st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_visible_characters_are_shown_letter_for_letter(text):
    characters = make_tokenizer("characters", [text], 0)
    assert "".join(spelt(text, characters)) == text
    assert not any(part.is_sign for piece in cut(characters, text).pieces for part in piece.parts)


@given(text=st.text())
def test_no_piece_is_empty_or_invisible(tokenizer, text):
    for piece in cut(tokenizer, text).pieces:
        assert piece.parts and all(part.text and part.text.isprintable() for part in piece.parts)


def test_a_token_that_is_part_of_a_character_is_its_bytes_in_hex():
    assert spelt("🌱", make_tokenizer("bytes", [], 0)) == ["f0", "9f", "8c", "b1"]
    merged = train_bpe(["🌱 🌿 🍀"] * 9, 259)  # a blank and the bytes that the three begin with
    seedling = cut(merged, "x 🌱").pieces
    assert [piece.parts for piece in seedling[1:2]] == [(Part("·", True), Part("f0 9f", True))]


@pytest.mark.parametrize(
    ("token", "look"),
    [
        (b" the", "·the"),
        (b"\n", "↵"),
        (b"\t", "⇥"),
        (b"\x00", "U+0000"),
        (b"\xff\xfe", "ff fe"),
        (b"a\xe4\xbd", "ae4 bd"),
        ("\u200d".encode(), "U+200D"),
        ("\u00a0".encode(), "U+00A0"),
        ("\u202e".encode(), "U+202E"),  # would turn the line round
        ("\u0301".encode(), "\u25cc\u0301"),
        ("e\u0301".encode(), "e\u0301"),
        (" \u0301".encode(), "·\u25cc\u0301"),
        ("👩\u200d🚀".encode(), "👩\u200d🚀"),
        (b"<b>", "<b>"),
    ],
)
def test_how_tokens_look(token, look):
    assert shown(token) == look


def test_lines_end_where_the_text_ends_them():
    pieces = cut(make_tokenizer("bytes", [], 0), "a\nb").pieces
    assert [piece.ends_line for piece in pieces] == [False, True, False]


def test_of_a_long_text_the_first_pieces_are_kept_and_all_are_counted():
    made = cut(make_tokenizer("bytes", [], 0), "x" * 500, most=20)
    assert (len(made.pieces), made.tokens) == (20, 500)


def test_an_empty_text_is_no_trouble(tokenizer):
    made = cut(tokenizer, "")
    assert (made.pieces, made.tokens, made.tokens_per_word, made.bytes_per_token) == ((), 0, 0, 0)


def test_the_end_mark_in_a_text_is_letters(tokenizer):
    assert "".join(spelt(END_OF_TEXT, tokenizer)) == END_OF_TEXT


def test_the_example_has_a_story_other_scripts_and_an_emoji():
    text = example_text()
    assert "Once" in text and "你好" in text and "🌱" in text and len(text) < MOST_CHARACTERS
