"""`clvq report`: everything that a run folder holds about a checkpoint -> one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.options import command
from clvq.cli.output import Result, heading, plain
from clvq.cli.run_folder import Run, named_checkpoint, named_checkpoints
from clvq.progress import Report


@command()
def report(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Annotated[
        list[str] | None,
        "Checkpoint: a name in the run folder, a path, or user/name[@revision] on the hub [the only one there]. Repeat "
        "the option to compare several on one page.",
    ] = None,
    text: Annotated[list[str] | None, "Text of your own to explain on the page. Several, each with the option."] = None,
    flow: Annotated[
        Path | None,
        "Another checkpoint of the same activations: links show where the words of each concept go in its codebook.",
    ] = None,
    output: Annotated[Path | None, "File to write [RUN/report.html]."] = None,
) -> Result:
    """Write all results of a checkpoint to one HTML file that needs no network.

    Of several checkpoints the page has a table that compares them, and of each what its figures mean, its training
    curves and its largest concepts.

    Each call writes the file again. Where a result is missing, the page names the command that makes it.
    """
    import clvq
    from clvq.storage import size_text

    named = named_checkpoints(run, checkpoint, report)
    other = None if flow is None else named_checkpoint(run, flow, report)
    output = run / "report.html" if output is None else output
    path = clvq.report(named, output, texts=text or (), flow=other, progress=report)
    size = path.stat().st_size
    document = {"path": str(path), "checkpoint": str(named[0].path), "bytes": size}
    if len(named) > 1:
        document["checkpoints"] = [str(one.path) for one in named]
    shown: list[RenderableType] = [
        heading(f"Report of {', '.join(one.path.name for one in named)}", f"{size_text(size)}, everything inside"),
        "",
        Text(plain(str(path)), overflow="fold"),
    ]
    return Result(document, shown, "Open it in any browser.")
