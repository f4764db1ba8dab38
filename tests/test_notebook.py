"""The cloud notebook, run from its first cell to its last on this machine, with a tiny preset."""

import os
import re
from pathlib import Path

import pytest

from slm_core.config import load_preset
from slm_core.runs.store import create_run, list_runs
from slm_core.runs.work import train_run
from slm_core.train.events import StepDone

nbclient = pytest.importorskip("nbclient", reason="requirements-dev.txt brings nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "notebooks" / "train_on_cloud.ipynb"


def said(cell: dict) -> str:
    """All that a cell printed."""
    return "".join(output.get("text", "") for output in cell["outputs"])


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs the notebook in a checkout of its own and gives its cells of code."""
    monkeypatch.setenv("PRESET", "ULTRA_TINY")
    monkeypatch.setenv("MAX_ITERS", "8")
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "slm_core").symlink_to(ROOT / "slm_core")  # as in a checkout, whose files stay untouched
    (tmp_path / "requirements.txt").symlink_to(ROOT / "requirements.txt")

    def run() -> list[dict]:
        notebook = nbformat.read(FILE, as_version=4)
        where = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=120, resources=where).execute()
        return [cell for cell in notebook.cells if cell.cell_type == "code"]

    return run


def figure_of(cell: dict) -> dict:
    """The one figure that a cell shows at its end."""
    shown = [output for output in cell["outputs"] if output["output_type"] == "display_data"]
    [figure] = [each["data"]["application/vnd.plotly.v1+json"] for each in shown]
    return figure


@pytest.mark.filterwarnings("default")  # of the notebook's machinery, which is not ours
def test_the_notebook_trains_and_leaves_a_file_that_proves_itself(execute, tmp_path):
    code = execute()
    assert "installed: nothing" in said(code[1])
    assert re.search(r"step 8 of 8 · [\d,]+ tokens/s", said(code[3]))
    figure = figure_of(code[3])
    assert [line["name"] for line in figure["data"]] == ["training loss", "validation loss"]
    assert "Same model: largest difference 0" in said(code[4])
    assert (tmp_path / "ULTRA_TINY.safetensors").exists()


@pytest.mark.filterwarnings("default")
def test_after_a_disconnect_the_curves_go_on_where_they_were(execute, tmp_path):
    preset = load_preset("ULTRA_TINY")
    config = preset.config.with_changes({"max_iters": 8, "warmup_iters": 8})
    run = create_run(tmp_path / "runs", config, name=preset.name, device="cpu", threads=1)
    events = train_run(run)
    while not isinstance(event := next(events), StepDone) or event.step < 4:
        pass
    events.close()
    code = execute()
    assert [line["x"] for line in figure_of(code[3])["data"]] == [[0, 8], [0, 8]]
    assert [each.id for each in list_runs(tmp_path / "runs")] == [run.id], "it went on with that run"


def test_the_notebook_is_kept_without_outputs_and_names_no_repository():
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert 'REPOSITORY = ""' in code[0]["source"]
