"""The tables of the faithfulness section on edits inside the model, with one line per group of seeds.

Checkpoints that differ only in the seed form one group, which is shown by its means over the seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from clvq.config import FIGURES, HARD
from clvq.interventions.names import SPECIFICITY_NAMES, note_on_target
from clvq.interventions.records import SPECIFICITY, DifferenceRow, EffectRow, Interval, SeedsRow, SelectivityRow
from clvq.interventions.results import Curve, EditResults, Part, is_null


class Scale(NamedTuple):
    """The range of the axis on which the intervals of a table are drawn; it contains 0 and all intervals."""

    low: float
    high: float

    @classmethod
    def of(cls, intervals: Iterable[Interval | None]) -> Scale:
        ends = [end for one in intervals if one is not None for end in (one.low, one.value, one.high)]
        return cls(min([0.0, *ends]), max([0.0, *ends]))

    def percent(self, value: float) -> float:
        return round(100 * (value - self.low) / ((self.high - self.low) or 1.0), 2)


class Cell(NamedTuple):
    """A figure with its interval, and the positions at which they are drawn."""

    value: float
    low: float
    high: float
    spread: float | None = None
    """Standard deviation over the seeds."""
    places: tuple[float, float, float] | None = None
    """Positions of low, value and high, in percent of the width."""
    zero: float | None = None


def cell(interval: Interval | None, scale: Scale | None = None, spread: float | None = None) -> Cell | None:
    """Return the cell of an interval, with positions where a scale is given; None where there is no interval."""
    if interval is None:
        return None
    low, value, high = interval.low, interval.value, interval.high
    if scale is None:
        return Cell(value, low, high, spread)
    places = (scale.percent(low), scale.percent(value), scale.percent(high))
    return Cell(value, low, high, spread, places, scale.percent(0.0))


def interval_of(row: SelectivityRow | DifferenceRow | None) -> Interval | None:
    """Return the selectivity of a row, or its difference, with the interval; None where the row has none."""
    if isinstance(row, DifferenceRow):
        return Interval(row.difference, row.low, row.high)
    if row is None or row.selectivity is None or row.low is None or row.high is None:
        return None
    return Interval(row.selectivity, row.low, row.high)


def _cell(row: SelectivityRow | DifferenceRow | None, scale: Scale | None = None) -> Cell | None:
    return cell(interval_of(row), scale, row.spread if isinstance(row, SeedsRow) else None)


class Section:
    """The values that the template shows on edits inside the model."""

    def __init__(self, results: EditResults) -> None:
        self.results, self.names, self.clean = results, results.names, results.clean
        self.note = note_on_target(results.target.kind, results.target.unit)
        self.several = len(results.groups) > 1
        self.specificity_heads = [SPECIFICITY_NAMES[name] for name in SPECIFICITY]
        self.seeds = any(len(group.checkpoints) > 1 for group in results.groups)

    def about(self, group: str) -> str:
        """Return what to add to a group's name: its method if there are several groups, its seeds if it has several."""
        entry = next(entry for entry in self.results.groups if entry.name == group)
        seeds = len(entry.checkpoints)
        parts = [entry.method] if self.several else []
        return ", ".join([*parts, f"mean of {seeds} seeds"] if seeds > 1 else parts)

    def overview(self) -> list[dict[str, Any]]:
        """Return one part per edit and place, with one line per group: the concept's effect alone and beyond controls.

        The controls are the hard ones.
        """
        parts: dict[tuple[str, str], list[dict[str, Any]]] = {block: [] for block in self.results.blocks}
        for part, (concept, *_) in self.results.parts.items():
            beyond = [_cell(self.results.row(part, control, figure)) for figure in FIGURES[:2] for control in HARD]
            line = {"group": part.group, "about": self.about(part.group), "concept": concept, "beyond": beyond}
            parts[part.edit, part.place].append(line)
        return [{"title": self.results.title(*block), "lines": lines} for block, lines in parts.items()]

    def details(self) -> list[dict[str, Any]]:
        """Return one part per edit, place and group: effects of edit and controls, and the concept's beyond each."""
        scale = Scale.of(interval_of(row) for row in self.results.shown.rows if row.figure == "flips")
        order = self.results.blocks
        parts = []
        for part in sorted(self.results.parts, key=lambda part: order.index((part.edit, part.place))):
            concept, *controls = self.results.parts[part]
            title = self.results.title(part.edit, part.place) + (f": {part.group}" if self.several else "")
            nulls, put_in = (
                [self._beside(line, part, scale) for line in controls if is_null(line.control) == null]
                for null in (True, False)
            )
            squared = "squared length" if part.edit == "projection" else "squared distance from the mean"
            shown = {"title": title, "concept": concept, "squared": squared, "nulls": nulls, "beside": put_in}
            parts.append(shown)
        return parts

    def _beside(self, line: EffectRow, part: Part, scale: Scale) -> dict[str, Any]:
        """Return a control's figures, and the concept's selectivity against this control."""
        control = str(line.control)
        rows = [self.results.row(part, control, figure) for figure in FIGURES]
        return {
            "effect": line,
            "name": self.names[control],
            "beyond": [_cell(row, scale if number == 0 else None) for number, row in enumerate(rows)],
            "reason": next((row.reason for row in rows if row is not None and row.reason), None),
        }

    def classes(self) -> list[dict[str, Any]]:
        """Return one part per edit and place with one line per class and group: flips beyond the hard controls."""
        classes = self.results.classes
        scale = Scale.of(interval_of(row) for by_control in classes.values() for row in by_control.values())
        parts: dict[tuple[str, str], list[Any]] = {block: [] for block in self.results.blocks}
        for (part, label, sentences), by_control in classes.items():
            about = {"group": part.group if self.several else None, "label": label, "sentences": sentences}
            cells = [_cell(by_control.get(control), scale) for control in HARD]
            parts[part.edit, part.place].append({**about, "cells": cells})
        return [{"title": self.results.title(*block), "lines": lines} for block, lines in parts.items() if lines]

    def specificity(self) -> list[dict[str, Any]]:
        """Return one line per group and class: whether concepts of the predicted class, and no others, move it."""
        return [
            {
                "name": line.label or "all classes",
                "group": line.checkpoint if self.several else None,
                "sentences": line.sentences,
                "cells": [cell(getattr(line, name)) for name in SPECIFICITY],
            }
            for line in self.results.specificity
        ]

    def points(self, curve: Curve) -> list[dict[str, Any]]:
        """Return the points of a curve as text: the flips, and the flips beyond the hard controls."""
        return [
            {
                "title": self.names[edit] + (f": {group}" if self.several else ""),
                "lines": [
                    {
                        "at": curve.over.written(at),
                        "concept": next(iter(by_control.values())).concept,
                        "beyond": [_cell(by_control.get(control)) for control in HARD],
                        "reasons": [by_control[name].reason if name in by_control else None for name in HARD],
                    }
                    for at, by_control in points.items()
                ],
            }
            for (group, edit), points in curve.lines.items()
        ]

    def differences(self, *, hard: bool) -> list[dict[str, Any]]:
        """Return one part per pair of groups with one line per edit, place and control; intervals of flips are drawn.

        `hard` chooses the hard controls; else the other controls are taken.
        """
        rows = [row for row in self.results.differences if (row.control in HARD) == hard]
        scale = Scale.of(interval_of(row) for row in rows if row.figure == "flips")
        parts = []
        for (first, other), lines in self.results.compared.items():
            chosen = {key: by_figure for key, by_figure in lines.items() if (key[2] in HARD) == hard}
            shown = [
                {
                    "block": self.results.title(edit, place),
                    "control": self.names[control],
                    "cells": [_cell(by_figure.get(name), scale if name == "flips" else None) for name in FIGURES],
                    "p": [p for name in FIGURES[:2] if (p := by_figure[name].p_holm) is not None],
                    "row": next(iter(by_figure.values())),
                }
                for (edit, place, control), by_figure in chosen.items()
            ]
            if shown:
                parts.append({"title": f"{first} minus {other}", "lines": shown})
        return parts
