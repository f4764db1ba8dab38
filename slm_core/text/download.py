"""Fetching a text of the library, when somebody asks for it. No other module uses the network.

A text that is on its way is a hidden file beside those that came, from which a later fetch goes on.
"""

import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slm_core.errors import CorpusError
from slm_core.text.library import LARGEST_FILE_BYTES, Entry, end_of_documents, file_of, present_bytes

TIMEOUT_SECONDS = 10.0  # for connecting, and for each silence after that
_CHUNK_BYTES = 256 * 1024
_OFFLINE = "The built-in stories need no network."


@dataclass(frozen=True)
class Progress:
    """How far a fetch has come, counting what an earlier one left behind."""

    received_bytes: int
    total_bytes: int

    @property
    def share(self) -> float:
        """What has come, as a share of all, 0 to 1."""
        return min(1.0, self.received_bytes / max(1, self.total_bytes))


def kept_bytes(entry: Entry, folder: Path) -> int:
    """How much an unfinished fetch has left to go on from."""
    try:
        return _part(entry, folder).stat().st_size
    except OSError:
        return 0


def fetch(
    entry: Entry, folder: Path, *, most_bytes: float | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> Iterator[Progress]:
    """Fetch a text into a folder, telling how far it is after each piece; at the end the file is there.

    Close the generator to stop: what came is kept, and the next fetch goes on from it if the server can do
    that, else begins anew. `most_bytes`, by default the entry's own, ends the text after the last document
    that fits. Nothing is fetched if the text is there already.

    Raises CorpusError if the network, the server or the disk does not do its part.
    """
    most = entry.most_bytes if most_bytes is None else most_bytes
    if not 0 < most <= LARGEST_FILE_BYTES:
        raise CorpusError(
            f"{most / 1e6:,.0f} MB were asked for; ask for 1 to {LARGEST_FILE_BYTES / 1e6:,.0f} MB."
        )
    most = int(most)
    if (size := present_bytes(entry, folder)) is not None:
        yield Progress(size, size)
        return
    with _in_words(entry):
        folder.mkdir(parents=True, exist_ok=True)
        part = _part(entry, folder)
        with open(part, "a+b") as file:
            _lock(file, entry)
            whole_bytes = yield from _receive(entry, file, most, timeout_seconds)
            if whole_bytes > most:
                _end_at_a_document(file)
            os.fsync(file.fileno())
        os.replace(part, file_of(entry, folder))
        _mark(part).unlink(missing_ok=True)


def _part(entry: Entry, folder: Path) -> Path:
    return folder / f".{entry.name}.part"


def _mark(part: Path) -> Path:
    """Beside a part, the server's mark of the version it belongs to."""
    return part.with_suffix(".etag")


def _receive(entry: Entry, file: BinaryIO, most: int, timeout_seconds: float) -> Iterator[Progress]:
    """Append to the file what it lacks, up to `most` bytes; returns how large the whole text is there."""
    have = file.seek(0, os.SEEK_END)
    if have >= most:  # an earlier fetch was to bring more
        file.truncate(most)
        return most + 1
    with _open(entry, file, have, most, timeout_seconds) as response:
        whole = _whole_size(response)
        _refuse_another_file(entry, response, whole)
        if response.status != 206:  # the server begins anew
            file.truncate(0)
            have = 0
            _note_version(file, response)
        total = min(whole or entry.size_bytes, most)
        yield Progress(have, total)
        while have < most and (piece := _piece(response, most - have)):
            file.write(piece)
            have += len(piece)
            yield Progress(have, max(total, have))
    if have < (total if whole is not None else total / 2):  # http.client says nothing of an early end
        raise ConnectionResetError("the connection ended early")
    return have + (have == most) if whole is None else whole  # if nobody knows, there may be more


def _piece(response: http.client.HTTPResponse, most: int) -> bytes:
    try:
        return response.read1(min(_CHUNK_BYTES, most))
    except OSError as error:  # whatever else the network says, so that it is not taken for the disk
        raise ConnectionResetError(str(error)) from None


def _open(
    entry: Entry, file: BinaryIO, have: int, most: int, timeout_seconds: float
) -> http.client.HTTPResponse:
    asked = urllib.request.Request(entry.url, headers={"User-Agent": "slm-trainer"})
    if have:
        asked.add_header("Range", f"bytes={have}-{most - 1}")
        if (mark := _mark(Path(file.name))).exists():
            asked.add_header("If-Range", mark.read_text(encoding="ascii"))
    try:
        response = urllib.request.urlopen(asked, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        file.truncate(0)  # we have more than there is: it is another text now
        return _open(entry, file, 0, most, timeout_seconds)
    if response.status == 206 and not re.match(rf"bytes {have}-", response.headers.get("Content-Range", "")):
        response.close()
        file.truncate(0)
        return _open(entry, file, 0, most, timeout_seconds)
    return response


def _note_version(file: BinaryIO, response: http.client.HTTPResponse) -> None:
    mark, etag = _mark(Path(file.name)), response.headers.get("ETag", "")
    mark.unlink(missing_ok=True)
    if re.fullmatch(r'"[ -~]{1,200}"', etag):  # a weak one does not promise equal bytes
        mark.write_text(etag, encoding="ascii")


def _whole_size(response: http.client.HTTPResponse) -> int | None:
    """The size of the whole text there, if the server says."""
    if response.status == 206:
        _, _, size = response.headers.get("Content-Range", "").rpartition("/")
    else:
        size = response.headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else None


def _refuse_another_file(entry: Entry, response: http.client.HTTPResponse, whole: int | None) -> None:
    """Public networks like to answer with a page of their own."""
    is_page = response.headers.get_content_type() == "text/html"
    if is_page or (whole is not None and not entry.size_bytes / 2 <= whole <= entry.size_bytes * 2):
        given = "a web page" if is_page else f"{whole / 1e6:,.3g} MB"
        raise CorpusError(
            f"{_host(entry)} answered with {given} instead of {entry.title} "
            f"({entry.size_bytes / 1e6:,.3g} MB). If this network asks people to sign in, do that first. "
            f"{_OFFLINE}"
        )


def _end_at_a_document(file: BinaryIO) -> None:
    """Cut off the document that the end of a file cuts in two, if the last megabyte shows where it begins."""
    start = max(0, file.seek(0, os.SEEK_END) - 1_000_000)
    file.seek(start)
    file.truncate(start + end_of_documents(file.read()))


def _lock(file: BinaryIO, entry: Entry) -> None:
    """Two programs must not write into one file. On Windows, where fcntl is missing, nobody checks."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CorpusError(f"{entry.title} is being fetched already. Wait for that to end.") from None


def _host(entry: Entry) -> str:
    return urllib.parse.urlsplit(entry.url).hostname or entry.url


@contextmanager
def _in_words(entry: Entry) -> Iterator[None]:
    """Turns what can go wrong on the way into a CorpusError."""
    title, host = entry.title, _host(entry)
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        missing = error.code in (401, 403, 404, 410)
        hint = "It may have moved." if missing else "Try again later."
        raise CorpusError(
            f"{title} cannot be fetched: {host} answered {error.code} {error.reason}. {hint} {_OFFLINE}"
        ) from None
    except urllib.error.URLError as error:
        reason = error.reason
        why = "no answer" if isinstance(reason, TimeoutError) else getattr(reason, "strerror", None) or reason
        raise CorpusError(
            f"{title} cannot be fetched: {host} cannot be reached ({why}). {_OFFLINE}"
        ) from None
    except (TimeoutError, ConnectionError, http.client.HTTPException):
        raise CorpusError(
            f"The connection to {host} broke off, or nothing came for too long. What came of {title} is "
            f"kept: fetch it again to go on from there. {_OFFLINE}"
        ) from None
    except OSError as error:
        raise CorpusError(
            f"{title} cannot be kept ({error.strerror or error}). Free some room, or set SLM_CORPORA to a "
            "folder that can be written."
        ) from None
