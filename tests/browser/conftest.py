"""A real server, started afresh, and a real browser looking at it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Server:
    """`streamlit run` as a process of its own, listening at `url`."""

    def __init__(self, folder: Path, script: str = "app.py", root: Path = ROOT, **settings: str) -> None:
        """settings are environment variables, or options of `streamlit run` if they begin with "server"."""
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self._log_file = folder / "server.log"
        command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true"]
        command += ["--server.port", str(port), "--server.address", "localhost"]
        for name, value in settings.items():
            if name.startswith("server"):
                command += [f"--{name.replace('_', '.')}", value]
        environment = {name: value for name, value in settings.items() if not name.startswith("server")}
        with self._log_file.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=root,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "SLM_RUNS": str(folder / "runs"),
                    "PYTHONPATH": str(root),
                    **environment,
                },
            )
        self._wait_until_up()

    @property
    def log(self) -> str:
        """Everything the server has printed so far."""
        return self._log_file.read_text()

    def _wait_until_up(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5),
            ):
                return
            time.sleep(0.1)
        self.kill()
        pytest.fail(f"The server did not start:\n{self.log}")

    def end(self, sent: signal.Signals = signal.SIGINT, seconds: float = 30) -> int:
        """Asks the server to stop, as Ctrl-C does, and gives its exit status."""
        self.process.send_signal(sent)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends the server at once."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server that nobody has visited yet, as often as called; all are gone after the test. With
    `folder`, one that keeps its runs where an earlier one did; other settings as Server takes them."""
    started: list[Server] = []

    def start(script: str = "app.py", folder: str = "", root: Path = ROOT, **settings: str) -> Server:
        kept = tmp_path / (folder or f"server-{len(started)}")
        kept.mkdir(exist_ok=True)
        started.append(Server(kept, script, root, **settings))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one server shared by all tests that do not need a fresh one."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server.url
    server.kill()


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window. Skips if Playwright or a Chromium is missing, and only then."""
    api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    with api.sync_playwright() as playwright:
        if not (CHROMIUM or Path(playwright.chromium.executable_path).exists()):
            pytest.skip("No Chromium on the PATH, and none installed by `playwright install chromium`")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


class Visits:
    """The pages that a test has opened, each as a new visitor."""

    def __init__(self, chromium) -> None:
        self._chromium = chromium
        self._open = []

    def __call__(self, url: str, theme: str = "light", width: int = 1280, height: int = 900):
        """The page at `url`, once it has settled."""
        context = self._chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda said: errors.append(_told(said)) if _is_error(said) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        self._open.append((page, context, errors))
        page.goto(url)
        settled(page)
        return page

    def leave(self) -> None:
        """Closes all pages; fails if one shows an exception or has written an error to its console."""
        problems = []
        for page, context, errors in self._open:
            shown = [] if page.is_closed() else page.get_by_test_id("stException").all_inner_texts()
            problems += [f"{page.url}: {text}" for text in [*shown, *errors]]
            context.close()
        self._open.clear()
        assert not problems, "\n".join(problems)

    def forgive(self) -> None:
        """Closes all pages whatever they say: for tests that take the server away from under them."""
        for _, context, _ in self._open:
            context.close()
        self._open.clear()


@pytest.fixture
def visit(browser) -> Iterator[Visits]:
    """`visit(url, theme=, width=)` opens a page. At the test's end no page may show or log an error."""
    visits = Visits(browser)
    yield visits
    visits.leave()


def _told(said) -> str:
    """What a console message says, and of which file: "404 (Not Found)" alone is no help."""
    return f"{said.text} [{said.location.get('url', '')}]"


def _is_error(said) -> bool:
    # Opened at /train, Streamlit's own script first looks for its server below /train, and is told 404.
    return said.type == "error" and "/_stcore/" not in said.location.get("url", "")


def sections(page) -> Iterator[None]:
    """Opens one menu of the navigation after the other."""
    page.get_by_test_id("stTopNavSection").first.wait_for()
    for section in page.get_by_test_id("stTopNavSection").all():
        section.click()
        links(page).first.wait_for()
        yield
        page.keyboard.press("Escape")
        links(page).first.wait_for(state="detached")


def links(page):
    """The links of the menu that is open."""
    return page.get_by_test_id("stTopNavDropdownLink")


def turn_to(page, title: str) -> None:
    """Go to another page by the navigation."""
    for _ in sections(page):
        if (link := links(page).filter(has_text=title)).count():
            link.click()
            return
    raise AssertionError(f"The navigation has no page {title}.")


def settled(page, seconds: float = 60) -> None:
    """Waits until the page's script has run and the server is connected.

    On a page that refreshes itself this is true only now and then: wait for the element you need as well.
    """
    page.wait_for_selector(SETTLED, timeout=seconds * 1000)
