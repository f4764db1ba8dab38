"""A lesson link: the whole set-up of the Train page in an address that people can read.

    ?preset=TINY_CPU&set=dataset_size:1000,n_layer:3&lock=all,-dataset_size&ask=...&expect=best:4.5:5.6&v=1

preset and set make the config: a preset and what differs from it, seed and corpus among that. lock names the
controls that students cannot move; results are never locked. ask is a question above the page, expect a band
for a result, wall the class wall on which results come together. Whatever a link says was written by
somebody: all of it is checked, and what is wrong is a LinkError with one sentence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from slm_core.config import KNOBS, ExperimentConfig, load_presets, parse_setting
from slm_core.errors import ConfigError, SlmError
from slm_core.teach.card import MEASURES

VERSION = "1"
PARAMETERS = ("preset", "set", "lock", "ask", "expect", "wall", "v")  # in the order of the address
LONGEST_QUESTION = 200
WALL_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,30}-[0-9a-f]{10}")
_LONGEST = {"preset": 40, "set": 800, "lock": 800, "ask": LONGEST_QUESTION, "expect": 80, "wall": 45, "v": 20}
_MARKUP = re.compile(r"<[a-z/!?]", re.IGNORECASE)
_LARGEST = 1_000.0
_AGAIN = "Ask for a new link, or choose the settings yourself."


class LinkError(SlmError):
    """A link that cannot be followed, or cannot be made."""


class Expected(NamedTuple):
    """From where to where a result should lie; measure is one of MEASURES."""

    measure: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Link:
    """A set-up of the Train page. Raises LinkError if it cannot travel in a link.

    locked: names of settings. ask, wall: empty if there is none; wall is a wall's id.
    """

    preset: str
    config: ExperimentConfig
    locked: frozenset[str] = frozenset()
    ask: str = ""
    expect: Expected | None = None
    wall: str = ""

    def __post_init__(self) -> None:
        if self.config.corpus == "own":
            raise LinkError(
                "A link cannot carry your own text. Hand the text out as a file, or choose one of the "
                "built-in texts."
            )
        if self.preset not in load_presets():
            raise LinkError(
                f"This link begins with the preset {self.preset[:40]!r}, which is not known here."
            )
        if unknown := sorted(self.locked - KNOBS.keys()):
            raise LinkError(f"This link locks {unknown[0][:40]!r}, and there is no such setting. {_AGAIN}")
        _check_question(self.ask)
        if self.wall and not WALL_ID.fullmatch(self.wall):
            raise LinkError(f"{self.wall[:40]!r} is no class wall. {_AGAIN}")
        if self.expect is not None:
            _check_band(self.expect)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address, by name; `read_link` turns them back into this link."""
        preset, config = load_presets()[self.preset].config.to_dict(), self.config.to_dict()
        changes = [f"{name}:{value}" for name, value in config.items() if value != preset[name]]
        said = {
            "preset": self.preset,
            "set": ",".join(changes),
            "lock": _locks_said(self.locked),
            "ask": self.ask,
            "expect": ":".join(map(str, self.expect)) if self.expect is not None else "",
            "wall": self.wall,
        }
        return {name: value for name, value in said.items() if value} | {"v": VERSION}

    def address(self, base: str) -> str:
        """The link itself; base is where the app's first page is."""
        return f"{base}?{urlencode(self.query, safe=':,')}"

    def departures(self, config: ExperimentConfig) -> list[str]:
        """The locked settings in which a config is not this link's, in the order of the page."""
        return [n for n in KNOBS if n in self.locked and getattr(config, n) != getattr(self.config, n)]


def read_link(query: Mapping[str, str]) -> Link:
    """The link that an address's parameters make; others than PARAMETERS are left alone. Raises LinkError."""
    said = {name: query.get(name, "") for name in PARAMETERS}
    for name, text in said.items():
        if len(text) > _LONGEST[name]:
            raise LinkError(
                f"This link is too long: {name} has {len(text):,} characters, and {_LONGEST[name]} are "
                f"allowed. {_AGAIN}"
            )
        if not text.isprintable():
            raise LinkError(f"This link has control characters in {name}. {_AGAIN}")
    if said["v"] != VERSION:
        version = f"of version {said['v']!r}" if said["v"] else "without a version"
        raise LinkError(f"This link is {version}; this app reads version {VERSION}. {_AGAIN}")
    presets = load_presets()
    if said["preset"] not in presets:
        raise LinkError(
            f"This link begins with the preset {said['preset']!r}, which is not known here. {_AGAIN}"
        )
    try:
        config = presets[said["preset"]].config.with_changes(_settings(said["set"]))
    except ConfigError as error:
        problem = str(error).partition(" Known: ")[0]
        raise LinkError(f"This link sets what cannot be. {problem} {_AGAIN}") from None
    return Link(
        preset=said["preset"],
        config=config,
        locked=_locks(said["lock"]),
        ask=said["ask"],
        expect=_band(said["expect"]) if said["expect"] else None,
        wall=said["wall"],
    )


def _settings(text: str) -> dict[str, object]:
    pairs = [parse_setting(each.replace(":", "=", 1)) for each in text.split(",") if text]
    if len(dict(pairs)) < len(pairs):
        raise ConfigError("It sets one setting twice.")
    return dict(pairs)


def _locks_said(locked: frozenset[str]) -> str:
    """Whichever is shorter: the locked settings, or "all" and those that are not."""
    free = [name for name in KNOBS if name not in locked]
    if len(free) < len(locked):
        return ",".join(["all", *(f"-{name}" for name in free)])
    return ",".join(name for name in KNOBS if name in locked)


def _locks(text: str) -> frozenset[str]:
    words = text.split(",") if text else []
    locked: set[str] = set()
    for word in words:
        name = word.removeprefix("-")
        if name not in KNOBS and word != "all":
            raise LinkError(f"This link locks {name[:40]!r}, and there is no such setting. {_AGAIN}")
        if word == "all":
            locked |= KNOBS.keys()
        elif word.startswith("-"):
            locked.discard(name)
        else:
            locked.add(name)
    return frozenset(locked)


def _band(text: str) -> Expected:
    measure, _, numbers = text.partition(":")
    low, _, high = numbers.partition(":")
    try:
        return Expected(measure, float(low), float(high))
    except ValueError:
        raise LinkError(
            f"This link expects {text[:40]!r}; a band is written like best:4.5:5.6. {_AGAIN}"
        ) from None


def _check_band(band: Expected) -> None:
    if band.measure not in MEASURES:
        raise LinkError(f"{band.measure[:40]!r} cannot be expected; choose one of {', '.join(MEASURES)}.")
    if not -_LARGEST <= band.low <= band.high <= _LARGEST:  # false for NaN too
        raise LinkError(
            f"The band goes from {band.low:g} to {band.high:g}; it must go upwards, within "
            f"{_LARGEST:,.0f} of 0."
        )


def _check_question(text: str) -> None:
    if len(text) > LONGEST_QUESTION:
        raise LinkError(f"The question has {len(text)} characters; {LONGEST_QUESTION} are allowed.")
    if not text.isprintable() or text != text.strip():
        raise LinkError("The question must be one line of plain text, without spaces around it.")
    if _MARKUP.search(text):
        raise LinkError("The question has markup in it. Write it as plain text.")
