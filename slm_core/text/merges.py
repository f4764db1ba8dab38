"""Learning which byte pairs to merge, with the `tokenizers` library."""

import re
from collections.abc import Iterable

from tokenizers import Tokenizer as Learner
from tokenizers import decoders, models, pre_tokenizers, trainers

from slm_core.config import LARGEST_VOCABULARY, SMALLEST_BPE
from slm_core.errors import TokenizerError
from slm_core.text.gpt2 import letters_to_bytes

_LONGEST_WORD = 1_000  # characters; learning from a word takes time with the square of its length


def learn_tokens(documents: Iterable[str], vocab_size: int) -> list[bytes]:
    """Tokens in rank order, the 256 bytes first, until there are `vocab_size` with the end mark, or no pair
    occurs twice: the list can be shorter than asked for.

    Source: Sennrich, Haddow and Birch 2016, on bytes as in Radford et al. 2019. Raises TokenizerError for
    sizes out of range.
    """
    if not SMALLEST_BPE <= vocab_size <= LARGEST_VOCABULARY:
        raise TokenizerError(
            f"vocab_size is {vocab_size}; it must be from {SMALLEST_BPE} (256 bytes and the end mark) to "
            f"{LARGEST_VOCABULARY:,}."
        )
    learner = Learner(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    learner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    learner.train_from_iterator(map(_broken, documents), trainer)
    written = learner.get_vocab()
    to_byte = letters_to_bytes()
    return [bytes(to_byte[letter] for letter in token) for token in sorted(written, key=written.get)]


def _broken(text: str) -> str:
    """The text with line breaks in words that never end, such as a picture written as letters."""
    return re.sub(rf"(\S{{{_LONGEST_WORD}}})(?=\S)", r"\1\n", text)
