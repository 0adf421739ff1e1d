"""`clvq push`: put a checkpoint on the hub, with its concepts and a model card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.options import command
from clvq.cli.output import Result, heading, table
from clvq.cli.run_folder import Run, named_checkpoint
from clvq.progress import Report
from clvq.storage import size_text


@command()
def push(
    report: Report,
    checkpoint: Annotated[Path, "Checkpoint: a name in the run folder, or a path."],
    repository: Annotated[str, "Repository: user/name. It is made if it does not exist."],
    *,
    run: Run = DEFAULT_RUN,
    private: Annotated[bool, "Make the repository private, where it is made."] = False,
    with_texts: Annotated[bool, "Send the sentences of the examples too; without it their words alone."] = False,
    license: Annotated[str | None, "Licence for the model card, such as mit [none is stated]."] = None,
    dry_run: Annotated[bool, "List the files and their sizes, and send nothing."] = False,
) -> Result:
    """Put a checkpoint on the hub, with its concepts and a model card.

    Paths of this machine are cut to their last part. Explanations and activations are not sent.
    """
    import clvq

    published = clvq.push(
        named_checkpoint(run, checkpoint, report), repository, private=private, with_texts=with_texts, license=license,
        dry_run=dry_run, progress=report,
    )  # fmt: skip
    listing = table("size", title="file")
    for name, size in published.files.items():
        listing.add_row(name, size_text(size))
    listing.add_row("all", size_text(sum(published.files.values())), style="bold")
    about = "nothing was sent" if published.commit is None else f"commit {published.commit[:10]}"
    texts = "with" if with_texts else "without"
    return Result(asdict(published), [heading(published.repository, f"{about}; {texts} sentences"), "", listing])
