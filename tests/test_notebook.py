"""The audit notebook of `examples/` is stored with its outputs, and runs."""

import json
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra test: nbformat")
NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "audit.ipynb"
MAX_BYTES = 400_000
MACHINE_PATH = r"/(home|root|tmp|work|usr|Users|var)/|site-packages|[A-Z]:\\\\"
SECONDS = 300


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


def kinds(notebook):
    """Return the kinds of output of each code cell, by number of the cell."""
    return {
        number: [
            sorted(output.data) if "data" in output else output.output_type
            for output in cell.outputs
        ]
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    }


def test_notebook_is_stored_with_the_outputs_of_one_run(stored):
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output.output_type for cell in code for output in cell.outputs]
    assert set(outputs) == {"display_data", "execute_result"}


def test_notebook_is_small_and_names_no_machine():
    text = NOTEBOOK.read_text("utf-8")
    assert len(text.encode()) < MAX_BYTES
    found = re.search(MACHINE_PATH, json.dumps(json.loads(text)))
    assert not found, f"{found.group()} in the stored notebook"


@pytest.mark.slow
def test_notebook_runs_and_shows_what_is_stored(stored, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel brings its own
    nbclient = pytest.importorskip("nbclient", reason="needs the extra test: nbclient")
    pytest.importorskip("ipykernel", reason="needs the extra test: ipykernel")
    notebook = nbformat.from_dict(stored)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=SECONDS, resources=resources).execute()
    assert kinds(notebook) == kinds(nbformat.read(NOTEBOOK, as_version=4))
    assert (tmp_path / "audit.html").stat().st_size
