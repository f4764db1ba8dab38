"""Lab reports: one file that needs nothing else; what people wrote is text in it, whatever it looks like."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from slm_core.teach.lab_report import RunPart, lab_report
from slm_core.teach.lesson import load_lesson
from slm_core.teach.progress import Progress
from tests.teach.planted import LESSON, events, lesson_file, told_of

HOSTILE = '</p><script>alert(1)</script><img src=x onerror="alert(2)"> & "quotes"'
NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
SERIES = [f"#0000{n:02x}" for n in range(160, 170)]
ANSWERS = {"gaps.predict": 0, "gaps.check-1": 4.25, "gaps.check-2": "small"}


class Page(HTMLParser):
    """The tags and the visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text, self._inside = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        self._inside.pop() if self._inside[-1:] == [tag] else None

    def handle_data(self, data):
        if self._inside[-1:] not in (["script"], ["style"]):
            self.text += data


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return load_lesson(lesson_file(tmp_path_factory.mktemp("lesson")))


def report_of(lesson, **changes) -> str:
    small = told_of(lesson.runs["small"].config, events([6.0, 1.0, 0.5], [6.0, 4.0, 4.75]))
    large = told_of(lesson.runs["large"].config, events([6.0, 2.0, 1.0], [6.0, 3.0, 2.0]))
    runs = [
        RunPart(name="small", told=small, machine="Machine A"),
        RunPart(name="large", told=large, machine="Machine B", recorded=NOW),
    ]
    progress = Progress(begun=NOW, **{"answers": ANSWERS, **changes})
    return lab_report(lesson, progress, runs, machine="Machine A", when=NOW, series=SERIES)


def test_it_tells_answers_measurements_machines_seed_and_date(lesson):
    text = " ".join(Page(report_of(lesson)).text.split())
    assert "Said: The first. · measured: The first. · right" in text
    assert "Said: 4.25 nats · measured: 4.25 nats · right" in text
    assert "Said: 200 tokens · measured: 3,000 tokens (2.00 nats) · not so" in text
    assert "checks right by what was measured: 1 of 2" in text
    assert "It is wider, 4.25 nats against 1.00 nats." in text
    assert "a recording, made on Machine B, 04 March 2026" in text and "seed 1337" in text
    assert "Machine A" in text and '"dataset_size": 200' in text


def test_it_needs_nothing_from_elsewhere_and_has_plotly_once(lesson):
    page = report_of(lesson)
    for tag, attributes in Page(page).tags:
        assert "src" not in attributes and tag not in ("link", "iframe", "img"), (tag, attributes)
    assert page.count("Plotly.newPlot(") >= 1
    assert len(re.findall(r"plotly\.js v\d", page)) == 1
    assert 4_000_000 < len(page) < 8_000_000


def test_what_people_wrote_is_text_whatever_it_looks_like(lesson):
    honest = Page(report_of(lesson, notes={"gaps": "A note."}))
    page = Page(report_of(lesson, notes={"gaps": HOSTILE}))
    assert HOSTILE in page.text
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in honest.tags], "no tag more, and none less"


def test_without_runs_it_says_so(lesson):
    page = Page(lab_report(lesson, Progress(), [], machine="M", when=NOW, series=SERIES))
    assert "Nothing was run" in page.text and "Not answered" in page.text


def test_it_gives_nothing_away_that_is_still_asked(tmp_path):
    text = LESSON.replace(
        "    show: [train_loss, gap]", "    hidden: [dataset_size]\n    show: [train_loss, gap]"
    )
    hiding = load_lesson(lesson_file(tmp_path, text))
    before = report_of(hiding, answers={"gaps.predict": 0})
    assert "4.25" not in Page(before).text and "dataset_size&quot;: &quot;?&quot;" in before
    after = report_of(hiding)
    assert "4.25 nats" in Page(after).text and "dataset_size&quot;: 200" in after
