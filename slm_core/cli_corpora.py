"""Real texts from a terminal: `python -m slm_core corpora` lists them, `corpora fetch NAME` fetches one."""

import argparse
from contextlib import closing

from tqdm import tqdm

from slm_core.text.download import fetch, kept_bytes
from slm_core.text.library import LIBRARY, corpora_folder, entry_called, file_of, present_bytes


def add_corpora(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of the program."""
    corpora = commands.add_parser("corpora", help="list the real texts that can be fetched, or fetch one")
    corpora.set_defaults(command=_corpora)
    verbs = corpora.add_subparsers(metavar="fetch")
    fetching = verbs.add_parser("fetch", help="fetch one over the network; a second try goes on where it was")
    fetching.set_defaults(command=_fetch)
    fetching.add_argument("name", help="a name from the list")
    fetching.add_argument("--megabytes", type=float, help="fetch at most this much of it, from its beginning")


def megabytes(count: int) -> str:
    """A number of bytes for people: 22.5 MB."""
    return f"{count / 1e6:,.1f} MB"


def _corpora(parsed: argparse.Namespace) -> int:
    folder = corpora_folder()
    for entry in LIBRARY.values():
        here, kept = present_bytes(entry, folder), kept_bytes(entry, folder)
        state = f"{megabytes(kept)} of it here" if kept else "not here"
        state = f"here, {megabytes(here)}" if here else state
        print(f"{entry.name:<18} {megabytes(entry.fetched_bytes):>7}  {entry.licence:<16}  {state}")
        print(f"{'':<18} {entry.about}")
    print(f"\nFetched texts are kept in {folder}; set SLM_CORPORA to change that.")
    return 0


def _fetch(parsed: argparse.Namespace) -> int:
    entry, folder = entry_called(parsed.name), corpora_folder()
    most = None if parsed.megabytes is None else parsed.megabytes * 1e6
    steps = fetch(entry, folder, most_bytes=most)
    with closing(steps), tqdm(unit="B", unit_scale=True, dynamic_ncols=True, desc=entry.name) as bar:
        for step in steps:
            bar.total = step.total_bytes
            bar.update(step.received_bytes - bar.n)
    print(f"{entry.title} is in {file_of(entry, folder)}. Licence: {entry.licence}.")
    print(f"Train on it with: python -m slm_core train --corpus {entry.name}")
    return 0
