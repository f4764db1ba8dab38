"""The cloud notebook, run from its first cell to its last on this machine, with a tiny preset."""

import os
import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="requirements-dev.txt brings nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "notebooks" / "train_on_cloud.ipynb"


def said(cell: dict) -> str:
    """All that a cell printed."""
    return "".join(output.get("text", "") for output in cell["outputs"])


@pytest.mark.filterwarnings("default")  # of the notebook's machinery, which is not ours
def test_the_notebook_trains_and_leaves_a_file_that_proves_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PRESET", "ULTRA_TINY")
    monkeypatch.setenv("MAX_ITERS", "8")
    monkeypatch.setenv("SLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "slm_core").symlink_to(ROOT / "slm_core")  # as in a checkout, whose files stay untouched
    (tmp_path / "requirements.txt").symlink_to(ROOT / "requirements.txt")
    notebook = nbformat.read(FILE, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "installed: nothing" in said(code[1])
    assert re.search(r"step 8 of 8 · [\d,]+ tokens/s", said(code[3]))
    shown = [output for output in code[3]["outputs"] if output["output_type"] == "display_data"]
    [figure] = [each["data"]["application/vnd.plotly.v1+json"] for each in shown]
    assert [line["name"] for line in figure["data"]] == ["training loss", "validation loss"]
    assert "Same model: largest difference 0" in said(code[4])
    assert (tmp_path / "ULTRA_TINY.safetensors").exists()


def test_the_notebook_is_kept_without_outputs_and_names_no_repository():
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert 'REPOSITORY = ""' in code[0]["source"]
