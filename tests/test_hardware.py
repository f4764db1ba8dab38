"""Devices, and the probe that answers how fast a config trains here. Nothing here asserts a time."""

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from slm_core import hardware
from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.hardware import (
    Speed,
    SpeedProbe,
    choose_device,
    cpu,
    devices,
    fastest_threads,
    measure_generation,
    physical_cores,
    use_threads,
)
from slm_core.model import generate

SMALL = ExperimentConfig(n_layer=1, n_embd=16, block_size=16, batch_size=2, vocab_size=300)


def test_the_processor_is_always_there_and_comes_last():
    assert devices()[-1] == cpu()
    assert cpu().name == "cpu" and str(physical_cores()) in cpu().label
    assert 1 <= physical_cores() <= os.cpu_count()


LONG = SMALL.with_changes({"n_layer": 6, "max_iters": 200_000})


@pytest.mark.parametrize(
    ("device", "card", "tools", "config", "alone", "expected"),
    [
        ("cpu", (9, 0), True, LONG, True, (False, False)),
        ("mps", (9, 0), True, LONG, True, (False, False)),
        ("cuda:0", (7, 5), True, LONG, True, (False, True)),  # it would imitate bfloat16
        ("cuda:0", (8, 0), True, LONG, True, (True, True)),
        ("cuda:1", (9, 0), True, SMALL, True, (True, False)),  # over before it is compiled
        ("cuda:0", (9, 0), False, LONG, True, (True, False)),
        ("cuda:0", (9, 0), True, LONG, False, (True, False)),
        ("cuda:0", (9, 0), True, LONG.with_changes({"dropout": 0.1}), True, (True, False)),
    ],
)
def test_the_pace_follows_from_the_card_the_tools_and_the_length(
    monkeypatch, device, card, tools, config, alone, expected
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: card)
    monkeypatch.setattr(hardware, "find_spec", lambda name: object() if tools else None)
    monkeypatch.setattr(hardware, "which", lambda name: "/bin/cc")
    found = hardware.pace_on(device, config, alone)
    assert (found.bfloat16, found.compiled) == expected


def test_nothing_is_compiled_without_a_c_compiler(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(hardware, "find_spec", lambda name: object())
    monkeypatch.setattr(hardware, "which", lambda name: None)
    assert not hardware.pace_on("cuda:0", LONG).compiled


def test_the_device_asked_for_is_taken_and_a_gpu_preset_takes_the_best(monkeypatch):
    found = (hardware.Device("cuda:0", "a"), hardware.Device("cuda:1", "b"), cpu())
    monkeypatch.setattr(hardware, "devices", lambda: found)
    assert choose_device(None, "cpu") == "cpu"
    assert choose_device(None, "gpu") == "cuda:0"
    assert choose_device("cuda", "cpu") == "cuda:0"
    assert choose_device("cuda:1", "cpu") == "cuda:1"
    assert choose_device("cpu", "gpu") == "cpu"
    for name in ("mps", "cuda:2", "", "gpu"):
        with pytest.raises(RunError, match=f"no device '{name}'.*cuda:0, cuda:1, cpu"):
            choose_device(name, "cpu")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "11th Gen Intel Core i7-1165G7"),
        (" Intel(R) Xeon(R) CPU @ 2.20GHz", "Intel Xeon"),
        ("AMD EPYC 7B13 64-Core Processor", "AMD EPYC 7B13 64-Core"),
        ("Apple M2", "Apple M2"),
        ("Processor", "Processor"),
    ],
)
def test_a_processor_is_called_by_what_tells_it_from_others(name, shown):
    assert hardware.shortened(name) == shown


def test_without_a_gpu_a_gpu_preset_trains_on_the_processor(monkeypatch):
    monkeypatch.setattr(hardware, "devices", lambda: (cpu(),))
    assert choose_device(None, "gpu") == "cpu"


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}),
        ({"GOMP_SPINCOUNT": "0"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}),
        ({"OMP_WAIT_POLICY": "passive"}, {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5000"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_waiting_threads_spin_a_moment_and_sleep_unless_the_person_said_otherwise(monkeypatch, said, then):
    monkeypatch.setattr(os, "environ", dict(said))
    hardware.let_waiting_threads_sleep()
    assert os.environ == then


@pytest.mark.parametrize(("max_iters", "evaluations"), [(100, 5), (101, 6), (1, 2)])
def test_a_run_takes_its_steps_and_its_measurements(max_iters, evaluations):
    config = ExperimentConfig(max_iters=max_iters, eval_interval=25, warmup_iters=0)
    speed = Speed(step_seconds=2.0, evaluation_seconds=1_000.0)
    assert speed.run_seconds(config) == 2.0 * max_iters + 1_000.0 * evaluations


def test_the_number_of_threads_is_one_or_all_and_the_one_before_is_put_back(random_state_kept):
    before = torch.get_num_threads()
    assert fastest_threads(SMALL) in (1, physical_cores())
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("alone", "together", "chosen"), [(1.0, 0.6, 4), (1.0, 1.1, 4), (1.0, 1.5, 1)])
def test_a_core_that_is_held_for_a_moment_does_not_leave_a_run_with_one_thread(
    monkeypatch, alone, together, chosen
):
    took = {1: alone, 4: together}
    monkeypatch.setattr(hardware, "physical_cores", lambda: 4)
    monkeypatch.setattr(hardware, "_seconds", lambda work, device: took[torch.get_num_threads()])
    assert fastest_threads(SMALL) == chosen


def test_a_thread_keeps_its_number_whatever_another_one_sets():
    asked, other_set, found = threading.Event(), threading.Event(), []

    def work():
        use_threads(1)
        asked.set()
        other_set.wait(timeout=60)
        found.append((torch.ones(2).sum().item(), torch.get_num_threads()))

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(timeout=60)
    use_threads(2)
    other_set.set()
    thread.join()
    assert found == [(2.0, 1)] and torch.get_num_threads() == 2


def test_large_steps_are_tried_in_part_and_scaled_up(monkeypatch, random_state_kept):
    tried = []
    trial = hardware._trial
    monkeypatch.setattr(hardware, "fastest_threads", lambda config: 1)
    monkeypatch.setattr(hardware, "_trial", lambda *args: tried.append(args) or trial(SMALL, "cpu", 1))
    monkeypatch.setattr(hardware, "_fastest", lambda work, device: work() or 1.0)
    config = ExperimentConfig(block_size=128, batch_size=64, gradient_accumulation_steps=2)
    speed = hardware.measure_speed(config)
    assert tried == [(config, "cpu", 16)], "2,048 tokens are enough to know"
    assert speed.step_seconds == 8.0 + 1.0, "64 × 2 sequences are eight times what was tried; one update"


def test_speed_is_measured_by_training(monkeypatch):
    monkeypatch.setattr(hardware, "fastest_threads", lambda config: 1)
    speed = hardware.measure_speed(SMALL)
    assert speed.step_seconds > 0 and speed.evaluation_seconds > 0


@pytest.fixture
def measured(monkeypatch) -> list[ExperimentConfig]:
    """The configs that were measured, by a measurement that takes no time."""
    configs = []

    def measure(config: ExperimentConfig, device: str) -> Speed:
        configs.append(config)
        if config.n_layer == 13:
            raise MemoryError
        return Speed(1.0, 2.0)

    monkeypatch.setattr(hardware, "measure_speed", measure)
    return configs


def test_the_probe_answers_later_and_remembers(measured, until):
    probe = SpeedProbe(busy=lambda: False)
    until(lambda: probe.ask(SMALL, "cpu") == (True, Speed(1.0, 2.0)))
    other = SMALL.with_changes({"seed": 5, "max_iters": 9_000, "learning_rate": 0.01, "corpus": "tales"})
    assert probe.ask(other, "cpu") == (True, Speed(1.0, 2.0)), "these settings do not change the speed"
    assert len(measured) == 1


@pytest.mark.parametrize("change", [{"n_layer": 2}, {"n_embd": 32}, {"batch_size": 3}, {"dropout": 0.1}])
def test_the_probe_measures_anew_what_changes_the_speed(measured, until, change):
    probe = SpeedProbe(busy=lambda: False)
    for config in (SMALL, SMALL.with_changes(change)):
        until(lambda config=config: probe.ask(config, "cpu")[0])
    assert len(measured) == 2


def test_the_probe_does_not_measure_beside_a_run(measured, until):
    busy = threading.Event()
    busy.set()
    probe = SpeedProbe(busy=busy.is_set)
    assert [probe.ask(SMALL, "cpu") for _ in range(3)] == [(False, None)] * 3
    assert measured == []
    busy.clear()
    until(lambda: probe.ask(SMALL, "cpu")[0])


def test_what_does_not_fit_into_memory_has_no_answer_but_a_final_one(measured, until):
    probe, large = SpeedProbe(busy=lambda: False), SMALL.with_changes({"n_layer": 13})
    until(lambda: probe.ask(large, "cpu")[0])
    assert probe.ask(large, "cpu") == (True, None)


def test_a_stopped_probe_leaves_no_thread_behind_and_answers_no_more():
    probe = SpeedProbe(busy=lambda: False)
    probe.ask(ExperimentConfig(), "cpu")
    probe.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "speed-probe"]
    other = ExperimentConfig(n_layer=3)
    assert probe.ask(other, "cpu") == (False, None)
    assert not [thread for thread in threading.enumerate() if thread.name == "speed-probe"]


def test_writing_is_counted_by_the_token_on_a_clock_of_its_own(monkeypatch, random_state_kept):
    """By which each token takes a quarter of a second, and looking at the clock none."""
    now = [0.0]

    def tokens(model: object, prompt: list[int], sampling: object) -> Iterator[int]:
        for token in range(6):  # then the text is full, and another begins
            now[0] += 0.25
            yield token

    monkeypatch.setattr(generate, "generate", tokens)
    monkeypatch.setattr(hardware, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert measure_generation(SMALL, seconds=5.0) == 4.0


def test_a_model_that_was_never_trained_writes_at_some_speed():
    assert measure_generation(SMALL, seconds=0.01) > 0


def test_memory_that_a_step_frees_is_there_for_the_next():
    script = (
        "import ctypes, resource\n"
        "from slm_core.hardware import let_memory_stay\n"
        "library, faults = ctypes.CDLL(None), lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]\n"
        "def step():\n"
        "    pieces = [library.malloc(3_000_000) for _ in range(10)]\n"
        "    for piece in pieces: library.memset(piece, 1, 3_000_000)\n"
        "    for piece in pieces: library.free(piece)\n"
        "let_memory_stay()\n"
        "step()\n"
        "before = faults()\n"
        "for _ in range(5): step()\n"
        "print(faults() - before)"
    )
    if platform.libc_ver()[0] != "glibc":
        hardware.let_memory_stay()  # nothing to do, and no error
        return
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 700, "one step alone touches 7,300 pages"


def test_memory_that_was_freed_goes_back_to_the_system():
    script = (
        "import ctypes, psutil\n"
        "from slm_core.hardware import give_back_memory\n"
        "library, held = ctypes.CDLL(None), lambda: psutil.Process().memory_info().rss\n"
        "library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]\n"
        "pieces = [library.malloc(60_000) for _ in range(1_000)]\n"
        "for piece in pieces: library.memset(piece, 1, 60_000)\n"
        "for piece in pieces[:-1]: library.free(piece)\n"  # the last one keeps the others from going
        "before = held()\n"
        "give_back_memory()\n"
        "print(before - held())"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    if platform.libc_ver()[0] == "glibc":
        assert int(answer.stdout) > 50_000_000
