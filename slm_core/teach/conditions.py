"""What a lesson file says about measures, in words that a lecturer can read and a program can check.

    gap of tiny > 1                          a comparison with a number
    gap of small > 2 * gap of large          with another run
    verdict of tiny is overfitting           with a word
    rise of a > 0.1 and rise of b > 0.1      both

"of RUN" may be left out where there is only one run.
"""

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from slm_core.errors import ConfigError
from slm_core.study import verdict
from slm_core.teach.measures import MEASURES, Value, Values

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?")
_TERM = re.compile(
    r"(?:(?P<factor>\d{1,12}(?:\.\d{1,12})?)\s*\*\s*)?(?P<measure>[a-z_]+)(?:\s+of\s+(?P<run>[a-z0-9-]+))?"
)
_PLACE = re.compile(r"\{([^{}\n]*)\}")
VERDICTS = (
    verdict.UNDERFITTING, verdict.LEARNING, verdict.GOOD_FIT, verdict.OVERFITTING, verdict.MEMORIZED,
    verdict.DIVERGED, verdict.LEAKING, verdict.TOO_LITTLE, verdict.CANT_TELL,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Term:
    """A measure of a run, times a factor; or, without a measure, the factor itself."""

    factor: float = 1.0
    measure: str = ""
    run: str = ""

    def value(self, values: Values) -> Value | None:
        """What it is now; None while that is not known."""
        if not self.measure:
            return self.factor
        found = values.get(self.run, {}).get(self.measure)
        return found if found is None or isinstance(found, str) else self.factor * found


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two terms and a sign between them; or a term and the word that it is."""

    left: Term
    sign: str
    right: Term | None = None
    word: str = ""

    def holds(self, values: Values) -> bool | None:
        """Whether it is so; None while that is not known."""
        left = self.left.value(values)
        if self.right is None:
            return None if left is None else (left == self.word) == (self.sign == "is")
        right = self.right.value(values)
        return None if left is None or right is None else _SIGNS[self.sign](left, right)


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold; `text` is how the file says it."""

    text: str
    parts: tuple[Comparison, ...]

    def holds(self, values: Values) -> bool | None:
        """Whether all of it is so; None while that is not known."""
        found = [part.holds(values) for part in self.parts]
        return None if None in found else all(found)


def parse_condition(text: str, runs: Collection[str]) -> Condition:
    """The condition that a text says, of some runs by name. Raises ConfigError saying what cannot be
    read."""
    return Condition(text, tuple(_comparison(part, runs) for part in text.split(" and ")))


def _comparison(text: str, runs: Collection[str]) -> Comparison:
    if found := re.fullmatch(r"(.+?)\s+(is not|is)\s+(.+)", text.strip()):
        left, word = parse_term(found[1], runs), found[3].strip()
        if left.measure != "verdict" or word not in VERDICTS:
            raise ConfigError(
                f"{text.strip()!r}: only a verdict can be a word, one of {', '.join(VERDICTS)}. "
                "Compare numbers by <, <=, > or >=."
            )
        return Comparison(left=left, sign=found[2], word=word)
    found = re.fullmatch(r"(.+?)\s*(<=|>=|<|>)\s*(.+)", text.strip())
    if not found:
        raise ConfigError(f"{text.strip()!r} is no comparison. Write, for example, gap of tiny > 1.")
    left, right = parse_term(found[1], runs), parse_term(found[3], runs)
    if "verdict" in (left.measure, right.measure):
        raise ConfigError(
            f"{text.strip()!r}: a verdict is a word. Write, for example, verdict is overfitting."
        )
    return Comparison(left=left, sign=found[2], right=right)


def parse_term(text: str, runs: Collection[str]) -> Term:
    """The term that a text says. Raises ConfigError naming what there is."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return Term(factor=float(text))
    found = _TERM.fullmatch(text)
    if not found:
        raise ConfigError(f"{text!r} is no measure. Write, for example, gap of tiny.")
    measure, run = found["measure"], found["run"] or ""
    if measure not in MEASURES:
        raise ConfigError(f"There is no measure called {measure!r}. Known: {', '.join(MEASURES)}.")
    if not run and len(runs) == 1:
        [run] = runs
    if run not in runs:
        asked = f"There is no run called {run!r} here" if run else f"{text!r} does not say of which run"
        raise ConfigError(f"{asked}. Write {measure} of one of: {', '.join(runs) or 'no runs'}.")
    return Term(factor=float(found["factor"] or 1), measure=measure, run=run)


def terms_in(text: str, runs: Collection[str]) -> list[Term]:
    """The measures that a text names in braces, "{gap of tiny}". Raises ConfigError for others."""
    return [parse_term(place, runs) for place in _PLACE.findall(text)]


def filled_in(text: str, runs: Collection[str], values: Values) -> str:
    """A text with the measured values in place of what it names in braces; "…" while one is not known."""

    def said(found: re.Match[str]) -> str:
        term = parse_term(found[1], runs)
        value = term.value(values)
        if value is None:
            return "…"
        return MEASURES[term.measure].shown(value) if term.measure else f"{value:g}"

    return _PLACE.sub(said, text)
