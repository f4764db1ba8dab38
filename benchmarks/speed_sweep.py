"""A sweep as the app does it, against what somebody does who has no app: one training after the other, each
in a process of its own that knows nothing of the others."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from speed_report import factors, table, times
from speed_rounds import Asked, in_turn

from slm_core.config import load_preset
from slm_core.hardware import ready_to_compute

ROOT = Path(__file__).resolve().parent.parent
PRESET, SIZES, SEEDS, PATIENCE = "ULTRA_TINY", (200, 1_000, 3_000, 10_000, 30_000), 3, 3  # the Scaling lab's
Changes = Mapping[str, Any]  # of the preset


def sweep(asked: Asked) -> str:
    """The table: a sweep, the same without early ends, and two runs."""
    base, few = load_preset(PRESET).config, {}
    if steps := asked.sweep_steps:
        few = {"max_iters": steps, "eval_interval": steps, "warmup_iters": min(base.warmup_iters, steps)}
    plain = [{"dataset_size": size, "seed": 1 + seed, **few} for seed in range(SEEDS) for size in SIZES]
    plain = plain[: asked.sweep_runs]
    early = [{**changes, "patience": PATIENCE} for changes in plain]
    whole, same, two = f"a sweep: {len(plain)} runs, dataset_size", "the same, none ends early", "two runs"
    ways = {
        (whole, "theirs"): partial(one_after_another, plain),
        (whole, "ours"): partial(at_once, early),
        (same, "ours"): partial(at_once, plain),
        (two, "theirs"): partial(one_after_another, plain[:2]),
        (two, "ours"): partial(at_once, plain[:2]),
    }
    found = in_turn(ways, asked.rounds, asked.until)
    found[same, "theirs"] = found[whole, "theirs"]
    rows = []
    for what in (whole, same, two):
        theirs, ours = found[what, "theirs"], found[what, "ours"]
        rows.append([what, times(theirs), times(ours), factors(ours, theirs)])
    heads = ["what", "one process after another", "at once, on the scheduler", "speedup"]
    sizes = ", ".join(f"{size:,}" for size in SIZES)
    return f"""{table(heads, rows)}

{PRESET} with a dataset_size of {sizes}, {SEEDS} seeds each, {few.get("max_iters", base.max_iters)} steps. One
after another: each run is `python -m slm_core train` on its own, does all its steps, and has the number of
threads that is fastest. At once: one new process for all, each run has one thread and, as the Scaling lab
does it, ends after {PATIENCE} measurements without a better validation loss. Starting the processes counts
for both, and all keep everything that a run keeps."""


def one_after_another(runs: Sequence[Changes]) -> float:
    """Seconds for these runs, a command for each."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for changes in runs:
            settings = [f"{name}={value}" for name, value in changes.items()]
            command = [sys.executable, "-m", "slm_core", "train", "--preset", PRESET, "--set", *settings]
            environment = {**os.environ, "SLM_RUNS": folder}
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began


def at_once(runs: Sequence[Changes]) -> float:
    """Seconds for these runs on the scheduler of a process that begins with nothing."""
    process = get_context("spawn").Process(target=_train, args=(runs,))
    began = time.perf_counter()
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("The runs on the scheduler failed; what was said stands above.")
    return time.perf_counter() - began


def _train(runs: Sequence[Changes]) -> None:
    ready_to_compute()
    from slm_core.runs.scheduler import Scheduler

    with tempfile.TemporaryDirectory() as folder:
        scheduler, base = Scheduler(Path(folder)), load_preset(PRESET).config
        started = [
            scheduler.start(base.with_changes(changes), name=f"run {number}", threads=1)
            for number, changes in enumerate(runs)
        ]
        for run in started:
            scheduler.wait(run)
