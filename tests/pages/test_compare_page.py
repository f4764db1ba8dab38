"""The Compare page: what it shows of which runs, what it refuses, and that a link brings it back."""

import csv
import json
import os
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import compared, engine
from slm_core.model.generate import write_text
from slm_core.model.sampling import Sampling
from slm_core.runs.checkpoint import import_checkpoint, load_checkpoint
from slm_core.runs.store import change_run, list_runs, open_run
from tests.pages.test_sharing import ALICE, BOB, shared, shown  # noqa: F401 (a fixture)
from tests.pages.test_train import button, set_small, train_to_the_end
from tests.study.test_comparison import BASE, make_run

PAGE = "pages/labs/compare.py"
LOSSES = {0: (6.0, 6.2), 20: (2.0, 4.0), 40: (0.5, 5.0)}


@pytest.fixture
def compare(open_app):
    """Opens the page with query parameters, as a link does."""

    def open_page(**query: str) -> AppTest:
        app = open_app(slm_visitor=query.pop("slm_visitor", ""))
        app.switch_page(PAGE)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return open_page


def make(root, count: int = 2, **changes) -> list[str]:
    """Ids of runs with 1, 2, … layers and these settings, whose training takes no time."""
    return [
        make_run(root, BASE.with_changes({"n_layer": layers + 1, **changes}), LOSSES, name=f"run {layers}").id
        for layers in range(count)
    ]


def figure(app: AppTest) -> dict:
    return json.loads(app.get("plotly_chart")[0].proto.spec)


def asked(app: AppTest) -> list[str]:
    """The runs in the address."""
    found = app.query_params["runs"]
    return (found if isinstance(found, str) else found[0]).split(",")


def test_without_runs_it_says_what_to_do(compare, runs):
    app = compare()
    assert "Train two" in app.info[0].value and not app.get("plotly_chart")


def test_one_run_asks_for_a_second(compare, runs):
    make(runs, 1)
    app = compare()
    assert "only run" in shown(app) and "needs two runs" in shown(app)


def test_the_latest_two_are_compared_at_first_and_none_if_so_wished(compare, runs):
    made = make(runs, 3)
    app = compare()
    assert asked(app) == made[:0:-1]
    button(app, "Choose none").click().run()
    assert asked(app) == [""] and "Tick two" in shown(app) and not app.get("plotly_chart")
    assert "Tick two" in shown(compare(runs=""))


def test_a_link_opens_the_same_comparison_again(compare, runs):
    made = make(runs, 3)
    app = compare(runs=f"{made[2]},{made[0]}", along="tokens", smooth="0.5")
    drawn = figure(app)
    names = [line["name"] for line in drawn["data"] if line["showlegend"]]
    assert names == ["n_layer 3", "n_layer 1"]
    assert drawn["data"][0]["x"] == [0, 20 * BASE.tokens_per_step, 40 * BASE.tokens_per_step]
    assert "smoothed" in drawn["layout"]["yaxis"]["title"]["text"]
    query = {name: value[0] for name, value in parse_qs(urlsplit(app.code[0].value).query).items()}
    assert query == {"runs": f"{made[2]},{made[0]}", "along": "tokens", "smooth": "0.5"}
    again = compare(**query)
    assert figure(again) == drawn and asked(again) == asked(app)


@pytest.mark.parametrize(
    "junk", ["../../etc/passwd", "<script>", "20990101-000000-nothing-abcdef", "x" * 5_000]
)
def test_ids_of_no_run_are_answered_in_words_and_the_rest_is_shown(compare, runs, junk):
    made = make(runs)
    app = compare(runs=f"{made[0]},{junk},{made[1]},{made[0]}", along="junk", smooth="junk")
    assert "Choose" in shown(app) and asked(app) == made
    assert len(figure(app)["data"]) == 4


def test_of_many_ids_of_no_run_only_some_are_quoted(compare, runs):
    app = compare(runs=",".join([f"no-run-{number}" for number in range(500)] + make(runs)))
    assert "And 97 more." in shown(app) and len(shown(app)) < 2_000


def test_twelve_curves_are_the_most_at_once(compare, runs):
    made = make(runs, 14)
    app = compare(runs=",".join(made))
    assert "14 runs are compared" in shown(app)
    assert len([line for line in figure(app)["data"] if line["showlegend"]]) == 12
    assert "lowest" in shown(app) and "at 1; highest" in shown(app), "all of them are compared"


def test_different_tokens_are_compared_in_bits_and_two_changes_are_warned_of(compare, runs):
    config = BASE.with_changes({"n_layer": 3, "vocab_size": 300})
    made = [make(runs, 1)[0], make_run(runs, config, LOSSES).id]
    app = compare(runs=",".join(made))
    assert "bits per byte" in figure(app)["layout"]["yaxis"]["title"]["text"]
    assert figure(app)["data"][0]["y"] == [3.1, 2.0, 2.5]
    assert "shown in bits per byte of text" in shown(app) and "proves nothing" in shown(app)


def test_the_table_shows_the_settings_that_differ_and_finds_runs(compare, runs):
    make(runs, 3)
    change_run(
        runs, make_run(runs, BASE.with_changes({"n_layer": 7}), LOSSES, name="deep").id, tags=["night"]
    )
    app = compare()
    table = app.dataframe[0].value
    assert list(table["n_layer"]) == [7, 3, 2, 1] and "dataset_size" not in table
    assert list(table["best"]) == [4.0] * 4 and list(table["gap"]) == [4.5] * 4
    assert list(table["compare"]) == [True, True, False, False]
    for wanted, found in [
        ("deep", 1),
        ("NIGHT", 1),
        ("n_layer=3", 1),
        ("n_layer=3 night", 0),
        ("finished", 4),
    ]:
        app.text_input(key="runs_filter").set_value(wanted).run()
        assert not app.exception and len(app.dataframe[0].value if app.dataframe else []) == found, wanted
        assert len(figure(app)["data"]) == 4, "what is compared stays"


def edit(run_id: str, cells: dict, visitor: str = "") -> AppTest:
    """What a visitor's edit of a run's row leaves in the session."""

    def script(run_id, cells):
        import streamlit as st

        from pages.ui import compared

        st.session_state.setdefault("compared", ["other", "another"])
        compared.take_edit(run_id, cells)

    app = AppTest.from_function(script, kwargs={"run_id": run_id, "cells": cells})
    app.query_params["slm_visitor"] = visitor
    app.run()
    assert not app.exception
    return app


def test_a_row_can_be_ticked_named_and_tagged(runs):
    [run_id] = make(runs, 1)
    assert edit(run_id, {"compare": True}).session_state["compared"] == ["other", "another", run_id]
    assert edit("another", {"compare": False}).session_state["compared"] == ["other"]
    app = edit(run_id, {"name": "deep", "tags": ["a", "b"]})
    assert "table_version" not in app.session_state and "complaint" not in app.session_state
    run = open_run(runs, run_id)
    assert (run.name, run.tags) == ("deep", ("a", "b"))
    app = edit(run_id, {"name": "  ", "tags": ["a", "a"]})
    assert app.session_state["table_version"] == 1, "kept otherwise than written: the table is drawn anew"
    assert open_run(runs, run_id).name == "deep"


def give_to(visitor: str, run_id: str, root) -> None:
    """Make a run a visitor's."""

    def script():
        import streamlit as st

        from pages.ui import visitor

        st.session_state["owner"] = visitor.owner()

    app = AppTest.from_function(script)
    app.query_params["slm_visitor"] = visitor
    file = root / run_id / "run.json"
    owner = app.run().session_state["owner"]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"owner": owner}))


def test_others_runs_are_compared_but_not_changed(shared, compare, runs):  # noqa: F811
    theirs, mine = make(runs)
    give_to(ALICE, theirs, runs)
    give_to(BOB, mine, runs)
    app = compare(slm_visitor=BOB, runs=f"{mine},{theirs}")
    assert "belongs to somebody else" in shown(app) and asked(app) == [mine]
    change_run(runs, theirs, published=True)
    app = compare(slm_visitor=BOB, runs=f"{mine},{theirs}")
    assert asked(app) == [mine, theirs] and "slm_visitor" not in app.code[0].value
    button(app, "Delete 1 run for good").click().run()
    assert [run.id for run in list_runs(runs)] == [theirs]
    app = edit(theirs, {"name": "mine now"}, visitor=BOB)
    assert "only they can" in app.session_state["complaint"] and app.session_state["table_version"] == 1
    assert open_run(runs, theirs).name == "run 0"


def test_chosen_runs_are_deleted_after_a_question(compare, runs):
    made = make(runs, 3)
    app = compare(runs=",".join(made[:2]))
    assert "run 0, run 1? That cannot be undone" in shown(app)
    button(app, "Delete 2 runs for good").click().run()
    assert [run.id for run in list_runs(runs)] == [made[2]] and not app.exception
    assert asked(app) == [""]


def test_a_live_run_is_compared_and_not_deleted(open_app, compare, runs):
    app = set_small(open_app(), max_iters=100_000, eval_interval=5, n_layer=2)
    button(app, "Train").click().run()
    live = app.session_state["run"]
    other = make(runs, 1)[0]
    app = compare(runs=f"{live},{other}")
    assert "left alone" in shown(app) and "Delete 1 run for good" in {each.label for each in app.button}
    engine.scheduler().stop(live)
    assert engine.scheduler().wait(live, timeout=60)
    app.run()
    assert not app.exception and "left alone" not in shown(app)


def test_a_standing_follows_its_history(runs):
    run = open_run(runs, make(runs, 1)[0])
    assert compared.standing_of(run).best == {"nats per token": 4.0, "bits per byte": 2.0}
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    better = json.loads(lines[-2]) | {"step": 41, "validation_loss": 1.0, "validation_bits_per_byte": 0.5}
    with open(run.folder / "events.jsonl", "a") as file:
        file.write(json.dumps(better) + "\n")
    assert compared.standing_of(run).best["nats per token"] == 1.0
    os.remove(run.folder / "events.jsonl")
    assert compared.standing_of(run) is not None


def test_models_write_side_by_side_what_each_writes_alone_and_a_damaged_one_nothing(open_app, compare, runs):
    for layers in (1, 2):
        train_to_the_end(set_small(open_app(), n_layer=layers))
    import_checkpoint(runs, list_runs(runs)[0].checkpoints["last"].read_bytes(), "brought")
    trained = [run for run in list_runs(runs) if not run.imported]
    app = compare(runs=",".join(run.id for run in trained))
    app.text_area(key="shared_prompt").set_value("On Monday").run()
    button(app, "Write").click().run()
    assert not app.exception and not app.error
    written = app.session_state["side_by_side"]
    assert [each["run"].id for each in written] == [run.id for run in trained]
    assert [each["name"] for each in written] == ["n_layer 2", "n_layer 1"]
    for run, each in zip(trained, written, strict=True):
        alone = load_checkpoint(run.checkpoints["last"])
        assert each["text"] == "".join(write_text(alone.model, alone.tokenizer, "On Monday", Sampling()))
        assert each["done"] and not each["error"]
    trained[0].checkpoints["last"].write_bytes(b"no model")
    button(app, "Write").click().run()
    damaged, sound = app.session_state["side_by_side"]
    assert "last.safetensors" in damaged["error"] and sound == written[1] and not app.exception


def test_the_table_goes_along_as_csv(runs):
    make(runs, 2)
    listed = list_runs(runs)
    text = compared.table_csv(listed, [compared.standing_of(run) for run in listed])
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["name"] for row in rows] == ["run 1", "run 0"] and [row["n_layer"] for row in rows] == [
        "2",
        "1",
    ]
    assert {row["best"] for row in rows} == {"4.0"} and {row["tags"] for row in rows} == {""}
