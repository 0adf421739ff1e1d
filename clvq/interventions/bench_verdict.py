"""What the figures of `clvq bench` mean, in a few sentences, and reasons to doubt them."""

from __future__ import annotations

from clvq.interventions.bench_records import BenchResults
from clvq.training.verdict import Verdict

SURE = 0.05
"""Largest corrected p at which a difference counts as shown."""
FEW_EDITED = 0.5
"""Share of pairs with an edited word below which the estimates say little."""


def bench_verdict(results: BenchResults) -> Verdict:
    """Say which checkpoint is nearest to the true effects and whether that is shown, with warnings."""
    errors = {group.name: results.row(group.name, "error") for group in results.groups}
    values = {name: row.figure for name, row in errors.items() if row is not None and row.figure is not None}
    nothing = results.row("no change", "error")
    assert nothing is not None and nothing.figure is not None
    nearest = min(values, key=lambda name: values[name].value)
    figure = values[nearest]
    sentences = [
        f"The effects that {nearest} estimates are {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}] away from "
        f"the true ones; an estimate of no effect at all is {nothing.figure.value:.3f} away."
    ]
    warnings = []
    if figure.value >= nothing.figure.value:
        warnings.append("No checkpoint estimates the effects better than an estimate of no effect at all.")
    for line in results.differences:
        if line.part == "all":
            shown = line.p_holm <= SURE
            nearer = "nearer to" if line.difference.value < 0 else "farther from"
            sentences.append(
                f"{line.method} is {nearer} the true effects than {line.other}."
                if shown
                else f"No difference shown between {line.method} and {line.other}."
            )
    for name, share in results.edited.items():
        if share < FEW_EDITED:
            warnings.append(
                f"In only {share:.0%} of the pairs a word is edited with the codes of {name}; for the others the "
                "estimate is that nothing changes."
            )
    if results.left_out:
        warnings.append(f"{results.left_out:,} pairs are left out: the model reads only a part of their texts.")
    return Verdict(sentences, warnings)
