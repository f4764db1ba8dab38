"""Take it home: each format is offered with its size and commands, and none is made before a press."""

import pytest

from slm_core.config import load_preset
from slm_core.runs import export
from slm_core.runs.formats import FORMATS
from tests.pages.test_train import set_small, train_to_the_end

PAGE = "pages/learn/playground.py"


@pytest.fixture
def trained(open_app) -> str:
    """A run with a model."""
    return train_to_the_end(set_small(open_app()))


def test_every_format_has_a_button_and_code_to_copy_and_nothing_is_made_yet(open_app, trained, monkeypatch):
    monkeypatch.setattr(export, "export", lambda *_: pytest.fail("made before anybody asked"))
    app = open_app(PAGE)
    assert not app.exception and not app.error
    labels = {each.proto.label for each in app.get("download_button")}
    assert {f"Make {each.ending}" for each in FORMATS.values()} <= labels
    shown = " ".join(each.value for each in app.code)
    stem = load_preset("TINY_CPU").name + "-last"
    assert all(f"{stem}{ending}" in shown for ending in (".gguf", ".pt")) and "from_pretrained" in shown


def test_what_cannot_be_taken_home_is_said_before_training(open_app):
    app = set_small(open_app())
    assert not any("llama.cpp" in each.value for each in app.caption)
    set_small(app, n_embd=16, n_head=16, positions="learned")
    assert any("heads of one number" in each.value for each in app.caption)
