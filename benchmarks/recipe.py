"""How long until a model knows as much? Time to a fixed validation loss, for recipes from 2019 to today.

    python benchmarks/recipe.py --minutes 90 --text book.txt

Each recipe is the one before it with one thing changed; the first is GPT-2's. All have a model of the same
size, the same text, the same steps and schedule. Each learning rate of a grid is tried with one seed, which
is then not used again. Every recipe has the same grid, but for GPT-2's own, which keeps its rate. Then every
recipe is trained with its best rate and other seeds, all of them in turns, so that whatever slows the machine
slows all. The loss to reach is where GPT-2's recipe ends: it has come to the end of its schedule there, which
helps it, and the others have not. Time is that of the updates; measuring is left out. Prints tables in
Markdown. --quick only shows that it works.
"""

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.hardware import let_idle_threads_sleep  # noqa: E402

let_idle_threads_sleep()  # before torch loads

import torch  # noqa: E402

from slm_core.config import ExperimentConfig, load_preset  # noqa: E402
from slm_core.hardware import cpu, physical_cores  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.text.corpus import Dataset, prepare  # noqa: E402
from slm_core.train.events import EvalDone, RunFinished, StepDone, Working  # noqa: E402
from slm_core.train.trainer import Trainer  # noqa: E402

GPT2_RATE = 6e-4
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
TOKENS = 1_000_000
TUNING_SEED = 1_000


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


class Bare(Trainer):
    """A trainer that only trains and measures losses: the rest is half of what a small run costs."""

    def _test_memory(self):
        yield from ()

    def _write_samples(self):
        yield from ()


@dataclass
class Track:
    """One training under way: seconds of updates and validation loss at each measurement."""

    config: ExperimentConfig
    dataset: Dataset
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False

    def __post_init__(self) -> None:
        self._trainer = Bare(self.config, self.dataset)
        self._events, self._spent = self._trainer.events(), 0.0

    def advance(self) -> None:
        """Train up to the next measurement, if there is one."""
        before = self._trainer.progress.elapsed_seconds
        for event in self._events:
            now = self._trainer.progress.elapsed_seconds
            if isinstance(event, StepDone):
                self._spent += now - before
            if not isinstance(event, Working):  # which comes in the middle of a step
                before = now
            if isinstance(event, RunFinished):
                self.diverged = event.reason == "diverged"
            if isinstance(event, EvalDone):
                self.seconds.append(self._spent)
                self.losses.append(event.validation_loss)
                return

    @property
    def best(self) -> float:
        """The lowest validation loss so far."""
        return min(self.losses)

    @property
    def step_milliseconds(self) -> float:
        """Time of an update."""
        return 1_000 * self._spent / max(1, self._trainer.progress.step)

    def time_to(self, target: float) -> float:
        """Seconds of updates until the validation loss is `target`, on straight lines between measurements;
        infinite if it never is."""
        for place, loss in enumerate(self.losses):
            if loss <= target:
                if place == 0:
                    return 0.0
                above, began = self.losses[place - 1], self.seconds[place - 1]
                return began + (above - target) / (above - loss) * (self.seconds[place] - began)
        return math.inf


@dataclass(frozen=True)
class Asked:
    """What the command line asked for. interval: steps between two measurements."""

    preset: str
    steps: int
    interval: int
    seeds: int
    rates: int
    target: float | None


def main() -> None:
    """Trains, and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a real text to read, too")
    parser.add_argument("--preset", default="TINY_CPU", help="whose size the model has")
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target", type=float, help="loss to reach; by default, where GPT-2's recipe ends")
    parser.add_argument("--minutes", type=float, default=90, help="at most so long; fewer seeds if need be")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    given = parser.parse_args()
    asked = Asked(given.preset, given.steps, max(1, given.steps // 40), given.seeds, len(RATES), given.target)
    if given.quick:
        asked = Asked("ULTRA_TINY", 20, 10, 1, 1, given.target)
    torch.set_num_threads(physical_cores())
    texts = {"the built-in stories": None}
    if given.text:
        texts[given.text.name] = given.text.read_text(encoding="utf-8", errors="replace")
    for name, text in texts.items():
        measure(name, text, asked, time.monotonic() + 60 * given.minutes / len(texts))


def measure(name: str, text: str | None, asked: Asked, deadline: float) -> None:
    """Tune, train and print the tables of one text."""
    base = load_preset(asked.preset).config.with_changes(
        {
            "corpus": "own" if text else "stories",
            "dataset_size": TOKENS,
            "max_iters": asked.steps,
            "warmup_iters": asked.steps // 20,
            "eval_interval": asked.interval,
        }
    )
    dataset = prepare(base, text)
    tried = {
        (place, rate): Track(configured(base, recipe, rate, TUNING_SEED), dataset)
        for place, recipe in enumerate(RECIPES)
        for rate in recipe.rates[: asked.rates]
    }
    began = time.monotonic()
    train_in_turns(list(tried.values()), asked, deadline)
    target = tried[0, GPT2_RATE].best if asked.target is None else asked.target
    rates = [best_rate(tried, place, target) for place in range(len(RECIPES))]
    per_run = (time.monotonic() - began) / len(tried)
    seeds = min(asked.seeds, int((deadline - time.monotonic()) / (per_run * len(RECIPES))))
    if seeds < 1:
        sys.exit("There is no time left for a seed. Allow more --minutes or fewer --steps.")
    tracks = [
        [Track(configured(base, *each, seed), dataset) for each in zip(RECIPES, rates, strict=True)]
        for seed in range(1, seeds + 1)
    ]
    for of_seed in tracks:
        train_in_turns(of_seed, asked, math.inf)
    if asked.target is None:
        target = max(of_seed[0].best for of_seed in tracks)
    print(report(name, asked, dataset, tracks, rates, target), flush=True)
    print(tuning_table(tried), flush=True)


def configured(base: ExperimentConfig, recipe: Recipe, rate: float, seed: int) -> ExperimentConfig:
    """The base as a recipe has it."""
    return base.with_changes({**recipe.changes, "learning_rate": rate, "min_lr": rate / 10, "seed": seed})


def train_in_turns(tracks: Sequence[Track], asked: Asked, deadline: float) -> None:
    """Train all to their ends, each up to its next measurement in turn. Exits if that would take longer than
    to the deadline."""
    rounds = math.ceil(asked.steps / asked.interval) + 1
    for done in range(rounds):
        began = time.monotonic()
        for track in tracks:
            track.advance()
        left = (time.monotonic() - began) * (rounds - done - 1)
        if done == 1 and time.monotonic() + left > deadline:
            sys.exit(
                f"Trying the rates would take {left / 60:.0f} minutes. Allow more --minutes or fewer --steps."
            )
        print(f"\r{len(tracks)} runs, {left / 60:5.1f} minutes left ", end="", file=sys.stderr, flush=True)
    for track in tracks:  # its last event says whether it diverged
        track.advance()
    print(file=sys.stderr)


def best_rate(tried: dict[tuple[int, float], Track], place: int, target: float) -> float:
    """The rate with which a recipe was at the target first, or came nearest to it."""
    found = {rate: track for (of, rate), track in tried.items() if of == place and not track.diverged}
    if not found:
        sys.exit(f"{RECIPES[place].name}: every rate diverged.")
    return min(found, key=lambda rate: (found[rate].time_to(target), found[rate].best))


def report(
    name: str, asked: Asked, dataset: Dataset, tracks: list[list[Track]], rates: list[float], target: float
) -> str:
    """The table of one text; a ratio is between two runs of one seed."""
    rows = []
    for place, recipe in enumerate(RECIPES):
        mine = [of_seed[place] for of_seed in tracks]
        seconds = [track.time_to(target) for track in mine]
        ratios = [of_seed[0].time_to(target) / took for of_seed, took in zip(tracks, seconds, strict=True)]
        speed = spread(ratios, 2) if max(seconds) < math.inf else ""
        rate = f"{rates[place]:g}{at_the_end(recipe, rates[place])}"
        rows.append(
            f"| {recipe.name} | {rate} | {spread(seconds, 1)} | {speed} "
            f"| {statistics.mean(track.step_milliseconds for track in mine):.1f} "
            f"| {spread([track.best for track in mine], 3)} |"
        )
    size = budget(tracks[0][0].config).parameters
    machine = cpu().label.removeprefix("CPU · ")
    return f"""
## {name}

{size / 1e6:.2f} M parameters ({asked.preset}), {len(dataset.train):,} training tokens, {asked.steps:,} steps,
seeds: {len(tracks)}; mean (lowest to highest). Validation loss to reach: {target:.3f} nats per token.

| recipe | learning rate | seconds to that loss | speed (GPT-2's is 1) | ms a step | lowest loss |
|---|---|---|---|---|---|
{chr(10).join(rows)}

{machine}, {torch.get_num_threads()} threads ({platform.system()}), torch {torch.__version__}.
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
