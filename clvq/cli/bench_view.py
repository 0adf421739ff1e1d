"""The output of `clvq bench`: one line per method, the best reference first."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import model_title
from clvq.cli.faithfulness_view import Intervals, interval
from clvq.cli.output import chance, heading, number, percent, plain
from clvq.interventions.bench_records import REFERENCES, STATES, BenchResults

SHOWN_CODES = 20
"""Number of codes for which SCR and TPP are shown."""
_CODES = {"probing": "accuracy", "tpp": "TPP", "scr": "SCR"}


def shown(results: BenchResults) -> list[RenderableType]:
    """Return the errors and the order of all methods, and the differences to the first."""
    parts = list(dict.fromkeys(row.part for row in results.rows if row.measure == "error"))
    heads = [*(f"error, {part}" for part in parts), "order", "edited"]
    rows = []
    for method in results.methods:
        errors = [_figure(results, method, "error", part) for part in parts]
        edited = percent(results.edited.get(method))
        rows.append((_called(results, method), [*errors, _figure(results, method, "order"), edited]))
    blocks: list[RenderableType] = [
        heading(
            f"Effects of concepts on {model_title(results.model)}",
            f"{number(results.pairs)} pairs of {number(results.originals)} texts",
        ),
        "",
        Intervals("Estimated effect against the true one", heads, rows),
        "",
    ]
    if results.differences:
        lines = [
            (f"{line.method} minus {line.other}, {line.part}", [interval(line.difference, "+"), chance(line.p_holm)])
            for line in results.differences
        ]
        blocks += [Intervals("Paired differences of", ["error", "p (Holm)"], lines), ""]
    return [*blocks, *_probes(results), *(Text(plain(sentence), style="dim") for sentence in results.lacking)]


def _probes(results: BenchResults) -> list[RenderableType]:
    """Return what a few codes tell about a text, and how probes change where these codes are removed."""
    measured = [row.key for row in results.rows if row.measure in _CODES and row.part == "all" and row.k]
    columns = [(measure, k) for measure, part, k in dict.fromkeys(measured) if measure == "probing" or k == SHOWN_CODES]
    if not columns:
        return []
    methods = [group.name for group in results.groups]
    rows = [
        (_called(results, method), [_figure(results, method, measure, "all", k) for measure, k in columns])
        for method in methods
    ]
    states = [_figure(results, STATES, "probing"), *["-"] * (len(columns) - 1)]
    tasks = {row.measure: row.count for row in results.rows if row.part == "all" and row.measure in _CODES}
    detail = ", ".join(f"{_CODES[measure]} over {number(count)}" for measure, count in tasks.items())
    heads = [f"{_CODES[measure]}, {number(k)} {'code' if k == 1 else 'codes'}" for measure, k in columns]
    return [
        heading("Codes of texts", f"means over tasks: {detail}"),
        "",
        Intervals("What codes tell of a text", heads, [*rows, ("a probe of the whole state", states)]),
        "",
    ]


def _called(results: BenchResults, method: str) -> str:
    """Return the name of a method as it stands in the table."""
    if method in REFERENCES:
        return f"{method}: {REFERENCES[method]}"
    group = next(group for group in results.groups if group.name == method)
    return method if len(group.seeds) == 1 else f"{method}, mean of {len(group.seeds)} seeds"


def _figure(results: BenchResults, method: str, measure: str, part: str = "all", k: int | None = None) -> str:
    row = results.row(method, measure, part, k)
    return "-" if row is None else interval(row.figure)
