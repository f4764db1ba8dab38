"""How fast is it, beside others? Training, writing, sweeps and memory.

    python benchmarks/speed.py --write docs/speed.md
    python benchmarks/speed.py --parts step,generation --minutes 10

Everything that is compared takes turns, round by round, so that what else the machine does hits all alike.
Rounds end early where the time is up. With --write, the sections of that page are replaced; it is made if it
is not there. Needs what requirements-dev.txt installs; programs that are missing are left out.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import factors, made_by, rates, shares, table, write_section  # noqa: E402
from speed_rounds import Asked, in_turn, seconds_each  # noqa: E402
from speed_sweep import sweep  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.config import load_preset  # noqa: E402
from slm_core.hardware import fastest_threads, physical_cores, ready_to_compute, use_threads  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.text.corpus import prepare  # noqa: E402

SIZES = ("ULTRA_TINY", "TINY_CPU", "SMALL_CPU", "MEDIUM_CPU")
OURS, TRANSFORMERS, PLAIN = TRAINERS = ("ours", "transformers", "nanoGPT's way")
TEXT_TOKENS = 60  # of one written text: no model's window is ever full
MEMORY_STEPS = 5
NO_MODEL = "nothing"
ANOTHER_PROGRAM = """
import time
while True:
    end = time.perf_counter() + 0.015
    while time.perf_counter() < end:
        pass
    time.sleep(0.035)
"""


def main() -> None:
    """Measures the parts that are asked for, prints them and writes them down."""
    given = arguments()
    ready_to_compute()
    if given.memory_of:
        print(megabytes_after_training(given.memory_of, given.threads))
        return
    asked = Asked(
        sizes=SIZES[:2] if given.quick else SIZES,
        rounds=1 if given.quick else given.rounds,
        seconds=0.02 if given.quick else given.seconds,
        threads=given.threads,
        sweep_runs=2 if given.quick else given.sweep_runs,
        sweep_steps=2 if given.quick else given.sweep_steps,
        until=time.monotonic() + 60 * given.minutes,
    )
    for place, name in enumerate(given.parts):
        print(f"# {name}", flush=True)
        busy = others_busy()
        measured = PARTS[name](asked.share(place, len(given.parts)))
        section = f"{measured}\n\n{made_by(busy, *PROGRAMS.get(name, ()))}"
        print(section, flush=True)
        if given.write:
            write_section(given.write, name, section)


def arguments() -> argparse.Namespace:
    """What is asked for on the command line; parts as a list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=25.0, help="for all parts together, about")
    parser.add_argument("--rounds", type=int, default=7, help="at most")
    parser.add_argument("--seconds", type=float, default=1.5, help="of one turn")
    parser.add_argument("--threads", type=int, default=physical_cores(), help="of the others, and the peak's")
    parser.add_argument("--sweep-runs", type=int, default=15, help="at most")
    parser.add_argument("--sweep-steps", type=int, default=0, help="of each run; by default, its preset's")
    parser.add_argument("--quick", action="store_true", help="hardly anything, to see that it works")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)  # how `memory` calls this script
    given = parser.parse_args()
    given.parts = given.parts.split(",")
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"there is no part called {unknown[0]!r}; there are {', '.join(PARTS)}")
    return given


def step(asked: Asked) -> str:
    """One training step of ours and of others, and its share of what the processor could do."""
    from slm_core.model.linear import onednn_is_faster

    steps, peaks = measured_steps(asked)
    library = "oneDNN" if onednn_is_faster() else "torch's choice, as theirs"
    return f"""{steps}

One update of the weights, each trainer in a process of its own. transformers: GPT2LMHeadModel, its text in
memory. nanoGPT's way: biases, batches from a memory-mapped file. Both take torch's AdamW (foreach) and
torch's choice of threads, one per core. Ours is the trainer's own step, with rotary positions, its products
by {library}, and one thread per core, or one in all where a trial before the run finds that
clearly faster. The peak is that of multiplying matrices of 1,024 rows in float32 on all cores by the same
library, measured in the same rounds: {statistics.median(peaks) / 1e9:,.0f} GFLOP/s beside the last size."""


def beside(asked: Asked) -> str:
    """The same while another program wants a core for a part of the time, as a browser does."""
    another = subprocess.Popen([sys.executable, "-c", ANOTHER_PROGRAM])
    try:
        steps, _ = measured_steps(asked)
    finally:
        another.kill()
        another.wait()
    return f"""The same beside a program that computes for 15 ms in every 50, as a browser may:

{steps}"""


def measured_steps(asked: Asked) -> tuple[str, list[float]]:
    """The table of all sizes, and the peaks measured beside the last one."""
    use_threads(asked.threads)
    rows = []
    for place, size in enumerate(asked.sizes):
        config = load_preset(size).config
        threads = dict.fromkeys(TRAINERS, asked.threads) | {OURS: fastest_threads(config)}
        names = [name for name in TRAINERS if name != TRANSFORMERS or find_spec("transformers")]
        with ExitStack() as workers:
            ways: dict[str, Callable[[], float]] = {
                name: partial(workers.enter_context(worker(name, size, threads[name])), asked.seconds)
                for name in names
            }
            ways["peak"] = partial(matrix_peak, asked.seconds / 3)
            found = in_turn(ways, asked.rounds, asked.share(place, len(asked.sizes)).until)
        cost, peaks = budget(config), found.pop("peak")
        reached = [cost.flops_per_step / took / peak for took, peak in zip(found[OURS], peaks, strict=True)]
        rows.append(
            [
                size,
                f"{cost.parameters / 1e6:.2f} M",
                str(threads[OURS]),
                *(
                    rates([config.tokens_per_step / took for took in found.get(name, [])])
                    for name in TRAINERS
                ),
                *(factors(found[OURS], found.get(name, [])) for name in TRAINERS[1:]),
                shares(reached),
            ]
        )
    heads = ["size", "parameters", "our threads", *(f"{name}, tokens/s" for name in TRAINERS)]
    heads += [*(f"speedup over {name}" for name in TRAINERS[1:]), "ours, of peak"]
    return table(heads, rows), peaks


@contextmanager
def worker(name: str, size: str, threads: int) -> Iterator[Callable[[float], float]]:
    """Seconds of a trainer's step, tried for so many seconds whenever asked, in a process of its own: how a
    process deals with memory is part of how fast it trains."""
    context = get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_answer, args=(its, name, size, threads), daemon=True)
    process.start()

    def ask(seconds: float) -> float:
        mine.send(seconds)
        return mine.recv()

    try:
        ask(0.0)  # it is ready then
        yield ask
    finally:
        process.terminate()
        process.join()


def _answer(asked: Connection, name: str, size: str, threads: int) -> None:
    for setting in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # of the process that asks, which is ours
        os.environ.pop(setting, None)
    if name == OURS:
        ready_to_compute()
    import speed_rivals as rivals

    use_threads(threads)
    config = load_preset(size).config
    dataset = prepare(config)
    with tempfile.TemporaryDirectory() as folder:  # the file that one of them reads lies there
        train = {
            OURS: lambda: rivals.our_step(config, dataset),
            PLAIN: lambda: rivals.plain_step(config, dataset, Path(folder)),
            TRANSFORMERS: lambda: rivals.transformers_step(config, dataset),
        }[name]()
        while True:
            asked.send(seconds_each(train, asked.recv()))


def matrix_peak(seconds: float) -> float:
    """Multiplications and additions per second while large matrices are multiplied, in float32, by the
    faster of the libraries that the layers choose from."""
    import torch

    from slm_core.model.linear import Linear

    rows = 1_024
    x, layer = torch.randn(rows, rows, generator=torch.Generator().manual_seed(0)), Linear(rows, rows)
    with torch.no_grad():
        return 2 * rows**3 / seconds_each(lambda: layer(x), seconds)


def generation(asked: Asked) -> str:
    """One text at a time, on one thread."""
    import speed_rivals as rivals

    use_threads(1)
    rows = []
    for place, size in enumerate(asked.sizes):
        config = load_preset(size).config
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = rivals.untrained(config, prepare(config), Path(folder))
        ways = {
            name: partial(seconds_each, work, asked.seconds)
            for name, work in rivals.writers(checkpoint, TEXT_TOKENS).items()
        }
        found = in_turn(ways, asked.rounds, asked.share(place, len(asked.sizes)).until)
        for name, took in found.items():
            per_second = rates([TEXT_TOKENS / each for each in took])
            rows.append([size, name, per_second, "" if name == OURS else factors(found[OURS], took)])
    return f"""{table(["size", "written by", "tokens/s", "speedup of ours"], rows)}

Texts of {TEXT_TOKENS} tokens at temperature {rivals.TEMPERATURE}, one at a time, one thread, untrained
weights. transformers has its cache; llama.cpp is called from Python, by cyllama, once for each token."""


def memory(asked: Asked) -> str:
    """What a process holds that has trained a model, a fresh process for each."""
    rows = []
    for size in (NO_MODEL, *asked.sizes):
        command = [sys.executable, __file__, "--memory-of", size, "--threads", str(asked.threads)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        held = f"{int(answer.stdout.split()[-1]):,} MB"
        if size == NO_MODEL:
            rows.append(["nothing: torch and this program", held, ""])
        else:
            computed = budget(load_preset(size).config).training_memory_bytes
            rows.append([size, held, f"{computed / 1e6:,.0f} MB"])
    return f"""{table(["trained", "the process holds", "of that, as the app foretells"], rows)}

Resident memory of a fresh process after its first measurement of the losses and {MEMORY_STEPS} steps, with
{asked.threads} threads. The last column counts the weights, their gradients, the optimizer and one pass."""


def megabytes_after_training(size: str, threads: int) -> int:
    """What this process holds after a few steps of a preset; NO_MODEL trains none."""
    import psutil
    import speed_rivals as rivals

    use_threads(threads)
    if size != NO_MODEL:
        config = load_preset(size).config
        train = rivals.our_step(config, prepare(config))  # the first step is done here
        for _ in range(MEMORY_STEPS - 1):
            train()
    return round(psutil.Process().memory_info().rss / 1e6)


PARTS = {"step": step, "beside": beside, "generation": generation, "sweep": sweep, "memory": memory}
PROGRAMS = {
    "step": ["transformers"],
    "beside": ["transformers"],
    "generation": ["transformers", "cyllama", "numpy"],
}


if __name__ == "__main__":
    main()
