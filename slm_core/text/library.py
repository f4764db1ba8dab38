"""Real texts: a few that can be fetched over the network when somebody asks, and files of one's own.

A text that came is one file, `<name>.txt`, in the corpora folder. It is fetched in `download`, and read here.
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slm_core.errors import CorpusError
from slm_core.text.corpus import read_text
from slm_core.text.tokenizer import END_OF_TEXT

LARGEST_FILE_BYTES = 600_000_000  # that is read from disk; to prepare 200 MB takes 3 GB of memory


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A text of the library: where it comes from, under which licence, and how large the file is there.

    most_bytes    how much of it is fetched, from its beginning; the rest is left where it is
    """

    name: str
    title: str
    url: str
    licence: str
    size_bytes: int
    about: str
    most_bytes: int = LARGEST_FILE_BYTES

    @property
    def fetched_bytes(self) -> int:
        """How much a fetch is expected to bring."""
        return min(self.size_bytes, self.most_bytes)


_TINY_STORIES = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-"
LIBRARY: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="tiny-stories",
            title="TinyStories, a sample",
            url=_TINY_STORIES + "valid.txt",
            licence="CDLA-Sharing-1.0",
            size_bytes=22_502_601,
            about="27,000 short stories that GPT-4 wrote in the words of a small child (Eldan and Li, 2023).",
        ),
        Entry(
            name="tiny-stories-large",
            title="TinyStories",
            url=_TINY_STORIES + "train.txt",
            licence="CDLA-Sharing-1.0",
            size_bytes=2_227_753_162,
            about="More of the same stories, enough for the presets that need a graphics card.",
            most_bytes=200_000_000,  # about 50 M tokens, five times what LARGE_GPU reads
        ),
        Entry(
            name="tiny-shakespeare",
            title="Tiny Shakespeare",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            licence="public domain",
            size_bytes=1_115_394,
            about="Speeches from the plays of William Shakespeare, 40,000 lines put together by A. Karpathy.",
        ),
    )
}


def corpora_folder() -> Path:
    """Where fetched texts are kept: the environment variable SLM_CORPORA, else `corpora` beside the runs."""
    if chosen := os.environ.get("SLM_CORPORA"):
        return Path(chosen).resolve()
    return Path(os.environ.get("SLM_RUNS") or "runs").resolve().parent / "corpora"


def entry_called(name: str) -> Entry:
    """The library's entry of that name. Raises CorpusError naming the nearest one."""
    if name not in LIBRARY:
        close = get_close_matches(name.lower(), LIBRARY, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise CorpusError(f"The library has no text called {name!r}{hint} It has: {', '.join(LIBRARY)}.")
    return LIBRARY[name]


def present_bytes(entry: Entry, folder: Path) -> int | None:
    """The size of a text that has been fetched whole; None if it has not."""
    try:
        return file_of(entry, folder).stat().st_size
    except OSError:
        return None


def file_of(entry: Entry, folder: Path) -> Path:
    """Where a fetched text lies."""
    return folder / f"{entry.name}.txt"


def read(entry: Entry, folder: Path, most_bytes: int = LARGEST_FILE_BYTES) -> str:
    """A fetched text, or the documents of it that end within its first `most_bytes`.

    Raises CorpusError if it is not there or is damaged, and OSError if it cannot be read.
    """
    if (size := present_bytes(entry, folder)) is None:
        raise CorpusError(
            f"{entry.title} has not been fetched yet. Download it on the Data page, or with: "
            f"python -m slm_core corpora fetch {entry.name}"
        )
    with open(file_of(entry, folder), "rb") as file:
        content = file.read(most_bytes)
    if size > most_bytes:
        content = content[: end_of_documents(content)]
    return read_text(content, entry.title, most_bytes)


def end_of_documents(content: bytes) -> int:
    """Where the last whole document of a text ends that was cut off somewhere: before the last end-of-text
    mark, or else the last empty line, or else the last line."""
    ends = (content.rfind(mark) for mark in (END_OF_TEXT.encode(), b"\n\n", b"\n"))
    return next((end for end in ends if end > 0), len(content))


def read_path(path: Path) -> str:
    """The text of a UTF-8 file, or of all .txt and .md files in a folder, sorted, each as one document.

    Raises CorpusError if there is none, if they are no text, or if they have over LARGEST_FILE_BYTES, and
    OSError if they cannot be read.
    """
    files = _texts_in(path) if path.is_dir() else [path]
    size = sum(each.stat().st_size for each in files)  # asked before anything is read into memory
    if size > LARGEST_FILE_BYTES:
        raise CorpusError(
            f"{path} has {size / 1e6:,.0f} MB; at most {LARGEST_FILE_BYTES / 1e6:,.0f} MB can be read. "
            "Use a part of it."
        )
    texts = (read_text(each.read_bytes(), each.name, LARGEST_FILE_BYTES) for each in files)
    return f"\n{END_OF_TEXT}\n".join(texts)


def _texts_in(folder: Path) -> list[Path]:
    found = [each for each in folder.iterdir() if each.suffix.lower() in (".txt", ".md") and each.is_file()]
    files = sorted(each for each in found if not each.name.startswith("."))
    if not files:
        raise CorpusError(f"The folder {folder} has no .txt or .md files. Name a folder or a file with text.")
    return files
