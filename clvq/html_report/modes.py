"""The other modes in the faithfulness section: the spliced reconstruction, the probes, and single concepts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from clvq.concepts.records import Concept
from clvq.html_report.faithfulness import Scale, cell
from clvq.interventions.mode_records import ConceptEffects, ProbeFigures, ProbeResult, SpliceResult
from clvq.interventions.names import EDIT_NAMES, SPLICED, STAND_INS, control_name, figure_names, note_on_target
from clvq.interventions.results import ModeResult
from clvq.interventions.verdict import is_sure, verdict

TOP_WORDS = 8
LEAST_CONCEPTS = 20
"""Number of concepts that are listed even where fewer have a clear effect."""


def mode_view(result: ModeResult, concepts: Sequence[Concept]) -> dict[str, Any]:
    """Return the values that the template shows for a measurement."""
    if isinstance(result, SpliceResult):
        return splice_view(result)
    return by_concept_view(result, concepts) if isinstance(result, ConceptEffects) else probe_view(result)


def by_concept_view(result: ConceptEffects, concepts: Sequence[Concept]) -> dict[str, Any]:
    """Return one line per concept with a clear effect (`is_sure`), and at least LEAST_CONCEPTS lines."""
    words = {concept.code: "\u00a0· ".join(top.word for top in concept.top_words[:TOP_WORDS]) for concept in concepts}
    scale = Scale.of(row.coherent for row in result.concepts)
    sure = [row for row in result.concepts if is_sure(row.coherent)]
    lines = [
        {"row": row, "words": words.get(row.code, ""), "effect": cell(row.coherent, scale), "own": cell(row.own)}
        for row in result.concepts[: max(len(sure), LEAST_CONCEPTS)]
    ]
    note = note_on_target(result.target, result.unit)
    names = figure_names(result.target)
    return {
        "result": result,
        "lines": lines,
        "most": TOP_WORDS,
        "verdict": verdict(result),
        "names": names,
        "note": note,
    }


def splice_view(result: SpliceResult) -> dict[str, Any]:
    """Return one line per figure with one cell per stand-in; figures that neither stand-in has are left out."""
    others = [result.others[name] for name in STAND_INS]
    names = figure_names(result.target)
    rows = [
        (name, names[name], [getattr(entry, name) for entry in others])
        for name in ("share_recovered", "share_recovered_labels")
    ]
    for name in ("agreement", "kl", "accuracy"):
        for state, called in SPLICED.items():
            answers = [getattr(entry, state) for entry in others]
            rows.append((name, f"{names[name]}, {called}", [getattr(answer, name) for answer in answers]))
    lines = [
        {"name": _capital(title), "cells": list(map(cell, figures)), "headline": name == "share_recovered"}
        for name, title, figures in rows
        if any(figures)
    ]
    note = note_on_target(result.target, result.unit)
    return {"result": result, "heads": list(STAND_INS.values()), "lines": lines, "note": note}


def probe_view(result: ProbeResult) -> dict[str, Any]:
    """Return what a probe reads from edited rows, one part per edit; the published protocol has one more, its check."""
    scale = Scale.of(line.selectivity for line in result.table)
    parts = []
    for (edit, protocol), group in groupby(result.table, key=lambda line: (line.edit, line.protocol)):
        lines = [
            {
                "line": line,
                "name": control_name(line.control),
                **_figures(line.figures),
                "beyond": cell(line.selectivity, scale),
            }
            for line in group
        ]
        title = "what checks it" if protocol == "check" else EDIT_NAMES[edit]
        parts.append({"title": _capital(title), "lines": lines})
    return {"result": result, "before": _figures(result.before), "parts": parts}


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _figures(figures: ProbeFigures) -> dict[str, Any]:
    refitted = cell(figures.refitted)
    return {"accuracy": cell(figures.accuracy), "refitted": refitted, "chance_distance": figures.chance_distance}
