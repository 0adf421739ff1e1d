"""The report: one self-contained HTML file, made from what a run folder holds.

Bokeh draws the curves and the map, and Jinja fills the page. The file contains the styles, the scripts and BokehJS, and
needs no network.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clvq.concepts.codebook import codebook
from clvq.config.signatures import takes
from clvq.errors import ClvqError
from clvq.explanations.results import Explanations
from clvq.html_report.flow import Linked, linked
from clvq.html_report.gathered import gather
from clvq.html_report.page import render
from clvq.html_report.several import render_several
from clvq.progress import Progress, Report, silent
from clvq.storage import size_text, write_text
from clvq.training.checkpoint import Checkpoint, read_checkpoint, read_checkpoints

STAGE = "report"


@takes()
def report(
    checkpoint: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    path: str | Path,
    *,
    texts: str | Sequence[str] = (),
    flow: Checkpoint | str | Path | None = None,
    progress: Report = silent,
) -> Path:
    """Write the report of a checkpoint to one HTML file, and return the path of the file.

        clvq.report("run/L4-L8", "run/report.html")
        clvq.report(["run/L4-L8", "run/L4-L8-kmeans"], "run/report.html")

    For several checkpoints, the page compares the figures in one table, and has a short section on each checkpoint:
    what the figures mean, the training curves and the largest concepts.

    A result that the run folder lacks, or holds from another training, is left out. The page and a note name it, with
    the command that makes it. ArtifactError for a damaged artifact, ClvqError for a path that cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder; or several of them.
        path: The file to write.
        texts: Texts of your own to explain on the page of one checkpoint. This needs the language model.
        flow: Another checkpoint of the same activations: the page of one checkpoint then links the concepts of the two
            by the words that they share. Catalogues that are missing are made.
    """
    path = Path(path)
    _require_writable(path)
    checkpoints = read_checkpoints(checkpoint)
    if not checkpoints:
        raise ClvqError("No checkpoint is given to report on.")
    for given_, what in ((texts, "Texts of your own are"), (flow is not None, "Links to another checkpoint are")):
        if len(checkpoints) > 1 and given_:
            raise ClvqError(f"{what} for the report of one checkpoint. Leave them out, or name one checkpoint.")
    links = None if flow is None else _linked(checkpoints[0], flow, progress)
    progress(Progress(STAGE, 0, 3, "steps"))
    materials = [gather(one) for one in checkpoints]
    for gap in (gap for material in materials for gap in material.gaps):
        progress(Progress(STAGE, 1, 3, "steps", note=gap.sentence))
    progress(Progress(STAGE, 1, 3, "steps"))
    if len(materials) > 1:
        page = render_several(materials)
    else:
        page = render(materials[0], _explained(checkpoints[0], texts, progress) if texts else None, links)
    progress(Progress(STAGE, 2, 3, "steps", {"size": size_text(len(page.encode()))}))
    write_text(path, page)
    progress(Progress(STAGE, 3, 3, "steps"))
    return path


def _linked(checkpoint: Checkpoint, flow: Checkpoint | str | Path, progress: Report) -> Linked:
    """Return the links between the concepts of two checkpoints; ClvqError where the two are the same."""
    other = read_checkpoint(flow)
    if other.path.resolve() == checkpoint.path.resolve():
        raise ClvqError(f"{other.path} is linked with itself. Name another checkpoint of the same activations.")
    return linked(codebook(checkpoint, progress=progress), codebook(other, progress=progress))


def _explained(checkpoint: Checkpoint, texts: str | Sequence[str], progress: Report) -> Explanations:
    from clvq.explanations.explain import explain  # stored results need no language-model libraries

    return explain(checkpoint, texts, progress=progress)


def _require_writable(path: Path) -> None:
    """Raise ClvqError before any work where the file cannot be written. A full disk is noticed only when writing."""
    if path.is_dir():
        raise ClvqError(f"{path} is a folder; the report is one file. Name one, such as {path / 'report.html'}.")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ClvqError(f"{path.parent} cannot be written. Give the report another place with --output.")
