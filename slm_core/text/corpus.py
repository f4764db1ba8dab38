"""From text to token ids: two sides that share no document, one to learn from and one to be tested on.

The order matters. Split first, then cut to size, and never repeat a text before splitting it: a passage that
stands on both sides makes validation loss measure memory.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from slm_core.caching import computed_once
from slm_core.config import KNOBS, ExperimentConfig
from slm_core.errors import CorpusError
from slm_core.text import exhibit, stories
from slm_core.text.tokenizer import END_OF_TEXT, Tokenizer, make_tokenizer

TRAIN_SEED, VALIDATION_SEED = 1, 2
VALIDATION_STORIES = {"tales": 400, "stories": 120}  # each over 10,000 tokens
TOKENIZER_STORIES = {
    "tales": 6_000,
    "stories": 2_000,
}  # about 1 MB; the same for every dataset_size, so losses compare
VALIDATION_SHARE = 0.1
SMALLEST_TEXT = 2_000  # characters; a tenth to a quarter of less than this tests nothing
SMALLEST_VALIDATION = 500  # characters
LARGEST_TEXT_BYTES = 25_000_000  # of an upload; files read on the machine itself may be larger
MOST_TO_LEARN_FROM = 25_000_000  # characters of text that a tokenizer is made from: more changes nothing
FEWEST_DOCUMENTS = 20  # a tenth of fewer would say little


@dataclass(frozen=True)
class Split:
    """Documents for training and for validation; no text stands on both sides.

    duplicates counts the documents that were dropped, as their words stand in another one.
    """

    train: list[str]
    validation: list[str]
    duplicates: int = 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a run reads: ids of both sides, uint16 of shape (N,), an end mark between documents.

    scored_from_starts: losses are measured on windows that begin where a document begins, so that the model
    is never asked about a text whose beginning it has not seen. Own text, and the exhibit, are measured on
    consecutive windows instead.
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

    Raises CorpusError when the text cannot be trained on, TokenizerError when its tokenizer is not to be had.
    """
    *_, dataset = preparing(config, text)
    return dataset


def preparing(config: ExperimentConfig, text: str | None = None) -> Iterator[float | Dataset]:
    """`prepare` piece by piece: gives the share done (0..1) from time to time, and the dataset at the end."""
    notices = []
    if config.corpus == "repeated":
        tokenizer = story_tokenizer("stories", config.vocab_size, config.tokenizer)
        size = min(config.dataset_size, exhibit.MOST_TOKENS)
        told = yield from _stream(_training_stories("stories"), tokenizer, size)
        train, validation, times = exhibit.repeat_then_split(told[:size], config.block_size)
        notices.append(
            f"This is the recipe that leaks: {size:,} tokens of stories, repeated {times:,} times, and only "
            "then cut in two. Every passage of the validation text stands in the training text, too, so the "
            "validation loss measures memory. Compare it with the same settings on stories."
        )
    elif config.corpus != "own":
        tokenizer = story_tokenizer(config.corpus, config.vocab_size, config.tokenizer)
        train = yield from _stream(_training_stories(config.corpus), tokenizer, config.dataset_size)
        validation = tokenizer.encode_documents(_validation_stories(config.corpus))
    else:
        if text is None:
            raise CorpusError("The corpus is your own text, but no text was given. Paste or upload one.")
        split = split_text(text, config.block_size)
        yield 0.2
        tokenizer = make_tokenizer(config.tokenizer, _spread(split.train), config.vocab_size)
        yield 0.4
        size = config.dataset_size
        train = yield from _stream(split.train, tokenizer, size, _size(split.train), (0.4, 0.9))
        validation = yield from _stream(
            split.validation, tokenizer, characters=_size(split.validation), within=(0.9, 1.0)
        )
    if len(train) < config.dataset_size:
        notices.append(
            f"The text has {len(train):,} training tokens, fewer than the {config.dataset_size:,} asked "
            "for; all are used."
        )
    if config.tokenizer == "bpe" and tokenizer.vocab_size < config.vocab_size:
        notices.append(
            f"The tokenizer found {tokenizer.vocab_size:,} tokens worth having, fewer than the "
            f"{config.vocab_size:,} "
            "asked for; the model is that much smaller."
        )
    if config.tokenizer != "bpe" and tokenizer.vocab_size != config.vocab_size:
        notices.append(
            f"The tokenizer {config.tokenizer} has {tokenizer.vocab_size:,} tokens of its own, so vocab_size "
            f"{config.vocab_size:,} has no effect."
        )
    if len(train) <= config.block_size:
        raise CorpusError(
            f"The text gives {len(train):,} training tokens, and block_size is {config.block_size:,}: the "
            "model could "
            f"not fill one block. Add text, or lower block_size below {len(train):,}."
        )
    if config.corpus != "repeated":  # there, dataset_size is what is repeated
        train = train[: config.dataset_size]
    yield Dataset(train, validation, tokenizer, scored_from_starts(config.corpus), tuple(notices))


def scored_from_starts(corpus: str) -> bool:
    """Whether losses on a corpus are measured from the starts of its documents: see `Dataset`."""
    return corpus in stories.SIZES


def get_sample_text(n: int, corpus: str = "stories") -> str:
    """n different training stories, a blank line between them. Raises CorpusError for n below 1."""
    if n < 1:
        raise CorpusError(f"You asked for {n} stories; ask for at least 1.")
    return "\n\n".join(islice(_training_stories(corpus), n))


@computed_once(maxsize=8)
def story_tokenizer(corpus: str, vocab_size: int, kind: str = "bpe") -> Tokenizer:
    """The one tokenizer that every run on these stories with this kind and vocabulary uses, whatever its
    dataset_size. Raises TokenizerError."""
    return make_tokenizer(kind, islice(_training_stories(corpus), TOKENIZER_STORIES[corpus]), vocab_size)


def held_out_stories(corpus: str) -> str:
    """The stories that no model and no tokenizer is made from, a blank line between them."""
    return "\n\n".join(_validation_stories(corpus))


@computed_once(maxsize=2)
def _validation_stories(corpus: str) -> tuple[str, ...]:
    return tuple(islice(stories.draw(corpus, VALIDATION_SEED), VALIDATION_STORIES[corpus]))


def _training_stories(corpus: str) -> Iterator[str]:
    held_out = set(_validation_stories(corpus))
    return (story for story in stories.draw(corpus, TRAIN_SEED) if story not in held_out)


def _stream(
    documents: Iterable[str],
    tokenizer: Tokenizer,
    size: float = math.inf,
    characters: float = math.inf,
    within: tuple[float, float] = (0.0, 1.0),
) -> Generator[float, None, np.ndarray]:
    """At least the first `size` ids of documents, or all of them; in pieces, which keeps memory low.

    Gives, after each piece, the share done of a work whose part `within` this is. `characters` is how many
    the documents have, if that is known.
    """
    left, chunks, total, read, told = iter(documents), [], 0, 0, 0.0
    while total < size:
        some = list(islice(left, int(min(2_000, max(1, (size - total) // 40)))))
        if not some:
            chunks.append(np.array([tokenizer.end_of_text], dtype=np.uint16))
            break
        chunks.append(tokenizer.encode_documents(some)[:-1])
        total += len(chunks[-1])
        read += _size(some)
        share = min(1.0, max(total / size, read / characters))
        if share >= told + 0.05:
            told = share
            yield within[0] + share * (within[1] - within[0])
    return np.concatenate(chunks)


def _spread(documents: list[str]) -> list[str]:
    """Documents evenly from all over a text, about MOST_TO_LEARN_FROM characters of them or all."""
    return documents[:: math.ceil(max(1, _size(documents)) / MOST_TO_LEARN_FROM)]


def split_text(text: str, block_size: int = KNOBS["block_size"].default) -> Split:
    """A text cut into documents, duplicates dropped, about a tenth of them held out for validation.

    Documents are what stands between end-of-text marks on lines of their own, or else paragraphs.
    A paragraph's side follows from a hash of its letters alone, so adding text moves nothing across. Texts
    below 10,000 characters hold out up to a quarter, and less as they grow: there, paragraphs may move into
    training. A text with few paragraphs is cut once instead, near its end, with a gap of block_size words
    left out between the sides, so that the text tested on is further from training text than the model can
    look back. Raises CorpusError if there is too little text.
    """
    text = normalize(text)
    if len(text) < SMALLEST_TEXT:
        raise CorpusError(
            f"The text has {len(text):,} characters; at least {SMALLEST_TEXT:,} are needed, so that some can "
            "be held out to test the model on. Add text, or use the built-in stories."
        )
    if not re.search(r"[\W_]", text):  # Chinese needs no blanks, but has signs
        raise CorpusError(
            f"The text is one word of {len(text):,} letters; at least {SMALLEST_TEXT:,} characters are "
            "needed that blanks or signs divide into words. Add such text, or use the built-in stories."
        )
    share = min(0.25, max(VALIDATION_SHARE, 2 * SMALLEST_VALIDATION / len(text)))
    documents = _documents(text)
    by_words = {_fingerprint(document): document for document in documents}
    duplicates = len(documents) - len(by_words)
    split = Split(
        [document for mark, document in by_words.items() if mark >= share],
        [document for mark, document in by_words.items() if mark < share],
        duplicates,
    )
    if (
        len(by_words) >= FEWEST_DOCUMENTS
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
    gap = _gap(distinct[:cut], block_size)
    return Split([distinct[: cut - gap].strip()], [distinct[cut:].strip()], duplicates)


def _gap(text: str, block_size: int) -> int:
    """How many characters at the end of a text hold block_size words, each at least one token, or a tenth of
    all characters if that is less: a short text cannot spare more, nor one without blanks."""
    most = len(text) // 10
    words = [word.start() for word in re.finditer(r"\S+", text[len(text) - most :])]
    return most - words[-block_size] if len(words) >= block_size else most


def _documents(text: str) -> list[str]:
    """What stands between end-of-text marks on lines of their own if that makes enough documents, else
    between blank lines."""
    marked = re.split(rf"^[ \t]*{re.escape(END_OF_TEXT)}[ \t]*$", text, flags=re.MULTILINE)
    marked = [each.strip("\n") for each in marked if each.strip()]
    if len(marked) >= FEWEST_DOCUMENTS:
        return marked
    return [each for each in re.split(r"\n\s*\n", "\n\n".join(marked)) if each.strip()]


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


def read_text(content: bytes, name: str, most_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """The text of a file's bytes. Raises CorpusError, naming the file, if it is empty, too large or no UTF-8
    text."""
    if len(content) > most_bytes:
        raise CorpusError(
            f"{name} has {len(content) / 1e6:,.0f} MB; at most {most_bytes / 1e6:,.0f} MB can be "
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
    """Write train.bin and validation.bin into a folder: bare uint16 ids, little-endian. Raises OSError."""
    for name, ids in (("train.bin", dataset.train), ("validation.bin", dataset.validation)):
        # Not numpy's tofile: on a full disk it may lose the last of what it was given and say nothing.
        (folder / name).write_bytes(ids.astype("<u2").tobytes())


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
