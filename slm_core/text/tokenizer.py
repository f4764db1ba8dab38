"""Tokenizers: text becomes a list of token ids, and every text comes back exactly.

Four kinds. Bytes: one id per byte. Characters: one id per character of the training text, the bytes of any
other. BPE: byte pairs merged as often as the vocabulary allows, learned from the training text. GPT-2: the
merges that OpenAI learned in 2019. The last two are run by tiktoken's `Encoding`.
"""

import base64
import binascii
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import tiktoken

from slm_core.caching import computed_once
from slm_core.config import LARGEST_VOCABULARY
from slm_core.errors import TokenizerError
from slm_core.text import gpt2
from slm_core.text.merges import learn_tokens

END_OF_TEXT = "<|endoftext|>"
# GPT-2's rule for where merges may not cross: before words, between letters, digits and signs. It stands in
# two places, here for tiktoken and as `ByteLevel(use_regex=True)` in merges.py; tests hold the two together.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


class Tokenizer(ABC):
    """Ids and the bytes they stand for. All 256 bytes are among them, so no text is unreadable; the last id
    is the end-of-text mark.

    Text that spells out the mark is encoded as ordinary characters: only `end_of_text` means the end.
    """

    kind: ClassVar[str]

    def __init__(self, tokens: Iterable[bytes]) -> None:
        """`tokens` by id, without the end mark. Raises TokenizerError unless all 256 bytes are among them."""
        self._tokens = list(tokens)
        different = set(self._tokens)
        if len(different) != len(self._tokens) or len(self._tokens) >= LARGEST_VOCABULARY:
            raise TokenizerError(
                f"The tokenizer has {len(self._tokens):,} tokens, {len(different):,} of them different; "
                f"all must differ, and there may be at most {LARGEST_VOCABULARY - 1:,}."
            )
        if not different.issuperset(_BYTES):
            raise TokenizerError(
                "The tokenizer lacks some of the 256 single bytes, so it cannot read every text."
            )
        self.end_of_text = len(self._tokens)

    @property
    def vocab_size(self) -> int:
        """Number of different ids, the end mark included: the size made, whatever size was asked for."""
        return self.end_of_text + 1

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end mark. Lone surrogates become U+FFFD, as UTF-8 has no bytes for
        them."""

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """One stream of ids, uint16 of shape (N,): an end mark before each document and one after the
        last."""
        ids = array("H", [self.end_of_text])
        for document in self._encode_each(documents):
            ids.extend(document)
            ids.append(self.end_of_text)
        return np.array(ids, dtype=np.uint16)

    def _encode_each(self, documents: Iterable[str]) -> Iterable[Iterable[int]]:
        return map(self.encode, documents)

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

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back."""

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer that `to_dict` wrote. Raises TokenizerError for anything else, and for GPT-2's if its
        vocabulary is not on this machine."""
        try:
            kind = stored["kind"]
            if kind not in _KINDS:
                raise TokenizerError(
                    f"The tokenizer is of kind {str(kind)[:40]!r}; this version reads {', '.join(_KINDS)}."
                )
            return _KINDS[kind]._from_dict(stored)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise TokenizerError(f"The tokenizer in this file is damaged ({error}).") from None

    @classmethod
    @abstractmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError if `stored` is damaged."""


_BYTES = [bytes([byte]) for byte in range(256)]


class Bytes(Tokenizer):
    """One id per byte of UTF-8, and nothing to learn: an id is the byte's own number."""

    kind = "bytes"

    def __init__(self) -> None:
        super().__init__(_BYTES)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end mark."""
        return list(_mended(text).encode())

    def _encode_each(self, documents: Iterable[str]) -> Iterable[Iterable[int]]:
        return (_mended(document).encode() for document in documents)  # bytes are ids already

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back."""
        return {"kind": self.kind}

    @classmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Self:
        return cls()


class Characters(Tokenizer):
    """One id per character of the training text. A character that was not in it falls back to its bytes.

    The bytes keep the ids 0 to 255, and so do the 128 characters that are one byte, which include all of
    plain English; every other character follows. The alternative, one id for "unknown", would lose text.
    """

    kind = "characters"

    def __init__(self, characters: Iterable[str]) -> None:
        """`characters` by id; those that are one byte are left out, as they are here anyway."""
        self._characters = [each for each in characters if not each.isascii()]
        super().__init__([*_BYTES, *(each.encode() for each in self._characters)])
        self._ids = {chr(byte): byte for byte in range(128)}
        self._ids.update((each, 256 + place) for place, each in enumerate(self._characters))

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end mark."""
        text = _mended(text)
        if text.isascii():
            return list(text.encode())
        ids: list[int] = []
        for character in text:
            known = self._ids.get(character)
            if known is None:
                ids += character.encode()
            else:
                ids.append(known)
        return ids

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back."""
        return {"kind": self.kind, "characters": "".join(self._characters)}

    @classmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if not isinstance(stored["characters"], str):
            raise TypeError("its characters are no text")
        return cls(stored["characters"])


class BytePairs(Tokenizer):
    """Tokens in rank order: the 256 bytes, then one per merge. Source: Sennrich, Haddow and Birch 2016, on
    bytes as in Radford et al. 2019."""

    kind = "bpe"

    def __init__(self, tokens: Iterable[bytes]) -> None:
        """`tokens` by id, without the end mark. Raises TokenizerError unless all 256 bytes are among them."""
        super().__init__(tokens)
        self._ranks = {token: rank for rank, token in enumerate(self._tokens)}
        self._encoding = tiktoken.Encoding(
            "slm",
            pat_str=_GPT2_PATTERN,
            mergeable_ranks=self._ranks,
            special_tokens={END_OF_TEXT: self.end_of_text},
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end mark. Raises TokenizerError for a million blanks in a row."""
        with _panics_told():
            return self._encoding.encode_ordinary(text)

    def _encode_each(self, documents: Iterable[str]) -> Iterable[Iterable[int]]:
        with _panics_told():
            return self._encoding.encode_ordinary_batch(list(documents), num_threads=2)

    @property
    def merge_count(self) -> int:
        """How many merges there are."""
        return self.end_of_text - 256

    def with_merges(self, count: int) -> "BytePairs":
        """The tokenizer that knows only the first `count` merges: what training would have made of a smaller
        vocabulary."""
        return BytePairs(self._tokens[: 256 + count])

    def merge(self, number: int) -> tuple[bytes, ...]:
        """What merge `number`, from 1 to merge_count, puts together: two tokens made before it."""
        rank = 255 + number
        parts = [bytes([byte]) for byte in self._tokens[rank]]
        while len(parts) > 2:  # merge the pair that was learned first, as encoding does
            pairs = [self._ranks.get(left + right, rank) for left, right in pairwise(parts)]
            first = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[first] >= rank:
                break
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return tuple(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back."""
        return {"kind": self.kind, "tokens": [base64.b64encode(token).decode() for token in self._tokens]}

    @classmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Self:
        return cls([base64.b64decode(token, validate=True) for token in stored["tokens"]])


class GPT2(BytePairs):
    """The tokenizer of GPT-2 and GPT-3. Its file says which vocabulary it is, and does not hold it."""

    kind = "gpt2"

    def __init__(self) -> None:
        """Raises TokenizerError, with what to do, if the vocabulary is not on this machine."""
        super().__init__(gpt2.gpt2_tokens())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON that `from_dict` reads back where the vocabulary is."""
        return {"kind": self.kind, "sha256": gpt2.SHA256}

    @classmethod
    def _from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if stored["sha256"] != gpt2.SHA256:
            raise ValueError("it names another vocabulary than GPT-2's")
        return _gpt2()


_KINDS: dict[str, type[Tokenizer]] = {each.kind: each for each in (BytePairs, Bytes, Characters, GPT2)}


def make_tokenizer(kind: str, documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """The tokenizer of a kind for these training documents. vocab_size concerns bpe; the others make their
    own.

    Raises TokenizerError for an unknown kind, a size that bpe cannot have, and GPT-2's vocabulary if it is
    not here.
    """
    match kind:
        case "bytes":
            return Bytes()
        case "characters":
            return collect_characters(documents)
        case "bpe":
            return train_bpe(documents, vocab_size)
        case "gpt2":
            return _gpt2()
    raise TokenizerError(f"There is no tokenizer of kind {kind!r}; choose one of {', '.join(_KINDS)}.")


@computed_once(maxsize=1)
def _gpt2() -> GPT2:
    return GPT2()


def collect_characters(documents: Iterable[str]) -> Characters:
    """A tokenizer of the characters that documents have; the most frequent ones, if there are too many for 16
    bits."""
    counts: Counter[str] = Counter()
    for document in documents:
        if not document.isascii():
            counts.update(_mended(document))
    others = [each for each, _ in counts.most_common() if not each.isascii()]
    return Characters(sorted(others[: LARGEST_VOCABULARY - 257]))


def train_bpe(documents: Iterable[str], vocab_size: int) -> BytePairs:
    """The tokenizer whose merges were learned from documents until `vocab_size` ids exist, the end mark
    included, or no pair occurs twice. Raises TokenizerError for sizes out of range."""
    return BytePairs(learn_tokens(documents, vocab_size))


def _mended(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD, as tiktoken does it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


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
