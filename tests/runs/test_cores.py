"""Cores lent to owners: in turn, never too many, evenly. Time is made up, so that nothing depends on the
machine."""

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

import pytest

from slm_core.runs import cores as cores_module
from slm_core.runs.cores import Cores


@dataclass
class Workshop:
    """Runs in threads of their own that take turns on cores, each turn so many seconds of made-up time long.
    The time passes only when every run has cores or waits for some."""

    cores: Cores
    now: float = 0.0
    got: Counter[str] = field(default_factory=Counter)  # core-seconds by owner
    most_busy: int = 0
    _busy: list[tuple[float, int, threading.Event]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _leaving: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, owner: str, seconds: float, wanted: int = 1) -> int:
        """Let one more run take turns, each within a fifth of so many seconds; gives its number."""
        number, joined = len(self._threads), threading.Event()
        self._threads.append(
            threading.Thread(
                target=self._take_turns, args=(number, owner, seconds, wanted, joined), daemon=True
            )
        )
        self._threads[-1].start()
        assert joined.wait(60)
        self._settle()
        return number

    def _take_turns(
        self, number: int, owner: str, seconds: float, wanted: int, joined: threading.Event
    ) -> None:
        random, held = Random(number), min(wanted, self.cores.count)
        borrower = self.cores.join(owner, wanted)
        joined.set()
        while number not in self._leaving:
            with self.cores.turn(borrower):
                length, over = seconds * random.uniform(0.8, 1.2), threading.Event()
                with self._lock:
                    heapq.heappush(self._busy, (self.now + length, number, over))
                    self.got[owner] += held * length
                over.wait(60)
        self.cores.leave(borrower)

    def let_pass(self, seconds: float) -> Counter[str]:
        """So much time passes; gives the core-seconds that each owner was given in it."""
        before, end = self.got.copy(), self.now + seconds
        while self._busy and self._busy[0][0] < end:
            self.now, _, over = heapq.heappop(self._busy)
            over.set()
            self._settle()
        self.now = end
        return self.got - before

    def end(self, *numbers: int) -> None:
        """Let these runs leave as soon as they have had the turn that they have or wait for."""
        self._leaving.update(numbers)
        while any(self._threads[number].is_alive() for number in numbers):
            self.let_pass(0.5)

    def _settle(self) -> None:
        """Wait until nothing moves: every run has cores and told when it will be done, or waits for some."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            living = sum(thread.is_alive() for thread in self._threads)
            with self.cores._lock, self._lock:
                if len(self._busy) + len(self.cores._waiting) == living:
                    self.most_busy = max(self.most_busy, self.cores.count - self.cores._free)
                    return
            time.sleep(0)
        raise AssertionError("the runs came to no rest in 60 seconds")


@pytest.fixture
def workshop(monkeypatch) -> Iterator[Callable[[int], Workshop]]:
    """`workshop(count)` gives a workshop with so many cores."""
    made = []

    def make(count: int) -> Workshop:
        shop = Workshop(Cores(count))
        monkeypatch.setattr(cores_module, "time", SimpleNamespace(perf_counter=lambda: shop.now))
        made.append(shop)
        return shop

    yield make
    for shop in made:
        shop.end(*range(len(shop._threads)))


def even_shares(count: int, wishes: Sequence[tuple[str, int]]) -> Mapping[str, float]:
    """The oracle: cores poured evenly over owners like water, none given more than their runs can use."""
    most = Counter()
    for owner, wanted in wishes:
        most[owner] += min(wanted, count)
    left, shares = float(count), {}
    for done, owner in enumerate(sorted(most, key=most.get)):
        shares[owner] = min(most[owner], left / (len(most) - done))
        left -= shares[owner]
    return shares


def test_the_oracle_itself():
    assert even_shares(2, [("a", 1)] * 10 + [("b", 1)]) == {"a": 1.0, "b": 1.0}
    assert even_shares(4, [("a", 1)] * 10 + [("b", 1)]) == {"a": 3.0, "b": 1.0}
    assert even_shares(1, [("a", 1), ("b", 9)]) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seconds", [(0.2, 0.2), (1.0, 0.1), (0.1, 1.0)], ids=["even", "long", "short"])
def test_ten_runs_of_one_owner_get_what_one_run_of_each_of_nine_others_gets(workshop, count, seconds):
    shop = workshop(count)
    for _ in range(10):
        shop.begin("greedy", seconds[0])
    for number in range(9):
        shop.begin(f"modest {number}", seconds[1])
    got = shop.let_pass(60.0)
    fair = 60 * count / 10
    assert len(got) == 10 and shop.most_busy == count
    assert all(abs(each - fair) < 0.1 * fair + 2 * count * max(seconds) for each in got.values()), got


@pytest.mark.parametrize(
    ("count", "wishes"),
    [
        (1, {"a": (2.0, [1]), "b": (0.1, [1])}),
        (2, {"a": (2.0, [1, 1]), "b": (0.1, [1])}),
        (2, {"a": (0.5, [1, 1, 1, 1]), "all": (0.5, [2])}),
        (2, {"a": (0.1, [1] * 6), "b": (0.1, [1] * 2), "all": (1.0, [9])}),
        (4, {"a": (2.0, [1] * 8), "b": (0.2, [1, 1]), "c": (0.5, [2])}),
        (4, {"a": (0.2, [1] * 8), "b": (0.2, [1])}),
        (4, {"a": (1.0, [1] * 4), "all": (0.3, [4])}),
    ],
)
def test_owners_get_even_shares_whatever_their_runs_are_like(workshop, count, wishes):
    """However long their events are, and however many cores their runs want."""
    shop = workshop(count)
    for owner, (seconds, wanted) in wishes.items():
        for each in wanted:
            shop.begin(owner, seconds, each)
    shop.let_pass(10.0)
    got = shop.let_pass(80.0)
    fair = even_shares(count, [(owner, each) for owner, (_, wanted) in wishes.items() for each in wanted])
    assert shop.most_busy == count
    for owner, share in fair.items():  # some time is lost while cores are kept free for one that wants all
        assert 0.8 * share * 80 - 4 < got[owner] < 1.1 * share * 80 + 4, (owner, got, fair)


def test_who_comes_late_neither_waits_for_what_was_before_nor_makes_others_wait(workshop):
    shop = workshop(4)
    for _ in range(6):
        shop.begin("old", 0.5)
    shop.begin("single", 0.5)  # can use one core of four: has had the least of all
    got = shop.let_pass(120.0)
    assert got["single"] < got["old"] / 2
    for _ in range(6):
        shop.begin("new", 0.5)
    got = shop.let_pass(20.0)
    assert abs(got["old"] - got["new"]) < 6 and got["single"] > 15, got


def test_who_could_not_use_an_even_share_does_not_save_it_up(workshop):
    shop = workshop(4)
    for _ in range(6):
        shop.begin("many", 0.5)
    shop.begin("single", 0.5)
    got = shop.let_pass(120.0)
    assert got["many"] - got["single"] > 100
    for _ in range(5):
        shop.begin("single", 0.5)
    first, second = shop.let_pass(20.0), shop.let_pass(20.0)
    assert first["many"] > 15, "nobody stands still for longer than ten seconds"
    assert abs(second["many"] - second["single"]) < 6


def test_who_rests_and_comes_back_gets_no_more_than_the_others(workshop):
    shop = workshop(2)
    resting = [shop.begin("a", 0.25) for _ in range(2)]
    for owner in ("b", "c"):
        shop.begin(owner, 0.25)
    shop.let_pass(10.0)
    shop.end(*resting)
    got = shop.let_pass(30.0)
    assert set(got) == {"b", "c"}
    shop.begin("a", 0.25)
    got = shop.let_pass(30.0)
    assert max(got.values()) - min(got.values()) < 3, got


def test_an_owners_own_runs_take_turns_in_the_order_of_asking(until):
    cores, order, busy, most = Cores(2), [], 0, 0
    lock = threading.Lock()

    def work_with(name: str, wanted: int) -> None:
        nonlocal busy, most
        borrower = cores.join("", wanted)
        with cores.turn(borrower):
            with lock:
                order.append(name)
                busy += borrower.wanted
                most = max(most, busy)
            with lock:
                busy -= borrower.wanted
        cores.leave(borrower)

    threads = []
    holder = cores.join("", 2)
    with cores.turn(holder):
        for place, (name, wanted) in enumerate([("a", 1), ("all", 9), ("b", 1), ("both", 2), ("c", 1)]):
            thread = threading.Thread(target=work_with, args=(name, wanted))
            thread.start()
            threads.append(thread)
            until(lambda place=place: len(cores._waiting) == place + 1)
        assert order == []
    cores.leave(holder)
    for thread in threads:
        thread.join()
    assert order == ["a", "all", "b", "both", "c"] and most == 2


def test_a_borrower_that_fails_gives_its_cores_back():
    cores = Cores(1)
    failing, other = cores.join("a", 1), cores.join("b", 1)
    with pytest.raises(ZeroDivisionError), cores.turn(failing):
        raise ZeroDivisionError
    cores.leave(failing)
    for _ in range(3):
        with cores.turn(other):
            pass
    cores.leave(other)
    assert not cores._used and not cores._runs and not cores._waiting and cores._free == 1


def test_who_leaves_without_having_had_a_turn_lets_the_next_one_have_it():
    cores = Cores(1)
    holder, waiting, last = (cores.join(owner, 1) for owner in "abc")
    cores.leave(waiting)  # has asked, and was not granted anything
    cores.leave(holder)  # was granted a core that it never used
    with cores.turn(last):
        assert cores._free == 0
    cores.leave(last)
    assert cores._free == 1


def test_who_is_let_go_waits_no_longer_and_takes_no_cores():
    cores = Cores(2)
    holder, stopped, last = (cores.join(owner, wanted) for owner, wanted in [("a", 1), ("b", 2), ("c", 1)])
    cores.let_go(stopped)
    with cores.turn(stopped):  # would block for ever, as the holder keeps its core
        assert cores._free == 0, "what it did not take went to the one behind it"
    cores.let_go(holder)  # has its core, and is not disturbed
    cores.leave(stopped)
    cores.leave(holder)
    cores.leave(last)
    assert cores._free == 2 and not cores._waiting


def test_while_a_page_is_drawn_runs_that_take_turns_rest():
    cores = Cores(2)
    first, second = cores.join("a", 1), cores.join("b", 1)
    with cores.spared():
        with cores.turn(first), cores.turn(second):
            pass  # what they hold, they keep to the end of an event
        assert not first.granted.is_set() and not second.granted.is_set()
        with cores.spared():
            pass
        assert not first.granted.is_set()  # the outer page is still being drawn
    assert first.granted.is_set() and second.granted.is_set()


def test_a_run_that_is_alone_goes_on_while_a_page_is_drawn():
    cores = Cores(2)
    with cores.spared():
        borrower = cores.join("a", 2)
        for _ in range(3):
            with cores.turn(borrower):
                pass
        assert borrower.granted.is_set()


def test_a_page_that_takes_long_is_not_waited_for():
    cores, turns = Cores(1), []
    first, second = cores.join("a", 1), cores.join("b", 1)
    with cores.spared():
        for borrower in (first, second):  # would hang
            with cores.turn(borrower):
                turns.append(borrower.owner)
    assert turns == ["a", "b"]


def test_pages_drawn_without_a_pause_leave_the_runs_half_of_the_time(monkeypatch):
    now, trained, before = 0.0, 0, None
    monkeypatch.setattr(cores_module, "time", SimpleNamespace(perf_counter=lambda: now))
    cores = Cores(1)
    runs = [cores.join("a", 1), cores.join("b", 1)]
    for _ in range(10_000):
        page = cores.spared()
        page.__enter__()  # the next page begins before the last one ends
        if before is not None:
            before.__exit__(None, None, None)
        before, now = page, now + 0.01
        for run in runs:
            if run.granted.is_set():
                trained += 1
                with cores.turn(run):
                    pass
                break
    assert 0.4 < trained / 10_000 < 0.6
