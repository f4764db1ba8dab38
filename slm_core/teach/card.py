"""A run in one small file: its settings, what was measured, and the nickname that its student chose.

A card holds no text that anybody wrote but the nickname. The server that trained a run makes its card, from
the run's folder; a card that comes as a file may say anything, and is read with that in mind.
"""

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from slm_core.config import ExperimentConfig, config_from_dict
from slm_core.errors import ConfigError, SlmError
from slm_core.runs.history import History
from slm_core.runs.store import Run, short_text

VERSION = 1
MEASURES = {  # what a run can be compared by: a card's number, and the words for it
    "best": "best validation loss (nats per token)",
    "gap": "gap at the end: validation minus training loss (nats per token)",
    "extraction": "share of its own text that it says by heart",
}
LONGEST_NICKNAME = 24
LARGEST_CARD_BYTES = 8_000
_LONGEST_MACHINE = 60
_LARGEST_LOSS = 1_000.0  # nats; no run ends there
_MARKS = " .-_'’!?"  # that a nickname may have besides letters, digits and pictures


class CardError(SlmError):
    """A card that cannot be made, or cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What one run came to. Losses are nats per token.

    made: when the run was begun, as ISO 8601 says it. machine: device and threads. extraction: a share
    (0..1), None if it was not measured. chance: what blind guessing costs. floor: what no model is below on
    average, None where it is not known.
    """

    nickname: str
    config: ExperimentConfig
    made: str
    machine: str
    best: float
    gap: float
    extraction: float | None
    chance: float
    floor: float | None
    seconds: float

    @property
    def fingerprint(self) -> str:
        """Tells runs apart: equal for two cards of one run, whatever the nickname."""
        told = {name: value for name, value in asdict(self).items() if name != "nickname"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]

    def to_json(self) -> str:
        """The card as a small file."""
        return json.dumps({"card": VERSION, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False)


def checked_nickname(text: str) -> str:
    """A nickname without spaces around it. Raises CardError if it cannot be shown to a class as it is."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= LONGEST_NICKNAME:
        raise CardError(f"A nickname has 1 to {LONGEST_NICKNAME} characters; this one has {len(name)}.")
    if odd := [each for each in name if unicodedata.category(each)[0] not in "LMN" and not _is_mark(each)]:
        raise CardError(
            f"A nickname may have letters, digits, spaces, pictures and {_MARKS.strip()} only, not "
            f"{odd[0]!a}. Choose another."
        )
    if not any(unicodedata.category(each)[0] in "LN" or unicodedata.category(each) == "So" for each in name):
        raise CardError("A nickname needs a letter, a digit or a picture. Choose another.")
    return name


def _is_mark(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character) == "So"


def card_of(run: Run, history: History, nickname: str) -> Card:
    """The card of a run that has come to its end. Raises CardError for others, and for a bad nickname."""
    nickname = checked_nickname(nickname)
    best = history.best
    if run.imported:
        raise CardError("This model came as a file; what it was measured with is not known here.")
    if history.started is None or best is None or history.finished is None:
        raise CardError("This run has not ended yet. Wait until it has done all its steps.")
    if history.finished.reason != "finished":
        raise CardError("This run has not done all its steps, so it cannot stand beside those that have.")
    last, extraction, report = (
        history.evaluations[max(history.evaluations)],
        history.extractions.get(max(history.extractions, default=0)),
        run.report(),
    )
    return Card(
        nickname=nickname,
        config=run.config,
        made=run.created.isoformat(timespec="seconds"),
        machine=short_text(f"{run.device}, threads: {run.threads}", _LONGEST_MACHINE),
        best=best.validation_loss,
        gap=last.validation_loss - last.train_loss,
        extraction=extraction.train_rate if extraction else None,
        chance=history.started.loss_at_chance,
        floor=report.floor.nats_per_token if report is not None and report.floor else None,
        seconds=history.finished.elapsed_seconds,
    )


def read_card(content: bytes) -> Card:
    """The card that somebody's file holds. Raises CardError, saying what is wrong, for anything else."""
    if len(content) > LARGEST_CARD_BYTES:
        raise CardError(f"It has {len(content):,} bytes; a card has {LARGEST_CARD_BYTES:,} at most.")
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise CardError("It is no card: it cannot be read as JSON.") from None
    if not isinstance(said, dict) or "card" not in said:
        raise CardError("It is no card: download one with the button under a run.")
    version = said.pop("card")
    if version != VERSION or isinstance(version, bool):
        raise CardError(f"It is a card of version {ascii(version)[:20]}; this app reads version {VERSION}.")
    if set(said) != set(Card.__dataclass_fields__):
        odd = sorted(set(said) ^ set(Card.__dataclass_fields__))[0]
        raise CardError(f"It is no whole card: look at {ascii(odd)[:40]}.")
    return _card(said)


def _card(said: Mapping[str, Any]) -> Card:
    try:
        config = config_from_dict(said["config"])
    except (ConfigError, TypeError) as error:
        raise CardError(f"Its settings cannot be: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(said["nickname"], str):
        raise CardError("Its nickname is no text.")
    return Card(
        nickname=checked_nickname(said["nickname"]),
        config=config,
        made=_moment(said["made"]),
        machine=_machine(said["machine"]),
        best=_number(said, "best", 0, _LARGEST_LOSS),
        gap=_number(said, "gap", -_LARGEST_LOSS, _LARGEST_LOSS),
        extraction=None if said["extraction"] is None else _number(said, "extraction", 0, 1),
        chance=_number(said, "chance", 0, _LARGEST_LOSS),
        floor=None if said["floor"] is None else _number(said, "floor", 0, _LARGEST_LOSS),
        seconds=_number(said, "seconds", 0, 1e9),
    )


def _number(said: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = said[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or not math.isfinite(value):
        raise CardError(f"Its {name} is {ascii(value)[:40]}; it must be a number from {low:g} to {high:g}.")
    return float(value)


def _moment(value: Any) -> str:
    try:
        return datetime.fromisoformat(value).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError):
        raise CardError(f"It was made at {ascii(value)[:40]}, which is no time.") from None


def _machine(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_MACHINE or not value.isprintable():
        raise CardError("Its machine is no short text.")
    return value
