"""Class walls: what is put on one stands there and nowhere else, and nobody takes more room than theirs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from slm_core.config import KNOBS, load_preset
from slm_core.teach import wall as walls
from slm_core.teach.card import Card
from slm_core.teach.link import Link
from slm_core.teach.wall import (
    MOST_PER_VISITOR,
    WallError,
    close_wall,
    delete_wall,
    list_walls,
    make_wall,
    open_wall,
    pins,
    put,
    remove,
)

CONFIG = load_preset("ULTRA_TINY").config
LINK = Link(
    preset="ULTRA_TINY", config=CONFIG, locked=frozenset(KNOBS) - {"dataset_size", "seed"}, ask="Why?"
)


def card(nickname: str = "Ada", best: float = 4.5, **changes) -> Card:
    return Card(
        nickname=nickname, config=CONFIG.with_changes(changes), made="2026-03-01T10:00:00+00:00",
        machine="cpu, threads: 1", best=best, gap=1.0, extraction=0.5, chance=6.6, floor=None, seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def wall(tmp_path):
    return make_wall(tmp_path, "Thirty data sizes", LINK, owner="teacher")


def names(wall) -> list[str]:
    return [pin.card.nickname for pin in pins(wall)[0]]


def test_a_wall_is_found_again_as_it_was_made(tmp_path, wall):
    assert open_wall(tmp_path, wall.id) == wall
    assert wall.id.startswith("thirty-data-sizes-") and wall.link.wall == wall.id
    assert replace(wall.link, wall="") == LINK
    assert list_walls(tmp_path) == [wall]


def test_thirty_students_at_once_have_thirty_points(wall):
    cards = [card(f"Student {n}", best=3 + n / 10, dataset_size=1_000 + n) for n in range(30)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda each: put(wall, each, each.nickname), cards))
    found, damaged = pins(wall)
    assert damaged == 0 and len(set(keys)) == 30
    assert sorted(pin.card.best for pin in found) == [3 + n / 10 for n in range(30)]
    assert {pin.card.nickname: pin.card for pin in found} == {each.nickname: each for each in cards}


def test_two_walls_of_one_name_do_not_mix(tmp_path, wall):
    other = make_wall(tmp_path, "Thirty data sizes", LINK)
    assert other.id != wall.id
    put(wall, card("Ada"), "a")
    put(other, card("Bo"), "b")
    assert (names(wall), names(other)) == (["Ada"], ["Bo"])
    delete_wall(wall)
    assert names(other) == ["Bo"] and list_walls(tmp_path) == [other]


def test_the_same_settings_replace_and_others_add_up_to_a_limit(wall):
    put(wall, card(best=4.0), "a")
    put(wall, card(best=3.0), "a")
    assert [pin.card.best for pin in pins(wall)[0]] == [3.0]
    for seed in range(1, MOST_PER_VISITOR):
        put(wall, card(seed=seed), "a")
    with pytest.raises(WallError, match=f"{MOST_PER_VISITOR} are allowed"):
        put(wall, card(seed=99), "a")
    put(wall, card(best=2.0), "a")  # replacing is still possible
    put(wall, card("Bo", seed=99), "b")
    assert len(pins(wall)[0]) == MOST_PER_VISITOR + 1


def test_where_visitors_are_not_told_apart_the_nickname_does(wall):
    put(wall, card("Ada", best=4.0))
    put(wall, card("Bo", best=3.0))
    put(wall, card("Ada", best=2.0))
    assert sorted((pin.card.nickname, pin.card.best) for pin in pins(wall)[0]) == [("Ada", 2.0), ("Bo", 3.0)]


def test_a_full_wall_says_so(wall, monkeypatch):
    monkeypatch.setattr(walls, "MOST_CARDS", 3)
    for each in "abc":
        put(wall, card(each), each)
    with pytest.raises(WallError, match="full"):
        put(wall, card("d"), "d")
    put(wall, card("a", best=1.0), "a")
    assert len(pins(wall)[0]) == 3


def test_a_server_has_room_for_so_many_walls(tmp_path, wall, monkeypatch):
    monkeypatch.setattr(walls, "MOST_WALLS", 2)
    make_wall(tmp_path, "two", LINK)
    with pytest.raises(WallError, match="no more may be made"):
        make_wall(tmp_path, "three", LINK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"n_layer": 3}, "n_layer is 3, and this wall's is 2"), ({"corpus": "own"}, "corpus")],
)
def test_a_run_of_another_set_up_is_refused(wall, changes, words):
    with pytest.raises(WallError, match=words):
        put(wall, card(**changes), "a")
    assert pins(wall) == ([], 0)


def test_own_texts_are_refused_where_nothing_is_locked(tmp_path):
    free = make_wall(tmp_path, "free", replace(LINK, locked=frozenset()))
    with pytest.raises(WallError, match="text of its own"):
        put(free, card(corpus="own"), "a")


def test_brought_cards_are_marked_and_come_once(wall):
    put(wall, card("Ada"), "a")
    put(wall, card("Bo", best=3.3), brought=True)
    for twice in (card("Bo", best=3.3), card("Cheat", best=3.3), card("Ada")):
        with pytest.raises(WallError, match="already"):
            put(wall, twice, brought=True)
    assert [(pin.card.nickname, pin.brought) for pin in pins(wall)[0]] == [("Ada", False), ("Bo", True)]
    for n in range(MOST_PER_VISITOR + 1):
        put(wall, card("Bo", best=n), brought=True)


def test_a_point_can_be_taken_off(wall):
    key = put(wall, card("Rude"), "a")
    put(wall, card("Ada"), "b")
    remove(wall, key)
    remove(wall, key)
    remove(wall, "../wall")
    assert names(wall) == ["Ada"] and open_wall(wall.folder.parents[1], wall.id) == wall


def test_a_closed_wall_takes_nothing_and_shows_what_it_has(tmp_path, wall):
    put(wall, card(), "a")
    closed = close_wall(wall)
    assert open_wall(tmp_path, wall.id).closed
    with pytest.raises(WallError, match="closed"):
        put(closed, card("Bo"), "b")
    assert names(closed) == ["Ada"]
    put(close_wall(closed, False), card("Bo"), "b")


@pytest.mark.parametrize("content", [b"", b"{", b'{"card": 1}', b"\xff", b"x" * 100_000])
def test_a_damaged_card_costs_only_itself(wall, content):
    key = put(wall, card("Ada"), "a")
    put(wall, card("Bo"), "b")
    (wall.folder / f"{key}.json").write_bytes(content)
    (wall.folder / "notes.json").write_bytes(b"not ours")
    found, damaged = pins(wall)
    assert [pin.card.nickname for pin in found] == ["Bo"] and damaged == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"title": "x"}', b"\xff", b"[" * 90_000])
def test_a_damaged_wall_is_said_and_the_others_are_listed(tmp_path, wall, content):
    other = make_wall(tmp_path, "other", LINK)
    (wall.folder / "wall.json").write_bytes(content)
    with pytest.raises(WallError, match="damaged"):
        open_wall(tmp_path, wall.id)
    assert list_walls(tmp_path) == [other]


@pytest.mark.parametrize("wall_id", ["", "..", "../../etc/passwd-0123456789", "sizes-0123456789", "x" * 500])
def test_an_unknown_id_is_no_path(tmp_path, wall_id):
    with pytest.raises(WallError, match="no such class wall"):
        open_wall(tmp_path, wall_id)


@pytest.mark.parametrize("title", ["", "   ", "a\x00b"])
def test_a_wall_needs_a_name(tmp_path, title):
    with pytest.raises(WallError, match="needs a name"):
        make_wall(tmp_path, title, LINK)


def test_ids_cannot_be_guessed():
    made = {walls.new_wall_id("a") for _ in range(500)}
    assert len(made) == 500 and all(walls.WALL_ID.fullmatch(each) for each in made)
    assert walls.WALL_ID.fullmatch(walls.new_wall_id("<b>Größe & mehr!</b>" * 9))


def test_no_runs_folder_no_walls(tmp_path):
    assert list_walls(tmp_path / "nowhere") == []
