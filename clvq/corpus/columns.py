"""Which columns of a table hold the text and the label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any

from clvq.config.prompts import TEXT, TEXT_PAIR
from clvq.corpus.column_names import alike, alike_all, by_name, folded, named, no_column, of_labels, together
from clvq.corpus.forms import LabelForm, ListLabel, as_flags, as_list, as_number, label_key, written_list
from clvq.corpus.parts import encodable, join_parts
from clvq.corpus.tables import Table
from clvq.corpus.usual_names import LABEL_COLUMNS, OTHER_LABEL_COLUMNS, TEXT_COLUMNS, TEXT_PAIR_COLUMNS
from clvq.errors import ClvqError

RawLabel = int | str | None  # a number, a name, or none
AnyLabel = RawLabel | float | ListLabel
"""A label in the form of its column (`LabelForm`)."""

_HEAD = 1000


@dataclass(frozen=True)
class Hints:
    """What the user said about the values of a table."""

    mapped: frozenset[str] = frozenset()
    """Keys (`label_key`) of values that are labels."""
    join_tokens: bool = False
    """Whether a list of tokens is a text: the tokens, with spaces between them."""
    form: LabelForm = "class"
    """Form of the labels."""
    labels: tuple[str, ...] = ()
    """Names of the labels of a head that gives several."""


@dataclass(frozen=True)
class Parts:
    """What makes up a text, by its placeholders, in the order in which the model reads it."""

    names: tuple[str, ...] = (TEXT,)
    """TEXT, TEXT_PAIR, or columns."""
    pair_column: str | None = None
    """The column that TEXT_PAIR stands for; None: the one with a usual name."""


@dataclass(frozen=True)
class Rows:
    """The columns of a table that make up the text, and the label column."""

    table: Table
    text: str
    label: str | None
    hints: Hints = Hints()
    parts: tuple[tuple[str, str], ...] = ()
    """Each placeholder with its column, where a text has several parts; the column `text` is one of them."""
    label_columns: tuple[str, ...] = ()
    """The columns with a 0 or 1 for each label, where every label has a column of its own; `label` names them all."""

    @classmethod
    def choose(
        cls, table: Table, text: str | None, label: str | None, hints: Hints = Hints(), parts: Parts = Parts()
    ) -> Rows:
        """Return the named columns, which must exist, or else those with a usual name. The label `none` means no label
        column.

        A name such as `text.en` is the entry `en` of the objects in the column `text`. For a head that gives several
        labels, `joy,anger` names a column for each, and columns named like all of the labels need not be named.
        ClvqError where no column fits.
        """
        columns, pair = table.columns, parts.pair_column
        label = "" if label == "none" and label not in columns.names else label
        if not columns.names:
            raise ClvqError(f"{table.origin} is empty: it holds no rows.")
        text, pair = named(table, "text", text), named(table, "text-pair", pair)
        each = together(table, label, hints.labels)
        label = named(table, "label", label) if not each else label
        if label is None:
            each = of_labels(table, hints.labels)
            usual = (*LABEL_COLUMNS, *OTHER_LABEL_COLUMNS.get(hints.form, ()))
            label = by_name([name for name in columns.names if name not in parts.names], usual, text)
        label = ",".join(each) or label
        if text is None:
            text = by_name(columns.names, TEXT_COLUMNS, label)
        if text is None:
            strings = [name for name in columns.strings if name not in (label, *each)]
            if len(strings) != 1:
                raise no_column(table, "text", "no text column with a usual name")
            text = strings[0]
        if parts.names == (TEXT,):
            return cls(table, text, label or None, hints, label_columns=each)
        column_of = {TEXT: text}
        if TEXT_PAIR in parts.names:
            pair = pair if pair is not None else by_name(columns.names, TEXT_PAIR_COLUMNS, text)
            if pair is None:
                raise no_column(table, "text-pair", "no second text column with a usual name")
            column_of[TEXT_PAIR] = pair
        for name in parts.names:
            if name not in column_of and name not in columns.reachable:
                raise ClvqError(
                    f"--prompt has {{{name}}}, but {table.origin} has no such column. It has: "
                    f"{', '.join(columns.reachable)}. {{text}} stands for the text column, {text!r}."
                )
        columns_of_parts = tuple((name, column_of.get(name, name)) for name in parts.names)
        answers = {label, *each} if label else set()
        if label is None:  # no column is guessed to be the label if the prompt has it
            answers = {name for name in parts.names if folded(name) in ("label", "labels")}
        if answer := answers & {column for _, column in columns_of_parts}:
            raise ClvqError(
                f"--prompt would put the answer into the text: {table.origin} has the labels in the column "
                f"{answer.pop()!r}. Take it out of the prompt, or give --label-column none."
            )
        return cls(table, text, label or None, hints, columns_of_parts, each)

    @classmethod
    def like(cls, table: Table, other: Rows) -> Rows:
        """Return the columns that another split uses, where they are here too, or else those with a usual name. Case
        and blanks around a name do not count. ClvqError where only some columns of its labels are here."""
        pair = dict(other.parts).get(TEXT_PAIR)
        pair = None if pair is None else alike(table, pair, folded)
        parts = Parts(tuple(name for name, _ in other.parts) or (TEXT,), pair)
        label = alike(table, other.label, folded) if other.label else ""
        hints = other.hints
        if other.label_columns:
            label = ",".join(alike_all(table, other.label_columns))
        else:
            hints = replace(hints, labels=())  # a column for each label would be another form than the other split's
        chosen = cls.choose(table, alike(table, other.text, folded), label, hints, parts)
        return replace(chosen, hints=other.hints)

    def read(self) -> Iterator[tuple[str | None, AnyLabel]]:
        """Yield each row's text, or None where it has none, and its label as it stands in the column.

        In a text of several parts, the text and the second text must be there; other parts may be empty.
        """
        columns = self.part_columns
        for number, row in enumerate(self.table.values([*columns, *(self.label_columns or [self.label])]), 1):
            values = [_plain(value) for value in row]
            text, label = self.as_text(values[: len(columns)], number), values[len(columns) :]
            yield text, self._as_label(label if self.label_columns else label[0], number, text) if self.label else None

    @property
    def part_columns(self) -> list[str]:
        """The columns that make up a text, in their order."""
        return [column for _, column in self.parts] or [self.text]

    def has_labels(self) -> bool:
        """Return whether one of the first rows has a label."""
        return self.label is not None and any(label is not None for _, label in islice(self.read(), _HEAD))

    def like_labels(self, classes: int) -> list[str]:
        """Return the other columns that may be labels: without lists, and with few values in the first rows, or at most
        `classes`."""
        columns = [name for name in self.table.columns.names if name not in self.part_columns]
        first = list(islice(self.table.values(columns), _HEAD)) if columns else []
        names = []
        for name, values in zip(columns, zip(*first, strict=True), strict=False):
            scalars = not any(isinstance(value, list | dict) for value in values)
            if scalars and 0 < len({*values} - {None}) <= max(len(first) / 2, classes):
                names.append(name)
        return names

    def has_minus_one(self, first: int) -> bool:
        """Return whether one of the first labels is written as -1."""
        labels = self.table.values([self.label]) if self.label and not self.label_columns else iter(())
        return any(_is_minus_one(_plain(label)) for (label,) in islice(labels, first))

    def _entries(self, column: str) -> list[str]:
        return [name for name in self.table.columns.nested if name.startswith(f"{column}.")]

    def bad_label(self, value: Any, row: str = "") -> ClvqError:
        if isinstance(value, dict) and self.label and (inner := self._entries(self.label)):
            entries = f"an entry of it with --label-column: {', '.join(inner)}"
            if self.hints.form == "several":
                entries = f"its entries, a 0 or 1 for each label, with --label-column {','.join(inner)}"
            return ClvqError(
                f"{self.table.origin}{row}: an object in the column {self.label!r} is not a label. Name {entries}; or "
                "another column (none: no labels)."
            )
        return ClvqError(
            f"{self.table.origin}{row}: {str(value)[:80]!r} in the column {self.label!r} is not a label. "
            "Labels are names or whole numbers from 0 (-1: none). Say what the values mean with --label-map "
            "VALUE=CLASS,..., or name another column with --label-column (none: no labels)."
        )

    def as_text(self, values: Sequence[Any], number: int) -> str | None:
        """Return a row's text from its values of `part_columns`, or None. ClvqError, with the row's `number`, for other
        values."""
        placeholders = [name for name, _ in self.parts] or [TEXT]
        texts = []
        for name, column, value in zip(placeholders, self.part_columns, values, strict=True):
            text = self._part(value, column, number)
            if text is None and name in (TEXT, TEXT_PAIR):
                return None
            texts.append(text or "")
        return join_parts(texts)

    def _part(self, value: Any, column: str, number: int) -> str | None:
        """Return the text that a value of a column is, or None. ClvqError where the value is no text."""
        if isinstance(value, str):
            return value
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, list) and all(isinstance(token, str) for token in value):
            if self.hints.join_tokens:
                return " ".join(value)
            raise self._no_text(
                "a list of tokens", column, number, "Read them joined by spaces with --words whitespace"
            )
        if isinstance(value, dict):
            inner = self._entries(column)
            option = "--text-column" if column == self.text else "--text-pair-column or in the prompt"
            advice = f"Name an entry of it with {option}: {', '.join(inner)}" if inner else "Write texts to the file"
            raise self._no_text("an object", column, number, advice)
        if isinstance(value, bytes):
            raise self._no_text("bytes that are not UTF-8", column, number, "Write texts to the file")
        if isinstance(value, list):
            raise self._no_text("a list", column, number, "Lists, other than of tokens, cannot be texts")
        return str(value)

    def _no_text(self, kind: str, column: str, number: int, advice: str) -> ClvqError:
        others = [name for name in self.table.columns.names if name not in (*self.part_columns, self.label)]
        names_it = others and column == self.text
        other = f", or name another column with --text-column: {', '.join(others)}" if names_it else ""
        return ClvqError(
            f"{self.table.origin} has {kind}, not a text, in row {number} of the column {column!r}. {advice}{other}."
        )

    def has_label_lists(self, head: Sequence[str] = ()) -> bool:
        """Return whether labels have a column each, or the first label is a list. Texts that stand for lists count
        where all of the first do, some with several entries, and none is a class of the `head` or mapped to one."""
        if self.label_columns or self.label is None:
            return bool(self.label_columns)
        labels = (label for (label,) in self.table.values([self.label]) if label not in (None, ""))
        first = list(islice(labels, _HEAD))
        if first and isinstance(first[0], list):
            return True
        classes = self.hints.mapped.union(map(label_key, head))
        written = [
            written_list(value) if isinstance(value, str) and label_key(value) not in classes else None
            for value in first
        ]
        return None not in written and any(len(entries or ()) > 1 for entries in written)

    @cached_property
    def _known_labels(self) -> frozenset[str]:
        """Keys of the labels that the head or the user names."""
        return self.hints.mapped.union(map(label_key, self.hints.labels))

    def _as_label(self, value: Any, number: int, text: str | None) -> AnyLabel:
        if self.hints.form == "class":
            return self._as_class(value, number)
        try:
            if self.label_columns:
                return as_flags(value)
            if self.hints.form == "number":
                return as_number(value)
            return as_list(value, self.hints.form, text, self._known_labels)
        except (TypeError, ValueError) as error:
            if isinstance(value, dict):
                raise self.bad_label(value, f", row {number}") from error
            what = "is not a number, and the model's head gives one" if self.hints.form == "number" else str(error)
            raise ClvqError(
                f"{self.table.origin}, row {number}: the label {str(value)[:80]!r} in the column {self.label!r} "
                f"{what}. Write every label the same way, or name another column with --label-column (none: no labels)."
            ) from error

    def _as_class(self, value: Any, number: int) -> RawLabel:
        if self.hints.mapped and label_key(value) in self.hints.mapped:
            return encodable(str(value)).strip()
        if isinstance(value, str | bool):  # true and false are names, as in a CSV file
            name = encodable(str(value)).strip()
            return None if not name or _is_minus_one(name) else name
        if value is None or _is_minus_one(value) or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, int | float) and value >= 0 and value % 1 == 0:
            return int(value)
        raise self.bad_label(value, f", row {number}")


def _plain(value: Any) -> Any:
    """Return bytes that are UTF-8 as a text, and a decimal as a number, also in lists: some writers of parquet files
    write texts and numbers so. Anything else is returned as it is."""
    if isinstance(value, list):
        return list(map(_plain, value))
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _is_minus_one(label: Any) -> bool:
    return label.strip() in ("-1", "-1.0") if isinstance(label, str) else label == -1
