"""How much room runs take, and which go when it is full: the oldest that nobody published."""

from collections.abc import Collection, Sequence

from slm_core.config import ExperimentConfig
from slm_core.errors import RunError
from slm_core.model.budget import budget
from slm_core.runs.limits import Limits
from slm_core.runs.store import Run

_BYTES_PER_TOKEN = 2  # in train.bin
_HISTORY_BYTES = 250  # of one step, in events.jsonl
_BESIDES = 500_000  # tokenizer, validation text, report


def run_bytes(run: Run) -> int:
    """What a run's folder takes on the disk now."""
    total = 0
    for file in run.folder.glob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # replaced or deleted in this moment
            continue
    return total


def expected_bytes(config: ExperimentConfig) -> int:
    """What a run will take at most: its best and its last model, its state to go on from (weights and two
    moments) and a state being replaced, its text and its history."""
    weights = 8 * budget(config).checkpoint_bytes
    return weights + _BYTES_PER_TOKEN * config.dataset_size + _HISTORY_BYTES * config.max_iters + _BESIDES


def runs_to_delete(
    runs: Sequence[Run], live: Collection[str], owner: str, coming_bytes: int, limits: Limits
) -> list[Run]:
    """The runs that must go so that `coming_bytes` of a new run of this owner fit into the owner's room and
    the server's: oldest first, never live or published ones, and of the owner's own first.

    Raises RunError if that would not be enough.
    """
    sizes = {run.id: run_bytes(run) for run in runs}
    for run in runs:
        if run.id in live:  # it still grows
            sizes[run.id] = max(sizes[run.id], expected_bytes(run.config))
    going: list[Run] = []
    for room, mine in ((limits.session_bytes, True), (limits.server_bytes, False)):
        counted = [run for run in runs if run not in going and (run.owner == owner or not mine)]
        used = sum(sizes[run.id] for run in counted) + coming_bytes
        for run in sorted(counted, key=lambda each: (each.owner != owner, each.created)):
            if used <= room:
                break
            if run.id not in live and not run.published:
                going.append(run)
                used -= sizes[run.id]
        if used > room:
            whose = "for your runs" if mine else "for everybody's runs"
            raise RunError(
                f"This run needs about {coming_bytes / 1e6:,.0f} MB, and of the {room / 1e6:,.0f} MB that "
                f"there are {whose} not enough can be freed. Delete or download published runs, wait for "
                "those that train, or make the model smaller."
            )
    return going
