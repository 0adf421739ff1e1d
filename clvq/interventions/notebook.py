"""What `faithfulness` and `bench` measured as lines of one table, for pandas and for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clvq.interventions.bench_records import BenchResults
from clvq.interventions.mode_records import ConceptEffect, ConceptEffects, SpliceResult
from clvq.interventions.results import EditResults, Results
from clvq.notebook import table_html, text_html

MOST_ROWS = 50


def lines(results: Results) -> list[dict[str, Any]]:
    """Return one line for each selectivity, concept, stand-in of the splice, or edit of the probes.

    A mean with its interval becomes three columns, as in `drop`, `drop_low`, `drop_high`.
    """
    if isinstance(results, EditResults):
        return [row.as_json() for row in results.tables.rows]
    if isinstance(results, SpliceResult):
        return [{"stand_in": name, **_flat(entry.as_json())} for name, entry in results.others.items()]
    if isinstance(results, ConceptEffects):
        return [_concept_line(row) for row in results.concepts]
    return [_flat(row.as_json()) for row in results.table]


def _concept_line(row: ConceptEffect) -> dict[str, Any]:
    """Return the effects of a concept, with a column for each class: the fall beyond the coherent random step."""
    body = row.as_json()
    del body["classes"]
    return {**_flat(body), **{f"coherent_{line.name}": line.coherent.value for line in row.classes}}


def faithfulness_html(caption: str, results: Results) -> str:
    """Return a table of the first lines, with readable names of edits and controls."""
    every = lines(results)
    shown = every[:MOST_ROWS]
    if len(shown) < len(every):
        caption += f", the first {len(shown)} of {len(every)} lines"
    names = results.names if isinstance(results, EditResults) else {}
    head = list(dict.fromkeys(name for line in shown for name in line))
    return table_html(caption, head, [[_cell(line.get(name), names) for name in head] for line in shown])


def _flat(body: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the values of nested objects under flat names; `value` takes the name of the object that holds it."""
    flat: dict[str, Any] = {}
    for name, value in body.items():
        path = before if before and name == "value" else f"{before}_{name}" if before else name
        flat.update(_flat(value, path) if isinstance(value, Mapping) else {path: value})
    return flat


def _cell(value: Any, names: Mapping[str, str]) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else text_html(names.get(str(value), str(value)))


def bench_lines(results: BenchResults) -> list[dict[str, Any]]:
    """Return one line for each method, measure and part, with the figure in the columns `value`, `low` and `high`."""
    nothing = dict.fromkeys(("value", "low", "high"))
    bodies = [row.as_json() for row in results.rows]
    return [{**body, **(body.pop("figure") or nothing)} for body in bodies]


def bench_html(caption: str, results: BenchResults) -> str:
    """Return a table of the lines of `bench`."""
    rows = bench_lines(results)
    return table_html(caption, list(rows[0]), [[_cell(value, {}) for value in row.values()] for row in rows])
