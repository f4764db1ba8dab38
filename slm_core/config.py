"""Every setting of an experiment, stated once: default, range, unit and one sentence of help.

Sliders, error messages, the command line and the README table are all drawn from `KNOBS`.
"""

import difflib
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import yaml

from slm_core.caching import computed_once
from slm_core.errors import ConfigError

PRESETS_FILE = Path(__file__).resolve().parent.parent / "presets.yaml"
SMALLEST_BPE = 257  # 256 bytes and the end mark
LARGEST_VOCABULARY = 65_535  # ids are stored in 16 bits


@dataclass(frozen=True, kw_only=True)
class Knob:
    """What a person needs to know about one setting.

    low and high are the inclusive range of a number; choices are all allowed values of a word.
    step is the slider's increment; zero means "a factor": the slider then moves over powers and their
    fractions.
    """

    name: str
    group: str
    default: Any
    help: str
    unit: str = ""
    low: float = 0
    high: float = 0
    step: float = 0
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name with its unit, as sliders show it."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def problem(self, value: Any) -> str | None:
        """A sentence if `value` cannot be this setting, else None."""
        if self.choices:
            if value in self.choices:
                return None
            return f"{self.name} is {_shown(value)}; choose one of {', '.join(self.choices)}."
        whole = isinstance(self.default, int)
        right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if right_type and self.low <= value <= self.high:  # false for NaN too
            return None
        kind = "a whole number" if whole else "a number"
        return (
            f"{self.name} is {_shown(value)}; it must be {kind} from {self.low:,} to "
            f"{self.high:,}{self._unit_suffix()}."
        )

    def _unit_suffix(self) -> str:
        return f" {self.unit}" if self.unit else ""


def knob(group: str, default: Any, help: str, **facts: Any) -> Any:
    """A dataclass field that is also a Knob: its default, and the facts that `Knob` lists."""
    return field(default=default, metadata={"group": group, "help": help, **facts})


def problems_of(settings: Any, knobs: Mapping[str, Knob]) -> list[str]:
    """A sentence for each field of a dataclass that is out of its knob's range."""
    return [found for each in knobs.values() if (found := each.problem(getattr(settings, each.name)))]


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One experiment, complete: the same config, text and number of threads give the same run bit for bit.

    Raises ConfigError listing every setting that is out of range and every pair that does not fit together.
    """

    # What the model reads
    corpus: str = knob(
        "data",
        "stories",
        "What is read: short tales, full stories, your own text, or stories repeated before they are split, "
        "an exhibit of how validation text leaks into training.",
        choices=("tales", "stories", "own", "repeated"),
    )
    dataset_size: int = knob(
        "data",
        200,
        "How much training text the model sees, before it sees it again.",
        unit="tokens",
        low=50,
        high=500_000_000,
    )
    tokenizer: str = knob(
        "data",
        "bpe",
        "What a token is: a byte, a character, a frequent piece of the training text (bpe), or a piece from "
        "GPT-2's list.",
        choices=("bpe", "bytes", "characters", "gpt2"),
    )
    vocab_size: int = knob(
        "data",
        1024,
        "How many different tokens bpe may make; the other tokenizers have sizes of their own.",
        unit="tokens",
        low=3,
        high=LARGEST_VOCABULARY,
    )

    # What the model is
    architecture: str = knob(
        "model",
        "gpt2",
        "How a block is made: as in GPT-2 of 2019 (LayerNorm, GELU) or as in Qwen3 of 2025 (RMSNorm, SwiGLU, "
        "normalized queries and keys).",
        choices=("gpt2", "qwen3"),
    )
    n_layer: int = knob(
        "model", 2, "How many blocks stand on each other: depth.", unit="layers", low=1, high=24, step=1
    )
    n_head: int = knob(
        "model", 4, "How many places a block can look at, at once.", unit="heads", low=1, high=32, step=1
    )
    n_embd: int = knob("model", 128, "How many numbers describe one token: width.", low=8, high=1024, step=8)
    block_size: int = knob(
        "model", 128, "How far back the model can look.", unit="tokens", low=16, high=1024, step=16
    )
    positions: str = knob(
        "model",
        "rotary",
        "How the model knows word order: rotary turns queries and keys by their position, learned adds a "
        "vector.",
        choices=("rotary", "learned"),
    )
    dropout: float = knob(
        "model", 0.0, "Share of activations switched off at each training step.", low=0.0, high=0.9, step=0.05
    )

    # How it learns
    batch_size: int = knob(
        "training",
        8,
        "How many stretches of text one pass reads side by side.",
        unit="sequences",
        low=1,
        high=512,
        step=1,
    )
    gradient_accumulation_steps: int = knob(
        "training",
        1,
        "How many passes are added up before one update.",
        unit="passes",
        low=1,
        high=64,
        step=1,
    )
    max_iters: int = knob(
        "training", 200, "How many times the weights are updated.", unit="steps", low=1, high=200_000
    )
    warmup_iters: int = knob(
        "training",
        20,
        "Steps over which the learning rate climbs from zero.",
        unit="steps",
        low=0,
        high=20_000,
    )
    optimizer: str = knob(
        "training",
        "adamw",
        "How gradients become updates: adamw moves every weight about equally far; muon moves the blocks' "
        "matrices equally far in all directions, and the rest as adamw does.",
        choices=("adamw", "muon"),
    )
    learning_rate: float = knob(
        "training", 3e-3, "How large an update is, at its largest.", low=1e-6, high=1.0
    )
    min_lr: float = knob("training", 3e-4, "The learning rate at the last step.", low=0.0, high=1.0)
    weight_decay: float = knob(
        "training", 0.1, "How strongly every matrix is pulled towards zero.", low=0.0, high=10.0, step=0.05
    )
    beta1: float = knob(
        "training", 0.9, "AdamW's memory for the gradient's direction.", low=0.0, high=0.999, step=0.001
    )
    beta2: float = knob(
        "training", 0.95, "AdamW's memory for the gradient's size.", low=0.0, high=0.9999, step=0.001
    )
    grad_clip: float = knob(
        "training", 1.0, "Longest gradient allowed; 0 switches clipping off.", low=0.0, high=100.0, step=0.1
    )
    eval_interval: int = knob(
        "training", 20, "Steps between two measurements of the losses.", unit="steps", low=1, high=20_000
    )
    patience: int = knob(
        "training",
        0,
        "Evaluations without a better validation loss after which the run ends; 0: never.",
        unit="evaluations",
        low=0,
        high=100,
        step=1,
    )
    seed: int = knob(
        "training", 1337, "Start of every random draw of the run.", low=0, high=2**31 - 1, step=1
    )

    def __post_init__(self) -> None:
        problems = problems_of(self, KNOBS)
        if not problems:  # pairs are only worth checking once each value makes sense alone
            problems = self._misfits()
        if problems:
            raise ConfigError("\n".join(problems))

    def _misfits(self) -> list[str]:
        found = []
        if self.n_embd % self.n_head:
            nearest = max(heads for heads in range(1, self.n_head + 1) if self.n_embd % heads == 0)
            step = self.n_head * (2 if self.positions == "rotary" else 1)  # rotary positions turn pairs
            found.append(
                f"n_embd is {self.n_embd} and n_head is {self.n_head}; n_embd must be a multiple of n_head. "
                f"Try n_head = {nearest} or n_embd = {math.ceil(self.n_embd / step) * step}."
            )
        elif self.positions == "rotary" and (self.n_embd // self.n_head) % 2:
            found.append(
                f"n_embd / n_head is {self.n_embd // self.n_head}; rotary positions turn pairs, so it must "
                "be even. "
                "Change n_head, or take learned positions."
            )
        if self.architecture == "qwen3" and self.positions == "learned":
            found.append(
                "architecture is qwen3 and positions is learned; qwen3 knows word order by rotary positions "
                "alone. Take rotary positions, or the architecture gpt2."
            )
        if self.tokenizer == "bpe" and self.vocab_size < SMALLEST_BPE:
            found.append(
                f"vocab_size is {self.vocab_size} and tokenizer is bpe, which starts from 256 bytes and the "
                f"end mark. Raise vocab_size to at least {SMALLEST_BPE}, or take another tokenizer."
            )
        if self.min_lr > self.learning_rate:
            found.append(
                f"min_lr is {self.min_lr:g}, above learning_rate {self.learning_rate:g}. Lower min_lr or "
                "raise learning_rate."
            )
        if self.warmup_iters > self.max_iters:
            found.append(
                f"warmup_iters is {self.warmup_iters}, above max_iters {self.max_iters}. Lower it or train "
                "for longer."
            )
        if self.dataset_size <= self.block_size:
            found.append(
                f"dataset_size is {self.dataset_size} and block_size is {self.block_size}; "
                "the text must be longer than one block. Raise dataset_size or lower block_size."
            )
        return found

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """A copy with some settings changed. Raises ConfigError for unknown names, naming the nearest known
        one."""
        _refuse_unknown(changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain JSON scalars."""
        return asdict(self)

    @property
    def hidden_width(self) -> int:
        """How many numbers a block's small network thinks with: 4 n_embd. With qwen3 it has three matrices in
        place of two, so these are 8/3 n_embd, rounded to a multiple of 8: about as many weights."""
        return 4 * self.n_embd if self.architecture == "gpt2" else 8 * round(self.n_embd / 3)

    @property
    def tokens_per_step(self) -> int:
        """Tokens read for one update of the weights."""
        return self.batch_size * self.block_size * self.gradient_accumulation_steps

    @property
    def epochs(self) -> float:
        """How often the run reads its training text, on average."""
        return self.tokens_per_step * self.max_iters / self.dataset_size


def knobs_of(settings: type) -> dict[str, Knob]:
    """The knobs of a dataclass, by name: those of its fields that `knob` made."""
    return {
        each.name: Knob(name=each.name, default=each.default, **each.metadata)
        for each in fields(settings)
        if each.metadata
    }


KNOBS: dict[str, Knob] = knobs_of(ExperimentConfig)


def config_from_dict(settings: Mapping[str, Any]) -> ExperimentConfig:
    """An ExperimentConfig from a plain mapping; settings left out take their defaults. Raises ConfigError."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"Settings must be names with values, not {type(settings).__name__}.")
    _refuse_unknown(settings)
    return ExperimentConfig(**settings)


def parse_setting(assignment: str) -> tuple[str, Any]:
    """Name and value of one "name=value", as the command line takes it. Raises ConfigError."""
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"{assignment!r} is no setting; write name=value, for example n_layer=3.")
    _refuse_unknown([name])
    default = KNOBS[name].default
    try:
        return name, type(default)(text.replace("_", "") if not isinstance(default, str) else text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigError(f"{name} is {text!r}; it must be {kind}, for example {name}={default}.") from None


def _refuse_unknown(names: Mapping[str, Any] | list[str]) -> None:
    unknown = [str(name) for name in names if name not in KNOBS]
    if unknown:
        raise ConfigError(
            "\n".join(
                f"There is no setting called {_shown(name)}{_nearest(name[:80], KNOBS)}" for name in unknown
            )
        )


def _shown(value: Any) -> str:
    """A value as Python writes it, but short: files may hold anything, of any size."""
    return reprlib.repr(value)[:200]


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1, cutoff=0.5)
    hint = next((f"; did you mean {each}?" for each in known if close and each.lower() == close[0]), ".")
    return f"{hint} Known: {', '.join(known)}."


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named starting point: what it shows in one sentence, where it runs, and its config."""

    name: str
    shows: str
    hardware: str
    config: ExperimentConfig


def load_presets(path: Path = PRESETS_FILE) -> dict[str, Preset]:
    """All presets by name, in the file's order; a preset is its difference from the defaults. Raises
    ConfigError."""
    path = Path(path)
    try:
        state = path.stat()
        return dict(_read_presets(path, state.st_mtime_ns, state.st_size))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The presets file {path} cannot be read: {error}.") from None


@computed_once(maxsize=4)  # every page asks; parsing takes milliseconds, and a class asks at once
def _read_presets(path: Path, changed_ns: int, size: int) -> dict[str, Preset]:
    content = path.read_text(encoding="utf-8")
    try:
        listed = yaml.safe_load(content)
    # ValueError and AttributeError: such as a date that is none
    except (yaml.YAMLError, AttributeError, ValueError, RecursionError) as error:
        raise ConfigError(f"The presets file {path} is not valid YAML: {error}") from None
    if not isinstance(listed, dict) or not listed:
        raise ConfigError(f"The presets file {path} must list presets by name, each with its settings.")
    return {str(name): _preset(str(name), entry) for name, entry in listed.items()}


def load_preset(name: str, path: Path = PRESETS_FILE) -> Preset:
    """One preset by name. Raises ConfigError naming the nearest known one."""
    presets = load_presets(path)
    if name not in presets:
        raise ConfigError(f"There is no preset called {name!r}{_nearest(name, presets)}")
    return presets[name]


def _preset(name: str, entry: Any) -> Preset:
    if not isinstance(entry, dict):
        raise ConfigError(f"Preset {name} must be a list of settings, not {_shown(entry)}.")
    settings = dict(entry)
    shows, hardware = settings.pop("shows", ""), settings.pop("hardware", "cpu")
    if not isinstance(shows, str):
        raise ConfigError(f"Preset {name}: shows is {_shown(shows)}; it must be a sentence.")
    if hardware not in ("cpu", "gpu"):
        raise ConfigError(f"Preset {name}: hardware is {_shown(hardware)}; choose cpu or gpu.")
    try:
        return Preset(name=name, shows=shows, hardware=hardware, config=config_from_dict(settings))
    except ConfigError as error:
        raise ConfigError(f"Preset {name}: {error}") from None
