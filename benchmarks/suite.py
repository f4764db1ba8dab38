"""Everything that docs/speed.md says, measured again: one benchmark after the other, on a machine left alone.

    python benchmarks/suite.py --text book.txt --write docs/speed.md
    python benchmarks/suite.py --only speed waiting --write docs/speed.md

Takes four hours or more: the presets two, until their best learning rates are known, and the soak one; --only
takes some. A benchmark that fails does not keep the others from being made, and is named at the end. Without
a text of a few megabytes, the recipes read the built-in stories. Needs what requirements-dev.txt installs,
and a Chromium.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_PRESETS = ("ULTRA_TINY", "TINY_CPU", "SMALL_CPU", "MEDIUM_CPU")


def main() -> None:
    """Runs the benchmarks and says how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="a text to read instead of the stories")
    parser.add_argument(
        "--only", nargs="+", choices=list(commands(None)), metavar="NAME", help="some of them"
    )
    parser.add_argument("--write", metavar="PAGE", help="a page in Markdown, such as docs/speed.md")
    asked = parser.parse_args()
    failed = []
    for name, command in commands(asked.text).items():
        if asked.only and name not in asked.only:
            continue
        command += ["--write", asked.write] if asked.write else []
        print(f"\n{name}: python {' '.join(command)}", flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            failed.append(name)
        print(f"{name} took {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if failed:
        sys.exit(f"Not made, or not as it should be: {', '.join(failed)}. What each said stands above.")


def commands(text: str | None) -> dict[str, list[str]]:
    """Every benchmark's command line, in an order in which each finds what it needs."""
    rates = ["--rates", "rates.json"]
    reads = ["--text", text] if text else []
    scripts = {
        "speed": ["speed", "--parts", "step,beside,generation,memory"],
        "sweep": ["speed", "--parts", "sweep", "--rounds", "3", "--minutes", "12"],
        "gpu": ["gpu"],
        "waiting": ["waiting"],
        "watching": ["watching"],
        "classroom": ["classroom"],
        "growth": ["growth", "--picture", "docs/pictures/growth.png"],
        "recipe": ["recipe", "--steps", "600", *reads, *rates],
        "presets": ["recipe", "--as-it-is", *CPU_PRESETS, "--minutes", "240", *rates],
        "soak": ["soak"],
    }
    return {name: [f"benchmarks/{script}.py", *rest] for name, (script, *rest) in scripts.items()}


if __name__ == "__main__":
    main()
