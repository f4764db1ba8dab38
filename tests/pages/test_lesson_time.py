"""The time left of a lesson's runs is told by those that train, not by others that the step shows, too."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pages.ui import lesson_start
from pages.ui.lesson_runs import DONE, LIVE, Shown
from slm_core.config import load_preset
from slm_core.teach.measures import Told
from slm_core.teach.progress import HERE


def shown(
    minutes_ago: float, steps: int, ended: bool = False, computed: float = 0.0, went_on_at: int = 0
) -> Shown:
    """A run of 200 steps that was begun so long ago, has done so many of them, computed for so many seconds,
    and was stopped and went on at a step, if at all."""
    config = load_preset("ULTRA_TINY").config
    history = SimpleNamespace(
        finished=ended or None,
        last_step=SimpleNamespace(step=steps, elapsed_seconds=computed),
        started=SimpleNamespace(step=went_on_at),
    )
    return Shown(
        run=SimpleNamespace(config=config),
        state=DONE if ended else LIVE,
        told=Told(config=config, history=history),
        source=HERE,
        kept=SimpleNamespace(created=datetime.now(UTC) - timedelta(minutes=minutes_ago)),
    )


def test_what_was_trained_long_ago_tells_nothing_of_the_time():
    runs = [shown(60, 200, ended=True), shown(60, 200, ended=True), shown(1, 50), shown(1, 50)]
    share, left = lesson_start.share_and_left(runs)
    assert share == pytest.approx((1 + 1 + 0.25 + 0.25) / 4)
    assert left == pytest.approx(180, abs=5)  # a quarter took a minute


def test_a_run_that_was_begun_with_the_others_and_has_ended_counts():
    _, left = lesson_start.share_and_left([shown(1, 200, ended=True), shown(1, 0)])
    assert left == pytest.approx(60, abs=5)


def test_nobody_can_tell_before_a_step_is_done():
    assert lesson_start.share_and_left([shown(1, 0)]) == (0.0, None)


def test_a_run_that_went_on_is_not_told_by_the_hour_that_it_stood_still():
    _, left = lesson_start.share_and_left([shown(60, 100, computed=20.0, went_on_at=80)])
    assert left == pytest.approx(20.0)  # half of its steps took as long


def test_two_that_went_on_at_a_time_are_told_by_what_both_computed(monkeypatch):
    both = [shown(60, 50, computed=20.0, went_on_at=20), shown(60, 50, computed=20.0, went_on_at=40)]
    for cores, left in ((1, 120.0), (2, 60.0)):
        monkeypatch.setattr(lesson_start, "physical_cores", lambda cores=cores: cores)
        assert lesson_start.share_and_left(both)[1] == pytest.approx(left)
