"""Reading the YAML files that a lecturer writes. All that is wrong with one is gathered and said at once."""

import difflib
import reprlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from slm_core.errors import ConfigError

LARGEST_BYTES = 500_000
LONGEST_TEXT = 6_000  # characters of one text on a page


class Sheet:
    """A file as it is read. Each `wrong` is kept, with its place in the file; `finish` raises them all."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._problems: list[str] = []

    def wrong(self, place: str, sentence: str) -> None:
        """Keep what is wrong at a place of the file."""
        self._problems.append(f"{self.file.name}, {place}: {sentence}")

    def finish(self) -> None:
        """Raises ConfigError with all that was wrong, a line each."""
        if self._problems:
            raise ConfigError("\n".join(self._problems))

    def whole(self) -> Any:
        """What the file holds. Raises ConfigError if it cannot be read as YAML."""
        try:
            if self.file.stat().st_size > LARGEST_BYTES:
                raise ConfigError(f"{self.file.name} is larger than {LARGEST_BYTES:,} bytes. Shorten it.")
            return yaml.safe_load(self.file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.file.name} cannot be read: {error}.") from None
        # ValueError and AttributeError: such as a date that is none
        except (yaml.YAMLError, AttributeError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self.file.name} is not valid YAML: {error}") from None

    def fields(
        self, place: str, given: Any, needed: Sequence[str], allowed: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The entries of a mapping by name; what is missing or unknown is wrong. Empty if it is none."""
        known = [*needed, *allowed]
        if not isinstance(given, dict):
            self.wrong(place, f"is {shown(given)}; it must have entries: {', '.join(known)}.")
            return {}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name)[:80], known, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]}?" if near else "."
                self.wrong(place, f"there is no entry {shown(name)}{hint} Known: {', '.join(known)}.")
        for name in needed:
            if given.get(name) is None:
                self.wrong(place, f"{name} is missing.")
        return {name: given[name] for name in known if given.get(name) is not None}

    def items(self, place: str, given: Any, most: int = 60, least: int = 0) -> list[Any]:
        """The items of a list of some length; anything else is wrong, and empty."""
        if not isinstance(given, list) or not least <= len(given) <= most:
            number = f"{least} to {most}" if least else f"at most {most}"
            self.wrong(place, f"is {shown(given)}; it must be a list of {number}.")
            return []
        return given

    def text(self, place: str, given: Any) -> str:
        """A text of a sensible length; anything else is wrong, and empty."""
        if not isinstance(given, str) or not given.strip() or len(given) > LONGEST_TEXT:
            self.wrong(place, f"is {shown(given)}; it must be a text of 1 to {LONGEST_TEXT:,} characters.")
            return ""
        return given.strip()

    def number(self, place: str, given: Any, low: float, high: float) -> float:
        """A number in a range; anything else is wrong, and the lowest."""
        if type(given) not in (int, float) or not low <= given <= high:
            self.wrong(place, f"is {shown(given)}; it must be a number from {low:g} to {high:,.0f}.")
            return low
        return given

    def one_of(self, place: str, given: Any, choices: Collection[str]) -> str:
        """One of some words; anything else is wrong, and the first of them."""
        if given not in list(choices):
            self.wrong(place, f"is {shown(given)}; choose one of {', '.join(choices) or 'none'}.")
            return next(iter(choices), "")
        return given


def shown(value: Any) -> str:
    """A value as a message quotes it: short, whatever the file holds."""
    return reprlib.repr(value)[:120]
