"""Our tokenizers in the `tokenizers` library: the same ids for any text, and the text back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from slm_core.errors import TokenizerError
from slm_core.runs.export_tokenizer import merges, token_texts, tokenizer_json
from slm_core.text.gpt2 import gpt2_state
from slm_core.text.tokenizer import BytePairs, make_tokenizer
from tests.runs.test_export import HARD_TEXTS, TEXTS

_GPT2_HERE, _WHY = gpt2_state()
KINDS = [
    "bpe",
    "bytes",
    "characters",
    pytest.param("gpt2", marks=pytest.mark.skipif(not _GPT2_HERE, reason=_WHY)),
]


@pytest.fixture(scope="module", params=KINDS)
def pair(request):
    """One of our tokenizers, and the library's reading of the file we write for it."""
    ours = make_tokenizer(request.param, TEXTS, 310)
    theirs = Library.from_str(tokenizer_json(ours))
    theirs.encode_special_tokens = True  # as tokenizer_config.json asks: spelling the mark does not make it
    return ours, theirs


@given(
    text=st.one_of(
        st.sampled_from(HARD_TEXTS),
        st.text(),
        st.text("abc thes'\n\t 12.,é你🌱▁\u0301\u00a0\u2028\u200d<|>"),
    )
)
def test_any_text_has_the_same_ids_and_comes_back(pair, text):
    ours, theirs = pair
    ids = theirs.encode(text, add_special_tokens=False).ids
    assert ids == ours.encode(text)
    assert theirs.encode(text).ids == [ours.end_of_text, *ids]  # as `write_text` begins
    assert theirs.decode(ids) == text


def test_every_id_has_a_name_of_its_own(pair):
    ours, theirs = pair
    texts = token_texts(ours)
    assert len(set(texts)) == len(texts) == ours.vocab_size == theirs.get_vocab_size()


def test_a_list_that_no_merging_makes_is_refused():
    single = [bytes([byte]) for byte in range(256)]
    with pytest.raises(TokenizerError, match="not learned by merging"):
        merges(BytePairs([*single, b"abc"]))
