"""Learning merges: the pair that stands together most often comes first."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from slm_core.errors import TokenizerError
from slm_core.text.merges import learn_tokens


def test_the_first_merge_is_the_most_frequent_pair_of_bytes():
    words = (
        ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    )  # the example of Sennrich et al. 2016
    pairs = Counter(pair for word in words for pair in pairwise(word))
    tokens = learn_tokens([" ".join(words)], 266)
    assert {"es", "st"} == {"".join(pair) for pair, count in pairs.items() if count == max(pairs.values())}
    assert tokens[256].decode() in {"es", "st"} and tokens[257] == b"est"
    assert b" low" in tokens or b"low" in tokens


def test_merges_do_not_cross_from_one_word_into_the_next():
    tokens = learn_tokens(["to be or not to be, to be 12 to be\n"] * 50, 2_000)
    assert all(b" " not in token[1:] for token in tokens)
    assert b" be" in tokens and b"be," not in tokens


def test_learning_ends_when_no_pair_stands_there_twice():
    assert len(learn_tokens(["abcdefg"], 1_000)) == 256
    assert len(learn_tokens(["abab"], 1_000)) == 257


@pytest.mark.parametrize("size", [0, 256, 65_536])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(TokenizerError, match="from 257"):
        learn_tokens(["text"], size)


def test_words_that_never_end_are_learned_from_in_time():
    """At 4 seconds for 100,000 letters, and with the square of that, this would take three minutes."""
    endless = "".join(Random(0).choices("abcdefgh", k=700_000))
    tokens = learn_tokens([endless], 400)
    assert len(tokens) == 399 and sum(map(len, tokens[256:])) > 2 * 143
