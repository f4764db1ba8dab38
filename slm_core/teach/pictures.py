"""The charts of a lesson's step: one run with its references, or several side by side on one scale."""

from collections.abc import Mapping
from typing import Any

from slm_core.figures import extraction_figure, loss_figure
from slm_core.sweep_figures import Curve, multiples_figure
from slm_core.teach.measures import Told


def losses_picture(runs: Mapping[str, Told]) -> dict[str, Any]:
    """Training and validation loss over steps of runs by their labels; a small chart each, if several."""
    if len(runs) == 1:
        [told] = runs.values()
        return _one(told)
    return multiples_figure({label: [_curve(told)] for label, told in runs.items()})


def by_heart_picture(told: Told) -> dict[str, Any] | None:
    """What a run knows by heart, over its steps; None before that is measured."""
    found = told.history.extractions
    if not found:
        return None
    steps = sorted(found)
    return extraction_figure(
        steps=steps,
        train_rates=[found[step].train_rate for step in steps],
        validation_rates=[found[step].validation_rate for step in steps],
        max_iters=told.config.max_iters,
    )


def _one(told: Told) -> dict[str, Any]:
    history, curve = told.history, _curve(told)
    references = told.report.references() if told.report else {}
    if not references and history.started:
        references = {"guessing blindly (ln V)": history.started.loss_at_chance}
    return loss_figure(
        batch_losses=history.losses,
        steps=curve.steps,
        train_losses=curve.train,
        validation_losses=curve.validation,
        references=references,
        max_iters=told.config.max_iters,
    )


def _curve(told: Told) -> Curve:
    evaluations = told.history.evaluations
    steps = sorted(evaluations)
    return Curve(
        steps=steps,
        train=[evaluations[step].train_loss for step in steps],
        validation=[evaluations[step].validation_loss for step in steps],
    )
