"""What can be tried of the benchmarks without the machines and the hours that they are for."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slm_core.config import load_preset
from slm_core.model.budget import budget

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def gpu() -> dict:
    """The names of benchmarks/gpu.py."""
    path = list(sys.path)
    try:
        return runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))
    finally:
        sys.path[:] = path


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_without_a_graphics_card_its_benchmark_says_so_and_writes_nothing(tmp_path):
    command = [sys.executable, "benchmarks/gpu.py", "--write", str(tmp_path / "speed.md")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout == "There is no NVIDIA graphics card here, so there is nothing to measure.\n"
    assert not list(tmp_path.iterdir())


def test_the_table_of_a_graphics_card_by_hand(gpu):
    """LARGE_GPU reads 64 x 256 tokens a step: in half a second 33,000 a second, to two digits."""
    peak = 4 * budget(load_preset("LARGE_GPU").config).flops_per_step
    took = {"float32": [0.5, 0.5, 1.0], "bfloat16": [0.25, 0.5, 0.25]}
    said = gpu["report"]("A card", {"LARGE_GPU": took}, {"LARGE_GPU": [peak] * 3}, {"float32": 2e-5})
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert said.startswith("A card\n")
    assert rows[2] == "| LARGE_GPU | float32 | 33,000 (16,000 to 33,000) |  | 50% (25% to 50%) |"
    assert rows[3].endswith("| 66,000 (33,000 to 66,000) | 2.00 (1.00 to 4.00) | 100% (50% to 100%) |")
    assert rows[-1] == "| float32 | 2.0e-05 |"


def test_how_far_two_runs_are_apart_by_hand(gpu):
    assert gpu["furthest"]([2.0, 4.0, 5.0], [2.0, 3.0, 5.5]) == pytest.approx(0.25)
