"""Labels whose meaning is in doubt: each case is refused, with the ways to say what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Never

from clvq.corpus.column_names import of_labels
from clvq.corpus.columns import Rows
from clvq.corpus.forms import LabelForm, label_key
from clvq.corpus.label_map import map_option
from clvq.corpus.scan import Part
from clvq.errors import ClvqError

_FLAGS = {"0", "1", "false", "true"}


def refuse_unlabelled(rows: Rows, head: list[str]) -> None:
    """Raise ClvqError where there is no label column, but a column with another name may hold labels for a model's
    classes."""
    if rows.label is None and (candidates := rows.like_labels(len(head))):
        name_it = f"Name it with --label-column, such as {', '.join(candidates)}"
        if rows.hints.labels:
            name_it = (
                "Name with --label-column a column that holds lists of labels, or one column for each label, in this "
                f"order and separated by commas, with a 0 or 1 each. There are {', '.join(candidates)}"
            )
        elif each := of_labels(rows.table, head):
            name_it = (
                "Where a text can have several, name the columns of the classes, with a 0 or 1 each: --label-column "
                f"{','.join(each)}. Otherwise name the one column that holds the class"
            )
        raise ClvqError(
            f"{rows.table.origin} has no label column with a usual name, but the model has classes "
            f"({', '.join(head)}). {name_it}; or give --label-column none for a corpus without labels."
        )


def refuse_misread_flags(
    rows: Rows, form: LabelForm, label_map: str | None, lengths: set[int], entries: set[Any], head: list[str] | None
) -> None:
    """Raise ClvqError for a column for each label where the head gives one answer, and for one such column alone."""
    where = f"{rows.table.origin}, column {rows.label!r}"
    if rows.label_columns and form != "several":
        raise ClvqError(f"{where}: several columns are for a head that gives several labels. Name one column.")
    flags = {label_key(entry) for entry in entries - {None}}
    if head is None or not flags or not flags <= _FLAGS or rows.label in rows.table.columns.classes:
        return
    names = [label_key(name) for name in head]
    number = names.index(own) if (own := label_key(rows.label)) in names else None
    if form == "class" and number is not None and label_map is None:
        _refuse_class_flag(rows, where, number, head)
    if form == "several" and len(head) > 1 and lengths == {1} and not rows.has_label_lists():
        if number is None and label_map is not None:
            return
        each = of_labels(rows.table, head)
        in_order = f"separated by commas and in the order of the labels ({', '.join(head)})"
        name_them = f"as in --label-column {','.join(each)}" if each else in_order
        numbers = f"; where 0 and 1 are numbers of labels, give {map_option({'0': 0, '1': 1}, head)}"
        mapped = numbers if number is None else ""
        raise ClvqError(
            f"{where}: a 0 or 1 for one label, and the model's head gives several. Name a column for each, {name_them}"
            f"{mapped}; or none for a corpus without labels."
        )


def refuse_map_of_flags(where: str, columns: bool) -> Never:
    """Raise ClvqError for a map of labels where each text has a 0 or 1 for each label, in a list or in `columns`."""
    if columns:
        raise ClvqError(f"{where}: a 0 or 1 for each label needs no --label-map. Leave it out.")
    raise ClvqError(
        f"{where}: each list seems to hold a 0 or 1 for each label, in the order of the labels, which needs no "
        "--label-map. Leave it out; or, where these are numbers of the labels that a text has, write their names."
    )


def refuse_map_of_numbers(rows: Rows) -> Never:
    """Raise ClvqError for a map of labels where the head gives a number, and the labels are numbers."""
    raise ClvqError(
        f"{rows.table.origin}, column {rows.label!r}: the model's head gives a number, so labels are numbers and "
        "--label-map has nothing to say. Leave it out, or write the numbers to the file."
    )


def _refuse_class_flag(rows: Rows, where: str, number: int, head: list[str]) -> None:
    """Raise ClvqError for a 0 or 1 in a column named like the class `number`, unless 1 is the class's number too."""
    if len(head) == 2 and number == 1:
        return
    columns = of_labels(rows.table, head)
    each = f"; or, where a text can have several, a column for each: --label-column {','.join(columns)}"
    flag = map_option({"1": number, "0": 1 - number if len(head) == 2 else None}, head)
    raise ClvqError(
        f"{where}: 0 and 1 would be the classes {head[0]} and {head[1]}, but the column is named like the class "
        f"{head[number]}. Say what they mean: {flag} where 1 is {head[number]}, {map_option({'0': 0, '1': 1}, head)} "
        f"where they are numbers of classes{each if columns else ''}."
    )


def refuse_minus_one(rows: Sequence[Rows], parts: Sequence[Part], labels: set[Any], head: list[str]) -> None:
    """Raise ClvqError where all labels are 1 or -1: -1 may mean the other class, and not that there is no label."""
    if {label_key(label) for label in labels - {None}} != {"1"} or not any(
        part.scan.unlabelled.any() for part in parts
    ):
        return
    if split := next((r for r, part in zip(rows, parts, strict=True) if r.has_minus_one(len(part.side))), None):
        raise ClvqError(
            f"{split.table.origin}: the column {split.label!r} has the labels 1 and -1, and -1 counts as none. "
            f"Where -1 is a class, say so: {map_option({'-1': 0, '1': 1}, head)}. Otherwise "
            f"{map_option({'1': 1, '-1': None}, head)}."
        )
