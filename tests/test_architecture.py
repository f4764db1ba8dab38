"""The shape of the house: who imports whom, what loads without torch, thin pages, a test for each module."""

import ast
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    "errors",
    "caching",
    "config",
    "text",
    "model",
    "train",
    "hardware",
    "runs",
    "study",
    "figures",
    "lab_figures",
    "sweep_figures",
    "teach",
    "experiment",
    "laptop",
    "bench",
    "cli_corpora",
    "cli",
    "__main__",
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "slm_core").rglob("*.py"))
    if path.name != "__init__.py"
}
TORCH_FREE = [
    "slm_core",
    "slm_core.errors",
    "slm_core.caching",
    "slm_core.config",
    "slm_core.model.budget",
    "slm_core.model.sampling",
    "slm_core.train.events",
    "slm_core.hardware",
    "slm_core.runs.formats",
    "slm_core.runs.store",
    "slm_core.runs.scheduler",
    "slm_core.figures",
    "slm_core.experiment",
    "slm_core.bench",
    "slm_core.cli",
    *(name for name in MODULES if name.startswith(("slm_core.text.", "slm_core.study.", "slm_core.teach."))),
]
# Below this heading, the README shows where things live, in a fenced block of the kind "text". The first word
# of each line is a path from the root, a folder's ends with "/", and a few words about it follow.
TREE_HEADING = "## Where things live"


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports anywhere in it, `from a import b` as a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def engine_imports(path: Path) -> set[str]:
    """The modules of slm_core that a file imports."""
    found = set()
    for name in imported(path):
        if name.partition(".")[0] == "slm_core":
            module = max((m for m in MODULES if name == m or name.startswith(m + ".")), key=len, default=None)
            assert module, f"{path.relative_to(ROOT)} imports {name}, which is no module"
            found.add(module)
    return found


def layer(module: str) -> int:
    return LAYERS.index(module.split(".")[1])


def test_every_module_has_a_place_in_the_order():
    assert {module.split(".")[1] for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_the_same_or_an_earlier_layer(module):
    later = [other for other in engine_imports(MODULES[module]) if layer(other) > layer(module)]
    assert not later, f"{module} imports {later}, of a later layer"


def test_no_module_imports_itself_in_a_circle():
    waiting = {module: engine_imports(path) for module, path in MODULES.items()}
    while free := [module for module, needs in waiting.items() if not needs & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting, f"these import each other in a circle: {sorted(waiting)}"


@pytest.mark.parametrize("module", MODULES)
def test_the_engine_knows_neither_streamlit_nor_the_pages(module):
    roots = {name.partition(".")[0] for name in imported(MODULES[module])}
    assert not roots & {"streamlit", "pages", "app", "tests", "pickle"}


def test_what_the_first_page_needs_loads_without_torch():
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name + ' imports torch'\n"
        "    assert 'streamlit' not in sys.modules, name + ' imports streamlit'\n"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    together = subprocess.run(
        [*command, *TORCH_FREE], env=environment, capture_output=True, text=True, check=False
    )
    assert together.returncode == 0, together.stderr


def test_importing_the_engine_changes_nothing_outside_it(tmp_path):
    script = (
        "import importlib, os, random, sys, threading\n"
        "before = dict(os.environ), random.getstate()\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "assert threading.active_count() == 1 and (dict(os.environ), random.getstate()) == before\n"
        "assert not os.listdir('.')\n"
    )
    modules = [module for module in MODULES if not module.endswith("__main__")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *modules],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


PAGES = [path for path in sorted((ROOT / "pages").glob("*/*.py")) if path.parent.name != "ui"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_are_thin(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
    roots = {name.partition(".")[0] for name in imported(path)}
    assert not roots & {"torch", "numpy"}, "pages do not compute"


@pytest.mark.parametrize("path", sorted((ROOT / "pages").rglob("*.py")), ids=lambda path: path.stem)
def test_whatever_pages_import_of_the_engine_exists(path):
    engine_imports(path)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_file_of_tests(module):
    _, *folders, name = module.split(".")
    file = Path("tests", *folders, f"test_{'cli' if name == '__main__' else name}.py")
    assert (ROOT / file).exists(), f"{file} is missing"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_gives(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def readme_tree() -> list[str]:
    """The paths that the README's tree names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(
        rf"^{re.escape(TREE_HEADING)}\n(?:(?!^## ).*\n)*?```text\n((?:.*\n)*?)```", text, re.MULTILINE
    )
    assert block, f"README.md has no ```text block below {TREE_HEADING!r}"
    return [line.split()[0] for line in block[1].splitlines() if line.strip()]


def ignored(name: str) -> bool:
    """Whether .gitignore leaves out a top-level entry."""
    patterns = [
        line.strip().strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()
    ]
    return name == ".git" or any(fnmatch(name, pattern) for pattern in patterns)


def test_every_path_in_the_readmes_tree_exists():
    for path in readme_tree():
        found = ROOT / path
        assert found.is_dir() if path.endswith("/") else found.is_file(), f"README.md names {path}"


def test_the_readmes_tree_names_every_module_and_everything_at_the_top():
    named = set(readme_tree())
    top = {
        entry.name + "/" * entry.is_dir()
        for entry in ROOT.iterdir()
        if not ignored(entry.name) and (entry.is_file() or any(each.is_file() for each in entry.rglob("*")))
    }
    modules = {path.relative_to(ROOT).as_posix() for path in MODULES.values()}
    hidden = {name for name in top if name.startswith(".") and name != ".streamlit/"}
    assert not (top - hidden - {"README.md"} | modules) - named, "missing in the README's tree"
