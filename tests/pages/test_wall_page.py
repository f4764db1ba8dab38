"""Lesson links and the class wall in the app: what is locked, what lands on the wall, who may tidy it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import engine
from slm_core.config import KNOBS, load_preset
from slm_core.runs.store import list_runs, open_run
from slm_core.teach.card import Card, read_card
from slm_core.teach.link import Expected, Link
from slm_core.teach.wall import Wall, make_wall, open_wall, pins, put
from tests.pages.test_train import SMALL, button, train_to_the_end

ALICE, BOB = "alice-" * 5, "bob-" * 8  # what the address holds where there is no cookie
BASE = load_preset("ULTRA_TINY").config
LESSON = Link(
    preset="ULTRA_TINY",
    config=BASE.with_changes(SMALL),
    locked=frozenset(KNOBS) - {"dataset_size"},
    ask="How much text does *it* need?",
    expect=Expected("best", 0.0, 50.0),
)
PAGE = "pages/lecture/wall.py"


@pytest.fixture
def shared(monkeypatch) -> None:
    """The app is one for a whole class, with a password for the lecturer."""
    monkeypatch.setenv("SLM_PROFILE", "classroom")
    monkeypatch.setenv("SLM_PASSWORD", "chalk")


@pytest.fixture
def wall(runs) -> Wall:
    return make_wall(runs, "Data sizes", LESSON)


def shown(app: AppTest) -> str:
    """All that a page says in words."""
    parts = [*app.markdown, *app.error, *app.warning, *app.info, *app.caption, *app.success, *app.subheader]
    return " ".join(each.value.replace("\\", "") for each in parts)


def card(nickname: str, best: float = 4.5, **changes) -> Card:
    return Card(
        nickname=nickname, config=LESSON.config.with_changes(changes), made="2026-03-01T10:00:00+00:00",
        machine="cpu, threads: 1", best=best, gap=1.0, extraction=0.5, chance=6.6, floor=None, seconds=1.0,
    )  # fmt: skip


def plotted(app: AppTest) -> dict[str, tuple[float, float]]:
    """The points of the plot, by nickname."""
    [chart] = app.get("plotly_chart")
    return {
        name: (x, y)
        for trace in json.loads(chart.proto.spec)["data"]
        for name, x, y in zip(trace.get("hovertext", ()), trace["x"], trace["y"], strict=False)
    }


def test_a_link_sets_locks_and_asks(open_app):
    app = open_app(**LESSON.query)
    for name, value in LESSON.config.to_dict().items():
        assert app.session_state[f"setting_{name}"] == value
    controls = {each.key: each for kind in (app.selectbox, app.slider, app.select_slider) for each in kind}
    assert controls["preset"].disabled and controls["setting_n_layer"].disabled
    assert not controls["setting_dataset_size"].disabled
    assert "How much text does *it* need?" in shown(app)
    assert not button(app, "Train").disabled


def test_a_locked_control_comes_back_whatever_moves_it(open_app):
    app = open_app(**LESSON.query)
    app.session_state["setting_n_layer"] = 5
    app.session_state["setting_dataset_size"] = 500
    app.run()
    assert app.session_state["setting_n_layer"] == SMALL["n_layer"]
    assert app.session_state["setting_dataset_size"] == 500


def test_a_link_survives_a_look_at_another_page_and_can_be_left(open_app):
    app = open_app(**LESSON.query)
    app.switch_page("pages/text/data.py").run()
    app.switch_page("pages/learn/train.py").run()
    assert "Leave this lesson" in {each.label for each in app.button}
    button(app, "Leave this lesson").click().run()
    assert not app.slider(key="setting_n_layer").disabled and not app.selectbox(key="preset").disabled
    assert app.session_state["setting_n_layer"] == SMALL["n_layer"]
    assert "set" not in app.query_params and "Leave this lesson" not in {each.label for each in app.button}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"set": "n_layr:3", "v": "1"}, "did you mean n_layer"),
        ({"set": "n_layer:3", "v": "9"}, "of version '9'"),
        ({"set": "n_layer:3"}, "without a version"),
        ({"ask": "<script>alert(1)</script>", "v": "1"}, "markup"),
        ({"ask": "a\x07b", "lock": "all", "v": "1"}, "control characters"),
        ({"set": "corpus:own", "v": "1"}, "cannot carry your own text"),
    ],
)
def test_a_bad_link_is_said_and_the_page_works(open_app, said, words):
    app = open_app(**said)
    assert words in app.error[0].value.replace("\\", "")
    assert app.session_state["setting_n_layer"] == load_preset("TINY_CPU").config.n_layer
    assert not button(app, "Train").disabled and not app.selectbox(key="preset").disabled
    assert not app.run().error, "said once"


def test_a_link_that_asks_for_more_than_the_server_allows_is_said(open_app, monkeypatch):
    monkeypatch.setenv("SLM_PROFILE", "cloud")
    assert "more than this server allows" in shown(open_app(preset="TINY_CPU", set="max_iters:9000", v="1"))
    assert "too large for this server" in shown(
        open_app(preset="LARGE_CPU", set="n_embd:64,n_head:4,n_layer:1,dataset_size:900,max_iters:50", v="1")
    )


def test_what_the_dialog_shares_opens_the_same_set_up(open_app):
    app = open_app(preset="ULTRA_TINY")
    app.slider(key="setting_n_layer").set_value(3).run()
    app.session_state["share_lock"], app.session_state["share_ask"] = "all but", "How deep?"
    button(app, "Share this set-up").click().run()
    link = Link(
        preset="ULTRA_TINY",
        config=BASE.with_changes({"n_layer": 3}),
        locked=frozenset(KNOBS) - {"dataset_size"},
        ask="How deep?",
    )
    assert [each.value for each in app.code] == [link.address("/")]
    there = open_app(**link.query)
    assert there.session_state["setting_n_layer"] == 3 and there.slider(key="setting_n_layer").disabled


def test_own_text_does_not_travel(open_app):
    app = open_app(preset="ULTRA_TINY")
    app.session_state["setting_corpus"] = "own"
    app.run()
    button(app, "Share this set-up").click().run()
    assert "cannot carry your own text" in shown(app) and not app.code


def put_on_the_wall(app: AppTest, nickname: str) -> AppTest:
    run_id = app.session_state["run"]
    app.text_input(key=f"nickname-{run_id}").input(nickname)
    return button(app, "Put my result on the wall").click().run()


def test_a_result_lands_on_the_wall_by_consent_as_the_server_measured_it(shared, open_app, runs, wall):
    app = open_app(slm_visitor=ALICE, **wall.link.query)
    run_id = train_to_the_end(app)
    assert "Expected best validation loss" in shown(app) and pins(wall) == ([], 0)
    put_on_the_wall(app, "<b>Ada</b>")
    assert "A nickname may have letters" in shown(app) and pins(wall) == ([], 0)
    put_on_the_wall(app, "Ada")
    assert "Your point is on the class wall" in shown(app)
    [[pin], _] = pins(wall)
    run = open_run(runs, run_id)
    assert pin.card.nickname == "Ada" and not pin.brought and pin.card.config == run.config
    assert pin.card.best == engine.history(run).best.validation_loss
    button(app, "See the wall").click().run()
    assert not app.exception and app.title[0].value == "Class wall" and plotted(app).keys() == {"Ada"}
    board = open_app(PAGE, slm_visitor=BOB, show=wall.id)
    assert plotted(board) == {"Ada": (run.config.dataset_size, pin.card.best)}
    assert run.owner not in board.query_params.get("show", "")


def test_a_run_of_other_settings_is_not_offered_the_wall(shared, open_app, runs, wall):
    other = Link(preset="ULTRA_TINY", config=LESSON.config.with_changes({"n_layer": 2}))
    app = open_app(slm_visitor=ALICE, **other.query)
    run_id = train_to_the_end(app)
    app = open_app(slm_visitor=ALICE, run=run_id, **wall.link.query)
    assert "n_layer differs" in shown(app)
    assert "Put my result on the wall" not in {each.label for each in app.button}


def test_thirty_students_one_plot(shared, open_app, wall):
    cards = [card(f"S{n}", best=2 + n / 10, dataset_size=300 + 50 * n) for n in range(30)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda each: put(wall, each, f"visitor {each.nickname}"), cards))
    app = open_app(PAGE, slm_visitor=ALICE, show=wall.id)
    assert plotted(app) == {each.nickname: (each.config.dataset_size, each.best) for each in cards}
    assert "30 results of 30 students, along dataset_size." in shown(app)
    app.selectbox(key="wall_measure").select("extraction").run()
    assert {y for _, y in plotted(app).values()} == {0.5}


def test_a_wall_is_seen_by_those_who_have_its_link_and_by_the_lecturer(shared, open_app, monkeypatch, wall):
    put(wall, card("Ada"), "a")
    stranger = open_app(PAGE, slm_visitor=BOB)
    assert "There is no wall here yet" in shown(stranger)
    assert "There is no wall here yet" in shown(open_app(PAGE, slm_visitor=BOB, show="data-sizes-0123456789"))
    student = open_app(slm_visitor=ALICE, **wall.link.query)
    student.switch_page(PAGE).run()
    assert plotted(student).keys() == {"Ada"}
    assert not {"Remove", "Close this wall"} & {each.label for each in student.button}
    monkeypatch.setattr("pages.ui.room._WAIT_SECONDS", 0.0)
    stranger.text_input[0].input("chalk").run()
    assert plotted(stranger).keys() == {"Ada"}


def test_the_lecturer_takes_points_off_and_closes_the_wall(open_app, wall):
    rude = put(wall, card("Rude"), "a")
    put(wall, card("Ada"), "b")
    app = open_app(PAGE)
    app.selectbox(key="wall_point").select(rude).run()
    button(app, "Remove").click().run()
    assert plotted(app).keys() == {"Ada"}
    button(app, "Close this wall").click().run()
    assert "This wall is closed" in shown(app) and open_wall(wall.folder.parents[1], wall.id).closed
    button(app, "Delete this wall").click().run()
    assert not wall.folder.exists() and "There is no wall here yet" in shown(app)


def test_brought_cards_are_drawn_and_bad_ones_are_named(open_app, wall):
    app = open_app(PAGE)
    assert "Nobody has put a result here yet" in shown(app)
    good = card("Ada").to_json().encode()
    app.file_uploader(key="wall_files").set_value(
        [
            ("ada.json", good, "application/json"),
            ("again.json", good, "application/json"),
            ("holiday.json", b"{}", "application/json"),
            ("other.json", card("Bo", n_layer=4).to_json().encode(), "application/json"),
        ]
    )
    button(app, "Put them on the wall").click().run()
    said = shown(app)
    assert "1 brought." in said and "again.json was left out. This very run" in said
    assert "holiday.json was left out. It is no card" in said and "other.json was left out" in said
    assert plotted(app).keys() == {"Ada"} and pins(wall)[0][0].brought


def test_a_run_card_can_be_taken_away(open_app: Callable[..., AppTest], runs):
    app = open_app(**LESSON.query)
    run_id = train_to_the_end(app)
    [download] = [each for each in app.get("download_button") if "card" in each.proto.label]
    assert download.proto.disabled
    app.text_input(key=f"card-name-{run_id}").input("Ada").run()
    [download] = [each for each in app.get("download_button") if "card" in each.proto.label]
    assert not download.proto.disabled
    [run] = list_runs(runs)
    made = read_card(Card(**{**vars(card("Ada")), "config": run.config}).to_json().encode())
    assert made.config == run.config
