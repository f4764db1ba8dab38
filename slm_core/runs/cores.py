"""The machine's cores, lent for one event at a time to whoever has had the least of them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# For so long the others stand still, at most, while an owner catches up. Much longer than an event takes, or
# those with long events would get more than those with short ones.
_CATCHING_UP_SECONDS = 10.0
_SPARED_SECONDS = 0.5  # for so long, at most, runs make way for one page
# And for so much of the time, at most, for all pages together; so long at once, when a class turns the page.
_SPARED_SHARE, _SPARED_AT_ONCE_SECONDS = 0.5, 5.0


@dataclass(eq=False)
class Borrower:
    """A run that has joined: it asks for `wanted` cores again and again."""

    owner: str
    wanted: int
    granted: threading.Event = field(default_factory=threading.Event)
    since: float = 0.0  # when its cores were granted


class Cores:
    """So many cores, shared evenly between owners, whatever the number of their runs.

    Of those who wait, the one goes next whose owner has had the least time on cores; an owner's own runs take
    turns. Whose turn ends asks again before the cores are lent on: else, while it alone owes nothing, those
    with long events would get in between its short ones. Who joins begins level with whoever was lent cores
    last, so that nobody is made to wait for what happened before. Who asks for less than an even share, as
    one run does on many cores, does not save it up: the others would stand still for long when that owner
    starts more runs. Source: start-time fair queuing (Goyal, Vin and Cheng 1996), with the time used measured
    and not foretold.
    """

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._level = 0.0  # what the owner had used to whom cores were lent last
        self._waiting: list[Borrower] = []  # in the order of asking
        self._used: dict[str, float] = {}  # core-seconds by owner, of those who have joined
        self._runs: Counter[str] = Counter()  # how many runs each owner has joined with
        self._spared_since: list[float] = []  # when each with block of `spared` began
        self._sparing = False  # whether cores are held back for them now
        self._to_spare = _SPARED_AT_ONCE_SECONDS  # for how long they may be
        self._looked = time.perf_counter()
        self._lock = threading.Lock()

    def join(self, owner: str, wanted: int) -> Borrower:
        """One more run of an owner begins to ask for `wanted` cores (at most all)."""
        borrower = Borrower(owner, min(wanted, self.count))
        with self._lock:
            if not self._runs[owner]:
                self._used[owner] = self._level
            self._runs[owner] += 1
            self._ask(borrower)
        return borrower

    def leave(self, borrower: Borrower) -> None:
        """A run asks for no more cores for now."""
        with self._lock:
            if borrower.granted.is_set():
                self._take_back(borrower)
            else:
                self._waiting.remove(borrower)
            self._runs[borrower.owner] -= 1
            if not self._runs[borrower.owner]:
                del self._runs[borrower.owner], self._used[borrower.owner]
            self._lend()

    @contextmanager
    def turn(self, borrower: Borrower) -> Iterator[None]:
        """Wait for the cores of one who has joined, and hold them for the length of a with block."""
        while not borrower.granted.wait(_SPARED_SECONDS):
            with self._lock:
                self._lend()  # what was spared for a page that takes longer
        try:
            yield
        finally:
            with self._lock:
                self._take_back(borrower)
                self._ask(borrower)

    @contextmanager
    def spared(self) -> Iterator[None]:
        """Lend nothing for the length of a with block, or half a second of it: somebody waits for a page,
        which is soon drawn if nobody else computes. A run that is alone goes on."""
        since = time.perf_counter()
        with self._lock:
            self._spared_since.append(since)
        try:
            yield
        finally:
            with self._lock:
                self._spared_since.remove(since)
                self._lend()

    def let_go(self, borrower: Borrower) -> None:
        """End a borrower's wait at once, without cores: it is not going to compute."""
        with self._lock:
            if borrower in self._waiting:
                self._waiting.remove(borrower)
                borrower.wanted, borrower.since = 0, time.perf_counter()
                borrower.granted.set()
                self._lend()

    def _ask(self, borrower: Borrower) -> None:
        least = self._level - self.count * _CATCHING_UP_SECONDS
        self._used[borrower.owner] = max(self._used[borrower.owner], least)
        self._waiting.append(borrower)
        self._lend()

    def _take_back(self, borrower: Borrower) -> None:
        borrower.granted.clear()
        self._free += borrower.wanted
        self._used[borrower.owner] += borrower.wanted * (time.perf_counter() - borrower.since)

    def _lend(self) -> None:
        """Lend what is free. Nobody overtakes the next one who cannot be served yet: it would wait for ever.
        (min gives the first of equals.)"""
        if self._spares():
            return
        while self._waiting:
            following = min(self._waiting, key=lambda each: self._used[each.owner])
            if following.wanted > self._free:
                return
            self._waiting.remove(following)
            self._free -= following.wanted
            self._level = max(self._level, self._used[following.owner])
            following.since = time.perf_counter()
            following.granted.set()

    def _spares(self) -> bool:
        """Whether cores are held back for pages now: some are being drawn, and not without end."""
        now = time.perf_counter()
        passed, self._looked = now - self._looked, now
        earned = -passed * (1 - _SPARED_SHARE) if self._sparing else passed * _SPARED_SHARE
        self._to_spare = min(_SPARED_AT_ONCE_SECONDS, self._to_spare + earned)
        recent = any(since > now - _SPARED_SECONDS for since in self._spared_since)
        self._sparing = recent and self._runs.total() > 1 and self._to_spare > 0
        return self._sparing
