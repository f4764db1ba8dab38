"""The lessons: predicted, run, seen, checked; found again after a refresh; played from recordings."""

import shutil
from datetime import UTC, datetime

import pytest

from pages.ui import engine, lesson_runs
from slm_core.hardware import Device
from slm_core.runs.store import change_run, list_runs
from slm_core.study.samples import Copying, Passage
from slm_core.teach.progress import HERE, RECORDED, Progress, keep_progress, load_progress
from slm_core.teach.recording import Recording, recording_file, thin
from slm_core.train.events import SampleDrawn
from tests.pages.test_train import button
from tests.teach.planted import events

PAGE = "pages/lessons/week1.py"
SMALL = (
    "{corpus: tales, vocab_size: 300, n_layer: 1, n_head: 2, n_embd: 16, block_size: 32, batch_size: 2, "
    "max_iters: 6, warmup_iters: 1, eval_interval: 3, dataset_size: %d}"
)
LESSON = f"""
title: "Week 1 · Planted"
question: Which is wider?
minutes: 5
runs:
  small: {{label: Little, preset: ULTRA_TINY, change: {SMALL % 200}}}
  large: {{label: Much, preset: ULTRA_TINY, change: {SMALL % 400}}}
steps:
  - id: gaps
    title: Gaps
    text: About gaps.
    runs: [small, large]
    hidden: [dataset_size]
    show: [train_loss, gap]
    predict:
      ask: Which gap is wider?
      pick: highest gap
    see:
      - {{when: train_loss of small > 0, text: "SEEN {{train_loss of small}}.", otherwise: NOT SEEN.}}
    why: Because.
    check:
      - {{ask: "How wide is it?", number: gap of small, within: 100}}
  - id: texts
    title: Texts
    text: About texts.
    runs: [small]
    show: [extraction_rate]
    written: small
    speed: small
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of lessons of its own, with the planted one as week 1 and the true ones besides."""
    made = tmp_path / "lessons"
    made.mkdir()
    for file in lesson_runs.FOLDER.glob("*.yaml"):
        shutil.copy(file, made)
    (made / "week-1.yaml").write_text(LESSON, encoding="utf-8")
    monkeypatch.setattr(lesson_runs, "FOLDER", made)
    monkeypatch.setattr(lesson_runs, "RECORDINGS", made / "recordings")
    return made


@pytest.fixture
def app(open_app, folder):
    return open_app(PAGE)


def shown(app) -> str:
    parts = [*app.markdown, *app.caption, *app.title, *app.info, *app.warning, *app.subheader]
    return " ".join(each.value.replace("\\", "") for each in parts)


def predict(app, name="large"):
    app.radio[0].set_value(name).run()
    button(app, "That is my prediction").click().run()
    assert not app.exception, app.exception
    return app


def finish(app):
    for run_id in engine.scheduler().live():
        assert engine.scheduler().wait(run_id, timeout=120)
    app.run()
    assert not app.exception, app.exception
    return app


def test_predicted_run_seen_and_checked_with_a_refresh_after_each(app, open_app, runs):
    assert "Train all 2 here" not in [each.label for each in app.button], "first the prediction"
    assert button(app, "That is my prediction").disabled
    predict(app)
    again = open_app(PAGE)
    assert "you said" in shown(again) and not again.radio
    button(again, "Train all 2 here").click().run()
    assert not again.exception and not again.error, again.error
    finish(again)
    assert {run.tags for run in list_runs(runs)} == {("lesson week-1 small",), ("lesson week-1 large",)}
    assert "SEEN" in shown(again) and "NOT SEEN" not in shown(again) and "Because." in shown(again)
    table = again.table[-1].value.to_dict("list")
    assert table["Gap (nats)"][0] == "?" != table["Gap (nats)"][1], "a check asks for it"
    assert "A question mark stands for" in shown(again)
    fresh = open_app(PAGE)
    fresh.number_input[0].set_value(1.0).run()
    button(fresh, "Answer").click().run()
    assert "1 of 1 right" in shown(fresh) and fresh.table[-1].value["Gap (nats)"][0] != "?"
    assert "A question mark stands for" not in shown(fresh)
    assert "dataset_size 200" in shown(fresh), "what was hidden is shown now"
    kept = load_progress(runs, "", "week-1")
    assert kept.answers == {"gaps.predict": "large", "gaps.check-1": 1.0} and len(kept.runs) == 2


def test_a_step_takes_the_runs_of_an_earlier_one_and_its_model_writes(app, runs):
    predict(app)
    button(app, "Train all 2 here").click().run()
    finish(app)
    button(app, "Next: Texts").click().run()
    assert not app.exception and len(list_runs(runs)) == 2
    button(app, "Let it write here").click().run()
    assert not app.exception and not app.error
    assert load_progress(runs, "", "week-1").besides["small"]["writing_speed"] > 0
    assert "Same model: largest difference 0" in shown(app)
    assert "It goes on from a text that it was trained on:" in shown(app)


def carry(folder, open_app, runs, **sources):
    """The last step, which carries the model of "large" and asks for the size of its file, once the runs are
    there as said."""
    file = folder / "week-1.yaml"
    text = file.read_text().replace("speed: small", "speed: [large, small]")
    head, step = text.split("  - id: texts")
    step = step.replace("runs: [small]", "runs: [large, small]")
    check = '    check: [{ask: "How large?", number: file_kilobytes of large, within: 1}]\n'
    file.write_text(f"{head}  - id: texts{step}{check}", encoding="utf-8")
    plant_recordings(folder)
    keep_progress(runs, "", "week-1", Progress(step=1, sources=sources))
    return finish(open_app(PAGE).run())


def test_the_larger_models_file_is_carried_where_it_was_trained_here(folder, open_app, runs):
    app = carry(folder, open_app, runs, large=HERE, small=HERE)
    download = app.get("download_button")[0]
    [large] = [run for run in list_runs(runs) if run.name.endswith("Much")]
    kilobytes = large.checkpoints["last"].stat().st_size / 1000
    assert download.proto.label == f"Download the model ({kilobytes:.0f} kB)"
    assert "Same model: largest difference 0" in shown(app) and "no model file" not in shown(app)
    assert not app.number_input, "not before it has written"
    button(app, "Let it write here").click().run()
    assert not app.exception and list(load_progress(runs, "", "week-1").besides) == ["large"]
    app.number_input[0].set_value(round(kilobytes)).run()
    button(app, "Answer").click().run()
    assert "1 of 1 right" in shown(app)


def test_a_recording_has_no_file_and_the_other_models_serves(folder, open_app, runs):
    app = carry(folder, open_app, runs, large=RECORDED, small=HERE)
    assert "no model file: train **Much** here, or use the file of **Little**, which follows" in shown(app)
    assert "Same model: largest difference 0" in shown(app)
    assert "Recording** of Much, made on CPU · Elsewhere on 02 January 2026. Nothing" in shown(app)
    button(app, "Let it write here").click().run()
    assert not app.exception and list(load_progress(runs, "", "week-1").besides) == ["small"]
    app.number_input[0].set_value(2_000).run()
    button(app, "Answer").click().run()
    assert "1 of 1 right" in shown(app), "by the recording's own number"
    button(app, "Train: Much").click().run()
    assert not app.exception and button(app, "Train it here")


def test_recordings_alone_are_checked_without_a_file(folder, open_app, runs):
    app = carry(folder, open_app, runs, large=RECORDED, small=RECORDED)
    assert "A recording has no model file: train **Much** or **Little** here to have one." in shown(app)
    assert [each.label for each in app.get("download_button")] == ["Lab report"] and app.number_input


def test_notes_are_kept_and_forgotten_on_request(app, open_app, runs):
    predict(app)
    button(app, "Train all 2 here").click().run()
    finish(app)
    app.text_area[0].set_value("<b>A note</b>").run()
    assert load_progress(runs, "", "week-1").notes == {"gaps": "<b>A note</b>"}
    assert open_app(PAGE).text_area[0].value == "<b>A note</b>"
    button(app, "Forget them").click().run()
    assert load_progress(runs, "", "week-1") is None
    assert button(app, "That is my prediction") and len(list_runs(runs)) == 2, "its runs stay"


def test_runs_of_an_earlier_pass_can_be_used(app, runs):
    predict(app)
    button(app, "Train all 2 here").click().run()
    finish(app)
    button(app, "Forget them").click().run()
    predict(app)
    [offer] = [each for each in app.button if each.label.startswith("Use the run of")]
    offer.click().run()
    assert "SEEN" in shown(app) and len(list_runs(runs)) == 2


def test_runs_with_other_settings_are_not_taken_for_the_lessons(app, open_app, folder, runs):
    predict(app)
    button(app, "Train all 2 here").click().run()
    finish(app)
    file = folder / "week-1.yaml"
    file.write_text(file.read_text().replace("dataset_size: 400", "dataset_size: 500"))
    edited = open_app(PAGE)
    assert not edited.exception and button(edited, "Train it here"), "one run is missing now"


def test_a_stopped_run_is_said_and_goes_on(app, runs, monkeypatch):
    predict(app)
    button(app, "Train all 2 here").click().run()
    finish(app)
    run = next(run for run in list_runs(runs) if run.tags == ("lesson week-1 small",))
    (run.folder / "events.jsonl").unlink()  # as if the server had ended
    app.run()
    assert not app.exception and "Stopped before the end" in shown(app)
    button(app, "Begin anew").click().run()
    assert button(app, "Train it here")


def plant_recordings(folder):
    lesson = lesson_runs.lesson_called("week-1")
    (folder / "recordings").mkdir()
    for name, gap in (("small", 4.0), ("large", 1.0)):
        told = [*events([6.0, 1.0], [6.0, 1.0 + gap], seconds=1_000.0)]
        text = SampleDrawn(step=10, source="training", prompt="A <b>", text=" cat")
        made = Recording(
            config=lesson.runs[name].config, device="CPU · Elsewhere", made=datetime(2026, 1, 2, tzinfo=UTC),
            events=thin([*told[:-1], text, told[-1]]),
            besides={"writing_speed": 900.0, "file_kilobytes": 2_000.0},
            copying={(10, "training"): Copying((Passage("A <b> cat", "A <b> cat sat"),), 1.0, 9, 4, True)},
        )  # fmt: skip
        recording_file(folder / "recordings", "week-1", name).write_bytes(made.to_bytes())


def test_a_recording_is_played_and_called_one_and_graded_by_its_own_numbers(app, open_app, folder, runs):
    plant_recordings(folder)
    predict(app.run(), "small")
    button(app, "Play the recording").click().run()
    assert not app.exception and "Recording" in shown(app) and "Elsewhere on 02 January 2026" in shown(app)
    assert "SEEN" not in shown(app), "it takes a while"
    button(app, "To the end").click().run()
    app.run()
    assert "SEEN 1.000 nats" in shown(app) and "As you said" in shown(app) and list_runs(runs) == []
    again = open_app(PAGE)
    assert "SEEN" in shown(again) and "Elsewhere" in shown(again)
    button(again, "Next: Texts").click().run()
    assert not again.exception and "100%" in shown(again)


def test_a_wrong_file_makes_its_page_say_so_and_no_other(open_app, folder):
    file = folder / "week-1.yaml"
    file.write_text(file.read_text().replace("minutes: 5", "minuets: 5"))
    app = open_app(PAGE)
    assert "did you mean minutes?" in app.error[0].value.replace("\\", "")
    assert not open_app("pages/lessons/week2.py").error


def test_a_published_run_of_the_lecturer_serves_a_class(folder, runs, open_app, monkeypatch):
    monkeypatch.setenv("SLM_PROFILE", "classroom")
    lecturer = predict(open_app(PAGE))
    button(lecturer, "Train all 2 here").click().run()
    finish(lecturer)
    student = predict(open_app(PAGE))
    assert not [each for each in student.button if each.label.startswith("Use the run of")]
    for run in list_runs(runs):
        change_run(runs, run.id, published=True)
    student.run()
    [offer] = [each for each in student.button if each.label.startswith("Use the run of")]
    offer.click().run()
    assert "SEEN" in shown(student) and len(list_runs(runs)) == 2
    assert len(list((runs / "_lessons").iterdir())) == 2, "each has answers of their own"


def test_the_concept_check_before_and_after(open_app, folder, runs):
    app = open_app("pages/lessons/concept_check.py")
    button(app, "Hand in").click().run()
    assert "answer question 1, 2" in app.error[0].value.replace("\\", "")
    for radio in app.radio:
        radio.set_value(0)
    button(app, "Hand in").click().run()
    assert not app.exception and not app.error
    assert app.metric[0].value == "2 of 10" and app.metric[2].value == "…"
    again = open_app("pages/lessons/concept_check.py")
    for radio in again.radio:
        radio.set_value(1)
    button(again, "Hand in").click().run()
    assert [each.value for each in again.metric] == ["2 of 10", "3 of 10", "12%"]
    button(again, "Forget them").click().run()
    assert len(again.radio) == 10


NO_CARD = "This machine has no graphics card, and no recording of this run comes with the lesson."


def card_step(open_app, runs, monkeypatch, answers):
    """The step of week 4 that needs a graphics card, on a machine without one."""
    monkeypatch.setattr(lesson_runs, "devices", lambda: (Device("cpu", "CPU"),))
    keep_progress(runs, "", "week-4", Progress(step=3, answers=answers))
    return open_app("pages/lessons/week4.py")


def ticks(app) -> list[bool]:
    return [bool(each.content_icon) for each in app.get("button_group")[0].proto.options]


def test_a_run_that_this_machine_can_neither_make_nor_play_is_said_and_its_step_is_done(
    open_app, folder, runs, monkeypatch
):
    app = card_step(open_app, runs, monkeypatch, {})
    assert "Why" not in [each.value for each in app.subheader] and ticks(app) == [False] * 4
    app.radio[0].set_value(0).run()
    button(app, "That is my prediction").click().run()
    assert not app.exception and NO_CARD in shown(app) and "It cannot be measured here." in shown(app)
    assert "A graphics card does thousands of multiplications at once." in shown(app)
    assert ticks(app) == [False, False, False, True]
    assert [each.label for each in app.button if "Train" in each.label] == ["Train it here"], "the other one"
    button(app, "Train it here").click().run()
    finish(app)
    row = app.table[-1].value.to_dict("list")["Best validation (nats)"]
    assert row[0] != "…" == row[1] and ticks(app)[3] and NO_CARD in shown(app)


def test_a_run_for_a_graphics_card_is_played_where_there_is_a_recording_of_it(
    open_app, folder, runs, monkeypatch
):
    (folder / "recordings").mkdir()
    run = lesson_runs.lesson_called("week-4").runs["card"]
    made = Recording(
        config=run.config, device="A card", made=datetime(2026, 1, 2, tzinfo=UTC),
        events=thin(events([6.0, 1.0], [6.0, 2.0])),
    )  # fmt: skip
    recording_file(folder / "recordings", "week-4", "card").write_bytes(made.to_bytes())
    app = card_step(open_app, runs, monkeypatch, {"card.predict": 0})
    assert NO_CARD not in shown(app) and not any(ticks(app))


@pytest.mark.parametrize(
    ("found", "where"),
    [(("cpu",), {"cpu": "cpu", "gpu": None, "best": "cpu"}),
     (("cuda:0", "cpu"), {"cpu": "cpu", "gpu": "cuda:0", "best": "cuda:0"})],
)  # fmt: skip
def test_runs_go_where_their_file_sends_them(monkeypatch, found, where):
    monkeypatch.setattr(lesson_runs, "devices", lambda: tuple(Device(name, name) for name in found))
    monkeypatch.setattr(lesson_runs.server, "is_warm", lambda: True)
    runs = lesson_runs.lesson_called("week-4").runs
    for run in runs.values():
        assert lesson_runs.device_for(run) == where[run.device]
    assert {run.device for run in runs.values()} == set(where)
