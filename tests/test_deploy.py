"""Where the app can run besides a laptop: Community Cloud's main file, the image, and what the guide says."""

import asyncio
import copy
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import streamlit as st
from packaging.requirements import Requirement
from packaging.version import Version
from streamlit import config
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest
from streamlit.web.server.app_discovery import discover_asgi_app

from pages.ui import deployment, server, serving, visitor
from slm_core.config import load_presets
from slm_core.errors import ConfigError
from slm_core.model.budget import budget
from slm_core.runs.limits import PROFILES, allowed_presets, largest_upload_bytes

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "app.py"
ENTRY = ROOT / "deploy" / "community_cloud" / "streamlit_app.py"
PACKAGES = ENTRY.with_name("requirements.txt")
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Iterator[None]:
    """A process as it is when it starts: no runs, no profile, no secrets, nothing kept."""
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SLM_PROFILE", "")  # noted, so that it is put back after the test
    monkeypatch.delenv("SLM_PROFILE")
    monkeypatch.setattr(st.secrets, "_secrets", {})
    monkeypatch.setattr(config, "_main_script_path", None)
    monkeypatch.setattr(config, "_config_options", copy.deepcopy(config._config_options))
    monkeypatch.setattr(visitor, "_cookie", lambda: "")  # AppTest makes up an object for every cookie
    monkeypatch.delitem(sys.modules, server._HOLDER, raising=False)
    yield
    server.stop_everything()
    sys.modules.pop(server._HOLDER, None)


def statements(path: Path) -> list[str]:
    """The lines of a list that say something."""
    text = path.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


# ---- Community Cloud


def controls(script: Path) -> list[str]:
    """What a new visitor can press and move, and the title above it."""
    app = AppTest.from_file(str(script), default_timeout=60).run()
    assert not app.exception, app.exception
    kinds = (app.title, app.button, app.selectbox, app.slider, app.number_input)
    return [getattr(each, "label", "") or each.value for kind in kinds for each in kind]


def test_as_a_plain_script_the_cloud_shows_what_the_app_shows(fresh):
    on_the_cloud = controls(ENTRY)
    assert os.environ["SLM_PROFILE"] == "cloud"
    assert on_the_cloud == controls(APP)
    assert "Train" in on_the_cloud and "Preset" in on_the_cloud


def test_streamlit_finds_a_server_in_the_clouds_main_file():
    found = discover_asgi_app(ENTRY)
    assert (found.is_asgi_app, found.import_string) == (True, "streamlit_app:app")


def test_the_clouds_main_file_finds_the_app_from_anywhere(tmp_path):
    script = "import sys; sys.path[0] = sys.argv[1]; import streamlit_app as it; print(it.app.script_path)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(ENTRY.parent)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(APP)


def test_the_clouds_server_is_made_like_the_apps(fresh):
    def made(script: Path) -> list[object]:
        app = runpy.run_path(str(script), run_name=script.stem)["app"]
        routes = [route.path for route in app._user_routes]
        return [app._user_lifespan, routes, [each.cls for each in app._user_middleware]]

    assert made(ENTRY) == made(APP)


@pytest.mark.parametrize(
    ("variable", "secret", "profile"),
    [("", "", "cloud"), ("classroom", "", "classroom"), ("", "laptop", "laptop")],
)
def test_the_clouds_profile_can_be_chosen(fresh, monkeypatch, variable, secret, profile):
    if variable:
        monkeypatch.setenv("SLM_PROFILE", variable)
    if secret:
        monkeypatch.setattr(st.secrets, "_secrets", {"profile": secret})
    runpy.run_path(str(ENTRY), run_name="streamlit_app")
    assert deployment.limits() == PROFILES[profile]


def test_the_clouds_packages_are_the_roots_and_torch_for_the_cpu():
    page, rest = statements(PACKAGES)
    assert re.fullmatch(r"--find-links https://\S+/cpu/torch/", page), "a page of torch alone"
    assert (PACKAGES.parent / rest.removeprefix("-r ")).resolve() == ROOT / "requirements.txt"


def fake_torch(folder: Path, version: str) -> None:
    """A package called torch with nothing in it."""
    name = f"torch-{version}"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{name}.dist-info/{file}", text)


def test_where_there_are_both_the_pin_takes_the_build_for_the_cpu(tmp_path):
    pins = map(Requirement, statements(ROOT / "requirements.txt"))
    torch = next(each for each in pins if each.name == "torch")
    [(operator, plain)] = [(each.operator, each.version) for each in torch.specifier]
    cpu = f"{plain}+cpu"
    assert operator == "==" and Version(cpu) in torch.specifier and Version(cpu) > Version(plain)
    for version in (plain, cpu):
        fake_torch(tmp_path, version)
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--quiet", "--report", "-", "--dry-run"]
    command += ["--ignore-installed", "--no-deps", "--no-index", "--find-links", str(tmp_path), str(torch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    [chosen] = json.loads(done.stdout)["install"]
    assert chosen["metadata"]["version"] == cpu


# ---- the image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: word and rest, broken lines joined."""
    text = "\n".join(statements(ROOT / "Dockerfile")).replace("\\\n", "")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines())]


DOCKER = instructions()
VARIABLES = dict(rest.split("=", 1) for word, rest in DOCKER if word == "ENV")


def told(word: str) -> str:
    """The rest of the one instruction that begins with this word."""
    [rest] = [rest for each, rest in DOCKER if each == word]
    return rest


def left_out(path: Path) -> bool:
    """Whether .dockerignore keeps a path out. Its patterns begin at the root, those with **/ anywhere, and
    leave out whole folders."""
    parts = path.relative_to(ROOT).parts
    starts = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    patterns = statements(ROOT / ".dockerignore")
    at_root = any(fnmatch(start, each) for start in starts for each in patterns)
    anywhere = [each.removeprefix("**/") for each in patterns if each.startswith("**/")]
    return at_root or any(fnmatch(part, each) for part in parts for each in anywhere)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """What the Dockerfile copies, copied as Docker would."""
    folder = tmp_path_factory.mktemp("image")
    for rest in (rest for word, rest in DOCKER if word == "COPY"):
        *sources, target = rest.split()
        for source in map(ROOT.joinpath, sources):
            assert source.exists(), f"the Dockerfile copies {source}"
            assert not left_out(source), f".dockerignore leaves out {source}"
            if source.is_dir():
                shutil.copytree(
                    source, folder / target,
                    ignore=lambda at, names: [name for name in names if left_out(Path(at) / name)],
                )  # fmt: skip
            else:
                (folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / target)
    return folder


def test_the_engine_and_the_pages_are_in_the_image_whole(image):
    for name in ("slm_core", "pages"):
        ours = {path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file()}
        ours -= {path for path in ours if path.suffix == ".pyc"}
        assert ours == {path.relative_to(image) for path in (image / name).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", "runs/a/run.json", "corpora/a.txt", ".streamlit/secrets.toml"]
)
def test_what_is_private_or_large_stays_out_of_the_image(path):
    assert left_out(ROOT / path)


def test_the_image_holds_all_that_the_app_reads(image):
    script = (
        "from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file('app.py', default_timeout=60).run()\n"
        "print(app.title[0].value, *app.exception)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "SLM_PROFILE"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=image, env={**environment, "PYTHONPATH": "", "SLM_RUNS": str(image / "none")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "Train\n"


def test_the_images_command_starts_a_server_that_its_health_check_finds(image, tmp_path, until):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    command = [port if each == told("EXPOSE") else each for each in json.loads(told("ENTRYPOINT"))]
    check = told("HEALTHCHECK").partition("CMD ")[2].replace(told("EXPOSE"), port)
    assert port in command and port in check
    assert "'/_stcore/health'" in check  # other addresses are answered, too: with the page
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**VARIABLES, "SLM_RUNS": str(tmp_path / "runs"), "PATH": path, "HOME": str(tmp_path)}

    def healthy() -> bool:
        done = subprocess.run(["sh", "-c", check], env=environment, capture_output=True, check=False)
        return done.returncode == 0

    assert not healthy()
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=image, env=environment, stdout=log, stderr=log
        )
    try:
        until(lambda: healthy() or running.poll() is not None)
        assert running.poll() is None, (tmp_path / "log").read_text()
    finally:
        running.kill()
        running.wait()
    assert not healthy()


def test_the_image_runs_as_a_user_who_owns_its_volume():
    words = [word for word, _ in DOCKER]
    made = next(rest for word, rest in DOCKER if word == "RUN" and rest.startswith("useradd"))
    assert f" {told('USER')} " in made and f"chown -R {told('USER')} {told('VOLUME')}" in made
    assert words.index("USER") < words.index("VOLUME") < words.index("ENTRYPOINT")
    assert Path(VARIABLES["SLM_RUNS"]).is_relative_to(told("VOLUME"))
    assert VARIABLES["SLM_PROFILE"] in PROFILES


# ---- the guide


def test_every_file_that_the_guide_names_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE)
    assert links and all((ROOT / "docs" / link).is_file() for link in links)
    files = re.findall(r"`([\w./]+\.(?:py|txt))`", GUIDE)
    assert ENTRY.relative_to(ROOT).as_posix() in files
    assert all((ROOT / file).is_file() for file in files)


def test_the_guide_speaks_of_the_image_as_it_is():
    assert set(re.findall(r"-v [\w/-]+:(/data\b)", GUIDE)) == {told("VOLUME")}
    assert set(re.findall(r"127\.0\.0\.1:(\d{4})", GUIDE)) == {told("EXPOSE")}
    assert re.search(r"chown (\d+)", GUIDE)[1] == re.search(r"--uid (\d+)", str(DOCKER))[1]


def test_nginx_lets_through_what_the_app_takes():
    largest = max(largest_upload_bytes(limits) for limits in PROFILES.values())
    assert int(re.search(r"client_max_body_size (\d+)m", GUIDE)[1]) * 2**20 >= largest


@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_server_takes_the_model_file_of_each_preset_that_it_lets_train(fresh, monkeypatch, profile):
    monkeypatch.setenv("SLM_PROFILE", profile)
    config.set_option("server.headless", True)  # or it would open a browser

    async def begin() -> int:
        async with serving.lifespan(None):
            return config.get_option("server.maxUploadSize") * 2**20

    taken = asyncio.run(begin())
    for name in allowed_presets(PROFILES[profile], {k: v.config for k, v in load_presets().items()}):
        assert budget(load_presets()[name].config).checkpoint_bytes < taken, name
    assert PROFILES[profile].text_bytes <= taken


def test_secrets_that_do_not_parse_open_nothing(fresh, monkeypatch, tmp_path):
    broken = tmp_path / "secrets.toml"
    broken.write_text("password = chalk\nprofile = 'classroom'\n")
    monkeypatch.setattr(st, "secrets", Secrets())
    config.set_option("secrets.files", [str(broken)])
    with pytest.raises(ConfigError, match="must be TOML"):
        deployment.limits()
    broken.write_text("password = 'chalk'\nprofile = 'classroom'\n")
    assert deployment.limits() == PROFILES["classroom"] and deployment.password() == "chalk"
