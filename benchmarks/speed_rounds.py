"""Turns and clocks of speed.py: what is compared is measured again and again, one after the other."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much to measure. rounds: at most; seconds: of one turn; until: when the time is up, by
    time.monotonic."""

    sizes: Sequence[str]
    rounds: int
    seconds: float
    threads: int
    sweep_runs: int
    sweep_steps: int
    until: float = math.inf

    def share(self, place: int, total: int) -> "Asked":
        """The same with the time that is left to this one of `total` pieces of equal work."""
        now = time.monotonic()
        return replace(self, until=now + (self.until - now) / (total - place))


def in_turn(
    ways: Mapping[Any, Callable[[], float]], rounds: int, until: float = math.inf
) -> dict[Any, list[float]]:
    """What each way gives in each round, one round at least; the first of one is the last of the next.
    until: when the time is up, by time.monotonic."""
    found, order = {name: [] for name in ways}, list(ways)
    for number in range(rounds):
        began = time.monotonic()
        for name in order:
            found[name].append(ways[name]())
        order = [*order[1:], order[0]]
        print(f"  round {number + 1} of {rounds}", flush=True)
        if 2 * time.monotonic() - began > until:  # another one would end too late
            break
    return found


def seconds_each(work: Callable[[], None], seconds: float) -> float:
    """The median of what a piece of work takes, tried for so many seconds, and twice at least."""
    took, end = [], time.monotonic() + seconds
    while len(took) < 2 or time.monotonic() < end:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def slope(sizes: Sequence[float], took: Sequence[Sequence[float]]) -> float:
    """Of the straight line through the logarithms of times, in rounds, by those of sizes."""
    x = [math.log(size) for size in sizes]
    y = [math.log(statistics.median(each)) for each in took]
    return statistics.linear_regression(x, y).slope
