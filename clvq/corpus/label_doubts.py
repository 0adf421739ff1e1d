"""Labels whose meaning is in doubt: each case is refused, with the ways to say what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clvq.corpus.columns import Rows, label_key
from clvq.corpus.forms import LabelForm
from clvq.corpus.scan import Part
from clvq.errors import ClvqError


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
    if rows.label_columns and label_map is not None:
        raise ClvqError(f"{where}: a 0 or 1 for each label needs no --label-map. Leave it out.")
    alone = form == "several" and not rows.label_columns and lengths == {1} and entries <= {0, 1}
    if alone and head is not None and label_key(rows.label) in map(label_key, head):
        raise ClvqError(
            f"{where}: a 0 or 1 for one label, and the model's head gives several. Name a column for each, as in "
            f"--label-column {','.join(head)}; or none for a corpus without labels."
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
            f"Where -1 is a class, say so: --label-map -1={head[0]},1={head[1]}. Otherwise --label-map "
            f"1={head[1]},-1=none."
        )
