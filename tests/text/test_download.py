"""Fetching, against a server on this machine that can be made to behave badly."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slm_core.errors import CorpusError
from slm_core.text.download import Progress, fetch, kept_bytes
from slm_core.text.library import Entry, file_of, present_bytes

STORY = "Once upon a time, number {} went out. “Good morning!” it said.\n<|endoftext|>\n"
TEXT = "".join(STORY.format(number) for number in range(4_000)).encode()


@dataclass
class Site:
    """What the server does; `asked` are the headers of the requests it got."""

    entry: Entry
    ranges: bool = True
    says_size: bool = True
    etag: str = '"one"'
    content: bytes = TEXT
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    cut_after: int | None = None  # bytes sent before the connection is cut
    stall_after: int | None = None  # bytes sent before nothing more comes
    asked: list[dict[str, str]] = field(default_factory=list)
    leave: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(handler.headers))
        if self.status >= 400:
            handler.send_error(self.status)
            return
        start, end, whole = 0, len(self.content), len(self.content)
        wanted = handler.headers.get("Range")
        same = handler.headers.get("If-Range", self.etag) == self.etag
        if wanted and self.ranges and same:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(whole, int(last) + 1)
            if start >= whole:
                handler.send_response(416)
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{whole}")
        else:
            handler.send_response(self.status)
        handler.send_header("Content-Type", self.content_type)
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.says_size:
            handler.send_header("Content-Length", str(end - start))
        handler.end_headers()
        for limit in (self.cut_after, self.stall_after):
            end = end if limit is None else min(end, start + limit)
        handler.wfile.write(self.content[start:end])
        if self.stall_after is not None:
            self.leave.wait(30)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                found.answer(self)
            except ConnectionError:  # the fetch was stopped
                self.close_connection = True

        def log_message(self, *parts: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Site(entry_at(f"http://127.0.0.1:{server.server_port}/stories.txt"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.leave.set()
        server.shutdown()
        thread.join()


def entry_at(url: str) -> Entry:
    return Entry(name="few", title="A few", url=url, licence="none", size_bytes=len(TEXT), about="Stories.")


def fetch_all(site: Site, folder: Path, **options: object) -> list[Progress]:
    return list(fetch(site.entry, folder, **options))


def file_in(folder: Path, site: Site) -> bytes:
    return file_of(site.entry, folder).read_bytes()


def test_a_text_comes_whole_with_progress_and_leaves_nothing_else(site, tmp_path):
    steps = fetch_all(site, tmp_path / "new" / "folder")
    assert file_in(tmp_path / "new" / "folder", site) == TEXT
    received = [step.received_bytes for step in steps]
    assert received == sorted(received) and (received[0], received[-1]) == (0, len(TEXT))
    assert {step.total_bytes for step in steps} == {len(TEXT)} and steps[-1].share == 1
    assert [each.name for each in (tmp_path / "new" / "folder").iterdir()] == ["few.txt"]


def test_a_text_that_is_there_is_not_fetched_again(site, tmp_path):
    fetch_all(site, tmp_path)
    assert fetch_all(site, tmp_path) == [Progress(len(TEXT), len(TEXT))]
    assert len(site.asked) == 1


@pytest.mark.parametrize("says_size", [True, False])
@pytest.mark.parametrize("etag", ['"one"', ""])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_goes_on_to_identical_bytes(site, tmp_path, ranges, etag, says_size):
    site.ranges, site.etag, site.says_size, site.cut_after = ranges, etag, says_size, 100_001
    with pytest.raises(CorpusError, match=r"broke off.*is kept.*built-in stories need no network"):
        fetch_all(site, tmp_path)
    assert present_bytes(site.entry, tmp_path) is None
    assert kept_bytes(site.entry, tmp_path) == 100_001
    site.cut_after = None
    steps = fetch_all(site, tmp_path)
    assert file_in(tmp_path, site) == TEXT
    assert steps[0].received_bytes == (100_001 if ranges else 0)
    assert site.asked[1]["Range"].startswith("bytes=100001-")
    assert site.asked[1].get("If-Range", "") == etag


def test_a_stopped_fetch_goes_on_where_it_was(site, tmp_path):
    with closing(fetch(site.entry, tmp_path)) as steps:
        while (stopped_at := next(steps).received_bytes) == 0:
            pass
    assert kept_bytes(site.entry, tmp_path) == stopped_at < len(TEXT)
    assert fetch_all(site, tmp_path)[0].received_bytes == stopped_at
    assert file_in(tmp_path, site) == TEXT


def test_another_version_is_not_glued_to_the_first(site, tmp_path):
    site.cut_after = 100_001
    with pytest.raises(CorpusError):
        fetch_all(site, tmp_path)
    site.cut_after, site.etag, site.content = None, '"two"', TEXT[::-1].replace(b"\x80", b"a")
    fetch_all(site, tmp_path)
    assert file_in(tmp_path, site) == site.content


def test_a_text_that_has_become_shorter_than_what_is_kept_is_fetched_anew(site, tmp_path):
    site.cut_after, site.etag = 200_001, ""
    with pytest.raises(CorpusError):
        fetch_all(site, tmp_path)
    site.cut_after, site.content = None, TEXT[:190_000]
    fetch_all(site, tmp_path)
    assert file_in(tmp_path, site) == TEXT[:190_000]


@pytest.mark.parametrize("says_size", [True, False])
def test_a_capped_text_ends_with_a_whole_document(site, tmp_path, says_size):
    site.says_size = says_size
    steps = fetch_all(site, tmp_path, most_bytes=100_000)
    content = file_in(tmp_path, site)
    assert TEXT.startswith(content) and 99_800 < len(content) <= 100_000
    assert content.decode().endswith("it said.\n") and steps[-1] == Progress(100_000, 100_000)


def test_a_capped_fetch_goes_on_up_to_its_cap(site, tmp_path):
    site.cut_after = 60_001
    with pytest.raises(CorpusError):
        fetch_all(site, tmp_path, most_bytes=100_000)
    site.cut_after = None
    fetch_all(site, tmp_path, most_bytes=100_000)
    assert site.asked[1]["Range"] == "bytes=60001-99999"
    assert TEXT.startswith(file_in(tmp_path, site)) and len(file_in(tmp_path, site)) > 99_800


def test_a_smaller_cap_takes_what_is_kept_without_asking(site, tmp_path):
    site.cut_after = 60_001
    with pytest.raises(CorpusError):
        fetch_all(site, tmp_path)
    fetch_all(site, tmp_path, most_bytes=50_000)
    assert len(site.asked) == 1 and 49_800 < len(file_in(tmp_path, site)) <= 50_000


@pytest.mark.parametrize("after", [0, 50_000])
def test_a_server_that_falls_silent_is_given_up(site, tmp_path, after):
    site.stall_after = after
    with pytest.raises(CorpusError, match="nothing came for too long"):
        fetch_all(site, tmp_path, timeout_seconds=0.2)
    assert kept_bytes(site.entry, tmp_path) == after


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"status": 404}, "answered 404 .* may have moved.*built-in stories need no network"),
        ({"status": 503}, "answered 503 .* Try again later"),
        ({"content": b"Sign in here"}, "instead of A few .*sign in"),
        ({"content": 3 * TEXT}, "instead of A few"),
        ({"content_type": "text/html"}, "a web page instead of A few"),
    ],
)
def test_an_answer_that_is_not_the_text_is_refused_and_what_is_kept_stays(site, tmp_path, changes, answer):
    site.cut_after = 50_000
    with pytest.raises(CorpusError, match="kept"):
        fetch_all(site, tmp_path)
    site.cut_after, site.ranges = None, False
    for name, value in changes.items():
        setattr(site, name, value)
    with pytest.raises(CorpusError, match=answer):
        fetch_all(site, tmp_path)
    assert present_bytes(site.entry, tmp_path) is None and kept_bytes(site.entry, tmp_path) == 50_000
    site.status, site.content, site.content_type, site.ranges = 200, TEXT, "text/plain", True
    assert fetch_all(site, tmp_path)[0].received_bytes == 50_000
    assert file_in(tmp_path, site) == TEXT


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.txt", "http://no-such-host.invalid/a.txt"])
def test_without_a_network_it_says_what_needs_none(url, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(CorpusError, match=r"cannot be reached .*The built-in stories need no network"):
        list(fetch(entry_at(url), tmp_path))


def test_two_fetches_do_not_write_into_one_file(site, tmp_path):
    site.stall_after = 50_000
    with closing(fetch(site.entry, tmp_path)) as first:
        next(first)
        with pytest.raises(CorpusError, match="being fetched already"):
            fetch_all(site, tmp_path)


@pytest.mark.parametrize("most_bytes", [0, -1, 10**10])
def test_a_cap_must_make_sense(site, tmp_path, most_bytes):
    with pytest.raises(CorpusError, match="ask for 1 to 600 MB"):
        fetch_all(site, tmp_path, most_bytes=most_bytes)
    assert site.asked == []


def test_a_folder_that_cannot_be_written_is_said(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match="SLM_CORPORA"):
        fetch_all(site, tmp_path / "file")


def test_progress_is_a_share() -> None:
    shares: Callable[[int, int], float] = lambda received, total: Progress(received, total).share  # noqa: E731
    assert [shares(0, 10), shares(5, 10), shares(11, 10), shares(0, 0)] == [0, 0.5, 1, 0]
