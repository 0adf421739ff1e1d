"""The section on `clvq bench`: one table with one line per method, the best reference first."""

from __future__ import annotations

from typing import Any

from clvq.artifacts import model_title
from clvq.html_report.faithfulness import Cell, cell
from clvq.interventions.bench_records import REFERENCES, STATES, BenchResults
from clvq.interventions.bench_verdict import bench_verdict

TAKEN_OUT = 20
"""Number of codes for which SCR and TPP are shown."""
_CODES = {"probing": "probe accuracy", "tpp": "TPP", "scr": "SCR"}


def bench_view(results: BenchResults) -> dict[str, Any]:
    """Return the values for the template; columns in which no method has a figure are left out."""
    parts = list(dict.fromkeys(row.part for row in results.rows if row.measure == "error"))
    columns: list[tuple[str, str, str, int | None]] = [
        *((f"error, {part}", "error", part, None) for part in parts),
        ("order", "order", "all", None),
        *(
            (f"{name}, {k} {'code' if k == 1 else 'codes'}", measure, "all", k)
            for measure, name in _CODES.items()
            for k in dict.fromkeys(row.k for row in results.rows if row.measure == measure and row.k is not None)
            if measure == "probing" or k == TAKEN_OUT
        ),
    ]
    measured = [column for column in columns if any(_figure(results, name, *column[1:]) for name in results.methods)]
    whole = [STATES] if any(row.method == STATES for row in results.rows) else []
    lines = [
        {
            "name": name,
            "meaning": _meaning(results, name),
            "reference": name in REFERENCES or name == STATES,
            "cells": [_figure(results, name, *column[1:]) for column in measured],
            "edited": results.edited.get(name),
        }
        for name in [*results.methods, *whole]
    ]
    return {
        "results": results,
        "model": model_title(results.model),
        "heads": [column[0] for column in measured],
        "lines": lines,
        "verdict": bench_verdict(results),
    }


def _meaning(results: BenchResults, name: str) -> str:
    if name == STATES:
        return "a probe of the whole state, not of codes"
    if name in REFERENCES:
        return REFERENCES[name]
    seeds = next(len(group.seeds) for group in results.groups if group.name == name)
    return "" if seeds == 1 else f"mean of {seeds} seeds"


def _figure(results: BenchResults, method: str, measure: str, part: str, k: int | None) -> Cell | None:
    row = results.row(method, measure, part, None if method == STATES else k)
    return None if row is None else cell(row.figure)
