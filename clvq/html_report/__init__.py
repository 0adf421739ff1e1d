"""The report: one HTML file with everything inside, made from what a run folder holds.

Bokeh draws the curves and the map, Jinja fills the page; the styles, the scripts and BokehJS are in the file, which
asks the network for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clvq.config.signatures import takes
from clvq.errors import ClvqError
from clvq.explanations.results import Explanations
from clvq.html_report.gathered import gather
from clvq.html_report.page import render
from clvq.progress import Progress, Report, silent
from clvq.storage import size_text, write_text
from clvq.training.checkpoint import Checkpoint, read_checkpoint

STAGE = "report"


@takes()
def report(
    checkpoint: Checkpoint | str | Path,
    path: str | Path,
    *,
    texts: str | Sequence[str] = (),
    progress: Report = silent,
) -> Path:
    """Write the report of a checkpoint to one HTML file, and return the path of the file.

        clvq.report("run/L4-L8", "run/report.html")

    What the run folder lacks, or holds from another training, is left out and named in the page and in a note, with
    the command that makes it. ArtifactError for a damaged artifact, ClvqError for a path that cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder.
        path: The file to write.
        texts: Texts of your own to explain on the page. This needs the language model.
    """
    path = Path(path)
    _require_writable(path)
    checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else read_checkpoint(checkpoint)
    progress(Progress(STAGE, 0, 3, "steps"))
    material = gather(checkpoint)
    for gap in material.gaps:
        progress(Progress(STAGE, 1, 3, "steps", note=gap.sentence))
    progress(Progress(STAGE, 1, 3, "steps"))
    page = render(material, _explained(checkpoint, texts, progress) if texts else None)
    progress(Progress(STAGE, 2, 3, "steps", {"size": size_text(len(page.encode()))}))
    write_text(path, page)
    progress(Progress(STAGE, 3, 3, "steps"))
    return path


def _explained(checkpoint: Checkpoint, texts: str | Sequence[str], progress: Report) -> Explanations:
    from clvq.explanations.explain import explain  # what only reads need not load the language model's libraries

    return explain(checkpoint, texts, progress=progress)


def _require_writable(path: Path) -> None:
    """Before any work; a disk that fills up is met by the writing itself."""
    if path.is_dir():
        raise ClvqError(f"{path} is a folder; the report is one file. Name one, such as {path / 'report.html'}.")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ClvqError(f"{path.parent} cannot be written. Give the report another place with --output.")
