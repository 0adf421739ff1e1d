"""`clvq faithfulness`: does the model's answer depend on the concepts? -> RUN/NAME/faithfulness.json, and tables.

The other modes write RUN/NAME/faithfulness-MODE.json.
"""

from __future__ import annotations

from typing import Annotated, Any

from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.options import command
from clvq.cli.output import Result, plain
from clvq.cli.run_folder import Compared, Run, named_checkpoints, run_option
from clvq.config import FaithfulnessConfig
from clvq.progress import Report


@command(
    (FaithfulnessConfig, "Edits and controls"), in_all_processes=lambda given: given.get("mode", "model") == "model"
)
def faithfulness(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Compared = None,
    overwrite: Annotated[bool, "Measure again, and replace the stored result."] = False,
    full: Annotated[
        bool, "With --mode model, also show every control, class and concept, and the spread over seeds."
    ] = False,
    **given: Any,
) -> Result:
    """Edit concepts inside the model and compare the effects with controls.

    The states of the input layer are edited at the salient words, and the layers above run on the edited states.
    Controls move the same tokens as far. The main figure is the effect of the edit minus the effect of a control, with
    its 95% interval.
    """
    import clvq
    from clvq.cli.faithfulness_modes_view import by_concept_shown, probed, spliced
    from clvq.cli.faithfulness_view import shown
    from clvq.interventions.mode_records import ConceptEffects, ProbeResult, SpliceResult
    from clvq.interventions.verdict import verdict

    mode = given.get("mode", "model")
    by_concept = given.get("by") == "concept"
    asked = "--by concept" if by_concept else f"--mode {mode}"
    if (mode != "model" or by_concept) and checkpoint and len(checkpoint) > 1:
        raise UsageError(f"{asked} takes one checkpoint; {len(checkpoint)} are given.")
    if mode != "model" and full:
        raise UsageError(f"--full is for --mode model, not {mode}.")
    checkpoints = named_checkpoints(run, checkpoint, report)
    measured = clvq.faithfulness(checkpoints, overwrite=overwrite, progress=report, **given)
    document = {"path": str(measured.path), **measured.summary}
    model = measured.summary["model"]["id"]
    said = verdict(measured.results)
    path = Text(plain(str(measured.path)), overflow="fold")
    if isinstance(measured.results, SpliceResult):
        return Result(document, [*spliced(measured.results, model), path], verdict=said)
    if isinstance(measured.results, ProbeResult):
        return Result(document, [*probed(measured.results, model), path], verdict=said)
    if isinstance(measured.results, ConceptEffects):
        codebook = clvq.codebook(measured.checkpoints[0], progress=report)
        return Result(document, [*by_concept_shown(measured.results, codebook, model, full=full), path], verdict=said)
    which = "" if len(checkpoints) == 1 and not checkpoint else f" --checkpoint {checkpoints[0].path.name}"
    hint = f"Next: clvq report{which}{run_option(run)}"
    return Result(document, [*shown(measured.results, full=full), path], hint, said)
