"""The command `export`: files that open, and mistakes answered in sentences."""

import zipfile

import pytest
import torch

from slm_core.cli import main
from tests.runs.test_export import made_model


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    made_model(tmp_path, "characters")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.safetensors"


def test_each_kind_is_written_under_the_models_name(model_file, tmp_path, capsys):
    for kind in ("huggingface", "gguf", "pt"):
        assert main(["export", str(model_file), "--to", kind]) == 0
    said = capsys.readouterr().out
    assert "A-b.zip: 0." in said and "A-b.gguf: 0." in said and "U+2581" in said
    assert (tmp_path / "A-b.gguf").read_bytes()[:4] == b"GGUF"
    assert "embedding.weight" in torch.load(tmp_path / "A-b.pt", weights_only=True)


def test_the_archive_unpacks_to_a_folder_of_the_files_name(model_file, tmp_path):
    out = tmp_path / "taken.zip"
    assert main(["export", str(model_file), "--to", "huggingface", "--out", str(out)]) == 0
    assert all(name.startswith("taken/") for name in zipfile.ZipFile(out).namelist())


def test_a_file_that_is_no_model_and_a_folder_that_is_not_there_are_said(model_file, tmp_path, capsys):
    (tmp_path / "no.safetensors").write_bytes(b"not a model")
    assert main(["export", str(tmp_path / "no.safetensors"), "--to", "gguf"]) == 2
    assert main(["export", str(model_file), "--to", "pt", "--out", str(tmp_path / "no" / "a.pt")]) == 2
    assert "no.safetensors" in capsys.readouterr().err
