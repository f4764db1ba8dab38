"""Byte-level byte-pair encoding: text becomes a list of token ids, and every text comes back exactly.

Merges are learned by the `tokenizers` library and run by tiktoken's `Encoding`; this module only carries them
across.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import tiktoken
from tokenizers import Tokenizer as Learner
from tokenizers import decoders, models, pre_tokenizers, trainers

from slm_core.errors import TokenizerError

END_OF_TEXT = "<|endoftext|>"
# GPT-2's rule for where merges may not cross: before words, between letters, digits and signs. It stands in
# two places, here for tiktoken and as `ByteLevel(use_regex=True)` for the learner; tests hold the two
# together.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
LARGEST_VOCABULARY = 65_535  # ids are stored in 16 bits


class Tokenizer:
    """Tokens in rank order: the 256 bytes, then one per merge; the last id is the end-of-text mark.

    Text that spells out the mark is encoded as ordinary characters: only `end_of_text` means the end.
    """

    def __init__(self, tokens: list[bytes]) -> None:
        """`tokens` in rank order, without the end mark. Raises TokenizerError unless all 256 bytes are among
        them."""
        ranks = {token: rank for rank, token in enumerate(tokens)}
        if len(ranks) != len(tokens) or len(tokens) >= LARGEST_VOCABULARY:
            raise TokenizerError(
                f"The tokenizer has {len(tokens):,} tokens, {len(ranks):,} of them different; "
                f"all must differ, and there may be at most {LARGEST_VOCABULARY - 1:,}."
            )
        if any(bytes([byte]) not in ranks for byte in range(256)):
            raise TokenizerError(
                "The tokenizer lacks some of the 256 single bytes, so it cannot read every text."
            )
        self._tokens = tokens
        self.end_of_text = len(tokens)
        self._encoding = tiktoken.Encoding(
            "slm",
            pat_str=_GPT2_PATTERN,
            mergeable_ranks=ranks,
            special_tokens={END_OF_TEXT: self.end_of_text},
        )

    @property
    def vocab_size(self) -> int:
        """Number of different ids, the end mark included."""
        return self.end_of_text + 1

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end mark. Lone surrogates become U+FFFD, as UTF-8 has no bytes for
        them."""
        with _panics_told():
            return self._encoding.encode_ordinary(text)

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """One stream of ids, uint16 of shape (N,): an end mark before each document and one after the
        last."""
        ids = [self.end_of_text]
        with _panics_told():
            encoded = self._encoding.encode_ordinary_batch(list(documents), num_threads=2)
        for document in encoded:
            ids += document
            ids.append(self.end_of_text)
        return np.array(ids, dtype=np.uint16)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; bytes that are no UTF-8 (a character cut in two) become U+FFFD, end marks a blank
        line."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes one id stands for; the end mark reads as a blank line."""
        return b"\n\n" if token == self.end_of_text else self._tokens[token]

    def byte_lengths(self) -> np.ndarray:
        """UTF-8 bytes per id, int64 of shape (vocab_size,); the end mark has none."""
        return np.array([*map(len, self._tokens), 0], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back."""
        return {"kind": "bpe", "tokens": [base64.b64encode(token).decode() for token in self._tokens]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The tokenizer that `to_dict` wrote. Raises TokenizerError for anything else."""
        try:
            if stored["kind"] != "bpe":
                raise TokenizerError(f"The tokenizer is of kind {stored['kind']!r}; this version reads bpe.")
            tokens = [base64.b64decode(token, validate=True) for token in stored["tokens"]]
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise TokenizerError(f"The tokenizer in this file is damaged ({error}).") from None
        return cls(tokens)


def train_bpe(documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn merges from documents until `vocab_size` ids exist, the end mark included, or no pair occurs
    twice.

    Source: Sennrich, Haddow and Birch 2016, on bytes as in Radford et al. 2019. The size made can be below
    the size asked for: read it from the result. Raises TokenizerError below 257.
    """
    if not 257 <= vocab_size <= LARGEST_VOCABULARY:
        raise TokenizerError(
            f"vocab_size is {vocab_size}; it must be from 257 (256 bytes and the end mark) to "
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
    learner.train_from_iterator(documents, trainer)
    written = learner.get_vocab()
    to_byte = _letters_to_bytes()
    return Tokenizer(
        [bytes(to_byte[letter] for letter in token) for token in sorted(written, key=written.get)]
    )


@contextmanager
def _panics_told() -> Iterator[None]:
    """Turns a panic inside tiktoken into a TokenizerError. It is no Exception, and its class cannot be
    imported."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(
            "The text has a stretch of about a million blank characters, too long to be cut into tokens. "
            "Remove it."
        ) from None


def _letters_to_bytes() -> dict[str, int]:
    """The learner writes each byte as one printable letter (as GPT-2 does): printable bytes as themselves,
    the others as the letters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }
