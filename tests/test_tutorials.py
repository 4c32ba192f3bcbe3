"""Tutorials run from their first cell to their last, on a small budget, and are stored without outputs.

Slow, as all of them take five minutes of a processor; CI runs them as it builds the site (tests/site).
"""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
LARGEST_BYTES = 30_000
REAL_SONG = ROOT.parent / "shared" / "audio" / "francium_dry_only"


def test_there_is_a_tutorial() -> None:
    assert TUTORIALS


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.name)
def test_tutorials_are_stored_small_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST_BYTES
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None, cell.source


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.name)
def test_tutorials_run_without_errors(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHMIX_TUTORIAL_STEPS", "2")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if REAL_SONG.is_dir():  # else the tutorials mix what they make
        monkeypatch.setenv("GRAPHMIX_SONG", str(REAL_SONG))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    inherited = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *inherited]))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()  # raises at the first cell that fails
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs), "a tutorial shows its graph"
