"""What the faithfulness section says of the other modes: the spliced reconstruction, and what probes read."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from clvq.html_report.faithfulness import Cell, Scale, cell

_SPLICED = (
    ("share_recovered", None, "Share of the loss recovered"),
    ("share_recovered_labels", None, "The same, loss against the labels"),
    ("agreement", "spliced", "Agreement with the model as it is"),
    ("agreement", "ablated", "Agreement where all rows are the mean"),
    ("kl", "spliced", "KL"),
    ("kl", "ablated", "KL where all rows are the mean"),
    ("accuracy", "spliced", "Accuracy"),
    ("accuracy", "ablated", "Accuracy where all rows are the mean"),
)
OTHERS = {"clean": "other tokens left as they are", "ablated": "other tokens the mean as well"}
_EDITS = {"removal": "Centred removal", "projection": "Projection, as published", "mean": "Replacement by the mean"}
_CONTROLS = {
    None: "the concept",
    "gaussian": "Gaussian direction, as published",
    "random": "random direction",
    "covariance": "covariance-matched random",
    "own": "own deviation",
    "other": "concept of another sentence",
    "same": "concept of one predicted alike",
    "opposite": "concept of one predicted otherwise",
}


def splice_view(found: dict[str, Any]) -> dict[str, Any]:
    """A line a figure with a cell for each stand-in; figures that neither has are left out."""
    lines = []
    for figure, state, name in _SPLICED:
        entries = [found["others"][others] for others in OTHERS]
        cells = [_cell((entry if state is None else entry[state])[figure]) for entry in entries]
        if any(cells):
            lines.append({"name": name, "cells": cells, "own": figure == "share_recovered"})
    return {**found, "heads": list(OTHERS.values()), "lines": lines}


def probe_view(found: dict[str, Any]) -> dict[str, Any]:
    """A part an edit, and in the published protocol one for what checks it: what a probe reads of edited rows."""
    scale = Scale.of((line["selectivity"] for line in found["table"] if line["selectivity"] is not None), "value")
    parts = []
    for (edit, protocol), group in groupby(found["table"], key=lambda line: (line["edit"], line.get("protocol"))):
        lines = [
            {
                **line,
                "name": _CONTROLS[line["control"]],
                "accuracy": _cell(line["accuracy"]),
                "refitted": _cell(line["refitted"]),
                "beyond": cell(line["selectivity"], "value", scale),
            }
            for line in group
        ]
        parts.append({"title": "What checks it" if protocol == "check" else _EDITS[edit], "lines": lines})
    before = found["before"]
    shown = {**before, "accuracy": _cell(before["accuracy"]), "refitted": _cell(before["refitted"])}
    return {**found, "before": shown, "parts": parts}


def _cell(entry: dict[str, float] | None) -> Cell | None:
    return cell(entry, "value")
