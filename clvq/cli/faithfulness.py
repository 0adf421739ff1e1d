"""`clvq faithfulness`: does the model's answer depend on the concepts? -> RUN/NAME/faithfulness.json, and tables.

What the other modes measure goes to RUN/NAME/faithfulness-MODE.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from rich.text import Text

from clvq.cli.errors import UsageError
from clvq.cli.options import Run, command
from clvq.cli.output import Result, plain
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
    full: Annotated[bool, "Show every control, each class, and how seeds spread, of --mode model."] = False,
    **given: Any,
) -> Result:
    """Edit concepts inside the model, beside matched controls.

    The states of the input layer are edited at the words that matter, and the rest of the model runs on. What counts
    is the contrast with controls at the same tokens that move them as far, with its 95% interval.
    """
    import clvq
    from clvq.cli.faithfulness_modes_view import probed, spliced
    from clvq.cli.faithfulness_view import shown
    from clvq.interventions.records import ProbeResult, SpliceResult
    from clvq.interventions.verdict import verdict
    from clvq.training.checkpoint import find_checkpoint

    mode = given.get("mode", "model")
    if mode != "model" and checkpoint and len(checkpoint) > 1:
        raise UsageError(f"--mode {mode} takes one checkpoint; {len(checkpoint)} are given.")
    if mode != "model" and full:
        raise UsageError(f"--full is for --mode model, not {mode}.")
    checkpoints = [find_checkpoint(run, name) for name in checkpoint] if checkpoint else [find_checkpoint(run)]
    measured = clvq.faithfulness(checkpoints, overwrite=overwrite, progress=report, **given)
    document = {"path": str(measured.path), **measured.summary}
    model = measured.summary["model"]["id"]
    said = verdict(measured.results)
    path = Text(plain(str(measured.path)), overflow="fold")
    if isinstance(measured.results, SpliceResult):
        return Result(document, [*spliced(measured.results, model), path], verdict=said)
    if isinstance(measured.results, ProbeResult):
        return Result(document, [*probed(measured.results, model), path], verdict=said)
    where = "" if run == Path("clvq-run") else f" --run {run}"
    which = "" if len(checkpoints) == 1 and not checkpoint else f" {checkpoints[0].path.name}"
    return Result(document, [*shown(measured.results, full=full), path], f"Next: clvq report{which}{where}", said)
