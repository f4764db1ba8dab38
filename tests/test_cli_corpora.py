"""Texts on the command line: the library listed and fetched, training on files, folders, fetched texts."""

import pytest

from slm_core import cli, cli_corpora
from slm_core.cli import main
from slm_core.runs.store import list_runs
from slm_core.text import library
from slm_core.text.library import LIBRARY, Entry
from tests.text.test_download import TEXT, Site, site  # noqa: F401 (a fixture)

TINY = [
    "--set", "n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "vocab_size=300", "max_iters=2",
    "--set", "warmup_iters=1", "eval_interval=1", "batch_size=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Runs and corpora of this test lie in its own folder, which is also the current one."""
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("SLM_CORPORA", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(cli, "fastest_threads", lambda config: 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def few(site: Site, monkeypatch) -> Entry:  # noqa: F811
    """A library whose only text is on a server of this machine."""
    for module in (cli_corpora, library):
        monkeypatch.setattr(module, "LIBRARY", {"few": site.entry})
    return site.entry


def test_the_list_names_every_text_with_licence_and_size(capsys):
    assert main(["corpora"]) == 0
    said = capsys.readouterr().out
    for entry in LIBRARY.values():
        assert all(fact in said for fact in (entry.name, entry.licence, entry.about))
    assert "22.5 MB" in said and "1.1 MB" in said and said.count("not here") == len(LIBRARY)


def test_a_text_is_fetched_listed_and_trained_on(few, folders, capsys):
    assert main(["corpora", "fetch", "few"]) == 0
    said = capsys.readouterr()
    assert "100%" in said.err and "--corpus few" in said.out
    assert (folders / "corpora" / "few.txt").read_bytes() == TEXT
    assert main(["corpora"]) == 0
    assert f"here, {len(TEXT) / 1e6:.1f} MB" in capsys.readouterr().out
    assert main(["train", "--corpus", "few", *TINY]) == 0
    (run,) = list_runs(folders / "runs")
    assert run.config.corpus == "own"


def test_a_broken_fetch_says_so_and_the_next_goes_on(few, site, folders, capsys):  # noqa: F811
    site.cut_after = 150_000
    assert main(["corpora", "fetch", "few"]) == 2
    assert "kept" in capsys.readouterr().err
    assert main(["corpora"]) == 0
    assert "0.1 MB of it here" in capsys.readouterr().out
    site.cut_after = None
    assert main(["corpora", "fetch", "few", "--megabytes", "0.2"]) == 0
    assert site.asked[1]["Range"] == "bytes=150000-199999"
    assert TEXT.startswith((folders / "corpora" / "few.txt").read_bytes())


def test_an_interrupted_fetch_ends_with_130(few, monkeypatch):
    def interrupted(*_, **__):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_corpora, "fetch", interrupted)
    assert main(["corpora", "fetch", "few"]) == 130


def test_a_folder_is_trained_on_file_by_file(folders):
    texts = folders / "texts"
    texts.mkdir()
    for number in range(60):
        (texts / f"{number:02}.{'md' if number % 2 else 'txt'}").write_text(
            f"Day {number}. The fox\n\nsaw the owl {number} times, and laughed at the moon.", encoding="utf-8"
        )
    (texts / ".hidden.txt").write_text("secret")
    (texts / "picture.png").write_bytes(b"\0" * 100)
    assert main(["train", "--text", "texts", *TINY]) == 0
    (run,) = list_runs(folders / "runs")
    ids = [(run.folder / f"{side}.bin").read_bytes() for side in ("train", "validation")]
    assert all(ids)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("corpora fetch tiny-storys", "did you mean tiny-stories?"),
        ("corpora fetch tiny-stories --megabytes 0", "ask for 1 to 600 MB"),
        ("corpora fetch tiny-stories --megabytes 9999", "ask for 1 to 600 MB"),
        ("corpora fetch tiny-stories --megabytes nan", "ask for 1 to 600 MB"),
        ("train --corpus shakespear", "did you mean tiny-shakespeare?"),
        ("train --corpus tiny-stories", "corpora fetch tiny-stories"),
        ("train --text empty", "no .txt or .md files"),
        ("train --text nowhere", "nowhere"),
        ("train --text big.txt", "601 MB; at most 600 MB"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_and_exit_code_two(folders, capsys, arguments, answer):
    (folders / "empty").mkdir()
    with open(folders / "big.txt", "wb") as file:
        file.truncate(601_000_000)  # takes no room on the disk
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert answer in said.err and "Traceback" not in said.err and said.out == ""
    assert not (folders / "runs").exists() and not (folders / "corpora").exists()


@pytest.mark.parametrize("arguments", ["corpora steal", "corpora fetch", "train --text a --corpus b"])
def test_what_is_no_command_is_answered_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2 and "usage: python -m slm_core" in capsys.readouterr().err
