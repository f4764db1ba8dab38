"""From text to token ids: two sides that share no document, one to learn from and one to be tested on.

The order matters. Split first, then cut to size, and never repeat a text before splitting it: a passage that
stands on both sides makes validation loss measure memory.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from slm_core.config import ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import stories
from slm_core.text.tokenizer import Tokenizer, train_bpe

TRAIN_SEED, VALIDATION_SEED = 1, 2
VALIDATION_STORIES = {"tales": 400, "stories": 120}  # each over 10,000 tokens
TOKENIZER_STORIES = {
    "tales": 6_000,
    "stories": 2_000,
}  # about 1 MB; the same for every dataset_size, so losses compare
VALIDATION_SHARE = 0.1
SMALLEST_TEXT = 2_000  # characters; a tenth to a quarter of less than this tests nothing
SMALLEST_VALIDATION = 500  # characters
LARGEST_TEXT_BYTES = 25_000_000


@dataclass(frozen=True)
class Split:
    """Documents for training and for validation; no text stands on both sides."""

    train: list[str]
    validation: list[str]


@dataclass(frozen=True)
class Dataset:
    """What a run reads: ids of both sides, uint16 of shape (N,), an end mark between documents.

    scored_from_starts: losses are measured on windows that begin where a document begins, so that the model
    is never asked about a text whose beginning it has not seen. Own text is measured on consecutive windows
    instead.
    """

    train: np.ndarray
    validation: np.ndarray
    tokenizer: Tokenizer
    scored_from_starts: bool
    notices: tuple[str, ...] = ()

    def sha256(self) -> str:
        """A fingerprint of all ids of both sides."""
        digest = hashlib.sha256(self.train.tobytes())
        digest.update(self.validation.tobytes())
        return digest.hexdigest()


def prepare(config: ExperimentConfig, text: str | None = None) -> Dataset:
    """The dataset that a config asks for; `text` is read when config.corpus is "own".

    Raises CorpusError when the text cannot be trained on.
    """
    if config.corpus != "own":
        tokenizer = story_tokenizer(config.corpus, config.vocab_size)
        train = _story_stream(config.corpus, tokenizer, config.dataset_size)
        validation = tokenizer.encode_documents(_validation_stories(config.corpus))
    else:
        if text is None:
            raise CorpusError("The corpus is your own text, but no text was given. Paste or upload one.")
        split = split_text(text)
        tokenizer = train_bpe(split.train, config.vocab_size)
        train = tokenizer.encode_documents(split.train)
        validation = tokenizer.encode_documents(split.validation)
    notices = []
    if len(train) < config.dataset_size:
        notices.append(
            f"The text has {len(train):,} training tokens, fewer than the {config.dataset_size:,} asked "
            "for; all are used."
        )
    if tokenizer.vocab_size < config.vocab_size:
        notices.append(
            f"The tokenizer found {tokenizer.vocab_size:,} tokens worth having, fewer than the "
            f"{config.vocab_size:,} "
            "asked for; the model is that much smaller."
        )
    if len(train) <= config.block_size:
        raise CorpusError(
            f"The text gives {len(train):,} training tokens, and block_size is {config.block_size:,}: the "
            "model could "
            f"not fill one block. Add text, or lower block_size below {len(train):,}."
        )
    return Dataset(
        train[: config.dataset_size], validation, tokenizer, config.corpus != "own", tuple(notices)
    )


def get_sample_text(n: int, corpus: str = "stories") -> str:
    """n different training stories, a blank line between them. Raises CorpusError for n below 1."""
    if n < 1:
        raise CorpusError(f"You asked for {n} stories; ask for at least 1.")
    return "\n\n".join(islice(_training_stories(corpus), n))


@lru_cache(maxsize=8)
def story_tokenizer(corpus: str, vocab_size: int) -> Tokenizer:
    """The one tokenizer that every run on these stories with this vocabulary uses, whatever its
    dataset_size."""
    return train_bpe(islice(_training_stories(corpus), TOKENIZER_STORIES[corpus]), vocab_size)


@lru_cache(maxsize=2)
def _validation_stories(corpus: str) -> tuple[str, ...]:
    return tuple(islice(stories.draw(corpus, VALIDATION_SEED), VALIDATION_STORIES[corpus]))


def _training_stories(corpus: str) -> Iterator[str]:
    held_out = set(_validation_stories(corpus))
    return (story for story in stories.draw(corpus, TRAIN_SEED) if story not in held_out)


def _story_stream(corpus: str, tokenizer: Tokenizer, size: int) -> np.ndarray:
    """At least the first `size` ids of the training stories."""
    drawn, chunks, total = _training_stories(corpus), [], 0
    while total < size:
        chunks.append(tokenizer.encode_documents(islice(drawn, max(1, (size - total) // 40)))[:-1])
        total += len(chunks[-1])
    return np.concatenate(chunks)


def split_text(text: str) -> Split:
    """A text cut into paragraphs, duplicates dropped, about a tenth of them held out for validation.

    A paragraph's side follows from a hash of its letters alone, so adding text moves nothing across. A text
    with few paragraphs is cut once instead, near its end, with a gap left out between the sides. Short texts
    hold out up to a quarter. Raises CorpusError if there is too little text.
    """
    text = normalize(text)
    if len(text) < SMALLEST_TEXT or len(text.split()) < 2:
        raise CorpusError(
            f"The text has {len(text):,} characters and {len(text.split()):,} words; at least "
            f"{SMALLEST_TEXT:,} characters "
            "are needed, so that some can be held out to test the model on. Add text, or use the built-in "
            "stories."
        )
    share = min(0.25, max(VALIDATION_SHARE, 2 * SMALLEST_VALIDATION / len(text)))
    by_words = {
        _fingerprint(paragraph): paragraph for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()
    }
    split = Split(
        [paragraph for mark, paragraph in by_words.items() if mark >= share],
        [paragraph for mark, paragraph in by_words.items() if mark < share],
    )
    if (
        len(by_words) >= 20
        and _size(split.validation) >= SMALLEST_VALIDATION
        and _size(split.train) >= SMALLEST_TEXT // 2
    ):
        return split
    distinct = "\n\n".join(by_words.values())
    if len(distinct) < SMALLEST_TEXT:
        raise CorpusError(
            f"Without its repeated paragraphs the text has {len(distinct):,} characters; at least "
            f"{SMALLEST_TEXT:,} are "
            "needed, so that some can be held out to test the model on. Add text, or use the built-in "
            "stories."
        )
    cut = int(len(distinct) * (1 - share))
    gap = min(500, len(distinct) // 50)  # so that no validation window leans on words that training saw
    return Split([distinct[: cut - gap].strip()], [distinct[cut:].strip()])


def _size(documents: list[str]) -> int:
    return sum(map(len, documents))


def _fingerprint(paragraph: str) -> float:
    """A number in 0..1 that depends on the words only, not on case or spacing."""
    words = " ".join(paragraph.lower().split())
    return int.from_bytes(hashlib.sha256(words.encode("utf-8", "replace")).digest()[:8]) / 2**64


def normalize(text: str) -> str:
    """One form for one text: composed characters, plain line ends, no spaces before them, no lone
    surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub(r"[ \t]+\n", "\n", text).strip()


def read_text(content: bytes, name: str) -> str:
    """The text of a file's bytes. Raises CorpusError, naming the file, if it is empty, too large or no UTF-8
    text."""
    if len(content) > LARGEST_TEXT_BYTES:
        raise CorpusError(
            f"{name} has {len(content) / 1e6:,.0f} MB; at most {LARGEST_TEXT_BYTES / 1e6:,.0f} MB can be "
            "read. Use a part of it."
        )
    if not content.strip():
        raise CorpusError(f"{name} is empty. Choose a text file with at least {SMALLEST_TEXT:,} characters.")
    if b"\0" in content[:100_000]:
        raise CorpusError(
            f"{name} is not a text file: it holds zero bytes. Save it as plain text (.txt or .md, UTF-8)."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name} is not UTF-8 text: byte {content[error.start]:#04x} at position {error.start:,} fits "
            "no character. "
            "Save it again with the encoding UTF-8."
        ) from None


def write_bins(dataset: Dataset, folder: Path) -> None:
    """Write train.bin and validation.bin into a folder: bare uint16 ids, little-endian."""
    dataset.train.astype("<u2").tofile(folder / "train.bin")
    dataset.validation.astype("<u2").tofile(folder / "validation.bin")


def read_bins(folder: Path, tokenizer: Tokenizer, scored_from_starts: bool) -> Dataset:
    """The dataset whose bins lie in a folder, memory-mapped. Raises CorpusError if they are missing or
    damaged."""
    sides = []
    for name in ("train.bin", "validation.bin"):
        try:
            ids = np.memmap(folder / name, dtype="<u2", mode="r")
        except (OSError, ValueError) as error:
            raise CorpusError(
                f"{folder / name} cannot be read ({error}). Train again to make it anew."
            ) from None
        if int(ids.max()) >= tokenizer.vocab_size:
            raise CorpusError(
                f"{folder / name} holds ids that its tokenizer does not have. Train again to make it anew."
            )
        sides.append(ids)
    return Dataset(sides[0], sides[1], tokenizer, scored_from_starts)
