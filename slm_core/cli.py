"""The same engine from a terminal: `python -m slm_core train --preset TINY_CPU`, then `generate`."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from slm_core.bench import WRITING_SECONDS, bench, others_busy, report
from slm_core.cli_corpora import add_corpora, megabytes
from slm_core.config import KNOBS, ExperimentConfig, load_preset, load_presets, parse_setting
from slm_core.errors import RunError, SlmError
from slm_core.hardware import (
    choose_device,
    fastest_threads,
    physical_cores,
    ready_to_compute,
    use_threads,
)
from slm_core.runs.formats import FORMATS, file_stem, reads_otherwise
from slm_core.runs.store import Run, create_run, open_run, runs_folder, write_atomically
from slm_core.text.corpus import split_text
from slm_core.text.library import corpora_folder, entry_called, read, read_path
from slm_core.train.events import EvalDone, Event, Notice, RunFinished, SampleDrawn, StepDone, Working


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 the training failed, 2 it could not be begun, 130
    interrupted."""
    parsed = _parser().parse_args(arguments)
    ready_to_compute()
    try:
        return parsed.command(parsed)
    except SlmError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slm_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train a model", description="Train a model into a run folder.")
    train.set_defaults(command=_train)
    train.add_argument(
        "--preset", default="TINY_CPU", help="starting point (default TINY_CPU); see `presets`"
    )
    reads = train.add_mutually_exclusive_group()
    reads.add_argument(
        "--text",
        type=Path,
        metavar="PATH",
        help="train on your own .txt or .md file (UTF-8), or a folder of them, each file a document",
    )
    reads.add_argument("--corpus", metavar="NAME", help="train on a fetched text; see `corpora`")
    train.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        action="extend",
        help="change settings",
    )
    train.add_argument(
        "--device", help="cpu, cuda, mps (default: a GPU for GPU presets if there is one, else the CPU)"
    )
    train.add_argument("--name", help="name of the run (default: the preset's)")
    train.add_argument("--resume", metavar="RUN", help="go on with a stopped run; other settings are ignored")

    generate = commands.add_parser("generate", help="write text with a trained model")
    generate.set_defaults(command=_generate)
    generate.add_argument("file", type=Path, help="a .safetensors file that training wrote")
    generate.add_argument("prompt", help="the beginning of the text")
    generate.add_argument("--max-new-tokens", type=int, default=200)
    generate.add_argument("--temperature", type=float, default=0.8, help="0 always takes the likeliest token")
    generate.add_argument("--top-k", type=int, default=0, help="draw from the k likeliest; 0: from all")
    generate.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest that make up p; 1: from all"
    )
    generate.add_argument("--seed", type=int, default=0)

    export = commands.add_parser("export", help="write a trained model for other programs")
    export.set_defaults(command=_export)
    export.add_argument("file", type=Path, help="a .safetensors file that training wrote")
    export.add_argument("--to", required=True, choices=FORMATS, help="which kind of file; see docs/export.md")
    export.add_argument("--out", type=Path, metavar="PATH", help="where to (default: here, by its name)")

    add_corpora(commands)

    timing = commands.add_parser("bench", help="measure what each preset costs on this machine")
    timing.set_defaults(command=_bench)
    timing.add_argument("--presets", nargs="+", metavar="NAME", help="only these (default: all)")
    timing.add_argument(
        "--seconds", type=float, default=WRITING_SECONDS, help="for how long each writes, in each round"
    )
    timing.add_argument("--markdown", action="store_true", help="print the table for a document")

    presets = commands.add_parser("presets", help="list the presets and all settings")
    presets.set_defaults(command=_presets)
    return parser


def _train(parsed: argparse.Namespace) -> int:
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["WORLD_SIZE"] != "1":
        return _train_in_team(parsed)  # torchrun has started this process, and others beside it
    run = _run_to_train(parsed, lambda config, device: None)
    from slm_core.runs.work import train_run  # loads torch: after everything that can be refused at once

    use_threads(run.threads)
    return _see_through(run, train_run(run))


def _train_in_team(parsed: argparse.Namespace) -> int:
    """This process's part of a training that several do together: the leader's, or another one's."""

    from slm_core.runs.work import follow_run, train_run
    from slm_core.train.parallel import team_around, working_together

    team = team_around()
    use_threads(max(1, physical_cores() // team.size))
    if not team.leads:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader saves, and then all end
        with working_together(team):
            follow_run(open_run(runs_folder(), team.told()), team)
        return 0
    run = _run_to_train(parsed, team.check)
    with working_together(team):
        team.told(run.id)
        return _see_through(run, train_run(run, team))


def _run_to_train(parsed: argparse.Namespace, check: Callable[[ExperimentConfig, str], None]) -> Run:
    """The run that is asked for, to go on with or new. Raises SlmError, also what check raises for its config
    and its device."""
    root = runs_folder()
    if not parsed.resume:
        return _new_run(parsed, root, check)
    run = open_run(root, parsed.resume)
    check(run.config, run.device)
    if not run.resumable:
        raise RunError(f"{run.name} has nothing left to go on with. Start a new run.")
    return run


def _see_through(run: Run, events: Iterator[Event]) -> int:
    """Show a run's events until it ends, or is interrupted; gives the exit code."""
    ended = None
    with tqdm(total=run.config.max_iters, unit="step", dynamic_ncols=True) as bar:
        try:
            for event in events:
                _show(event, bar)
                ended = event if isinstance(event, RunFinished) else None
        except KeyboardInterrupt:
            events.close()
            go_on = f"Go on with: python -m slm_core train --resume {run.id}"
            bar.write(f"Stopped. {go_on}" if run.resumable else "Stopped before training began.")
            return 130
    assert ended is not None
    if (report := run.report()) and report.leaks.leaking:
        print(report.leaks.sentence)
    print(f"{ended.text}\nBest validation loss {ended.best_validation_loss:.3f} at step {ended.best_step:,}.")
    for kind, path in run.checkpoints.items():
        print(f"{kind}: {path}")
    return 0 if ended.reason == "finished" else 1


def _new_run(parsed: argparse.Namespace, root: Path, check: Callable[[ExperimentConfig, str], None]) -> Run:
    preset = load_preset(parsed.preset)
    changes = dict(map(parse_setting, parsed.settings))
    text = None
    if parsed.text or parsed.corpus:
        changes["corpus"] = "own"
        text = read_path(parsed.text) if parsed.text else read(entry_called(parsed.corpus), corpora_folder())
        split_text(text)  # refuses what cannot be trained on, before a folder is made
    config: ExperimentConfig = preset.config.with_changes(changes)
    if config.corpus == "own" and text is None:
        raise SlmError("corpus=own needs a text. Add --text PATH, or --corpus NAME for a fetched one.")
    device = choose_device(parsed.device, preset.hardware)
    check(config, device)
    run = create_run(
        root, config, name=parsed.name or preset.name, device=device, threads=fastest_threads(config)
    )
    if text is not None:
        run.write_text("text.txt", text)
    return run


def _show(event: Event, bar: tqdm) -> None:
    match event:
        case StepDone():
            bar.update(event.step - bar.n)
            bar.set_postfix_str(f"loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s")
        case EvalDone():
            bar.write(
                f"step {event.step:>6,}  training loss {event.train_loss:.3f}  validation loss "
                f"{event.validation_loss:.3f} "
                f"± {event.validation_standard_error:.3f}{'  best' if event.is_best else ''}"
            )
        case SampleDrawn(source="training"):
            bar.write(f"             {event.prompt} → {' '.join(event.text.split())}")
        case Notice():
            bar.write(event.text)
        case Working():
            bar.set_postfix_str(f"{event.doing}, {event.share:.0%}")


def _generate(parsed: argparse.Namespace) -> int:
    from slm_core.model.generate import write_text
    from slm_core.model.sampling import Sampling
    from slm_core.runs.checkpoint import load_checkpoint

    sampling = Sampling(
        max_new_tokens=parsed.max_new_tokens,
        temperature=parsed.temperature,
        top_k=parsed.top_k,
        top_p=parsed.top_p,
        seed=parsed.seed,
    )
    checkpoint = load_checkpoint(parsed.file)
    print(parsed.prompt, end="", flush=True)
    for piece in write_text(checkpoint.model, checkpoint.tokenizer, parsed.prompt, sampling):
        print(piece, end="", flush=True)
    print()
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from slm_core.runs.checkpoint import load_checkpoint
    from slm_core.runs.export import export

    checkpoint = load_checkpoint(parsed.file)
    out = parsed.out or Path(f"{file_stem(checkpoint.name)}{FORMATS[parsed.to].ending}")
    content = export(checkpoint, parsed.to, out.stem)
    write_atomically(out, content)
    print(f"{out}: {megabytes(len(content))}. For {FORMATS[parsed.to].opens}.")
    if note := reads_otherwise(checkpoint.config).get(parsed.to):
        print(note)
    return 0


def _bench(parsed: argparse.Namespace) -> int:
    presets = [load_preset(name) for name in dict.fromkeys(parsed.presets or load_presets())]
    asked = f" --presets {' '.join(parsed.presets)}" if parsed.presets else ""
    busy = others_busy()
    rows = bench(presets, seconds=parsed.seconds, tell=lambda said: print(said, file=sys.stderr))
    print(report(rows, command=f"python -m slm_core bench{asked}", busy=busy, markdown=parsed.markdown))
    return 0


def _presets(parsed: argparse.Namespace) -> int:
    from slm_core.model.budget import budget

    for preset in load_presets().values():
        millions = budget(preset.config).parameters / 1e6
        print(
            f"{preset.name:<11} {millions:6.2f} M parameters, {preset.config.dataset_size:>10,} tokens. "
            f"{preset.shows}"
        )
    print("\nSettings, for --set:")
    for knob in KNOBS.values():
        allowed = ", ".join(knob.choices) or f"{knob.low:,} to {knob.high:,}"
        print(f"  {knob.name} = {knob.default}  ({allowed}{' ' if knob.unit else ''}{knob.unit}) {knob.help}")
    return 0
