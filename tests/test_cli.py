"""The command line: it trains and writes, and answers every mistake with a sentence and exit code 2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slm_core import cli
from slm_core.cli import main
from slm_core.config import KNOBS, load_presets
from slm_core.runs.checkpoint import load_checkpoint
from slm_core.runs.history import History
from slm_core.runs.store import create_run, list_runs
from slm_core.train.events import StepDone

TINY = [
    "--set", "n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "vocab_size=300", "max_iters=4",
    "--set", "warmup_iters=1", "eval_interval=2", "batch_size=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch) -> Path:
    """The runs folder of this test; the thread probe is answered, as it takes a moment."""
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(cli, "fastest_threads", lambda config: 1)
    return tmp_path / "runs"


@pytest.fixture
def text_file(tmp_path, own_text) -> Path:
    file = tmp_path / "own.txt"
    file.write_text(own_text)
    return file


def test_a_text_is_trained_on_and_written_from(runs, text_file, capsys):
    assert main(["train", "--text", str(text_file), "--name", "Mine", *TINY]) == 0
    said = capsys.readouterr()
    (run,) = list_runs(runs)
    history = History(run.folder).refresh()
    assert (run.name, run.config.corpus, history.finished.reason) == ("Mine", "own", "finished")
    assert list(history.losses) == [1, 2, 3, 4] and list(history.evaluations) == [0, 2, 4]
    assert f"Best validation loss {history.best.validation_loss:.3f} at step {history.best.step}" in said.out
    for kind, path in run.checkpoints.items():
        assert f"{kind}: {path}" in said.out
    assert (
        main(["generate", str(run.checkpoints["best"]), "The cat", "--max-new-tokens", "9", "--seed", "3"])
        == 0
    )
    written = capsys.readouterr().out
    assert written.startswith("The cat")
    assert (
        main(["generate", str(run.checkpoints["best"]), "The cat", "--max-new-tokens", "9", "--seed", "3"])
        == 0
    )
    assert capsys.readouterr().out == written


def test_the_program_runs_as_a_module_on_any_terminal(runs, text_file):
    command = [sys.executable, "-m", "slm_core"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[1])}
    train = subprocess.run(
        [*command, "train", "--text", str(text_file), *TINY],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert train.returncode == 0, train.stderr
    (run,) = list_runs(runs)
    generate = subprocess.run(
        [*command, "generate", str(run.checkpoints["last"]), b"caf\xc3\xa9 \xff"],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert generate.returncode == 0 and generate.stdout.startswith(b"caf"), generate.stderr
    wrong = subprocess.run(
        [*command, "train", "--preset", "tiny"], env=environment, capture_output=True, check=False
    )
    assert wrong.returncode == 2 and b"did you mean" in wrong.stderr and b"Traceback" not in wrong.stderr


def test_an_interrupted_run_says_how_to_go_on_and_does(runs, text_file, capsys, monkeypatch):
    assert main(["train", "--text", str(text_file), *TINY]) == 0
    (whole,) = list_runs(runs)

    def interrupt(event: object, bar: object) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            raise KeyboardInterrupt

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(cli, "_show", interrupt)
        assert main(["train", "--text", str(text_file), *TINY]) == 130
    (stopped,) = [run for run in list_runs(runs) if run.id != whole.id]
    advice = re.search(r"python -m slm_core (train --resume \S+)", capsys.readouterr().out)
    assert History(stopped.folder).refresh().finished.reason == "stopped"
    assert main(advice[1].split()) == 0
    first, second = (load_checkpoint(run.checkpoints["last"]).model.state_dict() for run in (whole, stopped))
    assert all(first[name].equal(second[name]) for name in first)


def test_a_run_interrupted_while_it_reads_says_how_to_go_on(runs, text_file, capsys, monkeypatch):
    def interrupt(event: object, bar: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_show", interrupt)
    assert main(["train", "--text", str(text_file), *TINY]) == 130
    run = list_runs(runs)[0]
    assert f"--resume {run.id}" in capsys.readouterr().out
    assert run.resumable, "its text is there: it begins anew"


def test_a_run_that_diverges_ends_with_one(text_file, monkeypatch):
    from slm_core.train.trainer import Trainer

    monkeypatch.setattr(Trainer, "_backward", lambda self, random: float("nan"))
    assert main(["train", "--text", str(text_file), *TINY]) == 1


def test_presets_and_settings_are_listed(capsys):
    assert main(["presets"]) == 0
    said = capsys.readouterr().out
    for name in [*load_presets(), *KNOBS]:
        assert name in said
    assert "learning_rate = 0.003" in said


BAD_TEXTS = {
    "empty.txt": b"",
    "binary.txt": bytes(3_000),
    "latin.txt": "Größe ".encode("latin-1") * 1_000,
    "word.txt": b"word" * 1_000,
    "short.txt": b"too short",
    "repeated.txt": b"again and again\n\n" * 1_000,
}


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("train --preset TINY_CPUS", "did you mean TINY_CPU?"),
        ("train --set n_layers=3", "did you mean n_layer"),
        ("train --set n_layer=many", "whole number"),
        ("train --set n_layer", "name=value"),
        ("train --set n_layer=0", "from 1 to 24"),
        ("train --set seed=1" + 400 * "0", "from 0 to"),
        ("train --set n_head=3", "n_head = 2"),
        ("train --set corpus=own", "--text"),
        ("train --set corpus=poems", "tales, stories, own"),
        ("train --device tpu", "no device 'tpu'"),
        ("train --device cuda:99", "Found: "),
        ("train --text nowhere.txt", "nowhere.txt"),
        ("train --text .", "binary.txt is not a text file"),
        *((f"train --text {name}", "at least 2,000" if name[0] in "wsr" else name) for name in BAD_TEXTS),
        ("train --resume ../x", "no run's id"),
        ("train --resume 20260101-000000-a-abcdef", "There is no run"),
        ("generate nowhere.safetensors Once", "nowhere.safetensors cannot be read"),
        ("generate . Once", "cannot be read"),
        ("generate short.txt Once", "short.txt"),
        ("generate binary.txt Once", "binary.txt"),
        ("generate short.txt Once --temperature=-1", "temperature is -1.0"),
        ("generate short.txt Once --temperature=nan", "temperature is nan"),
        ("generate short.txt Once --top-p=2 --top-k=-1", "top_k is -1"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_a_sentence_and_exit_code_two(
    runs, tmp_path, monkeypatch, capsys, arguments, answer
):
    monkeypatch.chdir(tmp_path)
    for name, content in BAD_TEXTS.items():
        (tmp_path / name).write_bytes(content)
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert answer in said.err and "Traceback" not in said.err and said.out == ""
    assert not runs.exists(), "nothing may be left of a run that could not begin"


@pytest.mark.parametrize(
    "arguments", ["", "trian", "train --steps 3", "generate", "generate x y --top-k many"]
)
def test_what_is_no_command_is_answered_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert "usage: python -m slm_core" in capsys.readouterr().err


def test_a_runs_folder_that_cannot_be_used_is_told(runs, text_file, capsys):
    runs.write_text("in the way")
    assert main(["train", "--text", str(text_file), *TINY]) == 2
    assert "SLM_RUNS" in capsys.readouterr().err


def test_a_finished_run_cannot_be_resumed(runs, tiny_config, capsys):
    run = create_run(runs, tiny_config, name="a", device="cpu", threads=1)
    assert main(["train", "--resume", run.id]) == 2
    assert "nothing left" in capsys.readouterr().err


def test_a_run_from_another_machine_is_refused_in_words(runs, tiny_config, own_text, capsys):
    run = create_run(runs, tiny_config, name="a", device="cuda:77", threads=1)
    run.write_text("text.txt", own_text)
    (run.folder / "resume.safetensors").touch()
    assert main(["train", "--resume", run.id]) == 2
    assert "no device 'cuda:77'" in capsys.readouterr().err
