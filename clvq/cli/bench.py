"""`clvq bench`: compare what concepts say with effects that are known -> RUN/NAME/bench.json, and a table."""

from __future__ import annotations

from typing import Annotated, Any

from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.options import command
from clvq.cli.output import Result, plain
from clvq.cli.run_folder import Compared, Run, named_checkpoints
from clvq.config import BenchConfig
from clvq.progress import Report


@command((BenchConfig, "Pairs and edits"))
def bench(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Compared = None,
    overwrite: Annotated[bool, "Measure again, and replace the stored result."] = False,
    **given: Any,
) -> Result:
    """Score what the concepts say against effects that are known.

    Pairs of texts differ in one concept. The true effect of the difference is the change of the model's probabilities
    from one text to the other. Each checkpoint estimates it by editing its concepts of the words that differ between
    the two, in the first text alone.
    """
    import clvq
    from clvq.cli.bench_view import shown
    from clvq.interventions.bench_verdict import bench_verdict

    checkpoints = named_checkpoints(run, checkpoint, report)
    measured = clvq.bench(checkpoints, overwrite=overwrite, progress=report, **given)
    path = Text(plain(str(measured.path)), overflow="fold")
    document = {"path": str(measured.path), **measured.summary}
    return Result(document, [*shown(measured.results), path], verdict=bench_verdict(measured.results))
