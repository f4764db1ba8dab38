"""Runs side by side: in what they differ, how far each was when, and what can be said of them.

A comparison shows what one setting does only if nothing else differs; `warnings` says so.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slm_core.config import KNOBS, ExperimentConfig
from slm_core.model.budget import budget
from slm_core.runs.history import History
from slm_core.study.evidence import CLEAR
from slm_core.text import stories

ALONG = {  # what losses can be drawn over, and the words for it
    "steps": "steps",
    "tokens": "tokens read",
    "epochs": "epochs: times the text was read",
    "seconds": "seconds of computing",
    "flops": "FLOPs: arithmetic done",
}
NATS, BITS = "nats per token", "bits per byte"
_STRONGLY = 30.0  # runs that end further apart than by this factor do not fit on a linear axis
_CHANCE = ("seed", "eval_interval")  # these change what is drawn and measured, not how a model learns
_MOST_NAMED = 3  # settings in a label; more would be longer than a run's own name
_MOST_LISTED = 4  # values in a sentence


@dataclass(frozen=True, kw_only=True)
class Track:
    """A run's evaluations in the order of steps: how far the run was by each measure of ALONG, and both
    losses, (training, validation), in both units. All lists are of one length."""

    places: Mapping[str, list[float]]
    losses: Mapping[str, tuple[list[float], list[float]]]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run in a few numbers, as far as it has come.

    best: the lowest validation loss, by unit; None before the first measurement, as are error, its standard
    error in nats per token, and gap, the last validation loss minus the last training loss in nats per token.
    seconds: spent computing. validation_tokens: 0 before the run has begun. ended_early: with steps left, as
    its patience had run out.
    """

    config: ExperimentConfig
    steps: int
    seconds: float
    validation_tokens: int
    best: Mapping[str, float] | None
    error: float | None
    gap: float | None
    ended_early: bool = False


def track(config: ExperimentConfig, history: History) -> Track:
    """The evaluations of a run with this config."""
    evaluations = [history.evaluations[step] for step in sorted(history.evaluations)]
    steps = [each.step for each in evaluations]
    tokens = [step * config.tokens_per_step for step in steps]
    read = config.dataset_size
    cost = budget(config)
    flops = cost.flops_per_step
    if history.started is not None:  # a text may be shorter than asked for, and a vocabulary smaller
        read = max(1, min(read, history.started.train_tokens))
        flops += 6 * (history.started.parameters - cost.parameters) * config.tokens_per_step
    return Track(
        places={
            "steps": steps,
            "tokens": tokens,
            "epochs": [each / read for each in tokens],
            "seconds": _seconds(history, steps),
            "flops": [step * flops for step in steps],
        },
        losses={
            NATS: ([each.train_loss for each in evaluations], [each.validation_loss for each in evaluations]),
            BITS: (
                [each.train_bits_per_byte for each in evaluations],
                [each.validation_bits_per_byte for each in evaluations],
            ),
        },
    )


def _seconds(history: History, steps: Sequence[int]) -> list[float]:
    """Seconds of computing up to each step; where a damaged history does not tell, those up to the one
    before."""
    known = [0.0]
    for step in steps:
        known.append(history.elapsed.get(step, known[-1]))
    return known[1:]


def standing(config: ExperimentConfig, history: History) -> Standing:
    """What a run with this config has come to."""
    best, step, ended = history.best, history.last_step, history.finished
    last = history.evaluations[max(history.evaluations)] if best is not None else None
    return Standing(
        config=config,
        steps=step.step if step else 0,
        seconds=max(each.elapsed_seconds for each in (step, ended) if each) if step else 0.0,
        validation_tokens=history.started.validation_tokens if history.started else 0,
        best={NATS: best.validation_loss, BITS: best.validation_bits_per_byte} if best else None,
        error=best.validation_standard_error if best else None,
        gap=last.validation_loss - last.train_loss if last else None,
        ended_early=ended is not None and ended.reason == "finished" and ended.step < config.max_iters,
    )


def smoothed(values: Sequence[float], share: float) -> list[float]:
    """Each value becomes the mean of itself and all before it, one that lies k before weighing share^k, with
    share in 0..1 but not 1."""
    means, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = share * total + value, share * weight + 1
        means.append(total / weight)
    return means


def differing(configs: Sequence[ExperimentConfig]) -> list[str]:
    """The settings in which configs differ, in the order of the knobs; those without an effect are left
    out."""
    names = [name for name in KNOBS if len({getattr(config, name) for config in configs}) > 1]
    if all(config.tokenizer != "bpe" for config in configs):
        return [name for name in names if name != "vocab_size"]  # those tokenizers have sizes of their own
    return names


def changed(standings: Sequence[Standing]) -> list[str]:
    """In what runs differ, as far as it bears on what they learn: settings by name, and "the text itself" if
    the texts that people brought are not the same. A min_lr that stays the same share of learning_rate is no
    second change."""
    configs = [each.config for each in standings]
    names = [name for name in differing(configs) if name not in _CHANCE]
    shares = {f"{config.min_lr / config.learning_rate:.6g}" for config in configs}
    if "learning_rate" in names and "min_lr" in names and len(shares) == 1:
        names.remove("min_lr")
    if {config.corpus for config in configs} == {"own"} and _texts_differ(standings):
        names.append("the text itself")
    return names


def labels(standings: Sequence[Standing], names: Sequence[str]) -> list[str]:
    """What a legend calls each run, no two alike: by what differs ("dataset_size 200"), else by the run's
    name."""
    configs = [each.config for each in standings]
    told = [name for name in changed(standings) if name in KNOBS]
    if 0 < len(told) <= _MOST_NAMED:
        made = [", ".join(f"{name} {said(getattr(config, name))}" for name in told) for config in configs]
    else:
        made = list(names)
    made = _apart(made, [f"seed {config.seed}" for config in configs])
    made = _apart(made, names)
    for place, label in enumerate(made):
        number = 2
        while made[place] in made[:place]:
            made[place] = f"{label} ({number})"
            number += 1
    return made


def _apart(made: Sequence[str], more: Sequence[str]) -> list[str]:
    """Labels with something added to those that are alike, where it tells any of them apart."""
    alike: dict[str, set[str]] = {}
    for label, extra in zip(made, more, strict=True):
        alike.setdefault(label, set()).add(extra)
    return [
        f"{label}, {extra}" if len(alike[label]) > 1 and extra != label else label
        for label, extra in zip(made, more, strict=True)
    ]


def said(value: Any) -> str:
    """A setting's value as people write it: 30,000, 0.003, rotary."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def unit_of(standings: Iterable[Standing]) -> tuple[str, str]:
    """The unit in which the losses of runs can be compared, and a sentence why if it is not the usual one."""
    kinds = {_tokens(each) for each in standings if each.validation_tokens}
    if len(kinds) <= 1:
        return NATS, ""
    return BITS, (
        "These runs cut text into different tokens, and a longer token is harder to guess. So losses are "
        "shown in bits per byte of text, which does not depend on the tokenizer."
    )


def _tokens(each: Standing) -> tuple[Any, ...]:
    """What decides which tokens a run reads; each text that people bring has a tokenizer of its own."""
    config = each.config
    size = config.vocab_size if config.tokenizer == "bpe" else 0
    source = {"repeated": "stories", "own": each.validation_tokens}.get(config.corpus, config.corpus)
    return config.tokenizer, size, source


def _texts_differ(standings: Sequence[Standing]) -> bool:
    """Whether runs are known to be tested on different texts: equal settings would make equally many tokens
    of one text."""
    tested: dict[tuple[Any, ...], set[int]] = {}
    for each in standings:
        config = each.config
        size = 0 if config.corpus in stories.SIZES else each.validation_tokens
        if each.validation_tokens:
            tested.setdefault((config.tokenizer, config.vocab_size), set()).add(size)
    return len({each.config.corpus for each in standings}) > 1 or any(
        len(each) > 1 for each in tested.values()
    )


def logarithmic(ends: Iterable[float]) -> bool:
    """Whether runs that end at these places need a logarithmic axis to be seen together."""
    positive = [end for end in ends if end > 0]
    return bool(positive) and max(positive) > _STRONGLY * min(positive)


def finding(standings: Sequence[Standing], unit: str) -> str:
    """What the runs' best validation losses show, by the setting in which they differ."""
    measured = [each for each in standings if each.best is not None]
    if len(measured) < 2:
        return "A comparison needs two runs that have been measured."
    losses = [each.best[unit] for each in measured]
    spread = f"{min(losses):.2f} to {max(losses):.2f} {unit}"
    names = changed(measured)
    if not names and len({each.config.seed for each in measured}) == 1:
        return f"They have the same settings and the same seed. Best validation loss: {spread}."
    if not names:
        return f"They differ in nothing but the seed. Best validation loss: {spread}. So much is chance."
    if len(names) > 1 or names[0] not in KNOBS:
        return f"They differ in {_and(names)}. Best validation loss: {spread}."
    by_value: dict[Any, list[float]] = {}
    for each, loss in zip(measured, losses, strict=True):
        by_value.setdefault(getattr(each.config, names[0]), []).append(loss)
    return f"They differ in {names[0]}. {_by_value(by_value, KNOBS[names[0]].unit, unit)}"


def _by_value(losses: Mapping[Any, Sequence[float]], unit_of_value: str, unit: str) -> str:
    """Best validation losses by a setting's value: all of them, or the lowest and the highest of many."""
    means = {value: math.fsum(found) / len(found) for value, found in sorted(losses.items())}
    seeds = " (means over seeds)" if any(len(found) > 1 for found in losses.values()) else ""
    head = f"Best validation loss{seeds} in {unit}: "
    at = "with" if any(isinstance(value, str) for value in means) else "at"
    if len(means) > _MOST_LISTED:
        best, worst = (of(means, key=means.get) for of in (min, max))
        told = (
            f"lowest, {means[best]:.2f}, {at} {said(best)}; highest, {means[worst]:.2f}, {at} {said(worst)}"
        )
    else:
        told = ", ".join(f"{mean:.2f} {at} {said(value)}" for value, mean in means.items())
    return f"{head}{told} {unit_of_value}".rstrip() + "."


def warnings(standings: Sequence[Standing]) -> list[str]:
    """Why a comparison does not show what a setting does: a sentence for each reason."""
    found = []
    names = changed(standings)
    if len(names) > 1:
        found.append(
            f"More than one thing differs: {_and(names)}. So this comparison proves nothing about any one of "
            "them. Train runs that differ in one setting only."
        )
    if _texts_differ(standings):
        found.append(
            "They are tested on different texts, so a lower loss may only mean that its text is easier."
        )
    elif "block_size" in names and standings[0].config.corpus in stories.SIZES:
        found.append(
            "block_size also decides how much of each held-out story is tested, and a story's beginning is "
            "harder to guess than its end."
        )
    return found


def doubts(standings: Sequence[Standing]) -> list[str]:
    """What may still change a comparison, or may be chance: a sentence for each reason."""
    found = []
    for short, why in (
        (sum(each.steps < each.config.max_iters and not each.ended_early for each in standings), "."),
        (sum(each.ended_early for each in standings), ": the validation loss had stopped falling."),
    ):
        if short:
            have = "has" if short == 1 else "have"
            found.append(f"{short} of {len(standings)} {have} not done all steps{why}")
    measured = [each for each in standings if each.best is not None]
    if len(measured) > 1 and (doubt := _doubt(measured, changed(measured))):
        found.append(doubt)
    return found


def _doubt(measured: Sequence[Standing], names: Sequence[str]) -> str:
    """A sentence if a difference between runs may be nothing but chance."""
    best, worst = (of(measured, key=lambda each: each.best[NATS]) for of in (min, max))
    if unit_of(measured)[0] == NATS and names:
        difference = worst.best[NATS] - best.best[NATS]
        if difference < CLEAR * math.hypot(best.error, worst.error):
            return "The best losses lie closer together than they can be measured: that may be nothing."
    values = [tuple(getattr(each.config, name, "") for name in names) for each in measured]
    if len(names) == 1 and len(set(values)) == len(values):
        return "Each was trained with one seed. How much of a difference is chance, other seeds would tell."
    return ""


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


CURVE_COLUMNS = (
    "run", "name", "step", "tokens", "epochs", "seconds", "flops", "train", "validation",
    "train_bits_per_byte", "validation_bits_per_byte",
)  # fmt: skip


def curve_rows(run_id: str, name: str, of: Track) -> list[tuple[Any, ...]]:
    """One row for each evaluation of a run, as CURVE_COLUMNS says; losses in nats per token, then in bits."""
    columns = [*of.places.values(), *of.losses[NATS], *of.losses[BITS]]
    return [(run_id, name, *row) for row in zip(*columns, strict=True)]


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
