"""Passages that stand in the training text, as Python's own `in` finds them; n-grams as sets count them."""

from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_core.study.memorization import (
    CHANCE,
    FEWEST,
    LONGEST_CHANCE,
    Match,
    Piece,
    TrainingIndex,
    beyond_chance,
    novelty,
    suffix_array,
)
from slm_core.text import stories
from slm_core.text.tokenizer import make_tokenizer

READ = list(islice(stories.draw("stories", 1), 60))
FRESH = list(islice(stories.draw("stories", 2), 60))
# Few letters, so that passages come again and again, with some of every width in memory: one byte, two, four.
LETTERS = "ab\0éЖ語😀"
FEW_LETTERS = st.integers(1, len(LETTERS)).flatmap(lambda count: st.text(LETTERS[-count:], max_size=40))


def noise(length: int, seed: int) -> str:
    """Random letters: no ten of them come again by chance."""
    random = Random(seed)
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(length))


# ---------------------------------------------------------------- the suffix array


def sorted_places(text: str) -> list[int]:
    return sorted(range(len(text)), key=lambda place: text[place:])


@settings(deadline=None)
@given(FEW_LETTERS | st.text(max_size=40))
def test_the_suffix_array_is_what_sorting_gives(text):
    assert suffix_array(text).tolist() == sorted_places(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a" * 1_000,
        "ab" * 500,
        "a" * 300 + "b" + "a" * 300,
        noise(240, 1) * 10,
        "".join(map(chr, range(3_000, 0, -1))),
        "\ud800 lone \udfff surrogates \U0010ffff",
    ],
    ids=["empty", "one", "one letter", "two in turn", "nearly", "repeated", "falling", "surrogates"],
)
def test_the_suffix_array_of_odd_texts(text):
    assert suffix_array(text).tolist() == sorted_places(text)


def test_a_long_text_of_one_letter_is_sorted_from_its_end():
    assert np.array_equal(suffix_array("a" * 200_000), np.arange(200_000)[::-1])


# ---------------------------------------------------------------- matches


def places_of(passage: str, documents: list[str]) -> list[tuple[int, int]]:
    """Every (document, place) where a passage stands."""
    return [
        (number, place)
        for number, document in enumerate(documents)
        for place in range(len(document) - len(passage) + 1)
        if document.startswith(passage, place)
    ]


def stands(passage: str, documents: list[str]) -> bool:
    return any(passage in document for document in documents)


def brute_matches(sample: str, documents: list[str], at_least: int) -> list[Match]:
    """Every passage of a sample that stands in a document while neither wider one does."""
    found = []
    for start in range(len(sample)):
        for end in range(start + max(1, at_least), len(sample) + 1):
            wider = [(start - 1, end)] * (start > 0) + [(start, end + 1)] * (end < len(sample))
            if stands(sample[start:end], documents) and not any(
                stands(sample[first:last], documents) for first, last in wider
            ):
                places = places_of(sample[start:end], documents)
                found.append(Match(start, end, *places[0], len(places)))
    return found


DOCUMENTS = st.lists(FEW_LETTERS, max_size=4)


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, FEW_LETTERS, st.sampled_from([1, 2, 5]))
def test_matches_are_those_that_in_finds(documents, sample, at_least):
    assert TrainingIndex(documents).matches(sample, at_least) == brute_matches(sample, documents, at_least)


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, FEW_LETTERS, st.sampled_from([1, 2, 5]))
def test_pieces_make_up_the_sample_each_with_its_longest_cover(documents, sample, at_least):
    pieces = TrainingIndex(documents).pieces(sample, at_least)
    assert "".join(sample[piece.start : piece.end] for piece in pieces) == sample
    for piece in pieces:
        for place in range(piece.start, piece.end):
            covering = [
                end - start
                for start in range(place + 1)
                for end in range(max(place + 1, start + at_least), len(sample) + 1)
                if stands(sample[start:end], documents)
            ]
            assert (piece.match.length if piece.match else 0) == max(covering, default=0)
            assert piece.match is None or piece.match.start <= place < piece.match.end


@settings(deadline=None, max_examples=100)
@given(DOCUMENTS, FEW_LETTERS)
def test_the_longest_and_the_share_follow_from_the_matches(documents, sample):
    index, matches = TrainingIndex(documents), brute_matches(sample, documents, 1)
    longest = max(matches, key=lambda match: match.length, default=None)
    assert index.longest(sample) == longest
    covered = {place for match in matches if match.length >= 3 for place in range(match.start, match.end)}
    assert index.share_copied(sample, at_least=3) == len(covered) / max(1, len(sample))


@pytest.mark.parametrize("times", [1, 10, 100])
def test_a_planted_passage_is_found_and_counted(times):
    passage = "Tom gave the very last of his blueberries to a hedgehog that nobody else had seen."
    documents = [f"{noise(50 + seed, seed)}1{passage}2{noise(70, seed)}" for seed in range(1, times + 1)]
    index = TrainingIndex([noise(500, 1_000), *documents])
    sample = f"{noise(33, 2_000)}{passage.upper()}3{passage}4{noise(200, 3_000)}"
    start = 34 + len(passage)
    found = Match(start, start + len(passage), source_document=1, source_start=52, times=times)
    assert index.matches(sample) == [found] == [index.longest(sample)]
    assert index.pieces(sample) == [
        Piece(0, start, None),
        Piece(start, found.end, found),
        Piece(found.end, len(sample), None),
    ]


def test_no_match_crosses_from_one_document_into_the_next():
    one, other = noise(100, 1), noise(100, 2)
    index = TrainingIndex([one, "", other])
    for between in ("", "\0", "\1", "\n\n"):
        found = index.matches(one + between + other)
        assert [(match.source_document, match.source_start, match.length) for match in found] == [
            (0, 0, 100),
            (2, 0, 100),
        ]
    assert index.share_copied(one[50:] + other[:49]) == 50 / 99


def test_of_two_that_overlap_the_longer_one_has_the_piece():
    text = noise(300, 5)
    index = TrainingIndex([text[:180], text[100:]])  # the sample's middle stands in both
    (first, second) = index.matches(text)
    assert (first.start, first.end, second.start, second.end) == (0, 180, 100, 300)
    assert index.pieces(text) == [Piece(0, 100, first), Piece(100, 300, second)]


def test_copied_shuffled_and_fresh_texts_are_told_apart():
    text = noise(20_000, 7)
    index = TrainingIndex([text])
    copied, fresh = text[4_000:6_000], noise(2_000, 8)
    shuffled = "".join(Random(9).sample(copied, len(copied)))
    assert index.share_copied(copied) == 1.0 and index.longest(copied).source_start == 4_000
    assert index.share_copied(shuffled) == index.share_copied(fresh) == 0.0
    assert index.share_copied(copied[:500] + fresh[:1_500]) == pytest.approx(0.25, abs=0.005)


def test_only_what_is_long_enough_counts_as_copied():
    text = noise(1_000, 11)
    index = TrainingIndex([text])
    assert index.share_copied(text[:FEWEST]) == 1.0 and index.share_copied(text[: FEWEST - 1]) == 0.0
    assert index.longest(text[: FEWEST - 1]).length == FEWEST - 1


@pytest.mark.parametrize("documents", [[], [""], ["", ""], ["x"]])
@pytest.mark.parametrize("sample", ["", "y", "\0", "yes"])
def test_empty_and_tiny_texts_have_no_matches(documents, sample):
    index = TrainingIndex(documents)
    assert index.matches(sample, at_least=1) == [] and index.longest(sample) is None
    assert index.share_copied(sample, at_least=1) == 0.0
    assert index.pieces(sample, at_least=1) == ([Piece(0, len(sample), None)] if sample else [])


def test_only_the_first_characters_of_a_huge_text_are_indexed():
    documents = [noise(100, 1), noise(100, 2), noise(100, 3)]
    index = TrainingIndex(documents, most=150)
    assert (index.characters, index.whole) == (150, False)
    assert [index.share_copied(each) for each in documents] == [1.0, 0.5, 0.0]
    whole = TrainingIndex(documents, most=300)
    assert (whole.characters, whole.whole) == (300, True)


@pytest.mark.parametrize(
    ("document", "passage", "shown"),
    [
        ("A fox ran. The big owl slept all day. Then it woke.", "owl slept", "…big owl slept all…"),
        ("The fox ran.", "fox", "The fox ran."),
        ("The fox ran.", "The fox ran.", "The fox ran."),
        ("The fox ran very far away.", "The fox", "The fox ran…"),
        ("Very far away the fox ran.", "fox ran.", "…the fox ran."),
        ("At first 0123456789-123456789 at last.", "0123456789-123456789", "…first 012345 … 456789 at…"),
        ("語語語😀Ж語😀éé語Ж語😀Ж語語語語", "éé語", "…語語😀Ж語😀éé語Ж語😀Ж語語…"),
    ],
    ids=["within", "near the ends", "all", "start", "end", "long", "no blanks"],
)
def test_an_excerpt_shows_what_stands_around_a_match(document, passage, shown):
    index = TrainingIndex(["another text", document, "and one more"])
    match = index.longest(passage)
    assert match.source_document == 1
    assert index.excerpt(match, around=6) == shown


# ---------------------------------------------------------------- beyond chance


def test_text_that_shares_nothing_needs_no_longer_matches():
    index = TrainingIndex([noise(20_000, 1)])
    assert beyond_chance(index, [noise(5_000, 2)]) == FEWEST
    assert beyond_chance(index, []) == FEWEST


def test_what_held_out_texts_share_by_chance_does_not_count():
    phrases = [noise(30, seed) for seed in range(40)]
    train, held_out, fresh = ("".join(Random(s).choices(phrases, k=400)) for s in (1, 2, 3))
    index = TrainingIndex([train])
    length = beyond_chance(index, [held_out])
    assert index.share_copied(held_out) > 0.2 and 60 < length < LONGEST_CHANCE
    assert index.share_copied(held_out, length) <= CHANCE < index.share_copied(held_out, length - 1)
    assert index.share_copied(fresh, length) < 0.1 and index.share_copied(train[:3_000], length) == 1.0


def test_fresh_stories_do_not_count_as_copied_and_read_ones_do():
    index = TrainingIndex(READ)
    length = beyond_chance(index, FRESH)
    assert FEWEST < length < LONGEST_CHANCE
    assert np.mean([index.share_copied(each, length) for each in FRESH]) <= 1.5 * CHANCE
    assert all(index.share_copied(each, length) == 1.0 for each in READ)


def test_held_out_text_that_leaks_does_not_hide_copying():
    index = TrainingIndex(READ)
    assert beyond_chance(index, READ[:10]) == LONGEST_CHANCE
    assert index.share_copied(READ[0], LONGEST_CHANCE) == 1.0


# ---------------------------------------------------------------- novelty

END = 5
STREAMS = st.lists(st.integers(0, END), max_size=60)


def grams(ids: list[int], size: int) -> list[tuple[int, ...]]:
    runs = [tuple(ids[place : place + size]) for place in range(len(ids) - size + 1)]
    return [run for run in runs if END not in run]


@settings(deadline=None, max_examples=60)
@given(STREAMS, STREAMS)
def test_novelty_is_what_sets_of_tuples_say(sample, training):
    known = {size: set(grams(training, size)) for size in range(1, 11)}
    expected = {
        size: np.mean([gram not in known[size] for gram in grams(sample, size)])
        for size in known
        if grams(sample, size)
    }
    assert novelty(sample, training, END) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["bpe", "bytes", "characters"])
def test_novelty_of_read_half_read_and_fresh_stories(kind):
    tokenizer = make_tokenizer(kind, READ, 400)
    end, training = tokenizer.end_of_text, tokenizer.encode_documents(READ)
    assert set(novelty(training[:500], training, end).values()) == {0.0}
    fresh = novelty(tokenizer.encode_documents(FRESH), training, end, sizes=(1, 5, 10, 40))
    assert sorted(fresh.values()) == list(fresh.values()) and fresh[1] < 0.01 and fresh[40] > 0.5
    half = novelty(tokenizer.encode_documents(READ + FRESH), training, end, sizes=(40,))
    assert half[40] == pytest.approx(fresh[40] / 2, rel=0.1)
