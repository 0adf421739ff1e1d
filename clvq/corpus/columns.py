"""Which columns of a table hold the text and the label, and what their values mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clvq.corpus.files import NUMBER
from clvq.corpus.sources import Table
from clvq.corpus.usual_names import LABEL_COLUMNS, TEXT_COLUMNS
from clvq.errors import ClvqError

RawLabel = int | str | None  # a number, a name, or none
LabelIds = dict[RawLabel, int | None]

_HEAD = 1000


@dataclass(frozen=True)
class Rows:
    """The text column and the label column of a table."""

    table: Table
    text: str
    label: str | None

    @classmethod
    def choose(cls, table: Table, text: str | None, label: str | None) -> Rows:
        """Return the named columns, which must exist, or else those with a usual name; a label `none` is none."""
        columns = table.columns
        label = "" if label == "none" and label not in columns.names else label
        if not columns.names:
            raise ClvqError(f"{table.origin} is empty: it holds no rows.")
        for kind, name in (("text", text), ("label", label)):
            if name and name not in columns.names:
                raise _no_column(table, kind, f"no column {name!r}")
        if label is None:
            label = _by_name(columns.names, LABEL_COLUMNS, text)
        if text is None:
            text = _by_name(columns.names, TEXT_COLUMNS, label)
        if text is None:
            strings = [name for name in columns.strings if name != label]
            if len(strings) != 1:
                raise _no_column(table, "text", "no text column with a usual name")
            text = strings[0]
        return cls(table, text, label or None)

    @classmethod
    def like(cls, table: Table, other: Rows) -> Rows:
        """The columns that another split uses, where they are here too, else by usual names."""
        names = table.columns.names
        label = other.label if other.label in names else None if other.label else ""
        return cls.choose(table, other.text if other.text in names else None, label)

    def read(self) -> Iterator[tuple[str | None, RawLabel]]:
        """Each row's text, or None where it has none, and its label as it stands."""
        columns = list(dict.fromkeys([self.text, *([self.label] if self.label else [])]))
        for number, row in enumerate(self.table.read(columns), 1):
            label = self._as_label(row.get(self.label), number) if self.label else None
            yield self._as_text(row.get(self.text), number), label

    def has_labels(self) -> bool:
        """Whether one of the first rows has a label."""
        return self.label is not None and any(label is not None for _, label in islice(self.read(), _HEAD))

    def bad_label(self, value: Any, row: str = "") -> ClvqError:
        return ClvqError(
            f"{self.table.origin}{row}: {str(value)[:80]!r} in the column {self.label!r} is not a label. "
            "Labels are names or whole numbers from 0 (-1: none). "
            "Name another with --label-column, or --label-column none for no labels."
        )

    def _as_text(self, value: Any, number: int) -> str | None:
        if isinstance(value, str):
            return value
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, list | dict | bytes):
            problem = f"a {type(value).__name__}, not a text, in row {number} of the column {self.text!r}"
            raise _no_column(self.table, "text", problem)
        return str(value)

    def _as_label(self, value: Any, number: int) -> RawLabel:
        if isinstance(value, str):
            name = value.strip()
            return None if name in ("", "-1", "-1.0") else name
        if value is None or value == -1:
            return None
        if isinstance(value, float) and math.isnan(value):
            return None
        if isinstance(value, int | float) and value >= 0 and value % 1 == 0:
            return int(value)
        raise self.bad_label(value, f", row {number}")


def _by_name(columns: list[str], usual: tuple[str, ...], taken: str | None) -> str | None:
    by_lower_case = {name.strip().lower(): name for name in reversed(columns) if name != taken}
    return next((by_lower_case[name] for name in usual if name in by_lower_case), None)


def _no_column(table: Table, kind: str, problem: str) -> ClvqError:
    names = ", ".join(table.columns.names)
    return ClvqError(f"{table.origin} has {problem}. Name one of its columns with --{kind}-column: {names}.")


@dataclass(frozen=True)
class _Labels:
    """The distinct labels of a split, each as a number or a name, and the names behind its numbers."""

    rows: Rows
    values: dict[RawLabel, int | str]
    names: list[str] | None

    @classmethod
    def from_raw(cls, rows: Rows, labels: set[RawLabel]) -> _Labels:
        """Labels that are all numbers are read as such: CSV files know no difference between 1 and "1"."""
        values: dict[RawLabel, int | str] = {}
        words = [label for label in labels if isinstance(label, str) and not NUMBER.fullmatch(label)]
        for label in labels - {None}:
            if words:
                values[label] = str(label)
            elif (value := float(str(label))) >= 0 and value == int(value):
                values[label] = int(value)
            else:
                raise rows.bad_label(label)
        return cls(rows, values, rows.table.columns.classes.get(rows.label or ""))

    @property
    def are_names(self) -> bool:
        return any(isinstance(value, str) for value in self.values.values())

    @property
    def are_bare_numbers(self) -> bool:
        return bool(self.values) and self.names is None and not self.are_names

    def name(self, raw: RawLabel) -> str:
        value = self.values[raw]
        if isinstance(value, str) or self.names is None:
            return str(value)
        if value >= len(self.names):
            raise self.rows.bad_label(raw)
        return self.names[value]


def number_labels(
    splits: list[tuple[Rows, set[RawLabel]]], model_names: list[str] | None
) -> tuple[list[LabelIds], list[str] | None]:
    """An id for every label of every split, and the names of the ids where they are known.

    Numbers stand as they are. Names get the ids of `model_names` where all of them are among these but for
    case, else the ids of a split's class column, else their place in sorted order.
    """
    labels = [_Labels.from_raw(rows, raw) for rows, raw in splits]
    bare = next((split for split in labels if split.are_bare_numbers), None)
    named = next((split for split in labels if split.are_names), None)
    classes = [split.names for split in labels if split.names]
    if bare and named:
        raise ClvqError(
            f"Labels are numbers in {bare.rows.table.origin} ({bare.rows.label}) and names in "
            f"{named.rows.table.origin} ({named.rows.label}). Write both the same way."
        )
    if bare or not (named or classes):
        ids: list[LabelIds] = [{raw: int(value) for raw, value in split.values.items()} for split in labels]
        return [{**split, None: None} for split in ids], classes[0] if classes else None

    names = [{raw: split.name(raw) for raw in split.values} for split in labels]
    used = {name for split in names for name in split.values()}.union(*classes)
    order = next((known for known in (model_names, *classes) if known and _covers(known, used)), None)
    if order is None and classes:
        raise ClvqError(f"The two splits name their classes differently: {', '.join(sorted(used))}. Make them agree.")
    fold = str.casefold if order is not None else str
    order = list(order) if order is not None else sorted(used)
    ids_by_name = {fold(name): number for number, name in enumerate(order)}
    return [{None: None, **{raw: ids_by_name[fold(name)] for raw, name in split.items()}} for split in names], order


def _covers(names: list[str], used: set[str]) -> bool:
    folded = {name.casefold() for name in names}
    return len(folded) == len(names) and {name.casefold() for name in used} <= folded
