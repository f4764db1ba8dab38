"""How long until a model knows as much? Time to a fixed validation loss, for recipes from 2019 to today.

    python benchmarks/recipe.py --minutes 90 --text book.txt
    python benchmarks/recipe.py --as-it-is TINY_CPU SMALL_CPU

Each recipe is the one before it with one thing changed; the first is GPT-2's. All have a model of the same
size, the same text, the same steps and schedule. Each learning rate of a grid is tried with one seed, which
is then not used again. Every recipe has the same grid, but for GPT-2's own, which keeps its rate. Then every
recipe is trained with its best rate and other seeds, all of them in turns, so that whatever slows the machine
slows all. The losses to reach are where GPT-2's recipe ends, and where it ends with its best rate: it has
come to the end of its schedule there, which helps it, and the others have not. Time is that of the updates;
measuring is left out. Prints tables in
Markdown. --quick only shows that it works.

The best rates do not depend on what else the machine does, so --rates keeps them in a file: found once, they
are there when the machine is quiet.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from slm_core.hardware import ready_to_compute  # noqa: E402

ready_to_compute()  # before torch loads

from recipe_tracks import Track, train_in_turns  # noqa: E402
from speed_report import made_by, write_section  # noqa: E402

from slm_core.bench import others_busy  # noqa: E402
from slm_core.config import ExperimentConfig, load_preset  # noqa: E402
from slm_core.hardware import physical_cores, use_threads  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.text.corpus import Dataset, prepare  # noqa: E402

GPT2_RATE = 6e-4
RATES = (GPT2_RATE, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
TOKENS = 1_000_000
TUNING_SEED = 1_000
HEADS = ("recipe", "learning rate", "steps to A", "seconds to A", "speedup over GPT-2's")
HEADS += ("seconds to B", "speedup over GPT-2's, tuned", "ms a step", "lowest loss")
MEASUREMENTS = 40


@dataclass(frozen=True)
class Recipe:
    """What a recipe changes in the base, and the learning rates to try."""

    name: str
    changes: dict[str, Any]
    rates: tuple[float, ...] = RATES


_GPT2 = {"architecture": "gpt2", "positions": "learned", "optimizer": "adamw"}
RECIPES = (
    Recipe("GPT-2: learned positions, AdamW at 6e-4", _GPT2, (GPT2_RATE,)),
    Recipe("+ learning rate tuned", _GPT2),
    Recipe("+ rotary positions", {**_GPT2, "positions": "rotary"}),
    Recipe("+ Qwen3's blocks", {**_GPT2, "positions": "rotary", "architecture": "qwen3"}),
    Recipe("+ Muon", {"positions": "rotary", "architecture": "qwen3", "optimizer": "muon"}),
)


@dataclass(frozen=True)
class Asked:
    """What the command line asked for. seeds, rates: how many at most."""

    seeds: int
    rates: int
    target: float | None
    kept_rates: Path | None


def main() -> None:
    """Trains, and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a text to read instead of the stories")
    parser.add_argument("--preset", default="TINY_CPU", help="whose size the model has")
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--as-it-is", metavar="PRESET", nargs="+", help="with presets' own text and steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=Path, metavar="FILE", help="where the best rates are, or are to be")
    parser.add_argument("--target", type=float, help="loss to reach; by default, where GPT-2's recipe ends")
    parser.add_argument("--minutes", type=float, default=90, help="at most so long; fewer seeds if need be")
    parser.add_argument("--write", type=Path, help="a page in Markdown, such as docs/speed.md")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    given = parser.parse_args()
    asked = Asked(given.seeds, len(RATES), given.target, given.rates)
    if given.quick:
        given.preset, given.steps, asked = "ULTRA_TINY", 20, Asked(1, 1, given.target, None)
    use_threads(physical_cores())
    busy, until, mark = others_busy(), time.monotonic() + 60 * given.minutes, "recipe"
    if given.as_it_is:
        mark = "presets"
        bases = [(preset, as_it_is(preset)) for preset in given.as_it_is]
        parts = [measure(preset, prepare(base, None), base, asked, until) for preset, base in bases]
    else:
        name, text = read(given.text)
        base = at_length(given.preset, given.steps, text)
        parts = [measure(name, prepare(base, text), base, asked, until)]
    section = "\n".join([*parts, made_by(busy)])
    print(section)
    if given.write:
        write_section(given.write, mark, section)


def read(file: Path | None) -> tuple[str, str | None]:
    """Name of a text, and the text itself; None stands for the stories."""
    if file is None:
        return "the built-in stories", None
    return file.name, file.read_text(encoding="utf-8", errors="replace")


def at_length(preset: str, steps: int, text: str | None) -> ExperimentConfig:
    """A preset's model, with a million tokens to read and so many steps."""
    return load_preset(preset).config.with_changes(
        {
            "corpus": "own" if text else "stories",
            "dataset_size": TOKENS,
            "max_iters": steps,
            "warmup_iters": steps // 20,
            "eval_interval": max(1, steps // MEASUREMENTS),
        }
    )


def as_it_is(preset: str) -> ExperimentConfig:
    """A preset's own config, measured often enough to see when a loss is reached."""
    config = load_preset(preset).config
    return config.with_changes({"eval_interval": max(1, config.max_iters // MEASUREMENTS)})


def measure(name: str, dataset: Dataset, base: ExperimentConfig, asked: Asked, deadline: float) -> str:
    """Tune and train; gives the tables of one text."""
    rates = kept_rates(asked, name)
    per_run, tuning = 0.0, ""
    if rates is None:
        began = time.monotonic()
        tried = {
            (place, rate): Track(configured(base, recipe, rate, TUNING_SEED), dataset)
            for place, recipe in enumerate(RECIPES)
            for rate in recipe.rates[: asked.rates]
        }
        train_in_turns(list(tried.values()), deadline)
        per_run = (time.monotonic() - began) / len(tried)
        target = tried[0, GPT2_RATE].best if asked.target is None else asked.target
        rates = [best_rate(tried, place, target) for place in range(len(RECIPES))]
        tuning = f"The rates were chosen with one seed that was not used again:\n\n{tuning_table(tried)}"
        keep_rates(asked, name, rates)
    seeds = asked.seeds
    if per_run:
        seeds = min(seeds, int((deadline - time.monotonic()) / (per_run * len(RECIPES))))
    if seeds < 1:
        sys.exit("There is no time left for a seed. Allow more --minutes or fewer --steps.")
    tracks = [
        [Track(configured(base, *each, seed), dataset) for each in zip(RECIPES, rates, strict=True)]
        for seed in range(1, seeds + 1)
    ]
    for of_seed in tracks:
        train_in_turns(of_seed, math.inf)
    target = max(of_seed[0].best for of_seed in tracks) if asked.target is None else asked.target
    return f"{report(name, dataset, tracks, rates, target)}\n{tuning}"


def kept_rates(asked: Asked, name: str) -> list[float] | None:
    """The best rates of a text that were found before, one for each recipe."""
    if asked.kept_rates is None or not asked.kept_rates.exists():
        return None
    found = json.loads(asked.kept_rates.read_text(encoding="utf-8")).get(name, {})
    if found.get("tried") != list(RATES):  # they are the best of another grid
        return None
    return [found[recipe.name] for recipe in RECIPES] if set(found) >= {r.name for r in RECIPES} else None


def keep_rates(asked: Asked, name: str, rates: Sequence[float]) -> None:
    """Writes them, beside those of other texts."""
    if asked.kept_rates is None:
        return
    known = json.loads(asked.kept_rates.read_text(encoding="utf-8")) if asked.kept_rates.exists() else {}
    known[name] = {recipe.name: rate for recipe, rate in zip(RECIPES, rates, strict=True)}
    known[name]["tried"] = list(RATES)
    asked.kept_rates.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def configured(base: ExperimentConfig, recipe: Recipe, rate: float, seed: int) -> ExperimentConfig:
    """The base as a recipe has it."""
    return base.with_changes({**recipe.changes, "learning_rate": rate, "min_lr": rate / 10, "seed": seed})


def best_rate(tried: dict[tuple[int, float], Track], place: int, target: float) -> float:
    """The rate with which a recipe was at the target first, or came nearest to it."""
    found = {rate: track for (of, rate), track in tried.items() if of == place and not track.diverged}
    if not found:
        sys.exit(f"{RECIPES[place].name}: every rate diverged.")
    return min(found, key=lambda rate: (found[rate].steps_to(target), found[rate].best))


def report(name: str, dataset: Dataset, tracks: list[list[Track]], rates: list[float], target: float) -> str:
    """The table of one text; a ratio is between two runs of one seed."""
    lower = max(of_seed[1].best for of_seed in tracks)
    rows = []
    for place, recipe in enumerate(RECIPES):
        mine = [of_seed[place] for of_seed in tracks]
        cells = [recipe.name, f"{rates[place]:g}{at_the_end(recipe, rates[place])}"]
        cells.append(spread([track.steps_to(target) for track in mine], 0))
        for loss, beside in ((target, 0), (lower, 1)):
            seconds = [track.time_to(loss) for track in mine]
            theirs = [of_seed[beside].time_to(loss) for of_seed in tracks]
            reached = max(seconds) < math.inf
            ratios = [their / my for their, my in zip(theirs, seconds, strict=True)] if reached else []
            cells += [spread(seconds, 1), spread(ratios, 2) if ratios else ""]
        cells.append(f"{statistics.mean(track.step_milliseconds for track in mine):.1f}")
        cells.append(spread([track.best for track in mine], 3))
        rows.append(f"| {' | '.join(cells)} |")
    config = tracks[0][0].config
    size = budget(config).parameters / 1e6
    return f"""**{name[0].upper()}{name[1:]}**

{size:.2f} M parameters, {len(dataset.train):,} training tokens, {config.max_iters:,} steps, seeds:
{len(tracks)}; mean (lowest to highest). A is a validation loss of {target:.3f} nats per token, where GPT-2's
recipe ends; B is {lower:.3f}, where it ends with its best rate.

| {" | ".join(HEADS)} |
{"|---" * len(HEADS)}|
{chr(10).join(rows)}
"""


def tuning_table(tried: dict[tuple[int, float], Track]) -> str:
    """The lowest validation loss with each rate that was tried."""
    rates = sorted({rate for _, rate in tried})
    rows = []
    for place, recipe in enumerate(RECIPES):
        cells = [lowest(tried.get((place, rate))) for rate in rates]
        rows.append(f"| {recipe.name} | {' | '.join(cells)} |")
    head = f"| lowest validation loss at | {' | '.join(f'{rate:g}' for rate in rates)} |"
    return "\n".join([head, "|---" * (len(rates) + 1) + "|", *rows]) + "\n"


def at_the_end(recipe: Recipe, rate: float) -> str:
    """What is to be said of a best rate that is the first or the last of its grid."""
    ends = {min(recipe.rates), max(recipe.rates)}
    return ", the end of its grid" if rate in ends and len(ends) > 1 else ""


def lowest(track: Track | None) -> str:
    """What a table says of a training, if there was one."""
    if track is None:
        return ""
    return "diverged" if track.diverged else f"{track.best:.3f}"


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and range; "never" if one of them is infinite."""
    if not all(map(math.isfinite, values)):
        return "never"
    low, mean, high = (f"{of(values):.{digits}f}" for of in (min, statistics.mean, max))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main()
