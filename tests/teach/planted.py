"""Lessons and histories that tests plant: all that is known of them was written by hand."""

from pathlib import Path

from slm_core.config import ExperimentConfig
from slm_core.runs.history import History
from slm_core.teach.measures import Told
from slm_core.train.events import EvalDone, ExtractionDone, RunFinished, RunStarted, StepDone

LESSON = """
title: A title
question: A question?
minutes: 10
runs:
  small:
    label: 200 tokens
    preset: ULTRA_TINY
    change: {dataset_size: 200}
  large:
    label: 3,000 tokens
    preset: ULTRA_TINY
    change: {dataset_size: 3000}
steps:
  - id: gaps
    title: Gaps
    text: Two runs. The first has {parameters of small} parameters.
    runs: [small, large]
    show: [train_loss, gap]
    predict:
      ask: Which gap is wider?
      choices:
        - {text: The first., when: gap of small > gap of large}
        - {text: The second., when: gap of small <= gap of large}
    see:
      - when: gap of small > 2 * gap of large
        text: It is wider, {gap of small} against {gap of large}.
        otherwise: It is not much wider.
    why: Because.
    check:
      - ask: How wide is the first?
        number: gap of small
        within: 0.5
      - ask: Which is best?
        pick: lowest best_validation
"""


def lesson_file(folder: Path, text: str = LESSON, name: str = "planted") -> Path:
    """A lesson's file in a folder."""
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def events(train: list[float], validation: list[float], *, by_heart: float = 0.75, seconds: float = 10.0):
    """A run's events whose losses, one each ten steps, are given; each step takes the same time."""
    last = 10 * (len(train) - 1)
    yield RunStarted(
        step=0, max_iters=last, device="cpu", threads=1, parameters=1_000, train_tokens=200,
        validation_tokens=2_000, loss_at_chance=6.9,
    )  # fmt: skip
    for step in range(last + 1):
        if step:
            yield StepDone(
                step=step, loss=train[step // 10], learning_rate=1e-3, grad_norm=1.0, tokens_per_second=100.0,
                elapsed_seconds=seconds * step / last, remaining_seconds=0.0,
            )  # fmt: skip
        if step % 10 == 0:
            best = min(validation[: step // 10 + 1])
            yield EvalDone(
                step=step, train_loss=train[step // 10], train_bits_per_byte=1.0,
                validation_loss=validation[step // 10], validation_standard_error=0.01,
                validation_bits_per_byte=1.0, windows=40, is_best=validation[step // 10] == best,
            )  # fmt: skip
            yield ExtractionDone(
                step=step, train_rate=by_heart * step / last, validation_rate=0.0, places_train=16,
                places_validation=16, length_tokens=16,
            )  # fmt: skip
    best = min(validation)
    yield RunFinished(
        step=last, reason="finished", text="", best_step=10 * validation.index(best),
        best_validation_loss=best, elapsed_seconds=seconds,
    )  # fmt: skip


def told_of(config: ExperimentConfig, given) -> Told:
    """What a run with these events has told, through its folder's own reader."""
    from slm_core.teach.recording import told

    return Told(config=config, history=told(given))


def empty(config: ExperimentConfig) -> Told:
    """A run that has told nothing yet."""
    return Told(config=config, history=History(Path()))
