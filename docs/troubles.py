"""The tables of troubleshooting.md: what the app says, made by the engine itself from examples."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from slm_core.config import load_preset
from slm_core.errors import SlmError
from slm_core.runs.checkpoint import load_checkpoint
from slm_core.runs.limits import PROFILES, load_limits
from slm_core.study.advice import of_memory, of_time, that_fits
from slm_core.study.capacity import BITS_PER_PARAMETER, capacity
from slm_core.study.evidence import Evidence
from slm_core.study.verdict import (
    CANT_TELL,
    DIVERGED,
    GOOD_FIT,
    LEAKING,
    LEARNING,
    MEMORIZED,
    OVERFITTING,
    TOO_LITTLE,
    UNDERFITTING,
    verdict,
)
from slm_core.text import gpt2, library
from slm_core.text.corpus import prepare, read_text, split_text
from slm_core.train.events import EvalDone, ExtractionDone

TINY = load_preset("TINY_CPU").config
CHANCE, FLOOR = 6.93, 0.49  # nats per token
_MANY, _FEW = 128, 12  # windows of validation text


def run(
    train: Sequence[float],
    new: Sequence[float],
    *,
    windows: int = _MANY,
    error: float = 0.03,
    by_heart: float | None = None,
    floor: float | None = FLOOR,
    counting: float | None = None,
    leaking: bool = False,
    ended: str | None = "finished",
) -> Evidence:
    """A made-up run of TINY_CPU: its losses on its own and on new text, 20 steps apart."""
    rows = [
        EvalDone(
            step=20 * place, train_loss=own, train_bits_per_byte=1.0, validation_loss=other,
            validation_standard_error=error, validation_bits_per_byte=1.0, windows=windows, is_best=False,
        )
        for place, (own, other) in enumerate(zip(train, new, strict=True))
    ]  # fmt: skip
    said = None
    if by_heart is not None:
        last = ExtractionDone(
            step=rows[-1].step, train_rate=by_heart, validation_rate=0.0, places_train=200,
            places_validation=200, length_tokens=16,
        )  # fmt: skip
        said = [last]
    return Evidence(
        config=TINY, evaluations=rows, loss_at_chance=CHANCE, train_tokens=TINY.dataset_size,
        leaking=leaking, floor=floor, counting=counting, extractions=said, ended=ended,
    )  # fmt: skip


OWN = (6.95, 5.9, 4.8, 3.6, 2.5, 1.6, 0.9, 0.5, 0.3, 0.2, 0.15)  # learned by heart
CLIMBS = (6.95, 6.4, 6.2, 6.3, 6.6, 7.1, 7.6, 8.1, 8.5, 8.9, 9.2)
GENTLE = (6.95, 5.2, 4.1, 3.3, 2.8, 2.45, 2.25, 2.15, 2.1, 2.07, 2.05)
FALLS = (6.95, 6.4, 5.9, 5.4, 4.9, 4.4, 3.9, 3.4, 3.0, 2.6, 2.2)
FLAT = (6.95, 6.94, 6.93, 6.92, 6.92, 6.91, 6.91, 6.9, 6.9, 6.9, 6.9)
SETTLES = (6.95, 4.0, 2.2, 1.3, 0.9, 0.75, 0.68, 0.65, 0.63, 0.62, 0.62)

# What the verdict has to be, and a run that it is said of.
EXAMPLES: list[tuple[str, Evidence]] = [
    (OVERFITTING, run(OWN, CLIMBS, floor=None)),
    (OVERFITTING, run(GENTLE, [each + 0.25 * (6.95 - each) for each in GENTLE], floor=None)),
    (MEMORIZED, run(OWN, CLIMBS, by_heart=0.93)),
    (MEMORIZED, run(OWN, CLIMBS)),
    (UNDERFITTING, run(FLAT, FLAT)),
    (UNDERFITTING, run(FALLS, FALLS)),
    (UNDERFITTING, run(GENTLE, GENTLE)),
    (UNDERFITTING, run(GENTLE, GENTLE, floor=None, counting=1.6)),
    (GOOD_FIT, run(SETTLES, [each + 0.05 for each in SETTLES])),
    (LEARNING, run(FALLS[:7], FALLS[:7], ended=None)),
    (LEAKING, run(OWN, OWN, leaking=True)),
    (DIVERGED, run([*SETTLES[:6], 4.2, 6.9, 7.5, 7.9, 8.0], [*SETTLES[:6], 4.3, 7.0, 7.5, 7.9, 8.0])),
    (DIVERGED, run(FALLS[:4], FALLS[:4], ended="diverged")),
    (TOO_LITTLE, run(FALLS, FALLS, windows=_FEW, error=0.6)),
    (CANT_TELL, run((), (), ended=None)),
    (CANT_TELL, run(FALLS[:1], FALLS[:1], ended=None)),
    (CANT_TELL, run(GENTLE[:8], [6.95, 6.6, 6.5, 6.45, 6.42, 6.4, 6.4, 6.4], error=0.2, ended=None)),
    (CANT_TELL, run(FALLS[:4], FALLS[:4])),
    (CANT_TELL, run(FALLS, [each + 0.25 * (6.95 - each) for each in FALLS])),
]


def verdicts() -> str:
    """Each verdict with what the app says then, and what it advises."""
    kinds = dict.fromkeys(kind for kind, _ in EXAMPLES)
    parts = []
    for kind in kinds:
        found = [verdict(evidence) for named, evidence in EXAMPLES if named == kind]
        said = "\n".join(f"- {each.sentence}\n\n  **Try:** {each.advice}" for each in found)
        parts.append(f"### {kind[0].upper()}{kind[1:]}\n\n{said}")
    return "\n\n".join(parts)


def before_training() -> str:
    """What the Train page says beside the costs of a run that is too long or too large, and of what the model
    could hold."""
    large = load_preset("LARGE_GPU").config
    bits = BITS_PER_PARAMETER * 500_000
    rows = [
        ("the run takes longer than two minutes here", of_time("TINY_CPU", "20 s")),
        ("there is less memory than it needs", of_memory("9.4 GB", "4 GB", that_fits(large, 4e9))),
        ("much model for little text", capacity(TINY, bits / 500).prediction),
        ("more text than the model can hold", capacity(TINY.with_changes(_PLENTY), 3 * bits).prediction),
    ]
    return _table("when", rows)


_PLENTY = {"dataset_size": 8_000_000, "max_iters": 5_000}


def notices() -> str:
    """What a run says of a setting that could not take effect."""
    text = "\n\n".join(f"Day {day}. The cat saw the owl, and the owl saw {day} hats." for day in range(150))
    short = {"corpus": "own", "dataset_size": 50_000, "vocab_size": 4_096}
    leaking = {"corpus": "repeated", "dataset_size": 1_000}
    rows = [
        ("a short text, with dataset_size 50,000 and vocab_size 4,096", short),
        ("tokenizer bytes", {"corpus": "own", "tokenizer": "bytes"}),
        ("corpus repeated", leaking),
    ]
    return _table(
        "you asked for",
        [(asked, " ".join(prepare(TINY.with_changes(changes), text).notices)) for asked, changes in rows],
    )


def messages() -> str:
    """What the app answers to settings, texts and files that it cannot use."""
    cloud, large = PROFILES["cloud"], load_preset("LARGE_CPU").config
    word = "Once upon a time there was a cat.\n\n" * 100
    rows = [(did, refusal(act)) for did, act in _MISTAKES.items()]
    rows += [
        ("a text of one paragraph, repeated", refusal(lambda: split_text(word))),
        ("LARGE_CPU on a server with the profile cloud", " ".join(cloud.problems(large))),
    ]
    return _table("what was given", rows)


def refusal(act: Callable[[], object]) -> str:
    """The text of the error that a deed ends in."""
    try:
        act()
    except SlmError as error:
        return str(error)
    raise AssertionError("this was not refused")


def _foreign_model() -> object:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        file.write_bytes(b"PK\3\4 no model at all, but an archive")
        return load_checkpoint(file)


def _no_gpt2() -> object:
    with patch.object(gpt2, "places", dict):  # as on a machine that does not have it
        return gpt2.gpt2_tokens()


_MISTAKES: dict[str, Callable[[], object]] = {
    "`--preset TINY`": lambda: load_preset("TINY"),
    "`--set n_layers=3`": lambda: TINY.with_changes({"n_layers": 3}),
    "`--set n_layer=99`": lambda: TINY.with_changes({"n_layer": 99}),
    "`--set n_head=3`": lambda: TINY.with_changes({"n_head": 3}),
    "`--set min_lr=0.01`": lambda: TINY.with_changes({"min_lr": 0.01}),
    "`--set max_iters=10`": lambda: TINY.with_changes({"max_iters": 10}),
    "`--set block_size=512`": lambda: TINY.with_changes({"block_size": 512}),
    "`--set tokenizer=gpt2`": _no_gpt2,
    "`--corpus shakespeare`": lambda: library.entry_called("shakespeare"),
    "`--corpus tiny-shakespeare`, before it was fetched": lambda: library.read(
        library.entry_called("tiny-shakespeare"), Path("nowhere")
    ),
    "an empty file": lambda: read_text(b" ", "book.txt"),
    "a PDF or a Word file": lambda: read_text(b"PK\0\0", "book.txt"),
    "a text that is not UTF-8": lambda: read_text("Größe".encode("latin-1"), "book.txt"),
    "a text of three lines": lambda: split_text("The cat saw the owl.\n" * 3),
    "a model file of another program": _foreign_model,
    "`SLM_PROFILE=school`": lambda: load_limits("school"),
    "`SLM_LIMITS=steps=500`": lambda: load_limits("", "steps=500"),
}


def _table(head: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {head} | the app says |", "|---|---|"]
    lines += [f"| {given} | {' '.join(said.split()).replace('|', chr(92) + '|')} |" for given, said in rows]
    return "\n".join(lines)
