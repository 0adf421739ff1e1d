"""Run docs/tutorial.ipynb and store its outputs in it.

    python scripts/run_tutorial.py

The outputs are stored, so that a reader of the repository or the site sees them without a run. tests/test_tutorial.py
runs the notebook, and checks that what is stored was made of the cells as they are.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
DIGEST = "made_of"
"""Where a notebook says of which cells its outputs were made."""


def run(folder: Path) -> Any:
    """Return the tutorial with the outputs of a run in `folder`. CellExecutionError where a cell fails."""
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm's, where ipywidgets is not installed
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}, record_timing=False)
    client.execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], DIGEST: digest(notebook)}
    return notebook


def digest(notebook: Any) -> str:
    """Return a digest of the code cells."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(run(Path(folder)), TUTORIAL)
