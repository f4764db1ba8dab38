"""Experiments from Python: a text and a config go in, the best model comes out.

What is trained here is kept in a run folder, as the app keeps it, and the app shows it among its runs.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from slm_core.config import ExperimentConfig, Preset, load_preset
from slm_core.errors import CorpusError, RunError
from slm_core.hardware import choose_device, fastest_threads, ready_to_compute, use_threads
from slm_core.runs.store import CHECKPOINTS, Run, create_run, list_runs, runs_folder, write_atomically
from slm_core.text import corpus
from slm_core.text.corpus import split_text
from slm_core.text.tokenizer import Tokenizer
from slm_core.train.events import EvalDone, Event, RunFinished, StepDone

if TYPE_CHECKING:
    from slm_core.model.gpt import GPT

_STORIES = "stories"
Watcher = Callable[[Event], None]


def get_sample_text(n: int) -> str:
    """The first n tokens of the built-in training stories as text, a blank line between two stories.

    A token is a word or a part of one, from the vocabulary of 1,024 pieces that most presets use; the mark
    before each story is one, too. 200 tokens are about one story. A model with dataset_size n learns from
    exactly this text. Raises CorpusError for n below 1.
    """
    if n < 1:
        raise CorpusError(f"You asked for {n} tokens; ask for at least 1.")
    config = ExperimentConfig()
    tokenizer = corpus.story_tokenizer(_STORIES, config.vocab_size)
    told = _first_stories(lambda text: len(tokenizer.encode_documents(text.split("\n\n"))) > n)
    ids = tokenizer.encode_documents(told.split("\n\n"))[:n]
    return tokenizer.decode(ids).strip("\n")


def run_experiment(
    text: str | None,
    config: ExperimentConfig | Preset,
    name: str,
    *,
    device: str = "cpu",
    watch: Watcher | None = None,
) -> tuple["GPT", Tokenizer]:
    """Train on a text and give the best model, ready to write, and its tokenizer.

    Of your own text (at least 2,000 characters), about a tenth is held out to test the model on. The
    beginning of the built-in stories, as `get_sample_text` gives it, may be of any length longer than one
    block: it is tested on stories held out by the app. None reads what the config says. watch is called with
    every event (see slm_core.train.events); without it, progress is shown on stderr. An interrupted run is
    saved and can be resumed. Raises SlmError if the text or the config cannot be used, and RunError if the
    loss diverges.
    """
    config = config.config if isinstance(config, Preset) else config
    if text is not None and (tokens := _tokens_if_stories(text, config)):
        config = config.with_changes({"corpus": _STORIES, "dataset_size": min(tokens, config.dataset_size)})
        text = None
    elif text is not None:
        split_text(text, config.block_size)  # refuses what cannot be trained on, before a folder is made
        config = config.with_changes({"corpus": "own"})
    elif config.corpus == "own":
        raise CorpusError("The config's corpus is your own text, but no text was given. Give one.")
    ready_to_compute()
    device = choose_device(device, "cpu")
    threads = fastest_threads(config)
    run = create_run(runs_folder(), config, name=name, device=device, threads=threads, text=text)
    return _best_of(train_in_process(run, watch), device)


def train_on_cloud(
    preset: str | Preset = "TINY_GPU",
    *,
    file: Path | str | None = None,
    watch: Watcher | None = None,
) -> Path:
    """Train a preset on the best device there is and give the path of the one file that holds the model.

    The file is called after the preset, in the current folder, unless `file` says otherwise. Called again
    after an interruption, with the same preset and runs folder (SLM_RUNS), it goes on where the run was last
    saved; of a run that is finished it gives the file at once. Raises SlmError as `run_experiment` does.
    """
    preset = load_preset(preset) if isinstance(preset, str) else preset
    ready_to_compute()
    device = choose_device(None, "gpu")
    run = _begun(preset)
    if run is None:
        threads = fastest_threads(preset.config)
        run = create_run(runs_folder(), preset.config, name=preset.name, device=device, threads=threads)
    if run.resumable:
        run = train_in_process(replace(run, device=device), watch)  # the machine may be another one now
    path = Path(file or f"{preset.name}.safetensors").resolve()
    write_atomically(path, run.checkpoints["best"].read_bytes())
    return path


def train_in_process(run: Run, watch: Watcher | None = None) -> Run:
    """Train a run in this thread, to its end, and give it. Raises SlmError, and RunError if the loss
    diverges; an interruption saves the run first."""

    from slm_core.runs.work import train_run

    use_threads(run.threads)
    events, ended = train_run(run), None
    with tqdm(total=run.config.max_iters, unit="step", file=sys.stderr, disable=watch is not None) as bar:
        tell = watch or partial(_show, bar=bar)
        try:
            for event in events:
                tell(event)
                ended = event if isinstance(event, RunFinished) else None
        finally:
            events.close()
    if ended is None or ended.reason != "finished":
        raise RunError(f"{ended.text if ended else 'The run did not end.'} What it left is in {run.folder}.")
    return run


def _show(event: Event, bar: tqdm) -> None:
    if isinstance(event, StepDone):
        bar.update(event.step - bar.n)
    elif isinstance(event, EvalDone):
        bar.set_postfix_str(f"training {event.train_loss:.2f}, validation {event.validation_loss:.2f}")


def _best_of(run: Run, device: str) -> tuple["GPT", Tokenizer]:
    from slm_core.runs.checkpoint import load_checkpoint

    best = load_checkpoint(run.folder / CHECKPOINTS["best"], device)
    return best.model, best.tokenizer


def _begun(preset: Preset) -> Run | None:
    """The latest run of a preset that is finished or can go on."""
    for run in list_runs(runs_folder()):
        same = (run.name, run.config, run.imported) == (preset.name, preset.config, False)
        ended = run.last_end()
        if same and (run.resumable or (ended and ended.reason == "finished" and "best" in run.checkpoints)):
            return run
    return None


def _tokens_if_stories(text: str, config: ExperimentConfig) -> int:
    """How many tokens a text has if it is the beginning of the built-in stories, else 0."""
    text = text.strip()
    if not text or not _first_stories(lambda told: len(told) >= len(text)).startswith(text):
        return 0
    tokenizer = corpus.story_tokenizer(_STORIES, config.vocab_size, config.tokenizer)
    return len(tokenizer.encode_documents(text.split("\n\n"))) - 1  # without the last end mark


def _first_stories(enough: Callable[[str], bool]) -> str:
    """As many of the training stories as are enough, twice as many at each try."""
    return next(told for power in count() if enough(told := corpus.get_sample_text(2**power)))
