"""Tokenizers: what goes in comes out, and the ids are those of an independent implementation."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, trainers

from slm_core.errors import TokenizerError
from slm_core.text.corpus import get_sample_text
from slm_core.text.gpt2 import gpt2_state, letters_to_bytes
from slm_core.text.tokenizer import END_OF_TEXT, BytePairs, Tokenizer, make_tokenizer, train_bpe

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


_GPT2_HERE, _WHY = gpt2_state()
KINDS = [
    "bpe",
    "bytes",
    "characters",
    pytest.param("gpt2", marks=pytest.mark.skipif(not _GPT2_HERE, reason=_WHY)),
]


@pytest.fixture(scope="module", params=KINDS)
def of_any_kind(request) -> Tokenizer:
    return make_tokenizer(request.param, TEXTS * 3, 310)


@pytest.fixture(scope="module")
def tokenizer() -> BytePairs:
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
def test_every_text_comes_back(of_any_kind, text):
    assert of_any_kind.decode(of_any_kind.encode(text)) == text


def random_text(draw: random.Random) -> str:
    """Up to 30 characters from all over Unicode, plain ones often, surrogates never."""
    ranges = [
        (0x20, 0x7F),
        (0, 0x800),
        (0x800, 0xD800),
        (0xE000, 0x10000),
        (0x1F300, 0x1FB00),
        (0x10000, 0x110000),
    ]
    return "".join(chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(30)))


def test_2500_random_texts_come_back(of_any_kind):
    draw = random.Random(2019)
    for text in [random_text(draw) for _ in range(2_500)]:
        assert of_any_kind.decode(of_any_kind.encode(text)) == text


@given(text=SPELT)
def test_ids_are_those_of_the_library_that_learned_the_merges(tokenizer, library, text):
    assert tokenizer.encode(text) == library.encode(text).ids


@given(text=SPELT)
def test_token_bytes_are_the_bytes_of_the_text(of_any_kind, text):
    ids = of_any_kind.encode(text)
    assert b"".join(map(of_any_kind.token_bytes, ids)) == text.encode()
    assert of_any_kind.byte_lengths()[ids].sum() == len(text.encode())


@given(text=st.one_of(SPELT, SPELT.map(lambda text: text + END_OF_TEXT + text)))
def test_text_that_spells_the_end_mark_is_not_the_end_mark(of_any_kind, text):
    assert of_any_kind.end_of_text == of_any_kind.vocab_size - 1
    assert of_any_kind.end_of_text not in of_any_kind.encode(text)


def test_lone_surrogates_become_the_replacement_character(of_any_kind):
    assert of_any_kind.decode(of_any_kind.encode("a\ud800b")) == "a\ufffdb"
    whole = of_any_kind.encode_documents(["é\udfffb"]).tolist()[1:-1]
    assert of_any_kind.decode(whole) == "é\ufffdb"


def test_half_a_character_becomes_the_replacement_character(of_any_kind):
    assert "\ufffd" in of_any_kind.decode(of_any_kind.encode("\U0010ffff")[:1])


def test_documents_stand_between_end_marks(of_any_kind):
    end, encode = of_any_kind.end_of_text, of_any_kind.encode
    ids = of_any_kind.encode_documents(["the cat", "", "the hät"])
    assert ids.dtype == np.uint16
    assert ids.tolist() == [end, *encode("the cat"), end, end, *encode("the hät"), end]
    assert of_any_kind.encode_documents([]).tolist() == [end]


def test_bytes_are_their_own_numbers():
    made = make_tokenizer("bytes", ["never read"], 5_000)
    assert made.encode("Aé\n") == [65, 0xC3, 0xA9, 10]
    assert (made.vocab_size, made.end_of_text) == (257, 256)


def test_characters_of_the_training_text_are_one_id_each_and_others_their_bytes():
    made = make_tokenizer("characters", ["ab 你好", "é 你"], 5_000)
    assert made.vocab_size == 257 + 3
    assert made.encode("b你好é") == [ord("b"), 257, 258, 256]  # in the order of their code points
    assert made.encode("世") == [*"世".encode()]
    assert len(made.encode("ab 你好é\t")) == 7


def test_as_many_characters_as_there_is_room_for_are_kept_and_the_frequent_ones_first():
    every = [chr(code) for code in range(0x80, 0x1_1000) if not 0xD800 <= code < 0xE000]
    made = make_tokenizer("characters", ["".join(every), "".join(every[-100:])], 0)
    assert made.vocab_size == 65_535
    assert all(len(made.encode(each)) == 1 for each in every[-100:])
    assert made.decode(made.encode("".join(every))) == "".join(every)


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(TokenizerError, match=r"'words'.*bpe, bytes, characters, gpt2"):
        make_tokenizer("words", ["text"], 300)


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_the_first_merges_of_a_large_vocabulary_are_those_of_a_small_one(size):
    text = [get_sample_text(300)]
    large = train_bpe(text, 4096)
    assert large.with_merges(size - 257).to_dict() == train_bpe(text, size).to_dict()


def test_without_merges_only_bytes_are_left(tokenizer):
    none = tokenizer.with_merges(0)
    assert none.merge_count == 0 and none.vocab_size == 257
    assert b"".join(map(none.token_bytes, none.encode(TEXTS[1]))) == TEXTS[1].encode()
    assert len(none.encode(TEXTS[1])) == len(TEXTS[1].encode())


def test_each_merge_joins_two_tokens_that_were_made_before_it(tokenizer, library):
    written = json.loads(library.to_str())["model"]["merges"]
    letters = {letter: bytes([byte]) for letter, byte in letters_to_bytes().items()}
    theirs = [tuple(b"".join(map(letters.get, part)) for part in pair) for pair in written]
    assert [tokenizer.merge(number) for number in range(1, tokenizer.merge_count + 1)] == theirs


def test_a_megabyte_comes_back():
    text = get_sample_text(2_000)
    assert len(text) > 1_000_000
    made = make_tokenizer("bpe", [text], 1024)
    assert made.decode(made.encode(text)) == text
    assert made.vocab_size == 1024


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


def test_a_stored_tokenizer_is_the_same_tokenizer(of_any_kind):
    again = Tokenizer.from_dict(json.loads(json.dumps(of_any_kind.to_dict())))
    assert again.to_dict() == of_any_kind.to_dict() and again.kind == of_any_kind.kind
    assert all(again.encode(text) == of_any_kind.encode(text) for text in TEXTS)


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


@pytest.mark.parametrize(
    "stored",
    [
        {"kind": "characters"},
        {"kind": "characters", "characters": 3},
        {"kind": "characters", "characters": ["é"]},
        {"kind": "characters", "characters": "é\ud800"},
        {"kind": "characters", "characters": "éé"},
        {"kind": ["bpe"]},
    ],
)
def test_damaged_characters_are_refused(stored):
    with pytest.raises(TokenizerError, match=r"damaged|must differ|of kind"):
        Tokenizer.from_dict(stored)
