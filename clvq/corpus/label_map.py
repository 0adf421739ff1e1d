"""`--label-map`: which class each value of a label column is, as the user writes it and as messages show it."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence

from clvq.corpus.forms import label_key
from clvq.errors import ClvqError

SHOWN = 10
"""Number of values in a message."""
_OPENING = re.compile(r'(?:^|,)\s*"')


def parse_label_map(text: str | None) -> dict[str, str]:
    """Return the class of each value, as `label_key`, from "negative=0,positive=1". Double quotes may enclose a value,
    such as one with a comma. ClvqError for text of another form."""
    classes: dict[str, str] = {}
    is_whole = not text or not _OPENING.search(text) or text.count('"') % 2 == 0
    for part in _fields(text) if text else ():
        value, equals, name = part.rpartition("=")
        if not (is_whole and equals and value.strip() and name.strip()) or label_key(value) in classes:
            raise ClvqError(
                "--label-map is VALUE=CLASS, separated by commas, each value once, such as negative=0,positive=1, with "
                f"double quotes around a value that has a comma; it is {text!r}."
            )
        classes[label_key(value)] = name.strip()
    return classes


def _fields(text: str) -> list[str]:
    """Return what stands between the commas; a blank field, which is no entry, where quotes do not fit."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error:
        return [""]
    return lines[0] if len(lines) == 1 else [""]


def map_option(classes: Mapping[str, str | int | None], head: Sequence[str] = (), more: str = "") -> str:
    """Return the option that maps each value to a class: a name as it stands, a number as the name in `head`, None as
    no label. It is quoted for a shell where that is needed."""
    pairs = (f"{_quoted(value)}={_class_shown(name, head)}" for value, name in classes.items())
    return f"--label-map {shlex.quote(','.join(pairs))}{more}"


def _quoted(value: str) -> str:
    """Return a value as `--label-map` takes it."""
    return '"' + value.replace('"', '""') + '"' if set(',="\r\n') & set(value) else value


def _class_shown(name: str | int | None, head: Sequence[str]) -> str:
    """Return a class as `--label-map` takes it."""
    if isinstance(name, int) and name < len(head) and not set(',="') & set(head[name]):
        return head[name]
    return "none" if name is None else str(name)


def advice(values: set[str], head: list[str]) -> str:
    """Return what to do about labels that are not the head's. As many numbers as classes are paired in order; of names,
    those that are a class, or the beginning of only one."""
    ordered: list[str] = sorted(values)[:SHOWN]
    classes: dict[str, str | int | None] = {value: _likely_class(value, head) for value in ordered}
    if len(values) == len(head) and all(value.isdecimal() for value in values):
        classes = {value: number for number, value in enumerate(sorted(values, key=int))}
    option = map_option(classes, head, ",..." if len(classes) < len(values) else "")
    return (
        f"Say which is which: {option} (a class by its name or number, or none); or name another column with "
        "--label-column (none: no labels)."
    )


def _likely_class(value: str, head: list[str]) -> int | str:
    """Return the number of the class of that name, or else of the only class whose name begins with it; else CLASS."""
    name, classes = value.casefold(), [other.casefold() for other in head]
    if value.isdecimal() or len(name) < 3:
        return classes.index(name) if classes.count(name) == 1 else "CLASS"
    same = [number for number, other in enumerate(classes) if other == name]
    same = same or [number for number, other in enumerate(classes) if other.startswith(name)]
    return same[0] if len(same) == 1 else "CLASS"


def listed(values: set[str]) -> str:
    """Return values for a message: the first of them, and how many more there are."""
    shown = sorted(values)[:SHOWN]
    return ", ".join(map(repr, shown)) + (f" and {len(values) - SHOWN} more" if len(values) > SHOWN else "")
