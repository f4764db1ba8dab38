"""What a training run tells, in the order it happens:

RunStarted (StepDone | EvalDone | ExtractionDone | SampleDrawn | Notice | Working)* RunFinished

Each EvalDone is followed by the ExtractionDone and then the SampleDrawn of its step.

Events are frozen and hold JSON scalars only, so a run can be written as one line per event and read back
anywhere.
"""

import json
import sys
from dataclasses import dataclass, fields
from typing import Any

from slm_core.errors import RunError


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The run begins, or goes on from `step`. Losses are nats per token, here and in every event."""

    step: int
    max_iters: int
    device: str
    threads: int
    parameters: int
    train_tokens: int
    validation_tokens: int
    loss_at_chance: float  # ln(vocab_size): what a model that knows nothing scores


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """One update of the weights. `loss` is the batch's, before the update; `grad_norm` is before clipping."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    elapsed_seconds: float
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class EvalDone:
    """Training and validation loss on fixed windows, in evaluation mode. `is_best`: lowest validation loss so
    far."""

    step: int
    train_loss: float
    train_bits_per_byte: float
    validation_loss: float
    validation_standard_error: float
    validation_bits_per_byte: float
    windows: int
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class ExtractionDone:
    """How much the model knows by heart: the share (0..1) of places in a text where, given `length_tokens`
    tokens, it goes on with the very `length_tokens` that follow there.

    train_rate is of the text that it learns from. validation_rate is the control: what it can guess of a text
    that it has never read, unless that stands in the training text, too.
    """

    step: int
    train_rate: float
    validation_rate: float
    places_train: int
    places_validation: int
    length_tokens: int


@dataclass(frozen=True, kw_only=True)
class SampleDrawn:
    """Text that the model wrote at this step after a test prompt, the same prompt throughout the run.

    source: "training" if the prompt begins a text that the model learns from, "validation" if it has never
    seen it.
    """

    step: int
    source: str
    prompt: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that the person should know: a setting that could not take effect, a text shorter than asked
    for."""

    step: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Working:
    """A long piece of work is under way, `share` of it (0..1) done. It says that the run is at rest for a
    moment and may be paused or stopped; it is not kept in the run's history."""

    step: int
    doing: str
    share: float


@dataclass(frozen=True, kw_only=True)
class RunFinished:
    """The run is over. `reason`: finished (all steps done, or the validation loss no longer fell and patience
    ended it early: `step` says after how many), stopped (by a person), diverged (loss no longer finite),
    failed (`text` says why)."""

    step: int
    reason: str
    text: str
    best_step: int
    best_validation_loss: float
    elapsed_seconds: float


Event = RunStarted | StepDone | EvalDone | ExtractionDone | SampleDrawn | Notice | Working | RunFinished

_KINDS: dict[str, type] = {kind.__name__: kind for kind in Event.__args__}
_TYPES = {kind: {each.name: each.type for each in fields(kind)} for kind in Event.__args__}
REASONS = ("finished", "stopped", "diverged", "failed")
_LARGEST = {int: 2**53, float: sys.float_info.max}  # what every reader of JSON takes for that very number


def to_json(event: Event) -> str:
    """One line of JSON, without a line break. Non-finite numbers are refused by the events' makers, not
    written."""
    return json.dumps({"event": type(event).__name__, **vars(event)}, ensure_ascii=False, allow_nan=False)


def from_json(line: str) -> Event:
    """The event that `to_json` wrote. Raises RunError for anything else, so that nobody who draws or counts
    an event needs to ask what its values are."""
    try:
        row: dict[str, Any] = json.loads(line)
        event = _KINDS[row.pop("event")](**row)
        wrong = [name for name, kind in _TYPES[type(event)].items() if not _fits(row[name], kind)]
        if event.step < 0:
            wrong.append("step")
        if isinstance(event, RunFinished) and event.reason not in REASONS:
            wrong.append("reason")
        if wrong:
            raise ValueError(f"its {' and its '.join(wrong)} cannot be that")
        return event
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"This line of a run's history cannot be read: {line[:80]!r} ({error}).") from None


def _fits(value: Any, kind: type) -> bool:
    if kind in _LARGEST:
        return type(value) in (int, kind) and abs(value) <= _LARGEST[kind]  # false for NaN too
    if kind is str and type(value) is str:
        value.encode()  # a ValueError if there are halves of characters, which no page could show
    return type(value) is kind
