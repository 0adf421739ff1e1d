"""`clvq faithfulness`: does the model's answer depend on the concepts? -> RUN/NAME/faithfulness.json, and tables.

What the other modes measure goes to RUN/NAME/faithfulness-MODE.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from clvq.cli.errors import UsageError
from clvq.cli.faithfulness_modes_view import SHOWN
from clvq.cli.faithfulness_view import shown
from clvq.cli.options import Run, command
from clvq.cli.output import Result
from clvq.config import FaithfulnessConfig
from clvq.progress import Report


@command((FaithfulnessConfig, "Edits and controls"))
def faithfulness(
    report: Report,
    checkpoint: Annotated[
        list[str] | None,
        "Checkpoints: names in the run folder, or paths [the only one there]. Several are put side by side; those that "
        "differ in the seed alone are taken together.",
    ] = None,
    *,
    run: Run = Path("clvq-run"),
    overwrite: Annotated[bool, "Measure again, and replace what is there."] = False,
    **given: Any,
) -> Result:
    """Edit concepts inside the model, beside matched controls.

    The states of the input layer are edited at the words that matter, and the rest of the model runs on. What counts
    is the contrast with controls at the same tokens that move them as far, with its 95% interval.
    """
    import clvq
    from clvq.training.checkpoint import find_checkpoint

    mode = given.get("mode", "model")
    if mode in SHOWN and checkpoint and len(checkpoint) > 1:
        raise UsageError(f"--mode {mode} takes one checkpoint; {len(checkpoint)} are given.")
    found = [find_checkpoint(run, name) for name in checkpoint] if checkpoint else [find_checkpoint(run)]
    made = clvq.faithfulness(found, overwrite=overwrite, progress=report, **given)
    document = {"path": str(made.path), **made.summary}
    if mode in SHOWN:
        return Result(document, SHOWN[mode](document))
    where = "" if run == Path("clvq-run") else f" --run {run}"
    which = "" if len(found) == 1 and not checkpoint else f" {found[0].path.name}"
    return Result(document, shown(document), f"Next: clvq report{which}{where}")
