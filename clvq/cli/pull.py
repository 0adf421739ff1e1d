"""`clvq pull`: fetch a checkpoint of the hub into a run folder."""

from __future__ import annotations

from typing import Annotated

from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.options import command
from clvq.cli.output import Result, plain
from clvq.cli.run_folder import Run
from clvq.progress import Report


@command()
def pull(
    report: Report,
    repository: Annotated[str, "Repository: user/name, or user/name@revision."],
    *,
    run: Run = DEFAULT_RUN,
    overwrite: Annotated[bool, "Fetch it again."] = False,
) -> Result:
    """Fetch a checkpoint of the hub into the run folder.

    Only safetensors, JSON and the model card are fetched, and their checksums are verified. Every command that takes a
    checkpoint takes user/name too, and fetches it so.
    """
    import clvq

    folder = clvq.pull(repository, run, overwrite=overwrite, progress=report)
    hint = f"Next: clvq codebook --checkpoint {folder.name} --run {run}"
    return Result({"path": str(folder)}, [Text(plain(str(folder)), overflow="fold")], hint)
