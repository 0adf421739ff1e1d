"""The tutorial runs, and what is stored in it was made by such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from scripts.notebook_page import page
from scripts.run_tutorial import DIGEST, TUTORIAL, digest, run


def kinds(notebook: Any) -> list[list[list[str]]]:
    """What each code cell gives: text, HTML, a picture. Figures and words differ from one machine to another."""
    return [
        [sorted(output.get("data", {output.get("name"): ""})) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_outputs_were_made_of_the_cells_as_they_are() -> None:
    stored = nbformat.read(TUTORIAL, as_version=4)
    assert stored.metadata[DIGEST] == digest(stored), "Run: python scripts/run_tutorial.py"
    assert "stderr" not in str(kinds(stored))


def test_the_page_of_the_site_has_cells_and_outputs() -> None:
    shown = page(TUTORIAL)
    assert "```python\nstore = clvq.extract(" in shown
    assert '<div class="output">\n<table>' in shown
    assert 'src="data:image/png;base64,' in shown
    assert "<style" not in shown


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    assert kinds(run(tmp_path)) == kinds(nbformat.read(TUTORIAL, as_version=4))
    assert (tmp_path / "tutorial-run" / "report.html").exists()
