"""Writes the tables of README and docs: presets, settings, profiles, and what the app says in trouble.

python docs/write_tables.py
python docs/write_tables.py --bench      also measure this machine, for cpu.md; takes some minutes

"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import troubles  # noqa: E402

from slm_core.bench import bench, others_busy, report  # noqa: E402
from slm_core.config import KNOBS, load_presets  # noqa: E402
from slm_core.hardware import ready_to_compute  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402
from slm_core.runs.limits import LIMITS, PROFILES, allowed_presets  # noqa: E402
from slm_core.teach.lesson import load_lesson  # noqa: E402
from slm_core.teach.recording import find_recording  # noqa: E402

LESSONS = ROOT / "pages" / "lessons"


def presets_table() -> str:
    """The presets, one row each."""
    rows = [
        "| preset | parameters | embedding / blocks | tokens it reads | steps | what it shows |",
        "|---|---|---|---|---|---|",
    ]
    for preset in load_presets().values():
        cost = budget(preset.config)
        rows.append(
            f"| {preset.name} | {cost.parameters / 1e6:.2f} M "
            f"| {cost.embedding_parameters / 1e6:.2f} M / {cost.block_parameters / 1e6:.2f} M "
            f"| {preset.config.dataset_size:,} | {preset.config.max_iters:,} | {preset.shows} |"
        )
    return "\n".join(rows)


def settings_table() -> str:
    """The settings, one row each."""
    rows = ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for knob in KNOBS.values():
        allowed = ", ".join(knob.choices) or f"{knob.low:,} to {knob.high:,} {knob.unit}".strip()
        rows.append(f"| `{knob.name}` | {knob.default} | {allowed} | {knob.help} |")
    return "\n".join(rows)


def profiles_table() -> str:
    """What each profile allows, one row for each limit."""
    rows = [f"| limit | {' | '.join(PROFILES)} | what it is |", "|---" * (len(PROFILES) + 2) + "|"]
    for name, knob in LIMITS.items():
        allowed = [_said(name, getattr(limits, name), knob.high) for limits in PROFILES.values()]
        rows.append(f"| `{name}` | {' | '.join(allowed)} | {knob.help} |")
    configs = {name: preset.config for name, preset in load_presets().items()}
    offered = [", ".join(allowed_presets(limits, configs)) for limits in PROFILES.values()]
    whole = ", ".join(configs)
    offered = ["all" if each == whole else each for each in offered]
    rows.append(f"| presets offered | {' | '.join(offered)} | Those that the limits allow. |")
    return "\n".join(rows)


def _said(name: str, value: int, without: float) -> str:
    if value == without:
        return "none"
    if value == 0:
        return {"active_runs": "as many as cores", "memory_bytes": "nine tenths of the machine's"}[name]
    return f"{value / 1e6:,.0f} MB" if name.endswith("_bytes") else f"{value:,}"


def lessons_table() -> str:
    """How long the runs of each step took when they were recorded, and on which machines."""
    rows = ["| lesson | step | runs that it trains | took |", "|---|---|---|---|"]
    machines = {}
    for file in sorted(LESSONS.glob("week-*.yaml")):
        lesson, trained = load_lesson(file), set()
        for step in lesson.steps:
            new = [lesson.runs[name] for name in step.runs if name not in trained]
            trained.update(step.runs)
            found = [find_recording(LESSONS / "recordings", lesson.id, run) for run in new]
            machines |= {each.device: None for each in found if each is not None}
            seconds = f"{sum(each.seconds for each in found):.0f} s" if all(found) else "not recorded"
            names = " · ".join(run.label for run in new)
            title = lesson.title.partition(" · ")[0]
            rows.append(f"| {title} | {step.title} | {names or 'none'} | {seconds if new else '–'} |")
    return "\n".join([*rows, "", f"Recorded on {' and '.join(machines)}."])


def bench_table() -> str:
    """What `python -m slm_core bench --markdown` prints here."""
    ready_to_compute()  # as the command does, before torch loads
    busy = others_busy()
    rows = bench(load_presets().values(), tell=print)
    return report(rows, command="python -m slm_core bench", busy=busy, markdown=True)


TABLES = {
    "presets": presets_table,
    "settings": settings_table,
    "profiles": profiles_table,
    "lessons": lessons_table,
    "verdicts": troubles.verdicts,
    "before": troubles.before_training,
    "notices": troubles.notices,
    "messages": troubles.messages,
}
MEASURED = {"bench": bench_table}
FILES = ("README.md", "docs/deploy.md", "docs/lecturer.md", "docs/troubleshooting.md", "docs/cpu.md")


def with_tables(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """A file's text with the tables that it has a place for as they should be."""
    for name, table in tables.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(\n?<!-- end -->)",
            lambda found, made=table: found[1] + made() + "\n" + found[2].lstrip("\n"),
            text,
            flags=re.S,
        )
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", action="store_true", help="measure this machine, too")
    tables = TABLES | (MEASURED if parser.parse_args().bench else {})
    for file in (ROOT / name for name in FILES):
        file.write_text(with_tables(file.read_text(encoding="utf-8"), tables), encoding="utf-8")
