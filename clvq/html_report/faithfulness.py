"""What the faithfulness section says of edits inside the model: its tables, with a line a group of seeds.

Checkpoints that differ in the seed alone are one group; the means over its seeds stand for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from clvq.config import FIGURES, HARD
from clvq.interventions.controls import INJECTIONS

Line = dict[str, Any]


class Scale(NamedTuple):
    """One scale for the drawn intervals of a table; it holds 0 and all of them."""

    low: float
    high: float

    @classmethod
    def of(cls, lines: Iterable[Line], name: str = "selectivity") -> Scale:
        ends = [line[end] for line in lines for end in ("low", name, "high") if line[end] is not None]
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


def cell(line: Mapping[str, Any] | None, name: str = "selectivity", scale: Scale | None = None) -> Cell | None:
    """What a line says under `name`, drawn where a scale is given; None where it says nothing."""
    if line is None or line[name] is None:
        return None
    low, value, high = line["low"], line[name], line["high"]
    made = Cell(value, low, high, line.get("spread"))
    if scale is None:
        return made
    places = (scale.percent(low), scale.percent(value), scale.percent(high))
    return made._replace(places=places, zero=scale.percent(0.0))


class Results:
    """faithfulness.json by group."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body, self.names = body, body["names"]
        self.groups: list[str] = [group["name"] for group in body["groups"]]
        self.several = len(self.groups) > 1
        self._of_seeds = {group["name"] for group in body["groups"] if len(group["checkpoints"]) > 1}
        self.rows, self.figures, self.curve = (self._lines(name) for name in ("rows", "figures", "curve"))
        self.blocks: list[tuple[str, str]] = list(dict.fromkeys((line["edit"], line["place"]) for line in self.figures))
        """Edits and their places."""
        self._row = {(*_block(row), row["control"], row["figure"]): row for row in self.rows}

    def _lines(self, table: str) -> list[Line]:
        """Lines of all groups: means over the seeds where a group has several, else of its only checkpoint."""
        alone = [line for line in self.body[table] if line["checkpoint"] in set(self.groups) - self._of_seeds]
        lines = alone + [line for line in self.body["seeds"][table] if line["checkpoint"] in self._of_seeds]
        return sorted(lines, key=lambda line: self.groups.index(line["checkpoint"]))

    def row(self, group: str, block: tuple[str, str], control: str, figure: str) -> Line | None:
        return self._row.get((group, *block, control, figure))

    def title(self, block: tuple[str, str]) -> str:
        edit, place = block
        return f"{self.names[edit]}, {self.names[place]}"

    def view(self) -> dict[str, Any]:
        """What the template shows."""
        return {
            "clean": self.body["clean"],
            "names": self.names,
            "several": self.several,
            "seeds": bool(self._of_seeds),
            "overview": self._overview(),
            "details": self._details(),
            "classes": self._classes(),
            "curve": self._curve_tables(),
            "differences": self._differences(hard=True),
            "other_differences": self._differences(hard=False),
        }

    def about(self, group: str) -> str:
        """What to say beside a group's name: its method where there are others, its seeds where it has several."""
        found = next(entry for entry in self.body["groups"] if entry["name"] == group)
        seeds = len(found["checkpoints"])
        parts = [str(found["method"])] if self.several else []
        return ", ".join([*parts, f"mean of {seeds} seeds"] if seeds > 1 else parts)

    def _concepts(self) -> dict[tuple[str, ...], Line]:
        return {_block(line): line for line in self.figures if line["control"] is None}

    def _overview(self) -> list[dict[str, Any]]:
        """A part an edit and place with a line a group: the concept, and what it does beyond the hard controls."""
        concepts = self._concepts()
        made = []
        for block in self.blocks:
            lines = [
                {
                    "group": group,
                    "about": self.about(group),
                    **{name: concepts[(group, *block)][name] for name in (*FIGURES, "distance", "rank", "energy")},
                    "beyond": [
                        cell(self.row(group, block, control, figure)) for figure in FIGURES[:2] for control in HARD
                    ],
                }
                for group in self.groups
                if (group, *block) in concepts
            ]
            made.append({"title": self.title(block), "lines": lines})
        return made

    def _details(self) -> list[dict[str, Any]]:
        """A part an edit, place and group: what edit and controls do, and the concept beyond each."""
        scale = Scale.of(row for row in self.rows if row["figure"] == "flips")
        made = []
        for block in self.blocks:
            for group in self.groups:
                lines = [line for line in self.figures if _block(line) == (group, *block)]
                if not lines:
                    continue
                concept = next(line for line in lines if line["control"] is None)
                controls = [self._beside(line, block, scale) for line in lines if line["control"] is not None]
                nulls = [line for line in controls if line["control"] not in INJECTIONS]
                put_in = [line for line in controls if line["control"] in INJECTIONS]
                title = self.title(block) + (f": {group}" if self.several else "")
                made.append({"title": title, "concept": concept, "nulls": nulls, "put_in": put_in})
        return made

    def _beside(self, line: Line, block: tuple[str, str], scale: Scale) -> dict[str, Any]:
        """A control's figures and the concept's selectivity against it."""
        rows = [self.row(line["checkpoint"], block, line["control"], figure) for figure in FIGURES]
        return {
            **line,
            "name": self.names[line["control"]],
            "beyond": [cell(row, scale=scale if place == 0 else None) for place, row in enumerate(rows)],
            "reason": next((row["reason"] for row in rows if row is not None and row["reason"]), None),
        }

    def _classes(self) -> list[dict[str, Any]]:
        """A part an edit and place with a line a class and group: flips beyond the hard controls."""
        chosen = [line for line in self.body["by_class"] if line["figure"] == "flips" and line["control"] in HARD]
        scale = Scale.of(chosen)
        by_key: dict[tuple[Any, ...], dict[str, Line]] = {}
        for line in chosen:
            block = (line["edit"], line["place"])
            by_key.setdefault((block, line["label"], line["checkpoint"], line["sentences"]), {})[line["control"]] = line
        parts: dict[str, list[Any]] = {self.title(block): [] for block in self.blocks}
        for (block, label, group, sentences), found in by_key.items():
            about = {"group": group if self.several else None, "label": label, "sentences": sentences}
            cells = [cell(found.get(control), scale=scale) for control in HARD]
            parts[self.title(block)].append({**about, "cells": cells})
        return [{"title": title, "lines": lines} for title, lines in parts.items() if lines]

    def _curve_tables(self) -> list[dict[str, Any]]:
        """The points of the curve as text: flips and what is beyond the hard controls, by mass."""
        made: dict[tuple[str, str], dict[float, dict[str, Line]]] = {}
        for line in self.curve:
            if line["figure"] == "flips":
                points = made.setdefault((line["edit"], line["checkpoint"]), {})
                points.setdefault(line["mass"], {})[line["control"]] = line
        return [
            {
                "title": self.names[edit] + (f": {group}" if self.several else ""),
                "lines": [
                    {
                        "mass": mass,
                        "concept": next(iter(found.values()))["concept"],
                        "beyond": [cell(found.get(control)) for control in HARD],
                        "reasons": [found[control]["reason"] if control in found else None for control in HARD],
                    }
                    for mass, found in points.items()
                ],
            }
            for (edit, group), points in made.items()
        ]

    def _differences(self, *, hard: bool) -> list[dict[str, Any]]:
        """A part a pair of groups with a line an edit, place and control, of the hard or the other controls; flips
        are drawn."""
        lines = [line for line in self.body["differences"] if (line["control"] in HARD) == hard]
        scale = Scale.of((line for line in lines if line["figure"] == "flips"), "difference")
        by_key: dict[tuple[str, ...], dict[str, Line]] = {}
        for line in lines:
            key = (line["checkpoint"], line["other"], line["edit"], line["place"], line["control"])
            by_key.setdefault(key, {})[line["figure"]] = line
        parts: dict[str, list[Any]] = {}
        for (first, other, edit, place, control), found in by_key.items():
            about = next(iter(found.values()))
            cells = [cell(found.get(name), "difference", scale if name == "flips" else None) for name in FIGURES]
            parts.setdefault(f"{first} less {other}", []).append(
                {
                    "block": self.title((edit, place)),
                    "control": self.names[control],
                    "cells": cells,
                    **{name: about[name] for name in ("distance", "other_distance", "sentences")},
                }
            )
        return [{"title": title, "lines": lines} for title, lines in parts.items()]


def _block(line: Line) -> tuple[str, str, str]:
    return line["checkpoint"], line["edit"], line["place"]
