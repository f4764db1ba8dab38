"""What each preset costs on the machine that this runs on: time, speed, memory, disk.

Times come from trial steps, as the Train page's do. The presets take turns, several rounds long, so that a
moment in which the machine was busy does not fall on one of them; the best round is given, and the worst
beside it.
"""

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import psutil

from slm_core.config import ExperimentConfig, Preset
from slm_core.errors import ConfigError
from slm_core.hardware import (
    Speed,
    choose_device,
    cpu,
    devices,
    free_memory_bytes,
    give_back_memory,
    measure_generation,
    measure_speed,
)
from slm_core.model.budget import Budget, budget
from slm_core.runs.storage import expected_bytes

ROUNDS = 3
WRITING_SECONDS = 1.0  # for each preset and round
_HEADS = (
    "preset",
    "on",
    "whole run",
    "trains, tokens/s",
    "writes, tokens/s",
    "memory to train",
    "file",
    "folder",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one preset costs on one device.

    speeds    of training, one for each round
    writing   tokens per second of one text, one for each round
    left_out  why nothing was measured; empty if it was
    """

    name: str
    config: ExperimentConfig
    device: str
    speeds: tuple[Speed, ...] = ()
    writing: tuple[float, ...] = ()
    left_out: str = ""

    @property
    def costs(self) -> Budget:
        """Parameters, memory and file size, computed and not measured."""
        return budget(self.config)

    @property
    def run_seconds(self) -> tuple[float, ...]:
        """How long the whole run would take, by the trial steps of each round."""
        return tuple(speed.run_seconds(self.config) for speed in self.speeds)

    @property
    def training(self) -> tuple[float, ...]:
        """Tokens per second that training reads, by the trial steps of each round."""
        return tuple(self.config.tokens_per_step / speed.step_seconds for speed in self.speeds)


def bench(
    presets: Iterable[Preset],
    *,
    rounds: int = ROUNDS,
    seconds: float = WRITING_SECONDS,
    tell: Callable[[str], None] = lambda said: None,
) -> list[Row]:
    """Measure presets, each on the device that the app would take for it; gives a row for each. Imports
    torch.

    What needs more memory than is free is not tried. tell is called with what is being measured. Raises
    ConfigError if seconds, for which each writes in each round, are not 0.01 to 60.
    """
    if not 0.01 <= seconds <= 60:
        raise ConfigError(f"seconds is {seconds}; each may write for 0.01 to 60 seconds in each round.")
    rows = [_begun(preset) for preset in presets]
    for number in range(1, rounds + 1):
        for place, row in enumerate(rows):
            if not row.left_out:
                tell(f"round {number} of {rounds}: {row.name}")
                rows[place] = _measured(row, seconds)
                give_back_memory()
    return rows


def _begun(preset: Preset) -> Row:
    device = choose_device(None, preset.hardware)
    needed = budget(preset.config).training_memory_bytes
    free = free_memory_bytes("cpu" if device == "mps" else device)
    left_out = f"not tried: {_size(free)} of memory is free" if needed > free else ""
    return Row(name=preset.name, config=preset.config, device=device, left_out=left_out)


def _measured(row: Row, seconds: float) -> Row:
    """The row with one more round in it."""
    named = {"name": row.name, "config": row.config, "device": row.device}
    try:
        speed = measure_speed(row.config, row.device)
        writing = measure_generation(row.config, row.device, seconds)
    except (RuntimeError, MemoryError):  # torch has an error of its own for each kind of memory
        return Row(**named, left_out="tried: it ran out of memory")
    return Row(**named, speeds=(*row.speeds, speed), writing=(*row.writing, writing))


def machine() -> str:
    """This machine and what runs on it, in a line, for whoever reads the numbers elsewhere."""
    memory = _size(psutil.virtual_memory().total)
    parts = [cpu().label, f"{memory} of memory", platform.system()]
    parts += [f"Python {platform.python_version()}", f"torch {version('torch')}"]
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    if battery is not None and not battery.power_plugged:
        parts.append("on battery")
    return ", ".join(parts)


def others_busy() -> float:
    """The share (0..1) of the processor that other programs take just now. Takes half a second."""
    return psutil.cpu_percent(interval=0.5) / 100


def report(rows: Sequence[Row], *, command: str, busy: float, markdown: bool = False) -> str:
    """The rows as a table, with what was measured, how, and on which machine. busy: as others_busy gave it
    before the first round."""
    found = [[*_HEADS], *map(_cells, rows)]
    measured = max((len(row.speeds) for row in rows), default=0)
    used = sorted({row.device for row in rows} - {"cpu"})
    cards = "".join(f" {each.name} is {each.label}." for each in devices() if each.name in used)
    made = f"`{command} --markdown`" if markdown else command
    notes = (
        "Whole run and training: from trial steps on random tokens, scaled up, with all the measurements "
        "of the losses, and without preparing the text and drawing samples. "
        "Writing: one text at a time. Threads: one for each core, or one where that was clearly faster. "
        f"The best of {measured} round{'s' if measured != 1 else ''} in turn, "
        "in brackets the worst. Memory, file and the run's folder, at most, are computed.",
        f"Made by {made} on {machine()}.{cards} Other programs took {busy:.0%} of the processor when it "
        "began.",
    )
    return "\n\n".join([_markdown(found) if markdown else _plain(found), *notes])


def _cells(row: Row) -> list[str]:
    sizes = (row.costs.training_memory_bytes, row.costs.checkpoint_bytes, expected_bytes(row.config))
    costs = [_size(each) for each in sizes]
    if row.left_out:
        return [row.name, row.device, row.left_out, "–", "–", *costs]
    times = f"{_time(min(row.run_seconds))} ({_time(max(row.run_seconds))})"
    speeds = [f"{_rate(max(each))} ({_rate(min(each))})" for each in (row.training, row.writing)]
    return [row.name, row.device, times, *speeds, *costs]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|---" * len(_HEADS) + "|", *body])


def _plain(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
    return "\n".join(lines)


def _time(seconds: float) -> str:
    units = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))
    unit, name = next((each for each in units if seconds >= 2 * each[0]), units[-1])
    count = seconds / unit
    return f"{count:.0f} {name}" if count >= 10 else f"{count:.1f} {name}"


def _rate(per_second: float) -> str:
    """Two digits are all that such a measurement is good for."""
    return f"{float(f'{per_second:.2g}'):,.0f}"


def _size(count: float) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"
