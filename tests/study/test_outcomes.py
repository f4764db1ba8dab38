"""What runs found: read from their histories, summed up as numpy does it by hand."""

import numpy as np
import pytest

from slm_core.config import ExperimentConfig
from slm_core.runs.history import History
from slm_core.runs.store import create_run
from slm_core.study.axes import AXES
from slm_core.study.outcomes import Outcome, Spread, law_points, notice, outcome, summary
from slm_core.study.scaling import Point
from slm_core.study.sweep import Cell
from slm_core.train.events import EvalDone, RunFinished, RunStarted

CELL = Cell(value=3_000, seed=2, config=ExperimentConfig(dataset_size=3_000), device="cpu")
STARTED = RunStarted(
    step=0, max_iters=60, device="cpu", threads=1, parameters=5_000, train_tokens=2_900,
    validation_tokens=700, loss_at_chance=6.9,
)  # fmt: skip


def evaluated(step: int, train: float, validation: float) -> EvalDone:
    return EvalDone(
        step=step, train_loss=train, train_bits_per_byte=train / 2, validation_loss=validation,
        validation_standard_error=0.1, validation_bits_per_byte=validation / 2, windows=20, is_best=False,
    )  # fmt: skip


def finished(reason: str = "finished") -> RunFinished:
    return RunFinished(
        step=60, reason=reason, text="", best_step=20, best_validation_loss=4.0, elapsed_seconds=12.5
    )


CURVE = [evaluated(0, 6.9, 6.9), evaluated(20, 3.0, 4.0), evaluated(40, 2.0, 4.5), evaluated(60, 1.0, 5.0)]


def told(folder, *events) -> History:
    run = create_run(folder, CELL.config, name="a", device="cpu", threads=1)
    for event in events:
        run.append(event)
    return History(run.folder).refresh()


def test_a_run_that_ended_tells_its_best_and_its_last(tmp_path):
    found = outcome(CELL, told(tmp_path, STARTED, *CURVE, finished()))
    assert found == Outcome(
        value=3_000, seed=2, best_validation_loss=4.0, best_step=20, train_loss_there=3.0, bits_per_byte=2.0,
        final_validation=5.0, final_train=1.0, seconds=12.5, train_tokens=2_900, parameters=5_000,
    )  # fmt: skip
    assert found.gap == 4.0


def test_a_run_that_diverged_is_marked(tmp_path):
    assert outcome(CELL, told(tmp_path, STARTED, *CURVE[:2], finished("diverged"))).diverged


@pytest.mark.parametrize(
    "events",
    [
        [],
        [STARTED],
        [STARTED, *CURVE],
        [STARTED, *CURVE, finished("stopped")],
        [STARTED, *CURVE, finished("failed")],
        [STARTED, *CURVE[:2], finished("stopped"), STARTED, CURVE[0]],
        [finished("failed")],
    ],
    ids=["nothing", "began", "under way", "stopped", "failed", "resumed", "never began"],
)
def test_a_run_that_has_not_come_to_its_end_tells_nothing(tmp_path, events):
    assert outcome(CELL, told(tmp_path, *events)) is None


def found(value: object, seed: int, best: float, gap: float, diverged: bool = False) -> Outcome:
    return Outcome(
        value=value, seed=seed, best_validation_loss=best, best_step=1, train_loss_there=best,
        bits_per_byte=best / 3, final_validation=2 * best, final_train=2 * best - gap, seconds=10.0 * seed,
        train_tokens=100 * seed, parameters=7, diverged=diverged,
    )  # fmt: skip


def test_rows_are_what_numpy_makes_of_the_seeds():
    random = np.random.default_rng(0)
    best, gaps = random.uniform(1, 5, (2, 3)), random.uniform(-1, 3, (2, 3))
    outcomes = [
        found(value, seed + 1, best[row, seed], gaps[row, seed])
        for seed in (2, 0, 1)
        for row, value in ((1, 1_000), (0, 200))
    ]
    rows = summary(outcomes)
    assert [row.value for row in rows] == [200, 1_000] and [row.runs for row in rows] == [3, 3]
    for row, losses, gap in zip(rows, best, gaps, strict=True):
        for spread, values in (
            (row.best_validation_loss, losses),
            (row.gap, gap),
            (row.bits_per_byte, losses / 3),
            (row.seconds, np.array([10.0, 20.0, 30.0])),
        ):
            assert spread.mean == pytest.approx(values.mean())
            assert (spread.low, spread.high) == pytest.approx((values.min(), values.max()))


def test_one_seed_has_no_spread_and_none_no_rows():
    (row,) = summary([found("cpu", 1, 2.0, 1.0, diverged=True)])
    assert row.best_validation_loss == Spread(2.0, 2.0, 2.0) and row.diverged == 1
    assert summary([]) == []


def test_points_for_a_law_are_at_what_was_really_read():
    outcomes = [found(200, 1, 5.0, 0), found(300, 2, 4.0, 0), found(400, 3, 9.0, 0, diverged=True)]
    assert law_points(outcomes, "train_tokens") == [Point(100.0, 5.0, 1), Point(200.0, 4.0, 2)]
    assert [point.x for point in law_points(outcomes, "parameters")] == [7.0, 7.0]


@pytest.mark.parametrize("axis", AXES.values())
def test_axes_compare_runs_by_numbers_that_there_are(axis):
    assert isinstance(getattr(summary([found(1, 1, 2.0, 1.0)])[0], axis.compared_by), Spread)
    if axis.along:
        assert law_points([found(1, 1, 2.0, 1.0)], axis.along)


def ended(value: int, seed: int, loss: float) -> Outcome:
    return Outcome(
        value=value, seed=seed, best_validation_loss=loss, best_step=1, train_loss_there=loss,
        bits_per_byte=loss, final_validation=loss, final_train=loss, seconds=1.0, train_tokens=value,
        parameters=1,
    )  # fmt: skip


def test_an_effect_is_only_claimed_beyond_what_seeds_do():
    clear = [ended(200, 1, 5.0), ended(200, 2, 5.2), ended(3_000, 1, 2.0), ended(3_000, 2, 2.1)]
    said = notice(summary(clear), "dataset_size", "best_validation_loss")
    assert "3,000" in said and "2.050" in said and "5.100" in said and "makes a difference" in said
    hidden = [ended(2, 1, 5.0), ended(2, 2, 5.6), ended(4, 1, 5.1), ended(4, 2, 5.3)]
    assert "no effect" in notice(summary(hidden), "n_layer", "best_validation_loss")
    assert "chance" in notice(summary([clear[0], clear[2]]), "dataset_size", "best_validation_loss")
    assert "Two values" in notice(summary(clear[:2]), "dataset_size", "best_validation_loss")
