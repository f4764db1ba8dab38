"""The Scaling lab: a sweep is set up, started, found again after a refresh, guessed at and deleted."""

import pytest

from pages.ui import engine
from slm_core.runs.store import open_run
from slm_core.study.experiments import list_experiments
from tests.pages.test_train import button, set_small

PAGE = "pages/labs/scaling.py"


def small_sweep(open_app, **query):
    """The page with tiny settings on the Train page chosen as the base, and three sizes of text."""
    app = set_small(open_app(PAGE, **query))
    app.segmented_control(key="lab_base").set_value("set").run()
    app.slider(key="lab_seeds").set_value(2).run()
    values = next(each for each in app.button_group if (each.key or "").startswith("lab_values"))
    values.set_value([200, 1_000, 3_000]).run()
    return app


def shown(app) -> str:
    return " ".join(
        each.value.replace("\\", "") for each in [*app.markdown, *app.caption, *app.success, *app.info]
    )


def finish(app):
    for run_id in engine.scheduler().live():
        assert engine.scheduler().wait(run_id, timeout=120)
    return app.run()


def test_a_sweep_is_guessed_trained_and_scored_with_a_refresh_in_between(open_app, runs):
    app = small_sweep(open_app)
    assert not app.exception
    button(app, "Start the sweep").click().run()
    assert not app.exception and not app.error, app.error
    [made] = list_experiments(runs)
    assert made.held_out == 3_000 and len(made.runs) == 4, "the value to be guessed waits"
    assert made.sweep.base.patience == 3
    finish(app)
    assert "gap at the end" not in app.dataframe[0].value.columns, "runs may end at different steps"
    assert "Your guess." in shown(app) and "dataset_size" in shown(app)
    again = open_app(PAGE, sweep=made.id)  # a refresh: nothing but the address is left
    assert "Your guess." in shown(again)
    again.number_input(key=f"guess-{made.id}").set_value(4.5).run()
    button(again, "Train it and see").click().run()
    assert not again.exception and not again.error
    assert list_experiments(runs)[0].guess.guess == 4.5
    finish(again)
    assert "You said 4.500" in shown(again) and "Your guess." not in shown(again)
    button(again, "Delete for good").click().run()
    assert list_experiments(runs) == [] and not again.exception


def test_words_can_be_varied_as_numbers_can(open_app, runs):
    app = set_small(open_app(PAGE))
    app.segmented_control(key="lab_base").set_value("set").run()
    app.selectbox(key="lab_vary").set_value("architecture").run()
    app.slider(key="lab_seeds").set_value(1).run()
    assert "about as many parameters" in shown(app)
    app.selectbox(key="lab_guess_architecture_2").set_value("nothing").run()
    button(app, "Start the sweep").click().run()
    assert not app.exception and not app.error, app.error
    [made] = list_experiments(runs)
    assert [cell.value for cell in made.sweep.cells()] == ["gpt2", "qwen3"]
    finish(app)
    assert not app.exception and "With architecture" in shown(app)


def test_runs_of_sweeps_do_not_crowd_the_list_of_earlier_runs(open_app, runs):
    app = small_sweep(open_app)
    app.toggle(key="lab_patience").set_value(False).run()
    button(app, "Start the sweep").click().run()
    assert list_experiments(runs)[0].sweep.base.patience == 0
    assert "gap at the end" in finish(app).dataframe[0].value.columns
    assert not [each for each in open_app().button if (each.key or "").startswith("open-")]


def test_a_sweep_that_a_killed_server_broke_off_is_offered_and_goes_on(open_app, runs):
    app = small_sweep(open_app)
    button(app, "Start the sweep").click().run()
    finish(app)
    [made] = list_experiments(runs)
    for run_id in list(made.runs.values())[:2]:  # as a kill leaves it
        history = runs / run_id / "events.jsonl"
        history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
        (runs / run_id / "last.safetensors").unlink()
    app = open_app(PAGE, sweep=made.id)
    assert "2 broke off before their end" in {each.proto.text for each in app.get("progress")}.pop()
    app = open_app(PAGE)
    assert "broke off before its end: 2 of 6 runs" in shown(app)
    button(app, "Resume").click().run()
    assert app.session_state["sweep"] == made.id and not app.error
    finish(app)
    assert all(open_run(runs, run_id).last_end().reason == "finished" for run_id in made.runs.values())
    assert "Resume" not in {each.label for each in app.button}


@pytest.mark.parametrize("name", ["../../etc/passwd", "20990101-000000-nothing-abcdef"])
def test_a_sweep_that_is_not_there_is_said(open_app, name):
    app = open_app(PAGE, sweep=name)
    assert not app.exception and app.error and button(app, "Start the sweep")


def test_one_value_is_no_sweep(open_app):
    app = small_sweep(open_app)
    values = next(each for each in app.button_group if (each.key or "").startswith("lab_values"))
    values.set_value([200]).run()
    assert "at least two values" in shown(app) and not app.exception
