"""Which columns of a table hold the text and the label."""

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

_HEAD = 1000


@dataclass(frozen=True)
class Rows:
    """The text column and the label column of a table."""

    table: Table
    text: str
    label: str | None
    mapped: frozenset[str] = frozenset()
    """Keys (`label_key`) of values that are labels because somebody said what they mean."""

    @classmethod
    def choose(cls, table: Table, text: str | None, label: str | None, mapped: frozenset[str] = frozenset()) -> Rows:
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
        return cls(table, text, label or None, mapped)

    @classmethod
    def like(cls, table: Table, other: Rows) -> Rows:
        """The columns that another split uses, where they are here too, else by usual names."""
        names = table.columns.names
        label = other.label if other.label in names else None if other.label else ""
        return cls.choose(table, other.text if other.text in names else None, label, other.mapped)

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
            "Labels are names or whole numbers from 0 (-1: none). Say what the values mean with --label-map "
            "VALUE=CLASS,..., or name another column with --label-column (none: no labels)."
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
        if self.mapped and label_key(value) in self.mapped:
            return str(value).strip()
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


def label_key(value: Any) -> str:
    """Return what values of one label have in common: 1, "1" and "1.0"; "Good" and "good "."""
    text = str(value).strip()
    if NUMBER.fullmatch(text) and float(text) % 1 == 0:
        return str(int(float(text)))
    return text.casefold()


def _by_name(columns: list[str], usual: tuple[str, ...], taken: str | None) -> str | None:
    by_lower_case = {name.strip().lower(): name for name in reversed(columns) if name != taken}
    return next((by_lower_case[name] for name in usual if name in by_lower_case), None)


def _no_column(table: Table, kind: str, problem: str) -> ClvqError:
    names = ", ".join(table.columns.names)
    return ClvqError(f"{table.origin} has {problem}. Name one of its columns with --{kind}-column: {names}.")
