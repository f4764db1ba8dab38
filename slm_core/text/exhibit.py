"""The recipe that leaks, kept as an exhibit: repeat a text, and only then cut it in two.

Many first experiments stretch a short text this way. Whatever stands in the last tenth then also stands in
the nine tenths before it, so the "validation" loss falls with the training loss, and memory looks like
understanding. `overlap` finds it out; a run on it shows what a chart looks like that must not be trusted.
"""

import math

import numpy as np

from slm_core.text.spans import FEWEST_SPANS

FEWEST_REPEATS = 5
MOST_TOKENS = 2_000_000  # of the text that is repeated; it shows no more with more


def repeat_then_split(ids: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Training ids, validation ids, and how often `ids` was repeated: five times, or more where a tenth of
    that would not fill 20 blocks of validation text. The cut leaves nine tenths for training."""
    needed = FEWEST_SPANS * block_size + 1
    times = max(FEWEST_REPEATS, math.ceil(10 * needed / len(ids)))
    repeated = np.tile(ids, times)
    cut = len(repeated) - math.ceil(len(repeated) / 10)
    return repeated[:cut], repeated[cut:], times
