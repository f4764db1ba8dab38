"""A shared server: whose runs are whose, what may be started, what is published, how a browser is known."""

import pytest

from pages.ui import engine, server, visitor
from slm_core.runs.store import change_run, create_run, list_runs
from tests.pages.test_train import button, set_small, train_to_the_end

ALICE, BOB = "alice-" * 5, "bob-" * 8  # what the address holds where there is no cookie


@pytest.fixture
def shared(monkeypatch) -> None:
    """The app is one for a whole class."""
    monkeypatch.setenv("SLM_PROFILE", "classroom")


def shown(app) -> str:
    """All that a page says in words."""
    parts = [*app.markdown, *app.error, *app.warning, *app.info, *app.caption]
    return " ".join(each.value.replace("\\", "") for each in parts)


def test_runs_belong_to_whoever_started_them(shared, open_app, runs):
    run_id = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    [run] = list_runs(runs)
    assert run.owner and ALICE not in run.owner, "the mark must not give away what opens the door"
    assert any(run_id in str(each.key) for each in open_app(slm_visitor=ALICE).button)
    theirs = open_app(slm_visitor=BOB)
    assert not any(run_id in str(each.key) for each in theirs.button)
    assert "belongs to somebody else" in shown(open_app(slm_visitor=BOB, run=run_id))
    assert "no model yet" in shown(open_app("pages/learn/playground.py", slm_visitor=BOB))


def test_a_published_run_is_seen_but_not_steered_by_others(shared, open_app, runs):
    run_id = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    change_run(runs, run_id, published=True)
    theirs = open_app(slm_visitor=BOB, run=run_id)
    labels = {each.label for each in theirs.button}
    assert "Let it write" in labels and not labels & {"Delete for good", "Resume", "Stop"}
    assert not theirs.toggle
    mine = open_app(slm_visitor=ALICE, run=run_id)
    assert "Delete for good" in {each.label for each in mine.button} and mine.toggle[0].value


def test_what_others_publish_hides_no_run_of_ones_own(shared, open_app, runs):
    mine = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    (runs / mine / "last.safetensors").unlink()  # as a server leaves it that was killed
    history = runs / mine / "events.jsonl"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    config = list_runs(runs)[0].config
    for number in range(12):
        theirs = create_run(runs, config, name=f"b{number}", device="cpu", threads=1, owner="bob")
        change_run(runs, theirs.id, published=True)
    app = open_app(slm_visitor=ALICE)
    assert "A run was interrupted" in shown(app) and button(app, "Resume")
    assert f"open-{mine}" in {each.key for each in app.button}
    assert len([each for each in app.button if (each.key or "").startswith("open-")]) == 9
    app.toggle(key="all_runs").set_value(True).run()
    assert len([each for each in app.button if (each.key or "").startswith("open-")]) == 13


def test_without_a_cookie_a_visitor_is_known_by_the_address(shared, open_app):
    first = open_app()
    name = first.query_params["slm_visitor"]
    assert len(name if isinstance(name, str) else name[0]) >= 20
    assert open_app().query_params["slm_visitor"] != name


def test_on_a_laptop_all_runs_are_everybodys(open_app, runs):
    run_id = train_to_the_end(set_small(open_app()))
    assert list_runs(runs)[0].owner == ""
    app = open_app(run=run_id)
    assert "slm_visitor" not in app.query_params and not app.toggle


def test_what_a_shared_server_does_not_allow_is_said_before_the_start(monkeypatch, open_app):
    monkeypatch.setenv("SLM_PROFILE", "cloud")
    app = open_app()
    assert app.selectbox(key="preset").options == ["ULTRA_TINY", "TINY_CPU"]
    set_small(app, n_embd=512, n_head=4, n_layer=6)
    assert "parameters" in app.error[0].value and "Lower n" in app.error[0].value
    assert button(app, "Train").disabled


def test_a_full_room_is_said_before_anything_is_deleted(monkeypatch, open_app, runs):
    monkeypatch.setenv("SLM_PROFILE", "classroom")
    monkeypatch.setenv("SLM_LIMITS", "session_bytes=900000")
    first = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    app = set_small(open_app(slm_visitor=ALICE))
    assert "starting this one deletes" in shown(app)
    assert [run.id for run in list_runs(runs)] == [first], "saying it deletes nothing"
    second = train_to_the_end(app)
    assert [run.id for run in list_runs(runs)] == [second]


def test_a_wrong_profile_is_answered_in_words(monkeypatch, open_app):
    monkeypatch.setenv("SLM_PROFILE", "moon")
    assert "There is no profile 'moon'" in shown(open_app())


@pytest.mark.parametrize("file", ["run.json", "events.jsonl", "report.json", "tokenizer.json", "train.bin",
                                  "validation.bin", "best.safetensors", "last.safetensors"])  # fmt: skip
@pytest.mark.parametrize("restarted", [False, True])
def test_a_lost_file_of_a_run_costs_a_sentence_and_no_page(open_app, runs, file, restarted):
    run_id = train_to_the_end(set_small(open_app()))
    (runs / run_id / file).unlink()
    if restarted:
        server.process_state().pop("histories", None)
    for page in (None, "pages/learn/playground.py", "pages/lecture/server.py", "pages/text/tokenizer.py"):
        assert not open_app(page, run=run_id).exception
    said = shown(open_app(run=run_id)) + shown(open_app())
    if file == "run.json":
        assert "lost its run.json" in said
    elif file == "events.jsonl":
        assert "history of this run is lost" in said
        assert "interrupted" not in said, "it had ended: there is nothing to go on with"


def test_the_server_page_asks_for_the_password_and_stops_runs(shared, monkeypatch, open_app, until):
    app = open_app("pages/lecture/server.py", slm_visitor=BOB)
    assert "has no lecturer's password" in shown(app) and not app.metric
    monkeypatch.setenv("SLM_PASSWORD", "chalk")
    monkeypatch.setattr("pages.ui.room._WAIT_SECONDS", 0.0)
    app = open_app("pages/lecture/server.py", slm_visitor=BOB)
    assert not app.metric
    app.text_input[0].input("cheese").run()
    assert "not the password" in shown(app) and not app.metric
    monkeypatch.setattr("pages.ui.room._sessions", lambda: 2)  # page tests have no runtime to count them
    app.text_input[0].input("chalk").run()
    assert {"Visitors", "Memory", "Tokens per second"} <= {each.label for each in app.metric}
    student = set_small(open_app(slm_visitor=ALICE), max_iters=100_000, eval_interval=20_000)
    button(student, "Train").click().run()
    run_id = student.session_state["run"]
    app.run()
    button(app, "Stop").click().run()
    assert engine.scheduler().wait(run_id, timeout=60)


def test_the_lecturer_hides_and_deletes_what_others_keep(shared, monkeypatch, open_app, runs):
    run_id = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    change_run(runs, run_id, published=True)
    monkeypatch.setenv("SLM_PASSWORD", "chalk")
    monkeypatch.setattr("pages.ui.room._sessions", lambda: 2)
    app = open_app("pages/lecture/server.py", slm_visitor=BOB)
    assert not app.multiselect, "nobody does so without the password"
    app.text_input[0].input("chalk").run()
    app.multiselect(key="chosen_kept").set_value([run_id]).run()
    button(app, "No longer show to everybody").click().run()
    assert not list_runs(runs)[0].published
    button(app, "Delete for good").click().run()
    assert list_runs(runs) == [] and not app.exception and not app.error


@pytest.mark.parametrize(("profile", "warned"), [("cloud", True), ("classroom", False), ("laptop", False)])
def test_a_server_that_forgets_says_so_beside_the_runs(monkeypatch, open_app, profile, warned):
    monkeypatch.setenv("SLM_PROFILE", profile)
    run_id = train_to_the_end(set_small(open_app(slm_visitor=ALICE)))
    for app in (open_app(slm_visitor=ALICE), open_app(slm_visitor=ALICE, run=run_id)):
        assert ("forgets all runs" in shown(app)) == warned


def answered(scope: dict, body_type: bytes = b"text/html; charset=utf-8") -> list[tuple[bytes, bytes]]:
    """The headers of what the middleware lets through from an app that answers everything alike."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", body_type)]})

    async def send(message):
        sent.append(message)

    answering = visitor.GivesCookie(app)({"type": "http", "headers": [], **scope}, None, send)
    with pytest.raises(StopIteration):  # nothing here waits, so one push runs it to its end
        answering.send(None)
    return sent[0]["headers"]


def test_a_browser_gets_one_cookie_that_no_script_can_read(shared, runs):
    [(_, _), (name, cookie)] = answered({})
    assert name == b"set-cookie" and b"HttpOnly" in cookie and b"SameSite=Lax" in cookie
    token = cookie.split(b";")[0]
    assert len(answered({"headers": [(b"cookie", token)]})) == 1, "one that has it keeps it"
    assert len(answered({"headers": [(b"cookie", b"slm_visitor=short")]})) == 2, "a made-up one is replaced"
    assert len(answered({}, b"text/javascript")) == 1
    assert answered({})[1] != answered({})[1]


def test_a_laptop_gives_no_cookies(runs):
    assert len(answered({})) == 1
