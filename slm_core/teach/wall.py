"""A class wall: the cards of many students' runs of one set-up, kept together for one plot.

<runs>/_walls/<id>/  wall.json  and a small file for each card. Each file is written whole or not at all, and
nobody writes a file that another visitor writes, so nothing needs to be locked. An id ends in ten random
digits: who has not been given a wall's link does not find it, and two walls never mix.

A visitor has one point for each set-up: another run of the same settings replaces it, other settings add
one, up to MOST_PER_VISITOR.
"""

import hashlib
import json
import re
import secrets
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from slm_core.errors import SlmError
from slm_core.runs.store import short_text, write_atomically
from slm_core.teach.card import LARGEST_CARD_BYTES, Card, CardError, read_card
from slm_core.teach.link import WALL_ID, Link, LinkError, read_link

MOST_PER_VISITOR = 5
MOST_CARDS = 200  # on one wall
MOST_WALLS = 60  # on one server
LONGEST_TITLE = 60
_FOLDER, _SETTINGS = "_walls", "wall.json"
_MEASURED, _BROUGHT = "m", "b"  # how a card's file begins
_KEY = re.compile(rf"({_MEASURED}-[0-9a-f]{{12}}|{_BROUGHT})-[0-9a-f]{{20}}")
_NO_WALL = "There is no such class wall on this server. It may have been deleted, or it is another server's."


class WallError(SlmError):
    """What cannot be done with a class wall."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A wall's folder and what its wall.json says. link: the set-up whose runs belong here. owner: the mark
    of the visitor who made it. closed: nothing more may be put on it."""

    id: str
    folder: Path
    title: str
    created: datetime
    link: Link
    owner: str = ""
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A card on a wall. key: names it on its wall. brought: it came as a file, not measured here. placed: a
    Unix time."""

    key: str
    card: Card
    brought: bool
    placed: float


def new_wall_id(title: str) -> str:
    """An id that begins with the title and that nobody can guess."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:30].strip("-") or "wall"
    return f"{slug}-{secrets.token_hex(5)}"


def make_wall(root: Path, title: str, link: Link, owner: str = "") -> Wall:
    """A new, empty wall under the runs folder `root`; its link is the one given, with the wall's id. Raises
    WallError."""
    title = short_text(" ".join(title.split()), LONGEST_TITLE)
    if not title or not title.isprintable():
        raise WallError(f"A wall needs a name of 1 to {LONGEST_TITLE} characters, in plain text.")
    if len(_ids(root)) >= MOST_WALLS:
        raise WallError(
            f"There are {MOST_WALLS} class walls on this server, and no more may be made. The lecturer can "
            "delete old ones on the page Class wall."
        )
    wall_id = new_wall_id(title)
    wall = Wall(
        id=wall_id,
        folder=root / _FOLDER / wall_id,
        title=title,
        created=datetime.now(UTC),
        link=replace(link, wall=wall_id),
        owner=owner,
    )
    _keep(wall)
    return wall


def open_wall(root: Path, wall_id: str) -> Wall:
    """The wall with this id. Raises WallError if there is none, or its wall.json is damaged."""
    if not WALL_ID.fullmatch(wall_id):  # an id comes from an address: it must not become a path
        raise WallError(_NO_WALL)
    file = root / _FOLDER / wall_id / _SETTINGS
    try:
        state = file.stat()
    except OSError:
        raise WallError(_NO_WALL) from None
    return _read_wall(file, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=MOST_WALLS)
def _read_wall(file: Path, changed_ns: int, inode: int) -> Wall:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        created = datetime.fromisoformat(said["created"])
        if created.tzinfo is None:
            raise ValueError("a time without a zone")
        return Wall(
            id=file.parent.name,
            folder=file.parent,
            title=short_text(str(said["title"]), LONGEST_TITLE),
            created=created,
            link=read_link(said["link"]),
            owner=str(said["owner"]),
            closed=bool(said["closed"]),
        )
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError, LinkError) as error:
        raise WallError(f"The wall {file.parent.name} is damaged ({str(error)[:120]}). Delete it.") from None


def list_walls(root: Path) -> list[Wall]:
    """All readable walls, the newest first."""
    walls = []
    for wall_id in _ids(root):
        try:
            walls.append(open_wall(root, wall_id))
        except WallError:  # damaged, or deleted in this moment
            continue
    return sorted(walls, key=lambda wall: wall.created, reverse=True)


def _ids(root: Path) -> list[str]:
    try:
        return [each.name for each in (root / _FOLDER).iterdir() if WALL_ID.fullmatch(each.name)]
    except OSError:
        return []


def close_wall(wall: Wall, closed: bool = True) -> Wall:
    """Take nothing more on a wall, or open it again. Raises WallError."""
    wall = replace(wall, closed=closed)
    _keep(wall)
    return wall


def delete_wall(wall: Wall) -> None:
    """Delete a wall with all its cards. Raises WallError."""
    try:
        shutil.rmtree(wall.folder)
    except OSError as error:
        raise WallError(f"The wall {wall.id} cannot be deleted ({error.strerror}).") from None


def _keep(wall: Wall) -> None:
    said = {
        "title": wall.title,
        "created": wall.created.isoformat(),
        "link": wall.link.query,
        "owner": wall.owner,
        "closed": wall.closed,
    }
    _write(wall.folder / _SETTINGS, json.dumps(said, indent=1))


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
    except OSError as error:
        raise WallError(f"The class wall cannot be written ({error.strerror}). Free some room.") from None


def put(wall: Wall, card: Card, visitor: str = "", *, brought: bool = False) -> str:
    """Put a card on a wall and give its key. visitor: the mark of whose run it is; empty where visitors are
    not told apart, and then the nickname stands for it. brought: the card came as a file.

    Raises WallError: for a wall that is closed or full, another set-up, one point too many, a card brought
    twice.
    """
    _check_open(wall)
    if strange := wall.link.departures(card.config):
        name = strange[0]
        raise WallError(
            f"This run belongs to another set-up: {name} is {getattr(card.config, name)}, and this wall's "
            f"is {getattr(wall.link.config, name)}."
        )
    if card.config.corpus == "own":
        raise WallError("This run read a text of its own, so its losses cannot stand beside the others'.")
    names = _keys(wall)
    key = f"{_BROUGHT}-{card.fingerprint}" if brought else key_of(card, visitor)
    if brought and any(pin.card.fingerprint == card.fingerprint for pin in pins(wall)[0]):
        raise WallError("This very run is on the wall already.")
    if key not in names:
        mine = [name for name in names if not brought and name.startswith(key[:15])]
        if len(mine) >= MOST_PER_VISITOR:
            raise WallError(
                f"You have {len(mine)} points on this wall, and {MOST_PER_VISITOR} are allowed. A run of the "
                "same settings as one of them would replace it."
            )
        if len(names) >= MOST_CARDS:
            raise WallError(f"This wall is full: it holds {MOST_CARDS} points.")
    _write(wall.folder / f"{key}.json", card.to_json())
    return key


def key_of(card: Card, visitor: str = "") -> str:
    """What a measured card is called on a wall: the same for the same visitor and settings."""
    settings = json.dumps(card.config.to_dict(), sort_keys=True)
    return f"{_MEASURED}-{_digest(visitor or card.nickname)[:12]}-{_digest(settings)[:20]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_open(wall: Wall) -> None:
    if not (wall.folder / _SETTINGS).exists():
        raise WallError(_NO_WALL)
    if wall.closed:
        raise WallError("The lecturer has closed this wall: nothing more can be put on it.")


def remove(wall: Wall, key: str) -> None:
    """Take a card off a wall; nothing happens if it is gone."""
    if _KEY.fullmatch(key):
        (wall.folder / f"{key}.json").unlink(missing_ok=True)


def _keys(wall: Wall) -> list[str]:
    try:
        names = [each.stem for each in wall.folder.iterdir() if each.suffix == ".json"]
    except OSError:
        return []
    return [name for name in names if _KEY.fullmatch(name)]


def pins(wall: Wall) -> tuple[list[Pin], int]:
    """The cards on a wall, the first placed first, and how many files are damaged and left out."""
    found, damaged = [], 0
    for key in _keys(wall)[:MOST_CARDS]:
        file = wall.folder / f"{key}.json"
        try:
            state = file.stat()
            card = _read_card(file, state.st_mtime_ns, state.st_size, state.st_ino)
        except FileNotFoundError:  # removed in this moment
            continue
        except (OSError, CardError):
            damaged += 1
            continue
        found.append(Pin(key=key, card=card, brought=key[0] == _BROUGHT, placed=state.st_mtime))
    return sorted(found, key=lambda pin: (pin.placed, pin.key)), damaged


@lru_cache(maxsize=4 * MOST_CARDS)  # a wall is looked at every other second; few of its cards change
def _read_card(file: Path, changed_ns: int, size: int, inode: int) -> Card:
    with open(file, "rb") as opened:
        return read_card(opened.read(LARGEST_CARD_BYTES + 1))
