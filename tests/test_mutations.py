"""Files that somebody has damaged, by chance or on purpose: thousands of them. Each is either read or refused
in words; nothing of them runs, and no claim of theirs makes the program ask for memory."""

import contextlib
import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from slm_core.config import ExperimentConfig, load_presets
from slm_core.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    RunError,
    SlmError,
    TokenizerError,
    VocabularyError,
)
from slm_core.model.generate import write_text
from slm_core.model.sampling import Sampling
from slm_core.runs import store, work
from slm_core.runs.checkpoint import (
    FORMAT,
    import_checkpoint,
    load_checkpoint,
    read_tensors,
    write_tensors,
)
from slm_core.runs.history import History
from slm_core.runs.store import RESUME, Run, create_run, list_damaged, list_runs, open_run
from slm_core.text.bins import read_dataset
from slm_core.text.report import TextReport
from slm_core.train import events, trainer

MOST_BYTES = 300_000_000  # of memory that reading a small file may ask for, whatever the file says


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Whoever asks for much more memory than is in use now is refused, where the system can do that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_guard_against_asking_for_memory_is_on():
    pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    with little_memory():
        bytes(MOST_BYTES // 2)
        with pytest.raises(MemoryError):
            bytes(2 * MOST_BYTES)
        with pytest.raises(RuntimeError, match="memory"):
            torch.empty(MOST_BYTES)


# What stands where something else is expected.
STRANGE: list[Callable[[Random], Any]] = [
    lambda random: None,
    lambda random: random.choice([True, False]),
    lambda random: random.choice([0, -1, 1, 2**31, 2**63, 10**18, 10**400, -(10**400)]),
    lambda random: random.choice([0.5, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf]),
    lambda random: random.choice(["", "0", "NaN", "\0", "\ud800", "../../etc/passwd", "C:\\nul"]),
    lambda random: random.choice(["<script>x</script>", "<img src=x>", "[x](javascript:1)", "$x$"]),
    lambda random: "x" * random.choice([100, 10_000, 300_000]),
    lambda random: random.choice([[], {}, [[]], [None], {"": None}, {"step": []}, ["a"] * 1_000]),
    lambda random: nested(random.choice([10, 200, 900])),
]


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """A few bytes flipped, inserted, left out, doubled, or the end cut off."""
    for _ in range(random.choice([1, 1, 1, 2, 8])):
        place = random.randrange(len(content) + 1)
        length = random.choice([1, 1, 4, 50, 2_000])
        match random.randrange(5):
            case 0 if place < len(content):
                flipped = content[place] ^ 1 << random.randrange(8)
                content = content[:place] + bytes([flipped]) + content[place + 1 :]
            case 1:
                content = content[:place] + random.randbytes(length) + content[place:]
            case 2:
                content = content[:place] + content[place + length :]
            case 3:
                content = content[:place] + content[place : place + length] + content[place:]
            case _:
                content = content[:place]
    return content


def mutated(value: Any, random: Random) -> Any:
    """A JSON value with something at a random place of it replaced, renamed, added or left out."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(STRANGE)(random)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], mutated(value[place], random), *value[place + 1 :]]
    changed, name = dict(value), random.choice(list(value))
    match random.randrange(6):
        case 0:
            del changed[name]
        case 1:
            changed[random.choice(["", "step", "../x", "<b>", "\ud800", "x" * 5_000])] = changed.pop(name)
        case 2:
            changed[name] = changed[random.choice(list(changed))]
        case _:
            changed[name] = mutated(value[name], random)
    return changed


def mutated_text(content: bytes, random: Random) -> bytes:
    """A JSON file with its bytes or its values changed."""
    if random.random() < 0.4:
        return mutated_bytes(content, random)
    return json.dumps(mutated(json.loads(content), random)).encode("utf-8", "surrogatepass")


def mutated_tensors(content: bytes, random: Random) -> bytes:
    """A safetensors file with its bytes, its header, or the JSON within its header changed."""
    size = int.from_bytes(content[:8], "little")
    header, numbers = json.loads(content[8 : 8 + size]), content[8 + size :]
    match random.randrange(6):
        case 0:
            return mutated_bytes(content, random)
        case 1:  # mostly where the header is
            return mutated_bytes(content[: 8 + size], random) + numbers
        case 2:
            header = mutated(header, random)
        case 3:  # what it says of a tensor
            name = random.choice([name for name in header if name != "__metadata__"])
            header[name] = mutated(header[name], random)
        case _:
            facts = json.loads(header["__metadata__"]["facts"])
            header["__metadata__"]["facts"] = json.dumps(mutated(facts, random))
    packed = json.dumps(header).encode("utf-8", "surrogatepass")
    packed += b" " * (-len(packed) % 8)
    return struct.pack("<Q", len(packed)) + packed + numbers


@dataclass(frozen=True)
class Sound:
    """A run, and the files of it that are sound, by name."""

    run: Run
    files: dict[str, bytes]

    def put(self, name: str, content: bytes) -> None:
        (self.run.folder / name).write_bytes(content)


CONFIG = ExperimentConfig(
    corpus="own", tokenizer="bytes", vocab_size=257, dataset_size=1_000, n_layer=1, n_head=1, n_embd=8,
    block_size=16, batch_size=1, max_iters=2, warmup_iters=0, eval_interval=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory, own_text) -> Sound:
    """A run stopped after its first step, with all files that a run can have."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "SAMPLE_TOKENS", 4)
        root = tmp_path_factory.mktemp("runs")
        run = create_run(root, CONFIG, name="Größe", device="cpu", threads=1, text=own_text[:6_000])
        training = work.train_run(run)
        next(event for event in training if isinstance(event, events.StepDone))
        training.close()
    return Sound(run, {path.name: path.read_bytes() for path in run.folder.iterdir()})


@pytest.fixture(autouse=True)
def _mended(request) -> Iterator[None]:
    """After each test the run's files are sound again."""
    yield
    if "sound" in request.fixturenames:
        whole: Sound = request.getfixturevalue("sound")
        for name, content in whole.files.items():
            whole.put(name, content)


@pytest.mark.parametrize("seed", range(5))
def test_a_mutated_model_file_is_refused_or_writes(sound, tmp_path, seed):
    random, path, refused = Random(seed), tmp_path / "model.safetensors", 0
    for number in range(150):
        content = mutated_tensors(sound.files["last.safetensors"], random)
        path.write_bytes(content)
        with little_memory():
            try:
                found = load_checkpoint(path)
                written = write_text(found.model, found.tokenizer, "Day", Sampling(max_new_tokens=2))
                "".join(written).encode()
            except (CheckpointError, VocabularyError) as error:
                assert 0 < len(str(error)) < 5_000 and "Traceback" not in str(error)
                refused += 1
                continue
        assert all(math.isfinite(value) for value in found.metrics.values())
        assert len(found.name) <= 80 and found.name.encode() is not None
        if number % 5 == 0:
            run = import_checkpoint(tmp_path / "runs", content, "../<b>x</b>.safetensors")
            assert open_run(tmp_path / "runs", run.id).imported
    assert refused > 50, "most mutations hurt"
    assert list_damaged(tmp_path / "runs") == {}


@pytest.mark.parametrize("value", [1e38, -1e38, 3e20])
def test_a_model_whose_numbers_overflow_is_refused_or_writes(sound, tmp_path, value):
    path = tmp_path / "model.safetensors"
    for name in (
        "embedding.weight",
        "blocks.0.attention.qkv.weight",
        "blocks.0.narrow.weight",
        "norm.weight",
    ):
        tensors, facts = read_tensors(sound.run.checkpoints["last"], FORMAT)
        tensors[name].fill_(value)
        write_tensors(path, tensors, FORMAT, facts)
        found = load_checkpoint(path)
        with contextlib.suppress(CheckpointError):
            "".join(write_text(found.model, found.tokenizer, "Day", Sampling(max_new_tokens=2)))


def header_of(shapes: dict[str, list[int]], size: int) -> bytes:
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]} for name, shape in shapes.items()
    }
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + bytes(min(size, 100))


@pytest.mark.parametrize(
    "content",
    [
        header_of({"embedding.weight": [65_535, 1_024]}, 65_535 * 1_024 * 4),
        header_of({"embedding.weight": [2**40, 2**40]}, 100),
        header_of({"embedding.weight": [0, 2**62]}, 0),
        header_of({"embedding.weight": [2**63, 0]}, 0),
        header_of({"embedding.weight": [1] * 100_000}, 4),
        header_of({f"weight {number}": [0] for number in range(100_000)}, 0),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 7_999_999) + b"{" + b" " * 7_999_998,
        struct.pack("<Q", 7_999_999) + b"[" * 7_999_999,
    ],
    ids=["short", "overflowing", "empty", "negative", "deep", "many", "long header", "blank", "nested"],
)
def test_a_file_that_claims_to_be_huge_is_refused_before_any_memory_is_asked_for(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with little_memory(), pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_model_whose_config_is_huge_is_refused_before_any_memory_is_asked_for(sound, tmp_path):
    largest = {"n_layer": 24, "n_embd": 1_024, "n_head": 32, "block_size": 1_024, "dataset_size": 2_000}
    content = sound.files["last.safetensors"]
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    facts = json.loads(header["__metadata__"]["facts"])
    facts["config"] |= largest
    header["__metadata__"]["facts"] = json.dumps(facts)
    packed = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + content[8 + size :])
    with little_memory(), pytest.raises(CheckpointError, match="does not hold the weights"):
        load_checkpoint(path)


@pytest.mark.parametrize("seed", range(2))
def test_a_mutated_state_is_refused_or_gone_on_with(sound, seed, monkeypatch):
    monkeypatch.setattr(trainer, "SAMPLE_TOKENS", 1)
    random, refused = Random(seed), 0
    for _ in range(100):
        sound.put(RESUME, mutated_tensors(sound.files[RESUME], random))
        training = work.train_run(sound.run)
        try:
            with little_memory():
                for event in training:
                    if isinstance(event, events.StepDone):
                        break
        except CheckpointError as error:
            assert 0 < len(str(error)) < 5_000
            refused += 1
        finally:
            training.close()
    assert refused > 40


PRESETS = b"""
SMALL:
  shows: A small one.
  n_layer: 3
  learning_rate: 0.001
  min_lr: 0.0001
LARGE:
  shows: A large one.
  hardware: gpu
  corpus: tales
  dataset_size: 2_000
"""
SNIPPETS = [
    "!!python/object/apply:os.mkdir ['TOUCHED']", "!!python/object/new:os.mkdir ['TOUCHED']",
    "!!python/name:os.system", "!!python/module:os", "!!binary aGFsbG8=", "!!set {a, b}", "!!timestamp x",
    "&a [*a]", "*unknown", "{", "[[[[", "'", '"\\x"', "<<: *a", "? [a, b]\n:", "%YAML 9.9", "---", "\t", ": ",
    "2026-13-45", "0x" + "f" * 400, "1" * 5_000, ".nan", ".inf", "1e400", "12:30:45", "~", "yes", "- a",
    "[" * 3_000, "{a: " * 500, "n_layer: 4", "hardware: quantum", "SMALL:", "\ud800", "\0", "\u2028", "…",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_mutated_presets_are_refused_or_read_and_nothing_in_them_runs(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    random, path = Random(seed), tmp_path / "presets.yaml"
    for _ in range(120):
        content = PRESETS
        if random.random() < 0.6:
            lines = content.decode().split("\n")
            place = random.randrange(len(lines))
            snippet = random.choice(SNIPPETS)
            name = lines[place].split(":")[0]
            lines[place] = random.choice([snippet, f"  {snippet}", f"{name}: {snippet}"])
            content = "\n".join(lines).encode("utf-8", "surrogatepass")
        else:
            content = mutated_bytes(content, random)
        path.write_bytes(content)
        with little_memory():
            try:
                for preset in load_presets(path).values():
                    assert isinstance(preset.config, ExperimentConfig) and isinstance(preset.shows, str)
            except ConfigError as error:
                assert str(error)
    assert os.listdir(tmp_path) == ["presets.yaml"]


@pytest.mark.parametrize("name", ["n_layer", "corpus", "shows", "hardware", "more"])
def test_presets_that_would_grow_without_end_when_they_are_told_are_refused(tmp_path, name):
    """Nine lists, each nine times the one before: of 100 bytes, but their text would have 400 million."""
    path, lists = tmp_path / "presets.yaml", ["&a0 [x, x, x, x, x, x, x, x, x]"]
    lists += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    bomb = f"[{', '.join(lists)}]"
    for preset in (f"SMALL: {{{name}: {bomb}}}", f"SMALL: {bomb}", f"SMALL: {{? {bomb} : 3}}"):
        path.write_text(preset, encoding="utf-8")
        with little_memory(), pytest.raises(ConfigError) as told:
            load_presets(path)
        assert len(str(told.value)) < 5_000


@pytest.mark.parametrize("seed", range(5))
def test_a_mutated_history_is_read_and_what_is_read_is_of_the_right_kind(sound, seed):
    random, whole = Random(seed), sound.files["events.jsonl"]
    kinds = {name: {each.name: each.type for each in fields(kind)} for name, kind in events._KINDS.items()}
    for _ in range(150):
        lines = whole.split(b"\n")[:-1]
        if random.random() < 0.3:
            content = mutated_bytes(whole, random)
        else:
            for _ in range(3):
                place = random.randrange(len(lines))
                with contextlib.suppress(ValueError):
                    lines[place] = mutated_text(lines[place], random)
            content = b"\n".join(lines) + b"\n"
        sound.put("events.jsonl", content)
        history = History(sound.run.folder).refresh()
        kept = [
            history.started, history.finished, history.last_step, history.best, sound.run.last_end(),
            *history.evaluations.values(), *history.samples.values(), *history.notices,
        ]  # fmt: skip
        for event in filter(None, kept):
            for name, kind in kinds[type(event).__name__].items():
                value = getattr(event, name)
                assert isinstance(value, kind) or (kind is float and type(value) is int), (event, name)
                assert kind not in (int, float) or math.isfinite(value)
                assert kind is not str or value.encode() is not None
        assert all(math.isfinite(loss) for loss in history.losses.values())
        assert isinstance(sound.run.resumable, bool)


@pytest.mark.parametrize("seed", range(3))
def test_mutated_settings_of_a_run_are_refused_or_such_that_pages_can_show_them(sound, seed):
    random, root = Random(seed), sound.run.folder.parent
    for _ in range(120):
        store._read_settings.cache_clear()  # the file is changed faster than its clock ticks
        sound.put("run.json", mutated_text(sound.files["run.json"], random))
        try:
            run = open_run(root, sound.run.id)
        except RunError as error:
            assert list_damaged(root) == {sound.run.id: str(error)} and list_runs(root) == []
            assert len(str(error)) < 5_000
            continue
        assert list_runs(root) == [run] and list_damaged(root) == {}
        assert len(run.name) <= 80 and run.threads >= 1 and isinstance(run.config, ExperimentConfig)
        for text in (run.name, run.owner, run.device, *run.tags):
            text.encode()
        run.created.astimezone().strftime("%d %b %Y %H:%M")
    store._read_settings.cache_clear()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["tokenizer.json", "train.bin", "validation.bin"])
def test_a_mutated_text_is_refused_or_read(sound, name, seed):
    random = Random(seed)
    change = mutated_text if name == "tokenizer.json" else mutated_bytes
    for _ in range(70):
        sound.put(name, change(sound.files[name], random))
        with little_memory():
            try:
                found = read_dataset(sound.run.folder, CONFIG)
            except (CorpusError, TokenizerError) as error:
                assert 0 < len(str(error)) < 5_000
                continue
        assert int(found.train.max()) < found.tokenizer.vocab_size
        assert found.tokenizer.decode(found.tokenizer.encode("Größe 🌱")) == "Größe 🌱"
        assert all(isinstance(notice, str) for notice in found.notices)


@pytest.mark.parametrize("name", ["train.bin", "validation.bin"])
def test_a_run_on_mutated_ids_is_refused_or_trained(sound, name, monkeypatch):
    monkeypatch.setattr(trainer, "SAMPLE_TOKENS", 1)
    random = Random(0)
    (sound.run.folder / RESUME).unlink()
    for _ in range(30):
        sound.put(name, mutated_bytes(sound.files[name], random))
        training = work.train_run(sound.run)
        with contextlib.suppress(SlmError):
            next(event for event in training if isinstance(event, events.StepDone))
        training.close()
        (sound.run.folder / RESUME).unlink(missing_ok=True)


@pytest.mark.parametrize("seed", range(2))
def test_a_mutated_report_is_none_or_can_be_shown(sound, seed):
    random = Random(seed)
    for _ in range(120):
        sound.put("report.json", mutated_text(sound.files["report.json"], random))
        report = sound.run.report()
        if report is not None:
            assert isinstance(report, TextReport)
            for nats in report.references().values():
                assert f"{nats:.3f}" and math.isfinite(nats)
            assert isinstance(report.leaks.leaking, bool) and report.leaks.sentence.encode() is not None
