"""Writes the tables of README that say what presets and settings there are, from the files that decide it.

python docs/write_tables.py
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.config import KNOBS, load_presets  # noqa: E402
from slm_core.model.budget import budget  # noqa: E402


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


def with_tables(readme: str) -> str:
    """README's text with both tables as they should be."""
    for name, table in {"presets": presets_table(), "settings": settings_table()}.items():
        readme = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- end -->)",
            lambda found, t=table: found[1] + t + found[2],
            readme,
            flags=re.S,
        )
    return readme


if __name__ == "__main__":
    file = ROOT / "README.md"
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
