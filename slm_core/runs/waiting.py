"""The queue: who begins next, and about when."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence


def in_order(waiting: Sequence[str], active: Iterable[str]) -> list[int]:
    """The order in which waiting runs begin, as their places in `waiting`: the owner with the fewest active
    runs is next, and of equals whoever asked first.

    waiting: the owner of each waiting run, in the order of asking. active: the owner of each active run.
    """
    running, left, order = Counter(active), list(range(len(waiting))), []
    while left:
        following = min(left, key=lambda place: running[waiting[place]])
        left.remove(following)
        running[waiting[following]] += 1
        order.append(following)
    return order


def seconds_until_start(active: Sequence[float], before: Sequence[float], slowdown: float) -> float:
    """About when a queued run begins, if a place becomes free whenever a run ends and all go on at one pace.

    active: seconds that each active run would still take alone; at least one. before: the same for those that
    are before it in the queue. slowdown: how many times longer everything takes because they take turns.
    """
    ends = list(active)
    heapq.heapify(ends)
    for seconds in before:
        heapq.heapreplace(ends, ends[0] + seconds)
    return ends[0] * slowdown
