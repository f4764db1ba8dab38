"""What a class found: the points of a wall over the setting that varied, and the law behind them."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slm_core.caching import computed_once
from slm_core.config import KNOBS
from slm_core.figures import CURVE_COLORS, TRAINING_COLOR
from slm_core.study.comparison import differing, to_csv
from slm_core.study.scaling import FEWEST, Law, Point, ScalingError, fit
from slm_core.sweep_figures import Band, sweep_figure
from slm_core.teach.card import MEASURES, Card
from slm_core.teach.wall import Pin

Trace = dict[str, Any]
_CHANCE = ("seed", "eval_interval")  # these change what is drawn and measured, not how a model learns
_TOKENS = ("corpus", "tokenizer", "vocab_size")  # with these, the unit of a loss changes
_NAME_WIDTH, _NAME_HEIGHT = 0.12, 0.06  # room for a nickname, as shares of the plot
_EDGE = 0.85  # share of the plot's width behind which a name would leave it
_LINE_POINTS = 60  # of the law's line


@dataclass(frozen=True, kw_only=True)
class Found:
    """A wall's points as they are shown.

    along: the setting on the x axis. measure: one of MEASURES. shown: the pins that have that measure. law:
    None where none can be told, and then why_no_law says why. warning: empty, or why the points cannot be
    compared.
    """

    along: str
    measure: str
    shown: list[Pin]
    law: Law | None
    why_no_law: str
    warning: str

    @property
    def sentence(self) -> str:
        """What the plot shows, in words."""
        students = len({pin.card.nickname for pin in self.shown})
        points = "1 result" if len(self.shown) == 1 else f"{len(self.shown)} results"
        people = "1 student" if students == 1 else f"{students} students"
        return f"{points} of {people}, along {self.along}."


def varied(cards: Sequence[Card]) -> list[str]:
    """The settings in which cards differ; those that bear on what is learned come first."""
    names = differing([card.config for card in cards]) if cards else []
    return [name for name in names if name not in _CHANCE] + [name for name in names if name in _CHANCE]


def axis_for(cards: Sequence[Card], free: Sequence[str] = ()) -> str:
    """The setting to draw cards along: of those in which they differ, one that the link left free, and with
    the most values. If they do not differ yet, the first free one that bears on what is learned."""
    names = varied(cards)
    if not names:
        telling = [name for name in free if name not in _CHANCE]
        return telling[0] if len(telling) == 1 else "dataset_size"

    def suits(name: str) -> tuple[bool, bool, int]:
        values = {getattr(card.config, name) for card in cards}
        return name not in _CHANCE, name in free, len(values)

    return max(names, key=suits)


def found(pins: Sequence[Pin], along: str, measure: str) -> Found:
    """What pins show along a setting, by one of MEASURES."""
    shown = [pin for pin in pins if getattr(pin.card, measure) is not None]
    cards = [pin.card for pin in shown]
    others = [name for name in varied(cards) if name != along and name not in _CHANCE]
    law, why = _law(cards, along, measure, others)
    warning = ""
    if along in _TOKENS and measure != "extraction":
        warning = f"With another {along} a loss per token means something else: compare with care."
    elif others:
        warning = f"Not all else is equal: {', '.join(others)} differ{'s' * (len(others) == 1)}, too."
    return Found(along=along, measure=measure, shown=shown, law=law, why_no_law=why, warning=warning)


def _law(cards: Sequence[Card], along: str, measure: str, others: Sequence[str]) -> tuple[Law | None, str]:
    if (along, measure) != ("dataset_size", "best"):
        return None, "A law is fitted to best validation losses along dataset_size only."
    if others:
        return None, f"No law is fitted, as {others[0]} differs, too."
    if len({card.config.dataset_size for card in cards}) < FEWEST:
        return None, f"A law is fitted as soon as there are points at {FEWEST} different sizes."
    points = tuple(sorted(Point(c.config.dataset_size, c.best, c.config.seed) for c in cards))
    floors = {card.floor for card in cards}
    floor = floors.pop() if len(floors) == 1 else None
    try:
        law = _fitted(points, max(card.chance for card in cards), floor or 0.0)
    except ScalingError as error:
        return None, str(error)
    if not law.falls:
        return None, "The losses do not surely fall from the smallest size to the largest: no law is drawn."
    return law, ""


@computed_once(maxsize=16)  # thirty browsers look at the same points every other second; a fit takes 0.1 s
def _fitted(points: tuple[Point, ...], chance: float, floor: float) -> Law:
    return fit(points, chance=chance, floor=floor)


def figure(found: Found) -> dict[str, Any]:
    """The plot: a circle for each measured point, a diamond for each that came as a file, the law behind
    them."""
    x = [getattr(pin.card.config, found.along) for pin in found.shown]
    y = [getattr(pin.card, found.measure) for pin in found.shown]
    drawn = sweep_figure(
        Band(x=x or [1], low=y, middle=y, high=y),
        along=KNOBS[found.along].label,
        measure=MEASURES[found.measure],
        law=_line(found.law, min(x), max(x)) if found.law is not None else None,
    )
    drawn["data"].pop()  # its line from mean to mean: here each point stands for itself
    named = _with_room(found, drawn["layout"]["xaxis"].get("type") == "log") if found.shown else {}
    drawn["data"] += [
        _points(found, named, brought=False, name="measured here", symbol="circle", color=TRAINING_COLOR),
        _points(
            found, named, brought=True, name="brought as a file", symbol="diamond", color=CURVE_COLORS[1]
        ),
    ]
    drawn["data"] = [trace for trace in drawn["data"] if trace["x"]]
    if found.measure == "extraction":
        drawn["layout"]["yaxis"] |= {"tickformat": ".0%", "range": [-0.03, 1.05]}
    return drawn


def _line(law: Law, low: float, high: float) -> Band:
    ratio = (high / low) ** (1 / (_LINE_POINTS - 1))
    band = law.band([low * ratio**place for place in range(_LINE_POINTS)])
    return Band(x=band.x, low=band.low, middle=band.median, high=band.high)


def _points(
    found: Found, named: dict[str, str], *, brought: bool, name: str, symbol: str, color: str
) -> Trace:
    pins = [pin for pin in found.shown if pin.brought == brought]
    names = [html.escape(pin.card.nickname) for pin in pins]  # Plotly takes texts for markup
    return {
        "name": name,
        "x": [getattr(pin.card.config, found.along) for pin in pins],
        "y": [getattr(pin.card, found.measure) for pin in pins],
        "mode": "markers+text",
        "text": [text if pin.key in named else "" for pin, text in zip(pins, names, strict=True)],
        "hovertext": names,
        "textposition": [named.get(pin.key, "top center") for pin in pins],
        "textfont": {"size": 17},
        "cliponaxis": False,
        "marker": {"size": 15, "symbol": symbol, "color": color, "opacity": 0.85},
        "hovertemplate": "%{hovertext}: %{y:.3f} at %{x}<extra></extra>",
    }


def _with_room(found: Found, wide: bool) -> dict[str, str]:
    """Where a name stands beside a point, by the keys of those that have room for one; the latest come first.
    To the right, where a falling curve leaves room, but not over the edge."""
    x = [getattr(pin.card.config, found.along) for pin in found.shown]
    if isinstance(x[0], str):
        x = [sorted(set(x)).index(each) for each in x]
    across = _shares([math.log(each) for each in x] if wide else x)
    up = _shares([0.0, *(getattr(pin.card, found.measure) for pin in found.shown)])[1:]
    taken: list[tuple[float, float]] = []
    named = {}
    for pin, *place in reversed(list(zip(found.shown, across, up, strict=True))):
        if all(abs(place[0] - a) > _NAME_WIDTH or abs(place[1] - b) > _NAME_HEIGHT for a, b in taken):
            taken.append((place[0], place[1]))
            named[pin.key] = "top right" if place[0] < _EDGE else "top left"
    return named


def _shares(values: Sequence[float]) -> list[float]:
    """How far along the way from the lowest to the highest each value is (0..1)."""
    low, span = min(values), max(values) - min(values)
    return [(value - low) / span if span else 0.5 for value in values]


def table(pins: Sequence[Pin]) -> tuple[list[str], list[list[Any]]]:
    """All that is known of the pins, as columns and rows: the settings in which they differ among it."""
    settings = varied([pin.card for pin in pins])
    columns = ["nickname", *settings, *MEASURES, "seconds", "machine", "from"]
    rows = [
        [
            pin.card.nickname,
            *(getattr(pin.card.config, name) for name in settings),
            *(getattr(pin.card, measure) for measure in MEASURES),
            pin.card.seconds,
            pin.card.machine,
            "a file" if pin.brought else "this server",
        ]
        for pin in pins
    ]
    return columns, rows


def table_csv(pins: Sequence[Pin]) -> str:
    """The same as CSV."""
    return to_csv(*table(pins))
