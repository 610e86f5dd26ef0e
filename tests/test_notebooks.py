"""Every notebook runs from top to bottom, with tiny budgets."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_BUDGET", "tiny")
    monkeypatch.setenv("NAS_NOTEBOOK_DIR", str(tmp_path))
    monkeypatch.setenv("NAS_MACHINE_LOCK", str(tmp_path / "machine.lock"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    errors = [o for c in notebook.cells for o in c.get("outputs", []) if o["output_type"] == "error"]
    assert errors == []


def test_there_are_notebooks():
    assert NOTEBOOKS
