"""The public interface: every name is there, none costs torch before it is used, and the examples run."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slm_core

ROOT = Path(__file__).resolve().parents[1]


def examples(path: Path, heading: str = "") -> str:
    """All Python blocks of a Markdown file, or of one section of it, joined in their order."""
    text = path.read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def run_alone(script: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLM_RUNS": str(folder / "runs")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", slm_core.__all__)
def test_every_public_name_is_there_and_is_the_one_of_its_module(name):
    home = importlib.import_module(f"slm_core.{slm_core._HOMES[name]}")
    assert getattr(slm_core, name) is getattr(home, name)
    assert (getattr(slm_core, name).__doc__ or "").strip()


def test_all_lists_what_there_is():
    assert sorted(slm_core._HOMES) == slm_core.__all__ == sorted(slm_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'run_experiments'"):
        _ = slm_core.run_experiments


def test_the_examples_of_the_guide_run(tmp_path):
    done = run_alone(examples(ROOT / "docs" / "api.md"), tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("Same model: largest difference 0", "tokens per second", "at least 2,000 are needed"):
        assert said in done.stdout
    assert (tmp_path / "from_the_cloud.safetensors").exists()


def test_the_readmes_example_runs(tmp_path):
    """With presets of the same names that take a moment."""
    script = examples(ROOT / "README.md", "As a library")
    assert 5 <= script.count("\n") <= 8
    quick = (
        "from dataclasses import replace\nfrom slm_core import config, experiment\n"
        "load = config.load_preset\n"
        "def quick(name):\n"
        "    found = load(name)\n"
        "    small = dict(n_embd=16, block_size=16, batch_size=2, max_iters=4, warmup_iters=1, "
        "eval_interval=4)\n"
        "    return replace(found, config=found.config.with_changes({**small, 'dataset_size': 500}))\n"
        "config.load_preset = experiment.load_preset = quick\n"
    )
    done = run_alone(quick + script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Same model" in done.stdout and (tmp_path / "TINY_GPU.safetensors").exists()
