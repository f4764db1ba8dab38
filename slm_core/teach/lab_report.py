"""A student's lab report of a lesson: one HTML file with plots, answers and measurements, which needs no
network."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slm_core.model.budget import budget
from slm_core.teach.conditions import filled_in
from slm_core.teach.grading import fits, grade, score, still_hidden, table, without_answers
from slm_core.teach.lesson import Lesson, Question, Step
from slm_core.teach.measures import MEASURES, Told, Values, measured
from slm_core.teach.pictures import by_heart_picture, losses_picture
from slm_core.teach.progress import Progress

_STYLE = """
body { font: 17px/1.55 Georgia, serif; color: #211C15; background: #FCF9F2;
  margin: 2.5rem auto; padding: 0 1.2rem; max-width: 54rem; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-top: 2px solid #D5CAB6;
  padding-top: 1.2rem; } .facts, small { color: #5d5447; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; } th, td { padding: .3rem .8rem; text-align: right;
  border-bottom: 1px solid #D5CAB6; } th:first-child, td:first-child { text-align: left; }
.card { background: #F2EBDD; border-radius: .5rem; padding: .7rem 1rem; margin: .9rem 0; }
.right { color: #00603f; font-weight: bold; } .wrong { color: #A84300; font-weight: bold; }
.recording { border-left: .3rem solid #C9540A; padding-left: .8rem; }
.note { white-space: pre-wrap; border-left: .3rem solid #0067A6; padding-left: .8rem; }
@media print { .card { break-inside: avoid; } }
"""


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """One run of a report. machine: where it was trained; recorded: when, if it is a recording."""

    name: str
    told: Told
    machine: str
    recorded: datetime | None = None


def lab_report(
    lesson: Lesson,
    progress: Progress,
    runs: Sequence[RunPart],
    *,
    machine: str,
    when: datetime,
    series: Sequence[str],
) -> str:
    """The report as an HTML page of about 5 MB, Plotly in it once. machine: the one that it was written on;
    series: the colours that the figures' stand-ins are painted with."""
    known = {run.name: run for run in runs}
    values = {run.name: measured(run.told) for run in runs}
    pictures = _Pictures(series)
    steps = [_step(lesson, progress, step, known, values, pictures) for step in lesson.steps]
    right, of = score([_graded(lesson, each, progress, values) for each in _answered(lesson, progress)])
    facts = [
        f"Begun {progress.begun:%d %B %Y, %H:%M} UTC, written {when:%d %B %Y, %H:%M} UTC",
        f"on {machine}",
        f"checks right by what was measured: {right} of {of}",
    ]
    body = [
        f"<h1>{html.escape(lesson.title)}</h1>",
        f"<p>{html.escape(lesson.question)}</p>",
        f'<p class="facts">{html.escape("; ".join(facts))}.</p>',
        *steps,
        _settings(lesson, progress, runs),
    ]
    title = f"<title>{html.escape(f'Lab report · {lesson.title}')}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}'
    style = f"<style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}{style}</head><body>{''.join(body)}</body></html>"


def _answered(lesson: Lesson, progress: Progress) -> list[Question]:
    """The checks that were answered; predictions are no checks."""
    return [
        each for step in lesson.steps for each in step.checks if fits(each, progress.answers.get(each.id))
    ]


def _graded(lesson: Lesson, question: Question, progress: Progress, values: Values) -> Any:
    labels = {name: run.label for name, run in lesson.runs.items()}
    return grade(question, progress.answers[question.id], values, labels)


def _step(
    lesson: Lesson,
    progress: Progress,
    step: Step,
    known: dict[str, RunPart],
    values: Values,
    pictures: "_Pictures",
) -> str:
    shown = without_answers(step, progress.answers, values)
    pieces = [f"<h2>{html.escape(step.title)}</h2>", _paragraph(filled_in(step.text, step.runs, shown))]
    told = {lesson.runs[name].label: known[name].told for name in step.runs if name in known}
    whole = len(told) == len(step.runs)
    if step.predict:
        pieces.append(_answer("Prediction", lesson, step.predict, progress, values if whole else {}))
    pieces += [f'<p class="recording">{html.escape(said)}</p>' for said in _recordings(lesson, step, known)]
    if any(each.history.evaluations for each in told.values()):
        pieces.append(pictures.drawn(losses_picture(told), 380))
        if len(told) == 1 and "extraction_rate" in step.show:
            [one] = told.values()
            pieces.append(pictures.drawn(picture, 220) if (picture := by_heart_picture(one)) else "")
        pieces.append(_table(lesson, step, shown))
    else:
        pieces.append("<p><small>Nothing was run for this step.</small></p>")
    if whole:
        findings = ((each, True if each.when is None else each.when.holds(values)) for each in step.see)
        for finding, holds in findings:
            if holds is not None:
                text = finding.text if holds else finding.otherwise
                pieces.append(_paragraph(filled_in(text, step.runs, shown)))
    pieces += [_answer("Check", lesson, each, progress, values) for each in step.checks]
    if note := progress.notes.get(step.id, "").strip():
        pieces.append(f'<p><small>Note</small></p><p class="note">{html.escape(note)}</p>')
    return "".join(pieces)


def _recordings(lesson: Lesson, step: Step, known: dict[str, RunPart]) -> list[str]:
    """Which runs of a step are recordings, a sentence for each machine and day."""
    labels: dict[str, list[str]] = {}
    for part in (known[name] for name in step.runs if name in known):
        if part.recorded:
            made = f"{part.machine}, {part.recorded:%d %B %Y}"
            labels.setdefault(made, []).append(lesson.runs[part.name].label)
    return [f"{' · '.join(those)}: a recording, made on {made}." for made, those in labels.items()]


def _answer(kind: str, lesson: Lesson, question: Question, progress: Progress, values: Values) -> str:
    asked = f"<small>{kind}</small>{_paragraph(question.ask)}"
    if not fits(question, progress.answers.get(question.id)):
        return f'<div class="card">{asked}<p>Not answered.</p></div>'
    found = _graded(lesson, question, progress, values)
    marks = {True: '<span class="right">right</span>', False: '<span class="wrong">not so</span>'}
    mark = marks.get(found.right, "cannot be told")
    said, truth = html.escape(found.said), html.escape(found.truth)
    return f'<div class="card">{asked}<p>Said: {said} · measured: {truth} · {mark}</p></div>'


def _table(lesson: Lesson, step: Step, values: Values) -> str:
    head = "".join(f"<th>{html.escape(MEASURES[name].heading)}</th>" for name in step.show)
    rows = "".join(
        f"<tr><td>{html.escape(lesson.runs[name].label)}</td>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, cells in zip(step.runs, table(step.show, step.runs, values), strict=True)
    )
    return f'<div class="scroll"><table><tr><th>run</th>{head}</tr>{rows}</table></div>'


def _settings(lesson: Lesson, progress: Progress, runs: Sequence[RunPart]) -> str:
    """What is needed to do it again: every setting of every run, with its seed, and where it was trained. A
    question mark stands for what a step hides until its checks are answered."""
    pieces = ["<h2>Settings</h2>"]
    for run in runs:
        steps = [step for step in lesson.steps if run.name in step.runs]
        hidden = {name for step in steps for name in still_hidden(step, progress.answers)}
        config = json.dumps(run.told.config.to_dict() | dict.fromkeys(hidden, "?"))
        made = f", recorded {run.recorded:%d %B %Y}" if run.recorded else ""
        size = f"{budget(run.told.config).parameters:,} parameters"
        seed = f"seed {run.told.config.seed}"
        said = f"{lesson.runs[run.name].label}: {size}, {seed}, on {run.machine}{made}"
        pieces.append(f"<p><b>{html.escape(said)}</b><br><small>{html.escape(config)}</small></p>")
    return "".join(pieces)


def _paragraph(text: str) -> str:
    """A lesson's text, of whose Markdown only bold, italics and colours are kept."""
    said = html.escape(text)
    said = re.sub(r":[a-z]+\[([^\]]*)\]", r"\1", said)
    said = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", said)
    said = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", said)
    return f"<p>{said}</p>"


class _Pictures:
    """Figures as pieces of a page; the first brings Plotly along, for all."""

    def __init__(self, series: Sequence[str]) -> None:
        self._series = series
        self._drawn = 0

    def drawn(self, figure: dict[str, Any], height: int) -> str:
        from plotly.io import to_html

        def color(found: re.Match[str]) -> str:
            return f'"{self._series[(int(found[1]) - 1) % len(self._series)]}"'

        painted = json.loads(re.sub(r'"#0000(0[1-9]|10)"', color, json.dumps(figure)))
        axis = {"gridcolor": "rgba(128,128,128,0.3)", "zeroline": False, "automargin": True}
        painted["layout"] = {
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "#211C15", "size": 14},
            "template": {"layout": {"xaxis": axis, "yaxis": axis}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"l": 20, "r": 20, "t": 40, "b": 20},
            **painted["layout"],
        }
        self._drawn += 1
        return to_html(
            painted,
            full_html=False,
            include_plotlyjs=self._drawn == 1,
            config={"responsive": True, "displaylogo": False},
            default_height=f"{height}px",
            div_id=f"picture-{self._drawn}",
        )
