"""How fast is a graphics card, and does it learn the same? Nothing to do without an NVIDIA card.

    python benchmarks/gpu.py --write docs/speed.md

Trains the presets that are meant for one in float32, in bfloat16, and compiled as well, in turns. The peak is
that of multiplying large matrices in bfloat16, in the same rounds. Then the processor and the card train the
same small model, and their losses are compared. Takes a few minutes, most of which is compiling.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from speed_report import factors, made_by, rates, shares, table, write_section  # noqa: E402
from speed_rounds import in_turn, seconds_each  # noqa: E402

from slm_core.hardware import ready_to_compute  # noqa: E402

ready_to_compute()  # before torch loads

import torch  # noqa: E402
from speed_rivals import our_step  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.config import load_preset  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.text.corpus import prepare  # noqa: E402
from slm_core.train.accelerate import PLAIN, Pace  # noqa: E402
from slm_core.train.events import StepDone  # noqa: E402
from slm_core.train.trainer import Trainer  # noqa: E402

SIZES = ("TINY_GPU", "MEDIUM_GPU", "LARGE_GPU")
PACES = {"float32": PLAIN, "bfloat16": Pace(bfloat16=True), "compiled": Pace(bfloat16=True, compiled=True)}
TOKENS = 100_000  # of training text: a step takes as long with more
SIDE = 8_192  # of the matrices of the peak
STEPS = 20  # of which the losses are compared
SMALL = {"n_embd": 64, "block_size": 64, "batch_size": 16, "dataset_size": 10_000, "max_iters": STEPS}
SMALL |= {"warmup_iters": 5, "eval_interval": STEPS}


def main() -> None:
    """Measures, prints the tables, and writes them down if asked to; without a card it says so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="at most")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn")
    parser.add_argument("--minutes", type=float, default=10.0, help="at most so long, about")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no NVIDIA graphics card here, so there is nothing to measure.")
        return
    busy, until, found, peaks = others_busy(), time.monotonic() + 60 * asked.minutes, {}, {}
    for place, size in enumerate(SIZES):
        share = (until - time.monotonic()) / (len(SIZES) - place)
        found[size] = steps(size, asked.rounds, asked.seconds, time.monotonic() + share)
        peaks[size] = found[size].pop("peak")
    apart = {pace: furthest(losses("cpu", PLAIN), losses("cuda:0", PACES[pace])) for pace in PACES}
    section = f"{report(torch.cuda.get_device_name(0), found, peaks, apart)}\n\n{made_by(busy)}"
    print(section)
    if asked.write:
        write_section(asked.write, "gpu", section)


def steps(size: str, rounds: int, seconds: float, until: float) -> dict[str, list[float]]:
    """Seconds of a preset's step at each pace, round by round, and the card's peak beside them."""
    config = load_preset(size).config.with_changes({"dataset_size": TOKENS})
    dataset, ways = prepare(config), {}
    for name, pace in PACES.items():
        ways[name] = partial(seconds_each, our_step(config, dataset, device="cuda:0", pace=pace), seconds)
    return in_turn({**ways, "peak": partial(peak, seconds / 2)}, rounds, until)


def peak(seconds: float) -> float:
    """Multiplications and additions per second while large matrices are multiplied in bfloat16."""
    x = torch.ones(SIDE, SIDE, dtype=torch.bfloat16, device="cuda:0")

    def multiply() -> None:
        x @ x
        torch.cuda.synchronize()

    multiply()
    return 2 * SIDE**3 / seconds_each(multiply, seconds)


def losses(device: str, pace: Pace) -> list[float]:
    """The loss of each step of a small model, which begins with the same weights everywhere."""
    config = load_preset("TINY_GPU").config.with_changes(SMALL)
    events = Trainer(config, prepare(config), device, pace=pace).events()
    return [event.loss for event in events if isinstance(event, StepDone)]


def furthest(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How far two runs' losses are apart at most, as a share of the first one's."""
    return max(abs(other / one - 1) for one, other in zip(ours, theirs, strict=True))


def report(
    card: str,
    found: Mapping[str, Mapping[str, Sequence[float]]],
    peaks: Mapping[str, Sequence[float]],
    apart: Mapping[str, float],
) -> str:
    """Both tables: seconds of a step by size and pace, with the peak beside each size, and by pace how far
    the losses are from the processor's."""
    rows = []
    for size, paces in found.items():
        config = load_preset(size).config
        flops = budget(config).flops_per_step
        for name, took in paces.items():
            reached = [flops / each / most for each, most in zip(took, peaks[size], strict=True)]
            faster = factors(took, paces["float32"]) if name != "float32" else ""
            per_second = rates([config.tokens_per_step / each for each in took])
            rows.append([size, name, per_second, faster, shares(reached)])
    heads = ["size", "pace", "tokens/s", "speedup over float32", "of bfloat16's peak"]
    compared = [[name, f"{share:.1e}"] for name, share in apart.items()]
    return f"""{card}

{table(heads, rows)}

{table(["pace", "losses furthest from the processor's, as a share"], compared)}

One update of the weights, measuring left out. The losses are those of the first {STEPS} steps of a small
model, on the processor in float32."""


if __name__ == "__main__":
    main()
