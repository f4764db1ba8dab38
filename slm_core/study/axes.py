"""What an experiment can vary, and what that does to a config: the setting itself changes, and what must
follow it.

Nothing else does. On the built-in stories and on one's own text, dataset_size changes neither the tokenizer
nor the validation text, and a smaller training text is the beginning of a larger one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slm_core.config import KNOBS, ExperimentConfig, Knob
from slm_core.errors import ConfigError

Value = int | float | str
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,2})?")
_EPOCHS = Knob(name="epochs", group="data", default=1.0, help="", unit="passes", low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One thing that a sweep can vary: a setting, or `epochs`, or `device`.

    values: the usual grid; none for devices, which `slm_core.hardware.devices` lists. compared_by: the number
    of an `Outcome` by which its runs are compared. along: the number of an `Outcome` along which a law can be
    fitted (`law_points`), or none. follows: settings that cannot stay as they are. note: what to know.
    """

    question: str
    values: tuple[Value, ...]
    compared_by: str = "best_validation_loss"
    along: str = ""
    follows: tuple[str, ...] = ()
    note: str = ""

    @property
    def by_best_model(self) -> bool:
        """Whether each run's best model answers the question, so that it need not go on after that."""
        return self.compared_by in ("best_validation_loss", "bits_per_byte")


AXES: dict[str, Axis] = {
    "dataset_size": Axis(
        question="What does more text change, and only more text?",
        values=(200, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
        along="train_tokens",
        note="One tokenizer and one validation text serve all sizes; a smaller text begins a larger one.",
    ),
    "epochs": Axis(
        question="Is reading a text again as good as reading new text?",
        values=(1, 2, 4, 8, 16, 32, 64),
        along="train_tokens",
        follows=("dataset_size",),
        note="All runs read equally many tokens; dataset_size is that number divided by the passes. What is "
        "read is drawn at random, so these are passes on average.",
    ),
    "n_layer": Axis(question="What does depth give?", values=(2, 3, 4, 6), along="parameters"),
    "n_embd": Axis(
        question="What does width give?",
        values=(64, 96, 128, 192),
        along="parameters",
        note="All runs have equally many heads, so a wider model has wider heads.",
    ),
    "vocab_size": Axis(
        question="Are many short tokens better, or few long ones?",
        values=(300, 400, 512, 768, 1_024),
        compared_by="bits_per_byte",
        note="A token is more text where there are more kinds, so bits per byte are compared, not losses per "
        "token. As many tokens are more text, too, and a window of as many tokens looks further back.",
    ),
    "architecture": Axis(
        question="Does a newer architecture learn faster?",
        values=("gpt2", "qwen3"),
        note="Both have about as many parameters, and rotary positions, which qwen3 needs. A step of qwen3 "
        "takes longer.",
    ),
    "dropout": Axis(
        question="Does switching off a part of the model keep it from learning by heart?",
        values=(0.0, 0.1, 0.2, 0.4),
    ),
    "weight_decay": Axis(
        question="Does pulling the weights towards zero keep the model from learning by heart?",
        values=(0.0, 0.1, 0.3, 1.0),
    ),
    "learning_rate": Axis(
        question="How large should an update be?",
        values=(0.0003, 0.001, 0.003, 0.01, 0.03),
        follows=("min_lr",),
        note="min_lr stays the same share of learning_rate.",
    ),
    "optimizer": Axis(
        question="Does Muon learn faster than AdamW?",
        values=("adamw", "muon"),
        note="The learning rate suits both, as Muon's updates are made about as large as AdamW's. A step of "
        "Muon takes longer.",
    ),
    "batch_size": Axis(question="Is it better to read more text for each update?", values=(2, 4, 8, 16, 32)),
    "device": Axis(
        question="How much faster is another device?",
        values=(),
        compared_by="seconds",
        note="Runs follow one another, as each would slow the other; a processor computes with one core. "
        "Graphics cards that can train in bfloat16 do, so losses differ a little.",
    ),
}


def changes(
    vary: str, value: Value, values: Sequence[Value], base: ExperimentConfig, hold: str = "steps"
) -> dict[str, Any]:
    """The settings that one value of an axis changes in a base; `values` are all that are compared.

    hold: whether runs with other batch sizes take equally many "steps" or read equally many "tokens" (within
    half a step).
    """
    match vary:
        case "device":
            return {}
        case "epochs":
            return {"dataset_size": round(base.tokens_per_step * base.max_iters / value)}
        case "learning_rate":
            return {"learning_rate": value, "min_lr": base.min_lr / base.learning_rate * value}
        case "architecture":
            return {"architecture": value, "positions": "rotary"}
        case "n_embd":
            return {"n_embd": value, "n_head": _heads_for(values, base)}
        case "batch_size" if hold == "tokens":
            steps = max(1, round(base.max_iters * base.batch_size / value))
            share = steps / base.max_iters
            return {
                "batch_size": value,
                "max_iters": steps,
                "warmup_iters": round(base.warmup_iters * share),
                "eval_interval": max(1, round(base.eval_interval * share)),
            }
    return {vary: value}


def _heads_for(widths: Sequence[int], base: ExperimentConfig) -> int:
    """The number of heads nearest to the base's, and not above it, that every width can have.

    Heads are held, not their size: heads that grow in number with the width would be a second thing that
    changes.
    """
    pairs = 2 if base.positions == "rotary" else 1  # rotary positions turn pairs of numbers
    fitting = [heads for heads in range(1, base.n_head + 1) if all(w % (pairs * heads) == 0 for w in widths)]
    return max(fitting, default=base.n_head)


def problem_of(vary: str, value: Any) -> str | None:
    """A sentence if no config can have this value of an axis, else None."""
    if vary != "device":
        return (_EPOCHS if vary == "epochs" else KNOBS[vary]).problem(value)
    if isinstance(value, str) and _DEVICE.fullmatch(value):
        return None
    return f"There is no device {value!r}; devices are called cpu, cuda:0 or mps."


def standard_values(vary: str, base: ExperimentConfig) -> tuple[Value, ...]:
    """The usual grid of an axis, without values that do not fit the base, such as texts shorter than a
    block."""
    values = AXES[vary].values
    return tuple(value for value in values if _fits(vary, value, base))


def _fits(vary: str, value: Value, base: ExperimentConfig) -> bool:
    try:
        base.with_changes(changes(vary, value, AXES[vary].values, base))
    except ConfigError:
        return False
    return True
