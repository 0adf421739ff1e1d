"""What the faithfulness section says of edits inside the model: its tables, with a line a group of seeds.

Checkpoints that differ in the seed alone are one group; the means over its seeds stand for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from clvq.config import FIGURES, HARD
from clvq.interventions.names import SPECIFICITY_NAMES, note_on_target
from clvq.interventions.records import SPECIFICITY, DifferenceRow, EffectRow, Interval, SeedsRow, SelectivityRow
from clvq.interventions.results import Curve, EditResults, Part, is_null


class Scale(NamedTuple):
    """One scale for the drawn intervals of a table; it holds 0 and all of them."""

    low: float
    high: float

    @classmethod
    def of(cls, intervals: Iterable[Interval | None]) -> Scale:
        ends = [end for one in intervals if one is not None for end in (one.low, one.value, one.high)]
        return cls(min([0.0, *ends]), max([0.0, *ends]))

    def percent(self, value: float) -> float:
        return round(100 * (value - self.low) / ((self.high - self.low) or 1.0), 2)


class Cell(NamedTuple):
    """A figure with its interval, and where these are drawn."""

    value: float
    low: float
    high: float
    spread: float | None = None
    """Standard deviation over the seeds."""
    places: tuple[float, float, float] | None = None
    """Of low, value and high, in percent."""
    zero: float | None = None


def cell(interval: Interval | None, scale: Scale | None = None, spread: float | None = None) -> Cell | None:
    """An interval, drawn where a scale is given; None where there is none."""
    if interval is None:
        return None
    low, value, high = interval.low, interval.value, interval.high
    if scale is None:
        return Cell(value, low, high, spread)
    places = (scale.percent(low), scale.percent(value), scale.percent(high))
    return Cell(value, low, high, spread, places, scale.percent(0.0))


def interval_of(row: SelectivityRow | DifferenceRow | None) -> Interval | None:
    """The selectivity of a row, or its difference; None where it has none."""
    if isinstance(row, DifferenceRow):
        return Interval(row.difference, row.low, row.high)
    if row is None or row.selectivity is None or row.low is None or row.high is None:
        return None
    return Interval(row.selectivity, row.low, row.high)


def _cell(row: SelectivityRow | DifferenceRow | None, scale: Scale | None = None) -> Cell | None:
    return cell(interval_of(row), scale, row.spread if isinstance(row, SeedsRow) else None)


class Section:
    """What the template shows of edits inside the model."""

    def __init__(self, results: EditResults) -> None:
        self.results, self.names, self.clean = results, results.names, results.clean
        self.note = note_on_target(**results.target)
        self.several = len(results.groups) > 1
        self.specificity_heads = [SPECIFICITY_NAMES[name] for name in SPECIFICITY]
        self.seeds = any(len(group.checkpoints) > 1 for group in results.groups)

    def about(self, group: str) -> str:
        """What to say beside a group's name: its method where there are others, its seeds where it has several."""
        entry = next(entry for entry in self.results.groups if entry.name == group)
        seeds = len(entry.checkpoints)
        parts = [entry.method] if self.several else []
        return ", ".join([*parts, f"mean of {seeds} seeds"] if seeds > 1 else parts)

    def overview(self) -> list[dict[str, Any]]:
        """A part an edit and place with a line a group: the concept, and what it does beyond the hard controls."""
        parts: dict[tuple[str, str], list[dict[str, Any]]] = {block: [] for block in self.results.blocks}
        for part, (concept, *_) in self.results.parts.items():
            beyond = [_cell(self.results.row(part, control, figure)) for figure in FIGURES[:2] for control in HARD]
            line = {"group": part.group, "about": self.about(part.group), "concept": concept, "beyond": beyond}
            parts[part.edit, part.place].append(line)
        return [{"title": self.results.title(*block), "lines": lines} for block, lines in parts.items()]

    def details(self) -> list[dict[str, Any]]:
        """A part an edit, place and group: what edit and controls do, and the concept beyond each."""
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
            parts.append({"title": title, "concept": concept, "nulls": nulls, "put_in": put_in})
        return parts

    def _beside(self, line: EffectRow, part: Part, scale: Scale) -> dict[str, Any]:
        """A control's figures and the concept's selectivity against it."""
        control = str(line.control)
        rows = [self.results.row(part, control, figure) for figure in FIGURES]
        return {
            "effect": line,
            "name": self.names[control],
            "beyond": [_cell(row, scale if number == 0 else None) for number, row in enumerate(rows)],
            "reason": next((row.reason for row in rows if row is not None and row.reason), None),
        }

    def classes(self) -> list[dict[str, Any]]:
        """A part an edit and place with a line a class and group: flips beyond the hard controls."""
        classes = self.results.classes
        scale = Scale.of(interval_of(row) for by_control in classes.values() for row in by_control.values())
        parts: dict[tuple[str, str], list[Any]] = {block: [] for block in self.results.blocks}
        for (part, label, sentences), by_control in classes.items():
            about = {"group": part.group if self.several else None, "label": label, "sentences": sentences}
            cells = [_cell(by_control.get(control), scale) for control in HARD]
            parts[part.edit, part.place].append({**about, "cells": cells})
        return [{"title": self.results.title(*block), "lines": lines} for block, lines in parts.items() if lines]

    def specificity(self) -> list[dict[str, Any]]:
        """A line a group and class: whether concepts of the predicted class move it alone."""
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
        """The points of a curve as text: flips and what is beyond the hard controls."""
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
        """A part a pair of groups with a line an edit, place and control, of the hard or the other controls; flips
        are drawn."""
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
                    "p": [f"{p:.3f}" for name in FIGURES[:2] if (p := by_figure[name].p_holm) is not None],
                    "row": next(iter(by_figure.values())),
                }
                for (edit, place, control), by_figure in chosen.items()
            ]
            if shown:
                parts.append({"title": f"{first} less {other}", "lines": shown})
        return parts
