"""What a lesson may ask of a run: a closed set of measures, each read from what the run has told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from slm_core.config import ExperimentConfig
from slm_core.model.budget import budget
from slm_core.runs.history import History
from slm_core.study.evidence import evidence_of
from slm_core.study.verdict import verdict
from slm_core.text.report import TextReport
from slm_core.train.events import EvalDone, ExtractionDone

Value = float | str
Values = Mapping[str, Mapping[str, Value]]  # by run, then by measure; what is not known is left out


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that is known of one run. `besides` are numbers that no run's history holds, by measure."""

    config: ExperimentConfig
    history: History
    report: TextReport | None = None
    besides: Mapping[str, float] = field(default_factory=dict)

    @property
    def last(self) -> EvalDone | None:
        """The latest measurement of the losses."""
        evaluations = self.history.evaluations
        return evaluations[max(evaluations)] if evaluations else None

    @property
    def by_heart(self) -> ExtractionDone | None:
        """The latest measurement of what it knows by heart."""
        extractions = self.history.extractions
        return extractions[max(extractions)] if extractions else None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure: its title and unit for people, how it is written, and how it is read; None if unknown.

    Losses, gap, rise and what is known by heart are those of the latest measurement: the end, if a run has
    ended.
    """

    title: str
    unit: str = ""
    digits: str = ".2f"
    read: Callable[[Told], Value | None]

    def shown(self, value: Value) -> str:
        """A value as people write it, with its unit."""
        unit = "" if isinstance(value, str) or self.unit == "%" else self.unit
        return f"{self.number(value)} {unit}".strip()

    def number(self, value: Value) -> str:
        """A value without its unit, for tables whose heads name it; shares keep their sign."""
        if isinstance(value, str):
            return value
        return f"{100 * value:.0f} %" if self.unit == "%" else format(value, self.digits)

    @property
    def heading(self) -> str:
        """The title with the unit, for the head of a table."""
        unit = "" if self.unit in ("", "%") else f" ({self.unit})"
        return f"{self.title[:1].upper()}{self.title[1:]}{unit}"


def measured(told: Told) -> dict[str, Value]:
    """Every measure that is known of a run."""
    found = {name: measure.read(told) for name, measure in MEASURES.items()}
    return {name: value for name, value in found.items() if value is not None}


def _of_last(read: Callable[[EvalDone], float]) -> Callable[[Told], Value | None]:
    return lambda told: read(told.last) if told.last else None


def _of_best(name: str) -> Callable[[Told], Value | None]:
    return lambda told: getattr(told.history.best, name) if told.history.best else None


def _of_report(read: Callable[[TextReport], Value]) -> Callable[[Told], Value | None]:
    return lambda told: read(told.report) if told.report else None


def _of_heart(name: str) -> Callable[[Told], Value | None]:
    return lambda told: getattr(told.by_heart, name) if told.by_heart else None


def _rise(told: Told) -> Value | None:
    last, best = told.last, told.history.best
    return last.validation_loss - best.validation_loss if last and best else None


def _seconds(told: Told) -> Value | None:
    return told.history.finished.elapsed_seconds if told.history.finished else None


def _speed(told: Told) -> Value | None:
    """That of the steps alone, as the Train page tells it: measuring and samples are no training."""
    return told.history.last_step.tokens_per_second if told.history.last_step else None


def _unique(told: Told) -> Value | None:
    return float(told.report.leaks.unique_training_tokens) if told.report else None


def _verdict(told: Told) -> Value | None:
    evidence = evidence_of(told.config, told.history, told.report)
    return verdict(evidence).kind if evidence is not None and evidence.evaluations else None


def _floor(told: Told) -> Value | None:
    return told.report.floor.nats_per_token if told.report and told.report.floor else None


def _besides(name: str) -> Callable[[Told], Value | None]:
    return lambda told: told.besides.get(name)


MEASURES: dict[str, Measure] = {
    "train_loss": Measure(
        title="training loss", unit="nats", digits=".3f", read=_of_last(lambda e: e.train_loss)
    ),
    "validation_loss": Measure(
        title="validation loss", unit="nats", read=_of_last(lambda e: e.validation_loss)
    ),
    "best_validation": Measure(title="best validation", unit="nats", read=_of_best("validation_loss")),
    "best_step": Measure(title="best at step", digits=",.0f", read=_of_best("step")),
    "gap": Measure(title="gap", unit="nats", read=_of_last(lambda e: e.validation_loss - e.train_loss)),
    "rise": Measure(title="rise from the best", unit="nats", read=_rise),
    "extraction_rate": Measure(title="by heart", unit="%", read=_of_heart("train_rate")),
    "extraction_control": Measure(title="new text by heart", unit="%", read=_of_heart("validation_rate")),
    "tokens_per_parameter": Measure(
        title="tokens per parameter", digits=".2g", read=lambda told: budget(told.config).tokens_per_parameter
    ),
    "parameters": Measure(
        title="parameters", digits=",.0f", read=lambda told: float(budget(told.config).parameters)
    ),
    "epochs": Measure(title="times read", digits=",.0f", read=lambda told: told.config.epochs),
    "unique_tokens": Measure(title="tokens of text, repeats not counted", digits=",.0f", read=_unique),
    "leak_share": Measure(title="found in training", unit="%", read=_of_report(lambda r: r.leaks.share_25)),
    "floor": Measure(title="best possible", unit="nats", read=_floor),
    "verdict": Measure(title="verdict", read=_verdict),
    "seconds": Measure(title="time", unit="s", digits=".1f", read=_seconds),
    "tokens_per_second": Measure(title="training speed", unit="tokens/s", digits=",.0f", read=_speed),
    "writing_speed": Measure(
        title="writing speed", unit="tokens/s", digits=",.0f", read=_besides("writing_speed")
    ),
    "file_kilobytes": Measure(title="file", unit="kB", digits=",.0f", read=_besides("file_kilobytes")),
}
