"""The machine: which devices there are, how many cores, and how fast this very config trains here, by trying
it."""

import ctypes
import math
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import psutil

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.model.budget import budget

if TYPE_CHECKING:
    from slm_core.train.accelerate import Pace

_SPINS = "5000"  # looks at whether there is work, of 10 to 50 ns each
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_LARGEST_KEPT_BYTES, _MOST_KEPT_BYTES = 2**30, 2**30  # a piece of memory; all that is free
# What a run takes at least on a fast graphics card, roughly: for its arithmetic, and for starting the many
# small pieces of work of a layer, there and back.
_CARD_FLOPS_PER_SECOND, _LAYER_SECONDS = 2e14, 5e-4
_WORTH_COMPILING_SECONDS = 300.0  # compiling takes about 60, and saves a quarter or more


@dataclass(frozen=True)
class Device:
    """A place to train: `name` as torch calls it, `label` as a person would."""

    name: str
    label: str


@cache
def physical_cores() -> int:
    """Cores that this process may use, hyper-threads counted once."""
    allowed = (
        len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else psutil.cpu_count()
    )
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed or 1))


@cache
def devices() -> tuple[Device, ...]:
    """The processor, and every graphics card that torch finds; the best first. Imports torch."""
    import torch

    found = [
        Device(f"cuda:{index}", f"GPU · {torch.cuda.get_device_name(index)}")
        for index in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        found.append(Device("mps", "GPU · Apple Metal"))
    return (*found, cpu())


@cache
def cpu() -> Device:
    """The processor, without asking torch."""
    cores = physical_cores()
    return Device("cpu", f"CPU · {_processor()}, {cores} core{'s' if cores > 1 else ''}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return shortened(name)


def shortened(name: str) -> str:
    """A processor's name without what all of them have, so that there is room for it: "Intel(R) Core(TM)
    i7-1165G7 CPU @ 2.80GHz" is an Intel Core i7-1165G7."""
    bare = re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", " ", name)
    return " ".join(bare.split()) or name


def free_memory_bytes(device: str) -> int:
    """Memory that is free for training on a device now. Imports torch for a graphics card."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def ready_to_compute() -> None:
    """Set this process up for training. Call it before torch loads."""
    let_waiting_threads_sleep()
    let_memory_stay()


def let_waiting_threads_sleep() -> None:
    """Tell threads that compute together to spin for a moment while they wait, and then to sleep. Call it
    before torch loads.

    Measuring a loss is hundreds of pieces of work that are shared out, and so is a step with dropout; waking
    a thread takes about as long as a small piece, which makes a small model a third slower. Beside another
    program, a browser say, a thread that spins holds the very core that the one it waits for needs: who spins
    on and on, as is usual, takes five times as long or more. So they spin for about as long as waking takes.
    GNU's library, which torch has on Linux, knows such a moment; where another is, they sleep at once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.environ["OMP_WAIT_POLICY"].upper() == "PASSIVE":
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def let_memory_stay() -> None:
    """Keep the memory that a training step frees, for the next one needs as much again.

    The C library of Linux gives it back to the system at once, and the system hands it out again page by
    page, each of them wiped, which takes a good part of a step. Elsewhere nothing is changed.
    """
    if (library := _glibc()) is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES)


def let_threads_share_memory() -> None:
    """Let threads take up what others have freed. Call it before torch loads.

    The C library of Linux keeps what a thread has freed for threads of the same group, of which there are
    eight for each core. Thirty runs that take turns then hold much more than they use: 1.3 GB where 0.8 GB
    are enough. Elsewhere that is not changed. And MKL keeps a buffer for each thread that ever multiplied,
    unless it is told not to.
    """
    os.environ.setdefault("MKL_DISABLE_FAST_MM", "1")
    if (library := _glibc()) is not None:
        library.mallopt(_M_ARENA_MAX, 2)


def give_back_memory() -> None:
    """Let the system have the memory that was freed here. Takes milliseconds; while many runs take turns, it
    keeps what the process holds near what it uses."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def choose_device(asked: str | None, hardware: str) -> str:
    """The device to use: the one asked for, else for "gpu" the best there is, else the CPU. Imports torch if
    it must.

    Raises RunError if the device asked for is not there.
    """
    if asked is None:
        return devices()[0].name if hardware == "gpu" else "cpu"
    found = [device.name for device in devices()] if asked != "cpu" else ["cpu"]
    matching = [name for name in found if name == asked or name.partition(":")[0] == asked]
    if not matching:
        raise RunError(f"There is no device {asked!r} on this machine. Found: {', '.join(found)}.")
    return matching[0]


def pace_on(device: str, config: ExperimentConfig, alone: bool = True) -> "Pace":
    """How training passes are best computed on a device. Imports torch; for the processor the answer is
    always: plainly.

    It follows from config and device alone, so that a run that goes on computes as it began. alone: whether
    one process trains the model; several would have to fail or succeed together at compiling it.
    """
    from slm_core.train.accelerate import PLAIN, Pace

    if not device.startswith("cuda"):
        return PLAIN
    compiled = alone and _pays_to_compile(config) and _can_compile()
    return Pace(bfloat16=_has_bfloat16(device), compiled=compiled)


def _has_bfloat16(device: str) -> bool:
    """Whether a card multiplies bfloat16 by itself; older ones imitate it, which is slower than float32."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def _pays_to_compile(config: ExperimentConfig) -> bool:
    """Whether a run is so long on any graphics card that the minute of compiling comes back. Dropout draws
    from a generator of its own run, which a compiled model cannot."""
    launching = config.max_iters * config.gradient_accumulation_steps * config.n_layer * _LAYER_SECONDS
    seconds = max(launching, budget(config).training_flops / _CARD_FLOPS_PER_SECOND)
    return config.dropout == 0 and seconds > _WORTH_COMPILING_SECONDS


def _can_compile() -> bool:
    """Whether what torch compiles with is here: Triton, and a C compiler."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return find_spec("triton") is not None and any(which(name) for name in compilers if name)


@dataclass(frozen=True)
class Speed:
    """What a few trial steps took: seconds for one step, and for measuring the losses once."""

    step_seconds: float
    evaluation_seconds: float

    def run_seconds(self, config: ExperimentConfig) -> float:
        """How long the whole run would take at this speed."""
        evaluations = 1 + -(-config.max_iters // config.eval_interval)
        return config.max_iters * self.step_seconds + evaluations * self.evaluation_seconds


_TRIAL_TOKENS = 2_048
_THREADS_TRIAL_TOKENS = 1_024
_CLEARLY = 1.25  # times as fast


def measure_speed(config: ExperimentConfig, device: str = "cpu") -> Speed:
    """Train a model of this config for a moment, on random tokens, and time it. Imports torch.

    Takes a second or so: on the processor, large steps are tried on a part of their batch and scaled up. A
    graphics card is quicker with more at once, so it gets the whole batch. Sets the calling thread's number
    of torch threads.
    """
    from slm_core.text.spans import MOST_TOKENS

    use_threads(fastest_threads(config) if device == "cpu" else 1)
    part = max(1, min(config.batch_size, _TRIAL_TOKENS // config.block_size))
    batch = part if device == "cpu" else config.batch_size
    learn, update, evaluate = _trial(config, device, batch)
    tokens = batch * config.block_size
    scored = min(MOST_TOKENS, config.dataset_size) + MOST_TOKENS
    return Speed(
        # The update does not depend on the batch, and is a good part of a step with Muon.
        step_seconds=_fastest(learn, device) * config.tokens_per_step / tokens + _fastest(update, device),
        evaluation_seconds=_fastest(evaluate, device) * scored / tokens,
    )


def measure_generation(config: ExperimentConfig, device: str = "cpu", seconds: float = 1.0) -> float:
    """Tokens per second that a model of this config writes, one text at a time, tried for so many seconds.
    Imports torch. The weights are untrained: speed does not depend on them."""
    import torch

    from slm_core.model.generate import generate
    from slm_core.model.gpt import GPT
    from slm_core.model.sampling import SAMPLING_KNOBS, Sampling

    model = GPT(config, torch.Generator().manual_seed(0)).to(device).eval()
    longest = Sampling(max_new_tokens=SAMPLING_KNOBS["max_new_tokens"].high)
    written, began = 0, None  # the first token of all warms up
    while began is None or time.perf_counter() - began < seconds:
        for _ in generate(model, [0], longest):
            if began is None:
                began = time.perf_counter()
                continue
            written += 1
            if time.perf_counter() - began >= seconds:
                break
    return written / (time.perf_counter() - began)


def use_threads(count: int) -> None:
    """Let torch compute on so many threads wherever the calling thread asks it to. Imports torch.

    torch sets each thread up at the first work that it asks for, to the number that was set last, by whatever
    thread: so a number set before that does not hold. Asking for the number is such work.
    """
    import torch

    torch.get_num_threads()
    torch.set_num_threads(count)


def fastest_threads(config: ExperimentConfig) -> int:
    """One thread per core, or one in all where it trains such a model clearly faster just now. Imports torch;
    takes a moment, and therefore tries a model of one layer.

    More threads are no gain where each has too little to do to be worth waking. And they are little where
    another program holds a core, since all then wait for the one that it delays: but that may be over when
    the trial is, as a browser's redraw is after a click, and a run keeps its number to its end.
    """
    import torch

    if physical_cores() == 1:
        return 1
    batch = max(1, min(config.batch_size, _THREADS_TRIAL_TOKENS // config.block_size))
    before, shallow, trials, seconds = torch.get_num_threads(), config.with_changes({"n_layer": 1}), {}, {}
    for threads in (physical_cores(), 1):
        use_threads(threads)
        learn, update, _ = _trial(shallow, "cpu", batch)
        trials[threads] = lambda learn=learn, update=update: (learn(), update())
        trials[threads]()  # to warm up
    for threads in 4 * tuple(trials):  # in turns, so that what disturbs the one disturbs the other
        use_threads(threads)
        seconds[threads] = min(seconds.get(threads, math.inf), _seconds(trials[threads], "cpu"))
    use_threads(before)
    return 1 if seconds[1] * _CLEARLY < seconds[physical_cores()] else physical_cores()


def _trial(
    config: ExperimentConfig, device: str, batch: int
) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """The two halves of a training step, gradients and update, and an evaluation pass, ready to be timed on
    as many threads as torch has now."""
    import torch

    from slm_core.model.gpt import GPT
    from slm_core.model.loss import token_losses
    from slm_core.train.accelerate import Pace, Passes
    from slm_core.train.crew import crew_on
    from slm_core.train.optim import make_optimizer

    generator = torch.Generator().manual_seed(0)
    model = GPT(config, generator).to(device)
    passes = Passes(model, Pace(bfloat16=pace_on(device, config).bfloat16), torch.device(device))
    optimizer = make_optimizer(model, config)
    idx = torch.randint(config.vocab_size, (batch, config.block_size), generator=generator).to(device)
    weights, crew = list(model.parameters()), crew_on(torch.device(device), config)

    def learn() -> None:
        optimizer.zero_grad()
        crew.add_gradients(lambda idx: token_losses(passes(idx), idx).sum() / batch, weights, idx)

    @torch.inference_mode()
    def evaluate() -> None:
        token_losses(model(idx), idx)

    return learn, optimizer.step, evaluate


def _fastest(work: Callable[[], None], device: str) -> float:
    """Seconds of the faster of two tries, after one to warm up."""
    work()
    return min(_seconds(work, device), _seconds(work, device))


def _seconds(work: Callable[[], None], device: str) -> float:
    import torch

    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


class SpeedProbe:
    """Answers "how fast would this train here?" without making anybody wait: it measures in a thread and
    remembers.

    While `busy` says so it does not measure: it would disturb a run, and the run would disturb the
    measurement.
    """

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._known: dict[tuple[str, ExperimentConfig], Speed | None] = {}  # None: it could not be measured
        self._wanted: tuple[str, ExperimentConfig] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def ask(self, config: ExperimentConfig, device: str) -> tuple[bool, Speed | None]:
        """Whether the answer is final, and the answer. An unfinal None is being measured, or waits for a run
        to end."""
        key = (device, _what_matters(config))
        with self._lock:
            if key in self._known:
                return True, self._known[key]
            self._wanted = key  # the latest asked for is measured next; a slider's way there is not
            if (
                not self._stopped
                and not self._busy()
                and (self._thread is None or not self._thread.is_alive())
            ):
                self._thread = threading.Thread(target=self._measure, name="speed-probe", daemon=True)
                self._thread.start()
            return False, None

    def stop(self) -> None:
        """Measure no more, and wait for what is under way: a torch thread alive at the end aborts Python."""
        with self._lock:
            self._stopped, thread = True, self._thread
        if thread is not None:
            thread.join()

    def _measure(self) -> None:
        while not self._busy():
            with self._lock:
                key, self._wanted = self._wanted, None
                if self._stopped or key is None or key in self._known:
                    self._thread = None
                    return
            try:
                speed = measure_speed(key[1], key[0])
            except (RuntimeError, MemoryError):  # out of memory: there is no answer, and the page says so
                speed = None
            give_back_memory()
            with self._lock:
                self._known[key] = speed


def _what_matters(config: ExperimentConfig) -> ExperimentConfig:
    """The config with everything that does not change the speed set to one value."""
    return replace(
        config, max_iters=ExperimentConfig.max_iters, eval_interval=1, patience=0, seed=0, learning_rate=1e-3,
        min_lr=0.0, warmup_iters=0, weight_decay=0.0, grad_clip=1.0, beta1=0.9, beta2=0.9, corpus="stories",
    )  # fmt: skip
