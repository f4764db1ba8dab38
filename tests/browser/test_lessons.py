"""All four weeks in a real browser, from recordings; one run that is trained; the report, taken along."""

import re
from pathlib import Path

from slm_core.teach.lesson import load_lesson
from tests.browser.conftest import settled

LESSONS = Path(__file__).resolve().parents[2] / "pages" / "lessons"
RUN, SEEN = "Play the recording", "What you see"


def answer(page, button: str) -> None:
    """Answer the question that is asked: the first choice, or a number."""
    main = page.get_by_test_id("stMain")
    give = main.get_by_role("button", name=button, exact=True)
    give.wait_for(timeout=30_000)
    number, choices = main.get_by_role("spinbutton"), main.get_by_test_id("stRadioOption")
    number.or_(choices).first.wait_for()  # the browser may fetch what draws them after the button is there
    if number.count():
        number.fill("1")
        page.keyboard.press("Tab")
    else:
        choices.first.click()
    page.wait_for_function("button => !button.disabled", arg=give.element_handle())
    give.click()


def walk_step(page) -> None:
    """Predict, play what has to be played, and answer all checks of the step that is shown."""
    main = page.get_by_test_id("stMain")
    answer(page, "That is my prediction")
    main.get_by_text("you said").wait_for()
    main.get_by_text(SEEN).or_(main.get_by_role("button", name=RUN)).first.wait_for()
    if main.get_by_role("button", name=RUN).count():
        main.get_by_text("at once", exact=True).click()
        main.get_by_role("button", name=RUN).click()
    main.get_by_text(SEEN).wait_for(timeout=30_000)
    assert main.get_by_text("Nothing is training now").count() == 1, "a recording says that it is one"
    main.locator(".live-chart .scatterlayer .trace").first.wait_for()
    for place in range(1, 10):
        heading = main.get_by_text(re.compile(rf"^Check {place} of \d+$"))
        heading.wait_for()
        of = int(re.search(r"of (\d+)", heading.inner_text())[1])
        answer(page, "Answer")
        main.get_by_text(re.compile(rf"^Check {place + 1} of")).or_(
            main.get_by_text("by what was measured in these runs")
        ).first.wait_for()
        if place == of:
            return


def left(main) -> list[str]:
    """What a visitor has done in the step that is shown, as the page tells it: predicted, seen, answered."""
    main.get_by_text("by what was measured in these runs").wait_for(timeout=30_000)
    told = main.inner_text().split("\n")
    marks = re.compile(r"you said|measured|You said:|Nothing is training now|right, by what|Check \d of")
    return [line for line in told if marks.search(line)]


def reload_in_the_middle(page, done: int) -> None:
    """Reload once some steps are done, and find predictions, runs and answers as they were."""
    main = page.get_by_test_id("stMain")
    ticks = main.get_by_test_id("stButtonGroup").first.get_by_text("check_circle")
    before = left(main)
    assert all(mark in " ".join(before) for mark in ("you said", "Nothing is training now", "Check 1"))
    page.reload()
    settled(page)
    assert left(main) == before
    ticks.nth(done - 1).wait_for()
    assert ticks.count() == done
    main.locator(".live-chart .scatterlayer .trace").first.wait_for()


def test_all_four_weeks_from_recordings(start_server, visit, tmp_path):
    server = start_server()
    for week in (1, 2, 3, 4):
        lesson = load_lesson(LESSONS / f"week-{week}.yaml")
        # A step that needs a graphics card has no recording where none was at hand to make it.
        elsewhere = {name for name, run in lesson.runs.items() if run.device == "gpu"}
        steps = [step for step in lesson.steps if not elsewhere & set(step.runs)]
        page = visit(f"{server.url}/week{week}")
        main = page.get_by_test_id("stMain")
        for place, step in enumerate(steps):
            if place:
                main.get_by_role("button", name=f"Next: {step.title}").click()
            main.get_by_text(step.predict.ask[:40]).first.wait_for()
            walk_step(page)
            if place == len(steps) // 2:
                reload_in_the_middle(page, place + 1)
        with page.expect_download() as report:
            main.get_by_role("button", name="Lab report").click()
        file = tmp_path / f"{week}.html"
        report.value.save_as(file)
        text = file.read_text(encoding="utf-8")
        assert f"Week {week}" in text and "a recording, made on" in text
        page.context.set_offline(True)  # as a student opens it at home
        page.goto(file.as_uri())
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    visit.forgive()


def test_a_lesson_trains_its_run_and_a_refresh_keeps_it(start_server, visit):
    server = start_server()
    page = visit(f"{server.url}/week4")
    main = page.get_by_test_id("stMain")
    main.get_by_role("radio", name=re.compile("How fast")).click()
    main.get_by_text("How many tokens will it train on").wait_for()
    answer(page, "That is my prediction")
    main.get_by_role("button", name="Train it here").click()
    main.locator(".live-chart .scatterlayer .point").first.wait_for(timeout=60_000)
    page.reload()
    settled(page)
    main.get_by_text(SEEN).wait_for(timeout=120_000)
    assert "you said" in main.inner_text() and "tokens/s" in main.inner_text()
    assert main.get_by_text("Nothing is training now").count() == 0
