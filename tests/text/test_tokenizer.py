"""Byte-pair encoding: what goes in comes out, and the ids are those of an independent implementation."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, trainers

from slm_core.errors import TokenizerError
from slm_core.text.tokenizer import END_OF_TEXT, Tokenizer, train_bpe

TEXTS = [
    "The cat's hat, the dog's hat and 1234 hats.\n\n",
    "Größe, naïve café — 你好 world 🌱",
    "  two  spaces\t\n ",
]
SPELT = st.one_of(
    st.text(),
    st.text("abc thes'\n\t 12.,é你🌱\u0301\u00a0\u2028\u200d"),
    st.sampled_from([*TEXTS, END_OF_TEXT]),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS * 3, 310)


@pytest.fixture(scope="module")
def library() -> Library:
    """The same merges, run by the `tokenizers` library itself."""
    learner = Library(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(vocab_size=309, min_frequency=2, show_progress=False, initial_alphabet=alphabet),
    )
    return learner


@given(text=SPELT)
def test_every_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=SPELT)
def test_ids_are_those_of_the_library_that_learned_the_merges(tokenizer, library, text):
    assert tokenizer.encode(text) == library.encode(text).ids


@given(text=SPELT)
def test_token_bytes_are_the_bytes_of_the_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert tokenizer.byte_lengths()[ids].sum() == len(text.encode())


def test_text_that_spells_the_end_mark_is_not_the_end_mark(tokenizer):
    assert tokenizer.end_of_text not in tokenizer.encode(END_OF_TEXT)


def test_lone_surrogates_become_the_replacement_character(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_half_a_character_becomes_the_replacement_character(tokenizer):
    assert "\ufffd" in tokenizer.decode(tokenizer.encode("\U0010ffff")[:1])


def test_documents_stand_between_end_marks(tokenizer):
    end = tokenizer.end_of_text
    ids = tokenizer.encode_documents(["the cat", "", "the hat"])
    assert ids.dtype == np.uint16
    assert ids.tolist() == [end, *tokenizer.encode("the cat"), end, end, *tokenizer.encode("the hat"), end]
    assert tokenizer.encode_documents([]).tolist() == [end]


def test_merges_make_text_shorter_and_the_vocabulary_as_large_as_asked(tokenizer):
    assert tokenizer.vocab_size == 310 == tokenizer.end_of_text + 1 == len(tokenizer.byte_lengths())
    assert len(tokenizer.encode(TEXTS[0])) < len(TEXTS[0]) / 2


def test_the_vocabulary_is_smaller_when_no_pair_occurs_twice():
    assert train_bpe(["abcdefg"], 1_000).vocab_size == 257


def test_the_smallest_vocabulary_is_the_bytes_and_the_end_mark():
    smallest = train_bpe(["aaaa aaaa"], 257)
    assert sorted(smallest.token_bytes(token) for token in range(256)) == [
        bytes([each]) for each in range(256)
    ]
    assert smallest.decode(smallest.encode("größer")) == "größer"


def test_a_stored_tokenizer_is_the_same_tokenizer(tokenizer):
    again = Tokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.to_dict() == tokenizer.to_dict()
    assert all(again.encode(text) == tokenizer.encode(text) for text in TEXTS)


@pytest.mark.parametrize("size", [-1, 0, 256, 65_536])
def test_impossible_vocabularies_are_refused_with_the_range(size):
    with pytest.raises(TokenizerError, match=rf"vocab_size is {size}.*257.*65,535"):
        train_bpe(["text"], size)


def test_a_million_blanks_are_refused_in_words(tokenizer):
    blanks = "x" + " " * 1_500_000 + "x"
    with pytest.raises(TokenizerError, match="blank characters"):
        tokenizer.encode(blanks)
    with pytest.raises(TokenizerError, match="blank characters"):
        tokenizer.encode_documents([blanks])


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda stored: None, "damaged"),
        (lambda stored: [], "damaged"),
        (lambda stored: {}, "damaged"),
        (lambda stored: {**stored, "kind": "words"}, "'words'"),
        (lambda stored: {**stored, "tokens": 3}, "damaged"),
        (lambda stored: {**stored, "tokens": [None]}, "damaged"),
        (lambda stored: {**stored, "tokens": ["é"]}, "damaged"),
        (lambda stored: {**stored, "tokens": ["*"]}, "damaged"),
        (lambda stored: {**stored, "tokens": stored["tokens"][1:]}, "256 single bytes"),
        (lambda stored: {**stored, "tokens": stored["tokens"] + stored["tokens"][:1]}, "must differ"),
    ],
)
def test_a_damaged_tokenizer_is_refused(tokenizer, change, answer):
    with pytest.raises(TokenizerError, match=answer):
        Tokenizer.from_dict(change(tokenizer.to_dict()))
