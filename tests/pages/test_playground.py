"""The Playground: empty, writing, and refusing what is no model."""

import gc
import re
import weakref

import pytest

from pages.ui import engine, marked, models
from slm_core.errors import SlmError
from slm_core.runs.checkpoint import (
    FORMAT,
    Checkpoint,
    import_checkpoint,
    load_checkpoint,
    read_tensors,
    write_tensors,
)
from slm_core.runs.store import list_runs
from slm_core.study.samples import Passage
from tests.pages.test_train import button, set_small, train_to_the_end

PAGE = "pages/learn/playground.py"


@pytest.fixture
def trained(open_app) -> str:
    """A run with a model."""
    return train_to_the_end(set_small(open_app()))


def test_without_a_model_it_says_how_to_get_one(open_app):
    app = open_app(PAGE)
    assert "Train one" in app.info[0].value


def test_it_writes_the_same_text_for_the_same_seed(open_app, trained):
    texts = []
    for _ in range(2):
        app = open_app(PAGE)
        app.text_area(key="prompt").set_value("On Monday").run()
        button(app, "Write").click().run()
        assert not app.exception and not app.error
        written = app.session_state["written"]
        assert written["done"] and written["prompt"] == "On Monday"
        texts.append(written["text"])
    assert texts[0] == texts[1] and texts[0]


def test_no_visit_keeps_the_models_it_wrote_with(open_app, trained):
    app = open_app(PAGE)
    button(app, "Write").click().run()
    assert not app.exception and app.session_state["written"]["done"]
    kept = [weakref.ref(each) for each in gc.get_objects() if type(each) is Checkpoint]
    assert kept
    models._load.clear()
    gc.collect()
    assert not [each for each in kept if each() is not None]
    assert app.session_state["written"]["text"], "the visit goes on"


def test_a_chip_writes_at_one_click(open_app, trained):
    app = open_app(PAGE)
    chip = next(each for each in app.button if (each.key or "").startswith("chip-"))
    chip.click().run()
    assert (
        app.session_state["written"]["prompt"]
        == app.session_state["prompt"]
        == chip.key.removeprefix("chip-")
    )


def test_markup_in_a_prompt_stays_text(open_app, trained):
    app = open_app(PAGE)
    app.text_area(key="prompt").set_value("<script>alert(1)</script> [x](javascript:y) $a$ :red[b]").run()
    button(app, "Write").click().run()
    shown = [each.proto.body for each in app.get("html") if "script" in each.proto.body]
    assert shown and not app.exception
    assert all("<script>" not in each for each in shown)


def test_a_damaged_model_is_said_and_others_can_be_chosen(open_app, trained):
    run = list_runs(engine.scheduler().root)[0]
    run.checkpoints["last"].write_bytes(b"not a model")
    app = open_app(PAGE)
    assert not app.exception and "last.safetensors" in app.error[0].value.replace("\\", "")
    app.selectbox(key="playground_model").select_index(1).run()
    assert not app.error and not app.exception


def test_a_brought_file_becomes_a_model_of_its_own(open_app, trained):
    root = engine.scheduler().root
    content = list_runs(root)[0].checkpoints["last"].read_bytes()
    brought = import_checkpoint(root, content, "../../from a friend.safetensors")
    assert brought.folder.parent == root
    theirs, ours = (
        load_checkpoint(brought.checkpoints["last"]),
        load_checkpoint(list_runs(root)[1].checkpoints["last"]),
    )
    assert all(
        (a == b).all() for a, b in zip(theirs.model.parameters(), ours.model.parameters(), strict=True)
    )
    assert any(model.run.imported for model in models.available())
    with pytest.raises(SlmError):
        import_checkpoint(root, content[:-100], "cut.safetensors")


def test_the_proof_of_sameness_stands_beside_the_model(open_app, trained):
    app = open_app(PAGE)
    assert any("Same model: largest difference 0" in said(each) for each in app.caption)
    [run] = list_runs(engine.scheduler().root)
    for kind, path in run.checkpoints.items():
        tensors, facts = read_tensors(path, FORMAT)
        if kind == "last":
            tensors["norm.weight"][0] += 1.0
        else:
            del facts["proof"]
        write_tensors(path, tensors, FORMAT, facts)
    app = open_app(PAGE)
    assert "Not the same model" in said(app.error[0]) and not app.exception
    app.selectbox(key="playground_model").select_index(1).run()
    assert not app.error and any("No proof recorded" in said(each) for each in app.caption)


def said(element) -> str:
    """What an element shows, without the signs that keep it from being read as Markdown."""
    return element.value.replace("\\", "")


def spans(html: str) -> list[tuple[str, str]]:
    """Class and text of each innermost span."""
    return re.findall(r'<span class="(prompt|new|cannot)">([^<]*)</span>', html)


@pytest.mark.parametrize(
    ("prompt", "text", "impossible", "expected"),
    [
        ("One ", "day", None, [("prompt", "One "), ("new", "day")]),
        ("One ", "day it", 7, [("prompt", "One "), ("new", "day"), ("cannot", " it")]),
        ("Once ", "day", 3, [("prompt", "Onc"), ("cannot", "e "), ("cannot", "day")]),
        ("", "<b>", None, [("new", "&lt;b&gt;")]),
    ],
)
def test_what_cannot_be_is_red_in_the_prompt_and_in_the_text(prompt, text, impossible, expected):
    assert spans(marked.written([Passage(prompt + text)], len(prompt), impossible)) == expected


def test_a_copied_passage_shows_its_source_and_no_markup():
    html = marked.written([Passage("so "), Passage("it was", 'x"><b>it was</b>')], 0)
    assert "<b>" not in html and html.count('class="copied"') == 1
    assert "&quot;&gt;&lt;b&gt;it was" in html and spans(html) == [("new", "so "), ("new", "it was")]
