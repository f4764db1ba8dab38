"""The app without a browser: Streamlit's AppTest, each test with a runs folder and a process state of its
own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import server, visitor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the app keeps its runs in, empty at first. What the test started is stopped after
    it."""
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.delitem(sys.modules, server._HOLDER, raising=False)
    monkeypatch.setattr(visitor, "_cookie", lambda: "")  # AppTest makes up an object for every cookie
    yield tmp_path / "runs"
    server.stop_everything()
    sys.modules.pop(server._HOLDER, None)


@pytest.fixture
def open_app(runs: Path) -> Callable[..., AppTest]:
    """Opens the app as a new visitor, on a page of the navigation, with query parameters."""

    def open_page(page: str | None = None, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        if page:
            app.switch_page(page).run()
        assert not app.exception, app.exception
        return app

    return open_page
