"""The Train page: what it offers, what it refuses, and that a run starts, ends and is found again."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import engine
from slm_core.config import load_presets
from slm_core.runs.store import list_runs

SMALL = {
    "corpus": "tales", "dataset_size": 300, "vocab_size": 300, "n_layer": 1, "n_head": 2, "n_embd": 16,
    "block_size": 32, "batch_size": 2, "max_iters": 6, "warmup_iters": 1, "eval_interval": 3,
}  # fmt: skip


def button(app: AppTest, label: str):
    found = [each for each in app.button if each.label == label]
    assert found, f"no button {label!r} among {[each.label for each in app.button]}"
    return found[0]


def set_small(app: AppTest, **changes) -> AppTest:
    for name, value in {**SMALL, **changes}.items():
        app.session_state[f"setting_{name}"] = value
    return app.run()


def train_to_the_end(app: AppTest) -> str:
    button(app, "Train").click().run()
    assert not app.exception
    run_id = app.session_state["run"]
    engine.scheduler().wait(run_id, timeout=120)
    app.run()
    return run_id


def test_every_preset_can_be_chosen_and_shows_its_cost(open_app):
    app = open_app()
    for name in load_presets():
        app.selectbox(key="preset").select(name).run()
        assert not app.exception and not app.error, name
        assert [metric.label for metric in app.metric][:3] == [
            "Parameters",
            "Tokens per parameter",
            "Memory to train",
        ]
        assert not button(app, "Train").disabled


def test_an_impossible_setting_is_said_and_cannot_be_trained(open_app):
    app = set_small(open_app(), n_embd=16, n_head=3)
    assert "n_embd must be a multiple of n_head" in app.error[0].value.replace("\\", "")
    assert button(app, "Train").disabled


def test_a_run_trains_and_is_found_again(open_app, runs):
    app = set_small(open_app())
    run_id = train_to_the_end(app)
    assert [run.id for run in list_runs(runs)] == [run_id]
    assert engine.state_of(list_runs(runs)[0]) == "finished"
    assert {"Training loss", "Validation loss", "Gap"} <= {metric.label for metric in app.metric}
    again = open_app(run=run_id)
    assert {"Training loss", "Validation loss", "Gap"} <= {metric.label for metric in again.metric}
    fresh = open_app()
    assert any(each.key == f"open-{run_id}" for each in fresh.button)


def test_a_run_that_its_patience_ended_says_so_and_how_far_it_came(open_app, runs):
    """Updates so large that the loss is soon worse than guessing."""
    app = set_small(open_app(), learning_rate=1.0, patience=1, max_iters=5)
    train_to_the_end(app)
    assert next(each.proto.text for each in app.get("progress")).startswith("Finished: 3 steps in")
    captions = [each.value.replace("\\", "") for each in app.caption]
    assert any("Ended early, after step 3 of 5" in each for each in captions)
    assert not list_runs(runs)[0].resumable


@pytest.mark.parametrize("run_id", ["../../etc", "x" * 500, "20990101-000000-none-abcdef", "<b>"])
def test_a_bad_run_in_the_address_is_said(open_app, run_id):
    app = open_app(run=run_id)
    assert app.error and not app.exception
    assert not button(app, "Train").disabled


def test_own_text_must_be_long_enough(open_app):
    app = set_small(open_app(), corpus="own")
    assert app.info and button(app, "Train").disabled
    app.text_area(key="own_pasted").set_value("word").run()
    assert "2,000" in app.error[0].value.replace("\\", "") and button(app, "Train").disabled
    app.text_area(key="own_pasted").set_value(" ".join(f"sentence {n}." for n in range(600))).run()
    assert not app.error and not button(app, "Train").disabled
    train_to_the_end(app)
    assert engine.state_of(list_runs(engine.scheduler().root)[0]) == "finished"


def test_an_unwritable_runs_folder_is_said(open_app, runs):
    runs.write_text("a file where the folder should be")
    app = set_small(open_app())
    button(app, "Train").click().run()
    assert not app.exception
    assert any("SLM" in error.value for error in app.error)


def test_a_text_shorter_than_one_block_is_refused_before_the_start(open_app):
    app = set_small(open_app(), corpus="own", block_size=1024, dataset_size=50_000)
    app.text_area(key="own_pasted").set_value(" ".join(f"sentence {n}." for n in range(200))).run()
    assert not app.exception and any("block" in error.value for error in app.error)
    assert button(app, "Train").disabled


def test_a_text_that_repeats_itself_across_the_split_is_warned_of(open_app):
    app = set_small(open_app(), corpus="own")
    lines = [
        f"The {n}th of the many lines that this text has, and there is no other line like it."
        for n in range(60)
    ]
    app.text_area(key="own_pasted").set_value(" ".join(lines)).run()
    assert not app.error
    honest = len(app.warning)
    app.text_area(key="own_pasted").set_value(" ".join(lines * 10)).run()
    assert len(app.warning) == honest + 1 and not button(app, "Train").disabled
