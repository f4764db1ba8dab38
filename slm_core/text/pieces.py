"""What a tokenizer makes of a text, so that people can see it: pieces, and how many there are of them."""

import unicodedata
from dataclasses import dataclass
from itertools import groupby, islice

from slm_core.text.corpus import get_sample_text
from slm_core.text.tokenizer import Tokenizer

MOST_CHARACTERS = 5_000  # of a text to look at
MOST_PIECES = 2_000  # shown at once
_SIGNS = {" ": "·", "\n": "↵", "\t": "⇥"}
_BARE_MARK = "\N{DOTTED CIRCLE}"  # what Unicode shows an accent on when there is no letter under it


@dataclass(frozen=True)
class Part:
    """A stretch of a piece: letters as they are, or a sign that stands for what has no look of its own.

    Signs stand for blanks and line ends, for invisible characters (U+200D), and for bytes that are only part
    of a character (f0 9f).
    """

    text: str
    is_sign: bool = False


@dataclass(frozen=True)
class Piece:
    """One token of a text: its id, how it looks, and whether a line ends with it."""

    token: int
    parts: tuple[Part, ...]
    ends_line: bool


@dataclass(frozen=True)
class Cut:
    """A text in pieces, of which at most MOST_PIECES are kept, and its counts.

    A word is what stands between blanks; Chinese and Japanese write none.
    """

    pieces: tuple[Piece, ...]
    tokens: int
    words: int
    bytes: int

    @property
    def tokens_per_word(self) -> float:
        """0 for a text without words."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes; 0 for an empty text."""
        return self.bytes / self.tokens if self.tokens else 0.0


def cut(tokenizer: Tokenizer, text: str, most: int = MOST_PIECES) -> Cut:
    """A text as a tokenizer cuts it. Raises TokenizerError if it cannot."""
    ids = tokenizer.encode(text)
    pieces = tuple(_piece(token, tokenizer.token_bytes(token)) for token in islice(ids, most))
    lengths = tokenizer.byte_lengths()
    return Cut(pieces, len(ids), len(text.split()), int(lengths[ids].sum()) if ids else 0)


def example_text() -> str:
    """Two sentences of a story, a line in other scripts, and emoji."""
    sentences = get_sample_text(1).split(". ")[:2]
    return ". ".join(sentences) + ".\nGrüße! Привет! 你好，世界。 🌱 👍🏽"


def shown(token: bytes) -> str:
    """How a token looks, in one line of plain text."""
    return "".join(part.text for part in _parts(token))


def _piece(token: int, content: bytes) -> Piece:
    return Piece(token, _parts(content), content.endswith(b"\n"))


def _parts(content: bytes) -> tuple[Part, ...]:
    """Whole characters as they look, and the bytes between them in hex."""
    # surrogateescape marks each byte that belongs to no whole character, and takes the mark back
    marked = content.decode("utf-8", "surrogateescape")
    parts: list[Part] = []
    for is_broken, characters in groupby(marked, key=lambda each: "\udc80" <= each <= "\udcff"):
        text = "".join(characters)
        if is_broken:
            parts.append(Part(text.encode("utf-8", "surrogateescape").hex(" "), is_sign=True))
        else:
            parts += _looks(text)
    return tuple(parts)


def _looks(text: str) -> list[Part]:
    parts: list[Part] = []
    for character in text:
        sign = _sign(character)
        if sign is None or (parts and not parts[-1].is_sign and _joins(character)):
            bare = (not parts or parts[-1].is_sign) and unicodedata.category(character).startswith("M")
            letters = _BARE_MARK + character if bare else character
            if parts and not parts[-1].is_sign:
                parts[-1] = Part(parts[-1].text + letters)
            else:
                parts.append(Part(letters))
        else:
            parts.append(Part(sign, is_sign=True))
    return parts


def _sign(character: str) -> str | None:
    """What stands for a character that has no look, else None."""
    if character in _SIGNS:
        return _SIGNS[character]
    if unicodedata.category(character)[0] in "CZ" or _joins(character):
        return f"U+{ord(character):04X}"
    return None


def _joins(character: str) -> bool:
    """Whether a character only says how those beside it are to be drawn: the joiner, the selectors of a
    style."""
    return character == "\N{ZERO WIDTH JOINER}" or 0xFE00 <= ord(character) <= 0xFE0F
