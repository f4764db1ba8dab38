"""Record the lessons' runs on this machine, so that they can be played where nothing can be trained.

    python docs/record_lessons.py                 all lessons
    python docs/record_lessons.py week-2 week-3   some of them

Each run becomes a small file in pages/lessons/recordings, which says on what machine and when it was made.
What a machine cannot run, such as a run for a graphics card, is left as it is. Takes about four minutes on
two cores.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.hardware import devices, measure_generation, ready_to_compute, use_threads  # noqa: E402
from slm_core.runs.scheduler import Scheduler  # noqa: E402
from slm_core.runs.store import Run, open_run  # noqa: E402
from slm_core.study.samples import copying  # noqa: E402
from slm_core.teach.lesson import Lesson, LessonRun, load_lesson  # noqa: E402
from slm_core.teach.recording import Recording, recording_file, thin  # noqa: E402
from slm_core.train.events import SampleDrawn, from_json  # noqa: E402

LESSONS = ROOT / "pages" / "lessons"


def main() -> None:
    """Train, record and tell how large the files are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="names of lessons; all, if there are none")
    parser.add_argument("--into", type=Path, default=LESSONS / "recordings")
    asked = parser.parse_args()
    ready_to_compute()
    asked.into.mkdir(parents=True, exist_ok=True)
    files = sorted(LESSONS.glob("week-*.yaml"))
    chosen = [load_lesson(file) for file in files if not asked.lessons or file.stem in asked.lessons]
    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(Path(folder))
        for lesson in chosen:
            record_all(lesson, scheduler, asked.into)


def record_all(lesson: Lesson, scheduler: Scheduler, into: Path) -> None:
    """Record each run of a lesson that this machine can train, one after the other."""
    for run in lesson.runs.values():
        device = _device(run)
        if device is None:
            print(f"{lesson.id} {run.name}: needs a graphics card; left as it is")
            continue
        run_id = scheduler.start(run.config, name=run.label, device=device)
        scheduler.wait(run_id)
        recording = record(open_run(scheduler.root, run_id))
        file = recording_file(into, lesson.id, run.name)
        file.write_bytes(recording.to_bytes())
        print(f"{lesson.id} {run.name}: {recording.seconds:.0f} s, {file.stat().st_size / 1000:.0f} kB")


def record(run: Run) -> Recording:
    """What is kept of a run that has ended."""
    lines = (run.folder / "events.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    events = thin(from_json(line) for line in lines)
    samples = [event for event in events if isinstance(event, SampleDrawn)]
    label = next(each.label for each in devices() if each.name == run.device)
    return Recording(
        config=run.config,
        device=label,
        made=datetime.now(UTC),
        events=events,
        report=run.report(),
        besides={
            "file_kilobytes": run.checkpoints["last"].stat().st_size / 1000,
            "writing_speed": _writing_speed(run),
        },
        copying={(each.step, each.source): copying(run.folder, each.prompt, each.text) for each in samples},
    )


def _writing_speed(run: Run) -> float:
    """Tokens per second that such a model writes on this machine's processor."""
    use_threads(1)
    return measure_generation(run.config)


def _device(run: LessonRun) -> str | None:
    best = devices()[0].name
    if run.device == "gpu":
        return best if best != "cpu" else None
    return best if run.device == "best" else "cpu"


if __name__ == "__main__":
    main()
