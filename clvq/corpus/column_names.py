"""Columns of a table by their names: those that the user names, and those with a usual name or with a label's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clvq.corpus.tables import Table
from clvq.errors import ClvqError


def named(table: Table, kind: str, name: str | None) -> str | None:
    """Return the column that the user named; blanks around it do not count. No name is given back. ClvqError: no such
    column."""
    if not name:
        return name
    column = alike(table, name, str.strip)
    if column is None:
        raise no_column(table, kind, f"no column {name!r}")
    return column


def alike(table: Table, name: str, key: Callable[[str], str]) -> str | None:
    """Return the column of that name, or else the only one whose name has the same `key`; None without one."""
    names = table.columns.reachable
    found = [name] if name in names else [column for column in names if key(column) == key(name)]
    return found[0] if len(found) == 1 else None


def alike_all(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns that differ from `names` in case and blanks alone; none where none is there. ClvqError where
    only some are."""
    found = {name: alike(table, name, folded) for name in names}
    columns = [column for column in found.values() if column is not None]
    if columns and (missing := [name for name, column in found.items() if column is None]):
        raise ClvqError(
            f"{table.origin} has no column {', '.join(map(repr, missing))}, and the training split has one for each "
            f"label: {', '.join(names)}. Add what is missing, or give --label-column none for a corpus without labels."
        )
    return columns


def by_name(columns: list[str], usual: tuple[str, ...], taken: str | None) -> str | None:
    """Return the first column with one of the `usual` names, other than `taken`."""
    by_folded = {folded(name): name for name in reversed(columns) if name != taken}
    return next((by_folded[name] for name in usual if name in by_folded), None)


def folded(name: str) -> str:
    return name.strip().lower()


def no_column(table: Table, kind: str, problem: str) -> ClvqError:
    names = ", ".join(name if name == name.strip() else repr(name) for name in table.columns.reachable)
    return ClvqError(f"{table.origin} has {problem}. Name one of its columns with --{kind}-column: {names}.")


def together(table: Table, name: str | None, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `joy,anger` names together, in the order of the head's `labels` where these are known;
    none where `name` is one column, or no name.

    ClvqError where there is no such column, and where only some of the columns are named like labels: their order is
    then in doubt.
    """
    if not name or "," not in name or alike(table, name, str.strip) is not None:
        return ()
    columns = tuple(str(named(table, "label", part)) for part in name.split(",") if part.strip())
    own, known = [folded(column) for column in columns], [folded(label) for label in labels]
    if sorted(own) == sorted(known):
        return tuple(columns[own.index(label)] for label in known)
    if set(own) & set(known):
        raise ClvqError(
            f"{table.origin}: --label-column names the columns {', '.join(columns)}, and the model's labels are "
            f"{', '.join(labels)}. Name one column for each label: all by these names, or none, and then in this order."
        )
    return columns


def of_labels(table: Table, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are named like the head's labels, in their order; none unless all are there."""
    columns = [alike(table, label, folded) for label in labels]
    return tuple(column for column in columns if column is not None) if None not in columns else ()
