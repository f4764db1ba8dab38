"""How few steps are enough for what GPT-2's recipe learns? Each recipe with its shortest schedule.

    python benchmarks/schedule.py --text book.txt --rates rates.json --write docs/speed.md

While a learning rate is still high it holds the loss up: what recipe.py finds in the middle of a schedule, a
shorter schedule would have found sooner. So here everybody is at the end of their own. GPT-2's recipe trains
for as many steps as asked for, and the loss where it ends is the loss to reach. For each other recipe of
recipe.py, with the rate that was best there (kept by --rates there), the shortest schedule is looked
for that ends at this loss, to a twentieth of its length. Then all train in turns and are timed. All of that
once for each seed.
"""

import argparse
import math
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from slm_core.hardware import ready_to_compute  # noqa: E402

ready_to_compute()  # before torch loads

from recipe import RECIPES, Asked, at_length, configured, kept_rates, read, spread  # noqa: E402
from recipe_tracks import Track, train_in_turns  # noqa: E402
from speed_report import made_by, table, write_section  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.config import ExperimentConfig  # noqa: E402
from slm_core.hardware import physical_cores, use_threads  # noqa: E402
from slm_core.text.corpus import Dataset, prepare  # noqa: E402

SHORTEST = 20  # steps
CLOSE_ENOUGH = 1.05
PIECES = 10  # that a training is cut into, so that all can take turns
HEADS = ("recipe", "learning rate", "steps", "seconds", "speedup over GPT-2's", "over GPT-2's, tuned", "loss")


def main() -> None:
    """Looks, trains, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a text to read instead of the stories")
    parser.add_argument("--preset", default="TINY_CPU", help="whose size the model has")
    parser.add_argument("--steps", type=int, default=600, help="of GPT-2's recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=Path, metavar="FILE", required=True, help="as recipe.py writes it")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    name, text = read(asked.text)
    rates = kept_rates(Asked(asked.seeds, 0, None, asked.rates), name)
    if rates is None:
        sys.exit(f"{asked.rates} has no rates for {name}. Let recipe.py find them: --rates {asked.rates}")
    use_threads(physical_cores())
    busy, base = others_busy(), at_length(asked.preset, asked.steps, text)
    dataset = prepare(base, text)
    seeds = range(1, asked.seeds + 1)
    tracks = [of_seed(base, rates, dataset, seed) for seed in seeds]
    section = f"{report(name, tracks, rates)}\n\n{made_by(busy)}"
    print(section)
    if asked.write:
        write_section(asked.write, "schedule", section)


def of_seed(base: ExperimentConfig, rates: list[float], dataset: Dataset, seed: int) -> list[Track]:
    """The trainings of all recipes with one seed, done in turns."""
    gpt2, *others = (configured(base, *each, seed) for each in zip(RECIPES, rates, strict=True))
    target = ended(gpt2, dataset)
    lengths = [base.max_iters, *(shortest(each, dataset, target) for each in others)]
    tracks = [
        Track(with_length(config, steps, PIECES), dataset)
        for config, steps in zip([gpt2, *others], lengths, strict=True)
    ]
    train_in_turns(tracks, math.inf)
    return tracks


def shortest(config: ExperimentConfig, dataset: Dataset, target: float) -> int:
    """Steps of a schedule that ends at this loss, when one that is a twentieth shorter does not. As many as
    the config has if no fewer will do."""
    short, long = SHORTEST, config.max_iters
    while long > CLOSE_ENOUGH * short:
        middle = round(math.sqrt(short * long))
        if ended(with_length(config, middle, 1), dataset) <= target:
            long = middle
        else:
            short = middle
        print(f"\rbetween {short} and {long} steps  ", end="", file=sys.stderr, flush=True)
    return long


def ended(config: ExperimentConfig, dataset: Dataset) -> float:
    """Validation loss at the end of a training."""
    track = Track(with_length(config, config.max_iters, 1), dataset)
    train_in_turns([track], math.inf)
    return track.losses[-1]


def with_length(config: ExperimentConfig, steps: int, pieces: int) -> ExperimentConfig:
    """A schedule of so many steps, measured so many times."""
    return config.with_changes(
        {"max_iters": steps, "warmup_iters": steps // 20, "eval_interval": math.ceil(steps / pieces)}
    )


def report(name: str, tracks: list[list[Track]], rates: list[float]) -> str:
    """The table of one text; a factor is between two trainings with one seed."""
    rows = []
    for place, recipe in enumerate(RECIPES):
        mine = [each[place] for each in tracks]
        seconds = [track.trained_seconds for track in mine]
        over = [
            spread([each[other].trained_seconds / own for each, own in zip(tracks, seconds, strict=True)], 2)
            for other in (0, 1)
        ]
        steps = spread([track.config.max_iters for track in mine], 0)
        losses = spread([track.losses[-1] for track in mine], 3)
        rows.append([recipe.name, f"{rates[place]:g}", steps, spread(seconds, 1), *over, losses])
    loss = statistics.mean(each[0].losses[-1] for each in tracks)
    return f"""{name[0].upper()}{name[1:]}: the shortest schedule that ends where GPT-2's recipe does after
{tracks[0][0].config.max_iters:,} steps ({loss:.3f} nats per token). {len(tracks)} seeds: mean (lowest to
highest).

{table(HEADS, rows)}"""


if __name__ == "__main__":
    main()
