"""The bench measures what it is asked to, says on what machine, and agrees with the closed forms."""

import platform
from dataclasses import dataclass
from importlib.metadata import version

import psutil
import pytest

from slm_core import bench as module
from slm_core import hardware
from slm_core.bench import Row, bench, machine, others_busy, report
from slm_core.cli import main
from slm_core.config import ExperimentConfig, Preset
from slm_core.errors import ConfigError
from slm_core.hardware import Device, Speed, cpu, physical_cores

SMALL = ExperimentConfig(
    vocab_size=300, n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_iters=30,
    warmup_iters=0, eval_interval=10,
)  # fmt: skip
HUGE = SMALL.with_changes(
    {"n_layer": 24, "n_embd": 1_024, "block_size": 1_024, "batch_size": 512, "dataset_size": 100_000}
)


def preset(name: str, config: ExperimentConfig = SMALL, on: str = "cpu") -> Preset:
    return Preset(name=name, shows="Something.", hardware=on, config=config)


@pytest.fixture
def quick(monkeypatch) -> None:
    """No trying out of threads, which takes a moment."""
    monkeypatch.setattr(hardware, "fastest_threads", lambda config: 1)


@pytest.fixture
def tries(monkeypatch) -> list[str]:
    """What was tried, by measurements that take no time and become slower each time."""
    tried = []

    def speed(config: ExperimentConfig, device: str) -> Speed:
        tried.append(f"train {config.n_layer} on {device}")
        if config.n_layer == 13:
            raise MemoryError
        return Speed(step_seconds=float(len(tried)), evaluation_seconds=0.0)

    def writing(config: ExperimentConfig, device: str, seconds: float) -> float:
        tried.append(f"write {config.n_layer} for {seconds} s")
        return 1_000.0 / len(tried)

    monkeypatch.setattr(module, "measure_speed", speed)
    monkeypatch.setattr(module, "measure_generation", writing)
    return tried


def test_each_preset_asked_for_has_a_row_with_positive_numbers(quick, random_state_kept):
    larger = SMALL.with_changes({"n_embd": 32})
    rows = bench([preset("A"), preset("B", larger)], rounds=2, seconds=0.02)
    assert [row.name for row in rows] == ["A", "B"]
    for row in rows:
        assert len(row.run_seconds) == len(row.training) == len(row.writing) == 2
        assert all(number > 0 for number in (*row.run_seconds, *row.training, *row.writing))


def test_what_is_said_of_a_run_follows_from_its_steps_and_measurements():
    row = Row(name="A", config=SMALL, device="cpu", speeds=(Speed(0.5, 3.0), Speed(2.0, 0.0)))
    assert row.run_seconds == (30 * 0.5 + 4 * 3.0, 60.0)
    assert row.training == (2 * 16 / 0.5, 2 * 16 / 2.0)


def test_memory_and_file_are_those_of_the_closed_form():
    vocabulary, width = 300, 16
    parameters = vocabulary * width + (12 * width**2 + 2 * width) + width
    row = Row(name="A", config=SMALL, device="cpu", left_out="not tried")
    assert row.costs.checkpoint_bytes == 4 * parameters
    assert row.costs.training_memory_bytes > 16 * parameters
    text = report([row], command="c", busy=0.0)
    assert "not tried" in text
    folder = 8 * 4 * parameters + 2 * SMALL.dataset_size + 250 * SMALL.max_iters + 500_000
    memory = row.costs.training_memory_bytes
    sizes = "  ".join(
        f"{each / 1e6:.1f} MB".ljust(width) for each, width in ((memory, 15), (4 * parameters, 6))
    )
    assert text.splitlines()[1].endswith(f"{sizes}  {folder / 1e6:.1f} MB")


def test_the_presets_take_turns(tries):
    bench([preset("A"), preset("B", SMALL.with_changes({"n_layer": 2}))], rounds=2, seconds=0.5)
    one, two = ([f"train {n} on cpu", f"write {n} for 0.5 s"] for n in (1, 2))
    assert tries == [*one, *two, *one, *two]


def test_what_needs_more_memory_than_is_free_is_listed_and_not_tried(tries):
    told = []
    rows = bench([preset("HUGE", HUGE), preset("A")], rounds=1, tell=told.append)
    assert HUGE.n_layer == 24 and not any("24" in each for each in tries)
    assert told == ["round 1 of 1: A"]
    text = report(rows, command="c", busy=0.0)
    [line] = [line for line in text.splitlines() if line.startswith("HUGE")]
    assert "not tried" in line and "is free" in line


def test_what_runs_out_of_memory_is_listed_and_not_tried_again(tries):
    rows = bench([preset("A", SMALL.with_changes({"n_layer": 13}))], rounds=3)
    assert tries == ["train 13 on cpu"] and "ran out of memory" in report(rows, command="c", busy=0.0)


def test_a_gpu_preset_is_measured_where_the_app_would_train_it(tries, monkeypatch):
    card = Device("mps", "GPU · Fine Card")
    monkeypatch.setattr(hardware, "devices", lambda: (card, cpu()))
    monkeypatch.setattr(module, "devices", lambda: (card, cpu()))
    rows = bench([preset("A"), preset("G", on="gpu")], rounds=1)
    assert [row.device for row in rows] == ["cpu", "mps"]
    assert "mps is GPU · Fine Card." in report(rows, command="c", busy=0.0)


def test_the_best_round_is_given_and_the_worst_beside_it(tries):
    rows = bench([preset("A")], rounds=2)  # steps of 1 and 3 seconds; 500 and 250 tokens a second
    text = report(rows, command="some command", busy=0.25)
    assert "30 s (90 s)" in text and "32 (11)" in text and "500 (250)" in text
    assert "best of 2 rounds" in text and "25% of the processor" in text and "some command" in text


@dataclass
class Battery:
    """As psutil says it."""

    power_plugged: bool


def test_the_machine_is_named(monkeypatch):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    said = machine()
    for fact in (cpu().label, f"{physical_cores()} core", platform.system(), platform.python_version()):
        assert fact in said
    assert f"torch {version('torch')}" in said and "battery" not in said
    assert f"{psutil.virtual_memory().total / 1e9:.1f} GB" in said
    for plugged in (True, False):
        monkeypatch.setattr(psutil, "sensors_battery", lambda plugged=plugged: Battery(plugged))
        assert ("on battery" in machine()) is not plugged
    assert 0 <= others_busy() <= 1


def test_markdown_is_one_table_and_the_plain_one_lines_up(tries):
    rows = bench([preset("A"), preset("LONGER_NAME")], rounds=1)
    written, notes = report(rows, command="c", busy=0.0, markdown=True).split("\n\n", 1)
    assert {line.count("|") for line in written.splitlines()} == {9} and len(written.splitlines()) == 4
    assert "`c --markdown`" in notes and machine() in notes
    head, *body = report(rows, command="c", busy=0.0).split("\n\n")[0].splitlines()
    assert all(line[head.index(" on") :].startswith(" cpu") for line in body)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 61.0, float("nan"), float("inf")])
def test_a_time_that_makes_no_sense_is_refused(tries, seconds):
    with pytest.raises(ConfigError, match=r"0\.01 to 60"):
        bench([preset("A")], seconds=seconds)
    assert tries == []


def test_the_command_prints_the_presets_asked_for(tries, capsys):
    assert main(["bench", "--presets", "TINY_CPU", "ULTRA_TINY", "--seconds", "0.5", "--markdown"]) == 0
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines()[2:4]] == ["TINY_CPU", "ULTRA_TINY"]
    assert "`python -m slm_core bench --presets TINY_CPU ULTRA_TINY --markdown`" in said.out
    assert "round 3 of 3: ULTRA_TINY" in said.err and "write 2 for 0.5 s" in tries
    assert main(["bench", "--presets", "TINY"]) == 2
    assert "did you mean" in capsys.readouterr().err
