"""How long does it take to index a training text, and to find in it what a sample copies?

    python benchmarks/matching.py --rounds 5

Compares the index of slm_core/study/memorization.py with the plain way, which needs none: look for a passage
with `in`, and let it grow while it is found. Texts of 0.1, 1 and 5 million characters take turns, so that
what else the machine does hits all alike. The smaller ones mix Python's own manual with stories, the rest are
stories. A sample has 2,000 characters, every other hundred copied and the rest fresh. Printed: median and
range of processor time over the rounds, and the most memory that an index took while it was made.
"""

import argparse
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from pydoc_data.topics import topics
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slm_core.hardware import cpu  # noqa: E402
from slm_core.study.memorization import FEWEST, TrainingIndex  # noqa: E402
from slm_core.text import stories  # noqa: E402

SIZES = (100_000, 1_000_000, 5_000_000)  # characters
SAMPLE = 2_000
PATCH = 100  # characters of a sample that are copied, or fresh, at a stretch


def main() -> None:
    """Runs the rounds and prints a line for each size and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    texts = {size: list(training_text(size)) for size in SIZES}
    seconds: dict[tuple[int, str], list[float]] = {}
    for number in range(asked.rounds):
        for size, documents in texts.items():
            for way, took in once(documents, seed=number):
                seconds.setdefault((size, way), []).append(took)
        print(f"round {number + 1} of {asked.rounds}", flush=True)
    print(f"{cpu().label} ({platform.system()}, Python {platform.python_version()}); {asked.rounds} rounds")
    for size, documents in texts.items():
        print(f"{size / 1e6:.1f} million characters; {memory(documents) / 1e6:.0f} MB while indexing")
        for way in ("index", "match", "match any length", "plain"):
            took = [1_000 * each for each in seconds[size, way]]
            print(f"  {way:16} {statistics.median(took):9.1f} ms  ({min(took):.1f} to {max(took):.1f})")


def training_text(size: int) -> Iterator[str]:
    """Documents of so many characters: the manual for at most half of them, and stories."""
    left, manual = size, size // 2
    for document in topics.values():
        if len(document) <= manual:
            yield document
            manual -= len(document)
            left -= len(document)
    for story in stories.draw("stories", 1):
        yield story[:left]
        left -= len(story)
        if left <= 0:
            return


def sample_of(documents: list[str], seed: int) -> str:
    """Patches in turn copied from anywhere in the documents, and fresh from stories that are not in them."""
    random = Random(seed)
    fresh = "".join(islice(stories.draw("stories", 1_000 + seed), 10))
    patches = []
    for place in range(0, SAMPLE // 2, PATCH):
        document = random.choice([each for each in documents if len(each) > PATCH])
        start = random.randrange(len(document) - PATCH)
        patches += [document[start : start + PATCH], fresh[place : place + PATCH]]
    return "".join(patches)


def once(documents: list[str], seed: int) -> Iterator[tuple[str, float]]:
    """What each way took for one sample, in seconds. Stops if they do not find the same."""
    sample = sample_of(documents, seed)
    took, index = timed(lambda: TrainingIndex(documents))
    yield "index", took
    took, found = timed(lambda: index.matches(sample))
    yield "match", took
    yield "match any length", timed(lambda: index.matches(sample, at_least=1))[0]
    took, plain = timed(lambda: plain_matches(documents, sample))
    yield "plain", took
    if plain != [(match.start, match.end) for match in found]:
        raise SystemExit("The two ways find different matches.")


def plain_matches(documents: list[str], sample: str) -> list[tuple[int, int]]:
    """What TrainingIndex.matches finds, without an index."""
    text = "\0".join(documents)
    found, reached = [], 0
    for start in range(len(sample)):
        end = max(start + FEWEST, reached + 1)
        if end > len(sample) or sample[start:end] not in text:
            continue
        while end < len(sample) and sample[start : end + 1] in text:
            end += 1
        reached = end
        found.append((start, end))
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of this process on the processor, and the result. Other programs do not count."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def memory(documents: list[str]) -> int:
    """The most bytes that making an index takes, beyond the documents."""
    tracemalloc.start()
    TrainingIndex(documents)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


if __name__ == "__main__":
    main()
