"""faithfulness.json as a value, with its rows in reading order: by checkpoint or group of seeds, edit and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple, Self

from clvq.artifacts.records import ModelName, Record
from clvq.config import HARD, SCORES
from clvq.interventions.controls import NULLS
from clvq.interventions.mode_records import ConceptEffects, ProbeResult, SpliceResult
from clvq.interventions.records import (
    ClassRow,
    Clean,
    DifferenceRow,
    EffectRow,
    Seeds,
    SeedsRow,
    SelectivityRow,
    SpecificityRow,
    Tables,
)
from clvq.language_model.records import StoredTarget

_LINES: dict[str, type[Record]] = {
    "figures": EffectRow,
    "rows": SelectivityRow,
    "curve": SelectivityRow,
    "rank_curve": SelectivityRow,
}


_LAST = ("seeds", "by_class", "specificity", "without_specificity", "differences")
"""Keys that come after the tables of all checkpoints in the file."""


class Part(NamedTuple):
    """An edit at a place, with the concepts of one group."""

    group: str
    edit: str
    place: str


class Over(NamedTuple):
    """The axis of a curve."""

    table: str
    """The field of `Tables` that holds the curve."""
    field: str
    """The field of its rows that is the axis."""
    title: str
    axis: str

    def at(self, row: SelectivityRow) -> float:
        """Return where on the axis a row lies."""
        return float(getattr(row, self.field))

    def written(self, value: float) -> str:
        """Return a point of the axis as people read it."""
        return f"{value:.0%}" if self.field == "mass" else f"{value:.0f}"


CURVES = (
    Over("curve", "mass", "by mass", "share of the attribution that is edited"),
    Over("rank_curve", "rank", "by rank", "directions taken out of a word"),
)


class Curve(NamedTuple):
    """Flips beyond the hard controls, over mass or over rank."""

    over: Over
    rows: list[SelectivityRow]

    @property
    def edits(self) -> list[str]:
        return list(dict.fromkeys(row.edit for row in self.rows))

    @property
    def lines(self) -> dict[tuple[str, str], dict[float, dict[str, SelectivityRow]]]:
        """Rows by group and edit, then by the point on the axis, then by control."""
        lines: dict[tuple[str, str], dict[float, dict[str, SelectivityRow]]] = {}
        for row in self.rows:
            points = lines.setdefault((row.checkpoint, row.edit), {})
            points.setdefault(self.over.at(row), {})[row.control] = row
        return lines


@dataclass(frozen=True)
class EditResults(Record):
    """What edits inside the model and their controls do."""

    model: ModelName
    checkpoints: list[dict[str, str]]
    """`name` and `fingerprint` of each."""
    groups: list[Seeds]
    clean: Clean
    target: StoredTarget
    """The kind of what is asked of the model, and the unit in which changes of a score are given."""
    names: dict[str, str]
    """What edits, places, controls and figures are called."""
    tables: Tables
    """The rows of each checkpoint by itself."""
    seeds: Tables
    """For groups of several seeds, the rows of the mean over seeds."""
    by_class: list[ClassRow]
    specificity: list[SpecificityRow]
    """Whether concepts of the predicted class change that class alone: rows of each group, and of its classes."""
    without_specificity: str | None
    """Why there are no such rows for this model."""
    differences: list[DifferenceRow]
    """Between the first group and each other."""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the body of faithfulness.json as a value."""
        single = {name: [kind(**line) for line in body[name]] for name, kind in _LINES.items()}
        of_seeds = {name: EffectRow if name == "figures" else SeedsRow for name in _LINES}
        several = {name: [kind(**line) for line in body["seeds"][name]] for name, kind in of_seeds.items()}
        return cls(
            model=ModelName.from_json(body["model"]),
            checkpoints=body["checkpoints"],
            groups=[Seeds(**group) for group in body["groups"]],
            clean=Clean(**body["clean"]),
            # Files of an earlier clvq name no target.
            target=StoredTarget.from_json(body.get("target", {"kind": "class", "unit": None})),
            names=body["names"],
            tables=Tables(**single),  # type: ignore[arg-type]
            seeds=Tables(**several),  # type: ignore[arg-type]
            by_class=[ClassRow(**line) for line in body["by_class"]],
            specificity=[SpecificityRow.read(line) for line in body["specificity"]],
            without_specificity=body["without_specificity"],
            differences=[DifferenceRow(**line) for line in body["differences"]],
        )

    def as_json(self) -> dict[str, Any]:
        body = super().as_json()
        tables, last = body.pop("tables"), {name: body.pop(name) for name in _LAST}
        return {**body, **tables, **last}

    @property
    def has_choices(self) -> bool:
        """Whether the model's answer is one of several, rather than a number."""
        return self.target.kind not in SCORES

    @cached_property
    def shown(self) -> Tables:
        """The rows of all groups: of the mean over seeds where a group has several, else of its only checkpoint."""
        order = [group.name for group in self.groups]
        several = {group.name for group in self.groups if len(group.checkpoints) > 1}

        def lines(kind: str) -> list[Any]:
            own = [line for line in getattr(self.tables, kind) if line.checkpoint in set(order) - several]
            own += [line for line in getattr(self.seeds, kind) if line.checkpoint in several]
            return sorted(own, key=lambda line: order.index(line.checkpoint))

        return Tables(*(lines(name) for name in _LINES))

    @cached_property
    def parts(self) -> dict[Part, list[EffectRow]]:
        """By group, edit and place, the row of the edit, which comes first, and those of its controls."""
        return {part: list(lines) for part, lines in groupby(self.shown.figures, key=_part)}

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """All pairs of an edit and its place."""
        return list(dict.fromkeys((part.edit, part.place) for part in self.parts))

    @cached_property
    def _rows(self) -> dict[tuple[Part, str, str], SelectivityRow]:
        return {(_part(row), row.control, row.figure): row for row in self.shown.rows}

    def row(self, part: Part, control: str, figure: str) -> SelectivityRow | None:
        """Return what the concept does beyond a control."""
        return self._rows.get((part, control, figure))

    def title(self, edit: str, place: str) -> str:
        """Return what an edit at a place is called."""
        return f"{self.names[edit]}, {self.names[place]}"

    def called(self, group: str) -> str:
        """Return the name of a checkpoint, or of the mean over seeds."""
        seeds = next(len(entry.seeds) for entry in self.groups if entry.name == group)
        return group if seeds == 1 else f"{group}, mean of {seeds} seeds"

    @property
    def classes(self) -> dict[tuple[Part, str, int], dict[str, ClassRow]]:
        """Flips beyond the hard controls, by part, class and its number of sentences."""
        lines: dict[tuple[Part, str, int], dict[str, ClassRow]] = {}
        for row in self.by_class:
            if row.figure == "flips" and row.control in HARD:
                lines.setdefault((_part(row), row.label, row.sentences), {})[row.control] = row
        return lines

    @property
    def curves(self) -> list[Curve]:
        """Flips beyond the hard controls over mass, and over rank; empty where no curve was asked for."""
        return [
            curve
            for over in CURVES
            if (curve := Curve(over, [row for row in getattr(self.shown, over.table) if row.figure == "flips"])).rows
        ]

    @property
    def compared(self) -> dict[tuple[str, str], dict[tuple[str, str, str], dict[str, DifferenceRow]]]:
        """Differences: by pair of groups, then by edit, place and control, then by figure."""
        pairs: dict[tuple[str, str], dict[tuple[str, str, str], dict[str, DifferenceRow]]] = {}
        for row in self.differences:
            lines = pairs.setdefault((row.checkpoint, row.other), {})
            lines.setdefault((row.edit, row.place, row.control), {})[row.figure] = row
        return pairs


ModeResult = SpliceResult | ProbeResult | ConceptEffects
Results = EditResults | ModeResult


def read_results(body: Mapping[str, Any]) -> Results:
    """Return the figures of faithfulness.json or faithfulness-MODE.json as a value."""
    return mode_result(body) if "measured" in body else EditResults.from_json(body)


def mode_result(body: Mapping[str, Any]) -> ModeResult:
    """Return the figures of faithfulness-MODE.json as a value."""
    measured = body["measured"]
    if "concepts" in measured:
        return ConceptEffects.from_json(measured)
    return ProbeResult.from_json(measured) if "table" in measured else SpliceResult.from_json(measured)


def is_null(control: str | None) -> bool:
    """Return whether selectivity is taken against a control."""
    return control in NULLS


def _part(line: EffectRow | SelectivityRow) -> Part:
    return Part(line.checkpoint, line.edit, line.place)
