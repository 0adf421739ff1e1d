"""What the labels of a corpus mean: a number for each value, which for a model with a head is the number of a class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from clvq.corpus.columns import RawLabel, Rows
from clvq.corpus.files import NUMBER
from clvq.corpus.forms import label_key
from clvq.corpus.label_map import SHOWN, advice, listed, map_option
from clvq.errors import ClvqError

LabelIds = dict[RawLabel, int | None]

MOST_CLASSES = 1000
"""A column with more different labels holds something else, and a larger number is not that of a class."""
_NUMBERED = re.compile(r"((label|class)?[ _-]?)?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """The numbers that the labels of some splits get."""

    ids: list[LabelIds]
    """For each split the number of each value; None where a row has no label."""
    names: list[str] | None
    """Names of the numbers, where they are known."""
    label_map: dict[str, int | None] = field(default_factory=dict)
    """The number of each value as it stands in the corpus, over all splits."""


def number_labels(
    splits: Sequence[tuple[Rows, set[RawLabel]]], head: list[str] | None, classes: Mapping[str, str] | None = None
) -> Labels:
    """Return a number for every label of every split, and the names of the numbers where they are known.

    `classes` (see `parse_label_map`) gives the class of every value. Without it, labels that are numbers stay as they
    are, unless they can only be the names of classes of `head`. Labels that are names are numbered by the first of
    these that applies: `head`, the names of a model's classes, in whatever case, also for a split's class column;
    false and true as 0 and 1, where the head has two classes; the class column, where there is no head, or one whose
    names say no more than numbers; the sorted order of the labels, where there is no head. Names of a class column
    that say no more than numbers are these numbers. ClvqError where a label is not a class of the head, or may be two
    of them.
    """
    labels = [_SplitLabels.from_raw(rows, raw, bool(classes)) for rows, raw in splits]
    if classes:
        ids, names = _mapped(labels, head, classes)
    else:
        ids, names = _numbered(labels, head)
        if head is not None:
            _refuse_beyond(labels, ids, head)
    by_value = {split.name(raw): number for split, of in zip(labels, ids, strict=True) for raw, number in of.items()}
    ordered = sorted(by_value.items(), key=lambda item: (item[1] is None, item[1] or 0, item[0]))
    return Labels([{None: None, **split} for split in ids], names, dict(ordered))


@dataclass(frozen=True)
class _SplitLabels:
    """The distinct labels of a split, each as a number or a name, and the names behind its numbers."""

    rows: Rows
    values: dict[RawLabel, int | str]
    names: list[str] | None

    @classmethod
    def from_raw(cls, rows: Rows, labels: set[RawLabel], any_value: bool) -> _SplitLabels:
        """Read labels as numbers where all of them are numbers, since CSV files do not distinguish 1 and "1"."""
        values: dict[RawLabel, int | str] = {}
        words = [label for label in labels if isinstance(label, str) and not NUMBER.fullmatch(label)]
        for label in labels - {None}:
            if words:
                values[label] = str(label)
            elif (value := Decimal(str(label))) >= 0 and value == value.to_integral_value():
                values[label] = int(value)
            elif any_value:
                values[label] = str(label)
            else:
                raise rows.bad_label(label)
        return cls(rows, values, rows.table.columns.classes.get(rows.label or ""))

    @property
    def are_names(self) -> bool:
        return any(isinstance(value, str) for value in self.values.values())

    @property
    def are_bare_numbers(self) -> bool:
        return bool(self.values) and self.names is None and not self.are_names

    @property
    def where(self) -> str:
        return f"{self.rows.table.origin}, column {self.rows.label!r}"

    def by_their_numbers(self) -> _SplitLabels:
        """Return the same labels as bare numbers, where the names say no more than a number: that number."""
        if not self.names or not _are_numbers(self.names) or self.are_names:
            return self
        numbers: dict[RawLabel, int | str] = {}
        for raw in self.values:
            numbers[raw] = int(re.sub(r"\D", "", self.name(raw)))
        return replace(self, values=numbers, names=None)

    def name(self, raw: RawLabel) -> str:
        value = self.values[raw]
        if isinstance(value, str) or self.names is None:
            return str(value)
        if value >= len(self.names):
            raise self.rows.bad_label(raw)
        return self.names[value]


def _numbered(labels: list[_SplitLabels], head: list[str] | None) -> tuple[list[LabelIds], list[str] | None]:
    if head is not None:
        labels = [split.by_their_numbers() for split in labels]
    bare = next((split for split in labels if split.are_bare_numbers), None)
    named = next((split for split in labels if split.are_names), None)
    columns = [split.names for split in labels if split.names]
    if bare and named:
        raise ClvqError(
            f"Labels are numbers in {bare.rows.table.origin} ({bare.rows.label}) and names in "
            f"{named.rows.table.origin} ({named.rows.label}). Write both the same way, or say what they mean with "
            "--label-map VALUE=CLASS,..."
        )
    if not (named or columns):
        classes, called = {}, head
        if bare and head:
            classes = _numbers_as_names(labels, head, bare)
        elif (
            bare and head is None and (values := _distinct(labels))[-1] >= MOST_CLASSES
        ):  # such as dates: the values are names
            classes, called = {value: number for number, value in enumerate(values)}, list(map(str, values))
        if classes:
            return [{raw: classes[int(value)] for raw, value in split.values.items()} for split in labels], called
        return [{raw: int(value) for raw, value in split.values.items()} for split in labels], None
    if head is not None and not (columns and _are_numbers(head)):
        return _by_head(labels, head), head
    if bare:
        return [{raw: int(value) for raw, value in split.values.items()} for split in labels], columns[0]
    names = [{raw: split.name(raw) for raw in split.values} for split in labels]
    used = {name for split in names for name in split.values()}.union(*columns)
    order = next((known for known in columns if _covers(known, used)), None)
    if order is None and columns:
        raise ClvqError(f"The two splits name their classes differently: {', '.join(sorted(used))}. Make them agree.")
    fold = str.casefold if order is not None else str
    order = list(order) if order is not None else sorted(used)
    by_name = {fold(name): number for number, name in enumerate(order)}
    return [{raw: by_name[fold(name)] for raw, name in split.items()} for split in names], order


def _distinct(labels: list[_SplitLabels]) -> list[int]:
    """Return the distinct labels of all splits, which are numbers, in their order."""
    return sorted({int(value) for split in labels for value in split.values.values()})


def _by_head(labels: list[_SplitLabels], head: list[str]) -> list[LabelIds]:
    """Number labels by the names of the head's classes; bare numbers stay. ClvqError where a name is no class."""
    named = [split for split in labels if not split.are_bare_numbers]
    occurring = {split.name(raw) for split in named for raw in split.values}
    known = [name.strip() for name in head]
    fold = str if occurring <= set(known) else str.casefold  # names may differ in case alone
    by_name = {fold(name): number for number, name in enumerate(known)}
    if not (fold is str or _covers(known, occurring)):
        by_name = {"false": 0, "true": 1}
        if len(head) != 2 or not {name.casefold() for name in occurring} <= set(by_name):
            unlike = {name for name in occurring if not _covers(known, {name})}
            split = next(split for split in named if unlike & {split.name(raw) for raw in split.values})
            several, one = f"labels {listed(unlike)} are not the classes", f"label {listed(unlike)} is no class"
            are = several if len(unlike) > 1 else one
            raise ClvqError(f"{split.where}: the {are} of the model: {', '.join(head)}. " + advice(occurring, head))
    return [
        {
            raw: int(value) if split.are_bare_numbers else by_name[fold(split.name(raw))]
            for raw, value in split.values.items()
        }
        for split in labels
    ]


def _numbers_as_names(labels: list[_SplitLabels], head: list[str], bare: _SplitLabels) -> dict[int, int]:
    """Return the classes of labels that are numbers and the names of classes, but not numbers of classes; else nothing.

    ClvqError where they are both names and numbers, of different classes.
    """
    values = _distinct(labels)
    names = [label_key(name) for name in head]  # 01 and 1.0 are written for 1
    by_name = {value: names.index(str(value)) for value in values if str(value) in names}
    if len(by_name) < len(values) or all(value == number for value, number in by_name.items()):
        return {}
    if values[-1] < len(head):
        shown = values[:SHOWN]
        by_number = map_option({str(value): value for value in shown}, head)
        by_their_names = {str(value): head[by_name[value]] for value in shown}
        if "-1" in names:  # -1 counts as no label unless it is mapped
            by_their_names["-1"] = head[names.index("-1")]
        raise ClvqError(
            f"{bare.where}: the labels {listed(set(map(str, values)))} are numbers of classes of the model, counted "
            f"from 0, and also names of other classes of it ({', '.join(head)}). Say what they are: for names "
            f"{map_option(by_their_names)}, for numbers {by_number}" + (" and so on." if len(values) > SHOWN else ".")
        )
    return by_name


def _are_numbers(names: Sequence[str]) -> bool:
    """Return whether names say no more than that they are numbers, as LABEL_0 and LABEL_1, which transformers gives
    where a model has no names."""
    return all(_NUMBERED.fullmatch(name) for name in names)


def _covers(names: list[str], used: set[str]) -> bool:
    folded = {name.casefold() for name in names}
    return len(folded) == len(names) and {name.casefold() for name in used} <= folded


def _mapped(
    labels: list[_SplitLabels], head: list[str] | None, classes: Mapping[str, str]
) -> tuple[list[LabelIds], list[str] | None]:
    """Number the labels as --label-map says. ClvqError where it leaves out a value."""
    known = head or next((split.names for split in labels if split.names), None)
    if known is None and not all(name.isdecimal() or _is_none(name) for name in classes.values()):
        known = list(dict.fromkeys(name for name in classes.values() if not _is_none(name)))
    numbers = {value: _class_number(name, known) for value, name in classes.items()}
    ids: list[LabelIds] = []
    for split in labels:
        keys = {raw: (label_key(raw), label_key(split.name(raw))) for raw in split.values}
        if missing := {split.name(raw) for raw, (one, other) in keys.items() if not {one, other} & set(numbers)}:
            raise ClvqError(
                f"{split.where}: --label-map does not say what {listed(missing)} is. Add it as VALUE=CLASS, or "
                "VALUE=none for rows that have no label."
            )
        ids.append({raw: numbers[one if one in numbers else other] for raw, (one, other) in keys.items()})
    return ids, known


def _is_none(name: str) -> bool:
    return name.casefold() in ("none", "-1")


def class_number(name: str, names: Sequence[str]) -> int | None:
    """Return the number of the class that is given by its name or number; None where there is no such class.

    The name may be in another case, where this tells it from the others.
    """
    names = [other.strip() for other in names]
    folded = [other.casefold() for other in names]
    if name in names:
        return names.index(name)
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    return int(name) if name.isdecimal() and int(name) < len(names) else None


def _class_number(name: str, known: list[str] | None) -> int | None:
    """Return the number of a class that is given by name or number; None for `none`. ClvqError where it does not
    exist."""
    number = class_number(name, known or ())
    if number is not None or _is_none(name):
        return number
    if name.isdecimal() and known is None and len(name) < len(str(MOST_CLASSES)):
        return int(name)
    raise ClvqError(
        f"--label-map: there is no class {name!r}. The classes are "
        + (", ".join(f"{number} ({other})" for number, other in enumerate(known)) if known else "0, 1 and so on")
        + "."
    )


def _refuse_beyond(labels: list[_SplitLabels], ids: list[LabelIds], head: list[str]) -> None:
    """Raise ClvqError for a label that is no class of the model's head."""
    for split, numbers in zip(labels, ids, strict=True):
        if beyond := [number for number in numbers.values() if number is not None and number >= len(head)]:
            values = {str(value) for other in labels for value in other.values.values()}
            raise ClvqError(
                f"{split.where}: label {max(beyond)}, but the classes are 0 to {len(head) - 1} "
                f"({', '.join(head)}). " + advice(values, head)
            )
