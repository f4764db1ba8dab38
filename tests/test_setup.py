"""setup.sh and setup.bat do what the README's first line says, once or again, and say what is missing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASH, BATCH = ROOT / "setup.sh", ROOT / "setup.bat"
needs_bash = pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="there is no bash")


def first_line() -> list[str]:
    """The commands of the README's first line that is to be typed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"```bash\n(.*)\n```", text)[1].split(" && ")


def test_the_readme_makes_installs_and_starts():
    make, install, start = first_line()
    assert make == "python3 -m venv .venv"
    assert install.startswith(".venv/bin/pip install") and start.startswith(".venv/bin/streamlit run")


def test_both_scripts_do_what_the_readme_says():
    make, install, start = first_line()
    bash = BASH.read_text(encoding="utf-8")
    batch = BATCH.read_text(encoding="ascii")
    making = make.removeprefix("python3")
    assert f'"$python"{making} ' in bash and f"%python%{making}\n" in batch
    windows = [each.replace(".venv/bin/", ".venv\\Scripts\\") for each in (install, start)]
    for said, script in ((install, bash), (start, bash), (windows[0], batch), (windows[1], batch)):
        assert re.search(rf"^(exec )?{re.escape(said)}\b", script, re.MULTILINE), said


def test_both_scripts_ask_for_the_python_that_the_readme_asks_for():
    wanted = re.search(r"Python (\d+)\.(\d+) or newer", (ROOT / "README.md").read_text(encoding="utf-8"))
    for script in (BASH, BATCH):
        text = script.read_text(encoding="utf-8")
        assert f"version_info < ({wanted[1]}, {wanted[2]})" in text and wanted[0] in text


def test_the_batch_file_has_the_line_ends_and_the_labels_that_windows_needs():
    content = BATCH.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 20, "cmd may miss labels in files without \\r"
    text = content.decode("ascii")
    assert set(re.findall(r"goto (\w+)", text)) == set(re.findall(r"^:(\w+)", text, re.MULTILINE))


@needs_bash
def test_the_shell_script_is_a_program_in_the_language_of_bash():
    assert os.access(BASH, os.X_OK)
    done = subprocess.run(["bash", "-n", str(BASH)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


FAKE = """#!/usr/bin/env bash
# Plays one program, and writes down how it was called.
name=$(basename "$0")
if [ "$1" = -c ]; then exit "${OLD:-0}"; fi
echo "$name $*" >> "$LOG"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p .venv/bin
    for each in python pip streamlit; do cp "$0" ".venv/bin/$each"; done
fi
if [ "$name $1" = "pip install" ]; then exit "${PIP:-0}"; fi
"""


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with the script, called with blanks, as people call folders; beside it a Python that plays."""
    folder = tmp_path / "my models"
    folder.mkdir()
    shutil.copy(BASH, folder)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "basename", "mkdir", "cp"):
        (programs / name).symlink_to(shutil.which(name))
    (programs / "python3").write_text(FAKE)
    (programs / "python3").chmod(0o755)
    return folder


def run(place: Path, *arguments: str, **changes: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """The script's end, and the programs that it called."""
    log = place.parent / "log"
    log.write_text("")
    environment = {"PATH": str(place.parent / "programs"), "LOG": str(log), **changes}
    done = subprocess.run(
        [str(place / "setup.sh"), *arguments],
        cwd=place.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, log.read_text().splitlines()


@needs_bash
def test_the_first_time_it_makes_installs_and_starts_and_later_no_longer_makes(place):
    done, called = run(place, "--server.port", "8502")
    assert done.returncode == 0, done.stderr
    make, install, start = (each.removeprefix(".venv/bin/") for each in first_line())
    assert called == [make, install, f"{start} --server.port 8502"]
    done, called = run(place)
    assert (done.returncode, called) == (0, ["pip --version", install, start])


@needs_bash
def test_without_a_new_enough_python_it_says_so_and_does_nothing(place):
    done, called = run(place, OLD="1")
    assert (done.returncode, called) == (1, [])
    assert "Python 3.11 or newer" in done.stderr and not (place / ".venv").exists()


@needs_bash
def test_another_python_than_the_first_one_may_be_the_new_one(place):
    programs = place.parent / "programs"
    (programs / "python3").rename(programs / "python3.12")
    done, called = run(place)
    assert done.returncode == 0 and called[0] == "python3.12 -m venv .venv"


@needs_bash
def test_what_pip_cannot_install_is_told_and_nothing_is_started(place):
    done, called = run(place, PIP="1")
    assert done.returncode == 1 and "pip says why" in done.stderr
    assert not any("streamlit" in each for each in called)
    done, called = run(place)
    assert done.returncode == 0 and called[-1].startswith("streamlit run"), "the next time it goes on"


@needs_bash
def test_half_an_environment_is_mended(place):
    run(place)
    (place / ".venv" / "bin" / "pip").unlink()
    done, called = run(place)
    assert done.returncode == 0 and called[0] == "python3 -m venv .venv"
