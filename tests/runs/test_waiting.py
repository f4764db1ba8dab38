"""The queue, against queues played through step by step."""

from random import Random

import pytest

from slm_core.runs.waiting import in_order, seconds_until_start


def test_an_owner_with_ten_runs_does_not_keep_nine_others_waiting():
    waiting = ["greedy"] * 10 + [f"modest {number}" for number in range(9)]
    order = in_order(waiting, active=[])
    assert sorted(order) == list(range(19))
    assert [waiting[place] for place in order[:10]] == ["greedy", *waiting[10:]], "each owner's first run"
    assert order[10:] == list(range(1, 10)), "then what only one owner still asks for, in the order of asking"


def test_who_has_runs_that_train_waits_for_those_who_have_none():
    assert in_order(["a", "b"], active=["a"]) == [1, 0]
    assert in_order(["a", "a", "b", "c"], active=["a", "b", "b"]) == [3, 0, 1, 2]
    assert in_order([], active=["a"]) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_the_one_in_which_somebody_would_call_the_runs_one_by_one(seed):
    random = Random(seed)
    waiting = [random.choice("abcd") for _ in range(random.randint(0, 9))]
    active = [random.choice("abcde") for _ in range(random.randint(0, 6))]
    left, now, called = list(range(len(waiting))), list(active), []
    while left:
        fewest = min(now.count(waiting[place]) for place in left)
        following = next(place for place in left if now.count(waiting[place]) == fewest)
        left.remove(following)
        now.append(waiting[following])
        called.append(following)
    assert in_order(waiting, active) == called


def played_through(active: list[float], before: list[float], slowdown: float) -> float:
    """When the run behind `before` begins, if time passes in small steps and all runs share the machine."""
    going, waiting, now, step = list(active), list(before), 0.0, 0.001
    while True:
        going = [left - step / slowdown for left in going]
        now += step
        for place in [place for place, left in enumerate(going) if left <= 0]:
            if not waiting:
                return now
            going[place] = waiting.pop(0)


@pytest.mark.parametrize("seed", range(10))
def test_the_expected_start_is_that_of_a_queue_played_through(seed):
    random = Random(seed)
    active = [random.uniform(0.1, 1.0) for _ in range(random.randint(1, 4))]
    before = [random.uniform(0.1, 1.0) for _ in range(random.randint(0, 5))]
    slowdown = random.choice([1.0, 1.5, 4.0])
    expected = played_through(active, before, slowdown)
    assert seconds_until_start(active, before, slowdown) == pytest.approx(expected, abs=0.05)


def test_who_is_further_back_begins_no_earlier():
    active, before = [5.0, 1.0], [2.0, 0.5, 3.0, 0.1]
    starts = [seconds_until_start(active, before[:place], 2.0) for place in range(5)]
    assert starts == sorted(starts) and starts[0] == 2.0
    assert active == [5.0, 1.0], "what is given is not changed"
