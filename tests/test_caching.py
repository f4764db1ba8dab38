"""What many ask for at once is computed once."""

import threading

import pytest

from slm_core.caching import computed_once


def test_thirty_who_ask_at_once_get_one_result_of_one_computation():
    began, may_end, calls = threading.Event(), threading.Event(), []

    @computed_once(maxsize=2)
    def square(number):
        calls.append(number)
        began.set()
        may_end.wait(10)
        return number * number

    results = []
    threads = [threading.Thread(target=lambda: results.append(square(7))) for _ in range(30)]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert (results, calls) == ([49] * 30, [7])


def test_other_questions_do_not_wait():
    began, may_end = threading.Event(), threading.Event()

    @computed_once(maxsize=2)
    def answer(name):
        if name == "slow":
            began.set()
            assert may_end.wait(10)
        return name

    slow = threading.Thread(target=answer, args=("slow",))
    slow.start()
    assert began.wait(10)
    assert answer("fast") == "fast"  # would hang, or fail in the thread above
    may_end.set()
    slow.join(10)


def test_a_failure_is_told_to_each_and_not_kept():
    calls = []

    @computed_once(maxsize=2)
    def fail(number):
        calls.append(number)
        raise ValueError(number)

    for _ in range(2):
        with pytest.raises(ValueError):
            fail(1)
    assert calls == [1, 1]


def test_no_more_results_are_kept_than_asked_for():
    calls = []

    @computed_once(maxsize=2)
    def same(number):
        calls.append(number)
        return number

    for number in (1, 2, 1, 3, 2):  # 3 puts out 2, the longest unasked for
        same(number)
    assert calls == [1, 2, 3, 2]
