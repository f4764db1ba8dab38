"""How loss falls with more of one thing: a law fitted to measured points, how sure it is, what it foretells.

The law that is fitted unless another is asked for (Bryant and Liu 2026, along one axis):

    L(x) = E + (L0 - E) h / (1 + h),    h = a x^-p

x is what there is more of: unique tokens, parameters. L0 = ln V is what blind guessing costs, and what the
law gives where x is far too small. E is where it ends if x alone grows. Few steps, or a small model, add a
constant to h: that leaves the form as it is and raises E, so E is fitted, too. The other form, the power law
L = E + A x^-p, has no end upwards. It cannot bend near L0, where the losses of little text are.

What is fitted are the best validation losses of runs. Overfitting drives later ones above L0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slm_core.errors import SlmError
from slm_core.model.budget import TOKENS_PER_PARAMETER

FORMS = ("bounded", "power")
FEWEST = 4  # different x that three numbers (a, p, E) can be fitted to, with one left to show how well
REFITS = 300
BAND = (5, 95)  # per cent of the refits
STEEPEST = 5.0  # p may be 0 to this
FEWEST_TOKENS_PER_PARAMETER = 10  # a later measurement of the optimum, 10.5 (Karpathy, nanochat, 2025)
WORTH_FADES = 15.39  # repetitions after which more of them add little (Muennighoff et al. 2023)
_LARGE = 0.1  # a run that misses the law by more, in ln loss, pulls it no harder: it counts as odd
_STARTS = [(p, share) for p in (0.1, 0.3, 0.6, 1.0, 2.0) for share in (0.0, 0.5, 0.9)]
_S, _P, _E = range(3)  # what is fitted, in this order: ln h in the middle of the points, p, E


class ScalingError(SlmError):
    """Points that no law can be fitted to."""


class Point(NamedTuple):
    """The best validation loss of one run, in nats per token, and its x (above 0)."""

    x: float
    loss: float
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A number, and the limits within which it lies nine times of ten."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """For each x the median of all refits, and the limits within which 90 per cent of them lie."""

    x: list[float]
    low: list[float]
    median: list[float]
    high: list[float]


@dataclass(frozen=True)
class _Shape:
    """One of FORMS, with what is known of it. Numbers to be fitted have shape (B, 3), B fits side by side."""

    form: str
    chance: float
    centre: float  # the mean ln x of the points
    lowest: np.ndarray  # (3,)
    highest: np.ndarray  # (3,)

    def losses(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses (B, n) at x (n,) and their slopes (B, n, 3) along s, p and E."""
        away = np.log(x) - self.centre  # (n,)
        s, p, end = theta[:, _S, None], theta[:, _P, None], theta[:, _E, None]
        h = np.exp(np.clip(s - p * away, -50, 50))  # (B, n)
        if self.form == "power":
            losses, along_s, along_end = end + h, h, np.ones_like(h)
        else:
            share = h / (1 + h)  # of the way from E up to chance
            losses = end + (self.chance - end) * share
            along_s, along_end = (self.chance - end) * share * (1 - share), 1 - share
        return losses, np.stack([along_s, -away * along_s, along_end], axis=-1)


@dataclass(frozen=True, eq=False)
class Law:
    """A law, fitted. `points` as they were used; `chance` is L0; form is one of FORMS."""

    form: str
    chance: float
    points: tuple[Point, ...]
    _shape: _Shape
    _best: np.ndarray  # (1, 3)
    _refits: np.ndarray  # (REFITS, 3)
    _misses: np.ndarray  # (REFITS,) factors by which runs miss the law

    @property
    def exponent(self) -> Estimate:
        """p: how steeply the loss falls. Ten times as much x divides h by 10^p."""
        return self._estimate(_P)

    @property
    def end(self) -> Estimate:
        """E: the loss where the law ends if x alone grows."""
        return self._estimate(_E)

    @property
    def falls(self) -> bool:
        """Whether the loss surely falls, by one per cent or more, from the smallest x to the largest. If not,
        the points say nothing of other x."""
        ends, _ = self._shape.losses(self._refits, _positive([self.points[0].x, self.points[-1].x]))
        return bool(np.percentile(ends[:, 1] / ends[:, 0], BAND[1]) < 0.99)

    def band(self, x: Sequence[float]) -> Band:
        """Where the law may run, at each x."""
        losses, _ = self._shape.losses(self._refits, _positive(x))
        low, median, high = np.percentile(losses, [BAND[0], 50, BAND[1]], axis=0)
        return Band([float(each) for each in x], low.tolist(), median.tolist(), high.tolist())

    def predict(self, x: float) -> Estimate:
        """The best loss of a run that is yet to come. Its limits are wider than the band's, as runs miss the
        law."""
        at = _positive([x])
        value, _ = self._shape.losses(self._best, at)
        losses, _ = self._shape.losses(self._refits, at)
        ceiling = self.chance if self.form == "bounded" else math.inf
        return _around(value.item(), np.clip(losses[:, 0] * self._misses, self._refits[:, _E], ceiling))

    def _estimate(self, which: int) -> Estimate:
        return _around(float(self._best[0, which]), self._refits[:, which])


def fit(
    points: Sequence[Point], *, chance: float, floor: float = 0.0, form: str = "bounded", seed: int = 0
) -> Law:
    """The law that comes nearest to points, and refits that show how sure it is. Takes a tenth of a second.

    chance: ln V. floor: what E cannot be below, in the loss's unit; with only three different x, E is the
    floor, if it is above 0. Near: in logarithms, so that one per cent counts alike everywhere, and by Huber's
    measure, so that an odd run pulls no harder than others (as Hoffmann et al. 2022, section 3.3, fit
    theirs). Refits are to points drawn anew around the law, with the spread that the points have around it;
    drawing among the points themselves would make bands too narrow, as they are so few. seed decides what is
    drawn. Raises ScalingError.
    """
    points = _checked(points, chance, floor, form)
    x, logs = np.array([each.x for each in points]), np.log([each.loss for each in points])
    different, place = np.unique(x, return_inverse=True)
    fits_end = len(different) >= FEWEST
    shape = _Shape(
        form=form,
        chance=chance,
        centre=float(np.log(x).mean()),
        lowest=np.array([-30.0, 0.0, floor]),
        highest=np.array([30.0, STEEPEST, chance if fits_end else floor]),
    )
    starts = np.array([_start(shape, p, share, np.exp(logs)) for p, share in _STARTS])
    found, costs = _descend(shape, starts, x, np.tile(logs, (len(starts), 1)))
    best = found[[np.argmin(costs)]]  # (1, 3)
    law = np.log(shape.losses(best, x)[0])  # (1, n)
    of_mean, of_run, free = _spread(logs - law[0], place, 2 + fits_end)
    random = np.random.default_rng(seed)
    unsure = np.sqrt(free / random.chisquare(free, REFITS))  # turns normal numbers into Student's t
    shifts = (of_mean * unsure)[:, None] * random.standard_normal((REFITS, len(different)))
    refits, _ = _descend(shape, np.repeat(best, REFITS, axis=0), x, law + shifts[:, place])
    misses = np.exp(np.clip(of_run * unsure * random.standard_normal(REFITS), -5, 5))
    return Law(form, chance, tuple(points), shape, best, refits, misses)


def _checked(points: Sequence[Point], chance: float, floor: float, form: str) -> list[Point]:
    if form not in FORMS:
        raise ScalingError(f"There is no law {form!r}; choose one of {', '.join(FORMS)}.")
    if not (math.isfinite(chance) and 0 <= floor < chance):
        raise ScalingError(
            f"The floor is {floor:g} and blind guessing costs {chance:g}; it must be 0 <= floor < guessing."
        )
    for each in points:
        if not (0 < each.x < math.inf and 0 < each.loss < math.inf):
            raise ScalingError(f"A point has x = {each.x} and loss {each.loss}; both must be above 0.")
    different = len({each.x for each in points})
    if different < FEWEST - (floor > 0):
        raise ScalingError(
            f"There are runs at {different} different sizes. A law cannot be told from fewer than {FEWEST} "
            f"(or {FEWEST - 1}, where the best possible loss is known). Train at more sizes."
        )
    return sorted(points)


def _positive(x: Sequence[float]) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    if not (np.isfinite(x) & (x > 0)).all():
        raise ScalingError("A law can only be asked about finite numbers above 0.")
    return x


def _start(shape: _Shape, p: float, share: float, losses: np.ndarray) -> np.ndarray:
    """A first guess (3,): with E at a share of the way from the floor to the lowest loss, the s that fits."""
    floor, ceiling = shape.lowest[_E], shape.highest[_E]
    end = min(ceiling, floor + share * max(0.0, losses.min() - floor))
    rise = np.maximum(losses - end, 1e-3 * shape.chance)
    if shape.form == "bounded":
        rise = rise / np.maximum(shape.chance - losses, 1e-3 * shape.chance)
    return np.array([np.log(rise).mean(), p, end])


def _descend(
    shape: _Shape, theta: np.ndarray, x: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg and Marquardt's descent from theta (B, 3) to the laws nearest to ln losses `wanted` (B, n), B
    fits at once; gives what was found and how far (B,) it is from the points.

    A step goes to where a parabola would have its lowest place (Gauss, Newton), or, after steps that led
    upwards, less far and more straight downhill: damping decides. Numbers stay within the shape's limits.
    """
    damping = np.full(len(theta), 1e-2)
    residuals, slopes, cost = _compare(shape, theta, x, wanted)
    for _ in range(100):
        weights = np.minimum(1, _LARGE / np.maximum(np.abs(residuals), 1e-12))  # (B, n)
        gradient = np.einsum("bn,bni->bi", weights * residuals, slopes)
        curvature = np.einsum("bni,bnj->bij", weights[..., None] * slopes, slopes)
        at_limit = (theta <= shape.lowest) & (gradient > 0) | (theta >= shape.highest) & (gradient < 0)
        gradient[at_limit] = 0  # these would leave their limits: the others go on without them
        curvature *= ~at_limit[:, :, None] & ~at_limit[:, None, :]
        diagonal = np.einsum("bii->bi", curvature)  # a view
        diagonal += damping[:, None] * diagonal + 1e-9
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        trial = np.clip(theta - step, shape.lowest, shape.highest)
        tried = _compare(shape, trial, x, wanted)
        better = tried[2] < cost
        theta = np.where(better[:, None], trial, theta)
        residuals = np.where(better[:, None], tried[0], residuals)
        slopes = np.where(better[:, None, None], tried[1], slopes)
        cost = np.where(better, tried[2], cost)
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e9)
        if np.abs(step).max() < 1e-7:
            break
    return theta, cost


def _compare(
    shape: _Shape, theta: np.ndarray, x: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By how much ln loss is missed (B, n), the slopes of that (B, n, 3), Huber's sum over points (B,)."""
    losses, slopes = shape.losses(theta, x)
    residuals = np.log(losses) - wanted
    size = np.abs(residuals)
    huber = np.where(size <= _LARGE, size**2 / 2, _LARGE * (size - _LARGE / 2))
    return residuals, slopes / losses[..., None], huber.sum(axis=1)


def _spread(missed: np.ndarray, place: np.ndarray, fitted: int) -> tuple[float, float, int]:
    """How far a law is from the mean of the runs at an x, and from one run (standard deviations of ln loss),
    and from how many free numbers that is known. place (n,): which x; fitted: how many numbers were fitted.

    There are two findings, and the larger counts: what the law misses from x to x, and what seeds would do.
    """
    counts = np.bincount(place)
    means = np.bincount(place, missed) / counts
    runs, different = len(place), len(counts)
    between = float(np.square(means).sum()) / (different - fitted)
    within = float(np.square(missed - means[place]).sum()) / max(1, runs - different)
    by_seeds = within * float(np.mean(1 / counts))
    variance, free = max((between, different - fitted), (by_seeds, runs - different))
    return math.sqrt(variance), math.sqrt(variance + within - by_seeds), free


def _around(value: float, values: np.ndarray) -> Estimate:
    low, high = np.percentile(values, BAND)
    return Estimate(value, min(value, float(low)), max(value, float(high)))


@dataclass(frozen=True)
class Score:
    """A person's guess and a law's, against the truth: how far off, in nats and as a share (0..1) of the
    truth; which was nearer ("you", "the law" or "both"); whether the truth lay within the law's limits."""

    your_error: float
    your_share: float
    law_error: float
    law_share: float
    nearer: str
    inside: bool
    words: str


def score(guess: float, truth: float, predicted: Estimate) -> Score:
    """Who was nearer to the measured loss."""
    yours, laws = abs(guess - truth), abs(predicted.value - truth)
    inside = predicted.low <= truth <= predicted.high
    if math.isclose(yours, laws, abs_tol=0.0005):  # no difference in what is shown
        nearer, said = "both", "you were equally near"
    elif yours < laws:
        nearer, said = "you", "you were nearer"
    else:
        nearer, said = "the law", "the law was nearer"
    words = (
        f"You said {guess:.3f}, the law {predicted.value:.3f}; it was {truth:.3f}. You were {yours:.3f} nats "
        f"off ({yours / truth:.0%}), the law {laws:.3f} ({laws / truth:.0%}): {said}. The truth lay "
        f"{'within' if inside else 'outside'} the law's limits, {predicted.low:.3f} to {predicted.high:.3f}."
    )
    return Score(yours, yours / truth, laws, laws / truth, nearer, inside, words)


def worth_of_repeated(unique_tokens: float, epochs: float) -> float:
    """How many new tokens a text is worth that is read `epochs` times: D' = U (1 + R* (1 - e^(-R / R*))) for
    R = epochs - 1 repetitions. It only grows: it knows nothing of validation losses that rise.

    Source: Muennighoff et al. 2023. A text that is not read to its end counts as far as it is.
    """
    repetitions = max(0.0, epochs - 1)
    return unique_tokens * (min(1.0, epochs) - WORTH_FADES * math.expm1(-repetitions / WORTH_FADES))


def tokens_for(parameters: float) -> tuple[float, float]:
    """From how many tokens to how many a model of this size would be trained on for the best loss at its
    cost: 10 to 20 a parameter. Source: Hoffmann et al. 2022 for the 20. No loss follows from it."""
    return FEWEST_TOKENS_PER_PARAMETER * parameters, TOKENS_PER_PARAMETER * parameters


def parameters_for(tokens: float) -> tuple[float, float]:
    """From how many parameters to how many suit so many tokens: `tokens_for` turned round."""
    return tokens / TOKENS_PER_PARAMETER, tokens / FEWEST_TOKENS_PER_PARAMETER
