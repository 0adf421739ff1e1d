"""Local data files, read row by row and exactly as they stand.

`datasets` has builders for these formats too, but they guess: a JSON string that looks like a date becomes a timestamp,
"NA" in a CSV becomes a missing value, and "007" becomes the number 7. They also copy each file into a cache first. This
module leaves text as it is, names the line of an error, and stores nothing, so that a changed file is never read from
an old copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from clvq.corpus.delimited import FileOptions, Layout, find_layout, read_records
from clvq.corpus.lines import COMPRESSIONS, read_lines
from clvq.corpus.usual_names import TEXT_COLUMNS
from clvq.errors import ClvqError

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
LINES = (".csv", ".tsv", ".txt")
"""Formats whose lines a delimiter may split into fields."""
NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d*)?")

_SHOWN = 8  # names in a message
_LABELLED_LINES = {"__label__": "fastText's format", "-DOCSTART-": "CoNLL's format"}
"""How lines begin that hold more than a text, in files that are named as if they held texts alone."""
_HEAD = 1000  # rows that show which columns a file without a schema has


@dataclass(frozen=True)
class Columns:
    """The columns of a table; `strings` are those with text, `classes` the names behind class numbers."""

    names: list[str]
    strings: list[str]
    classes: dict[str, list[str]]
    nested: list[str] = field(default_factory=list)
    """Entries of columns that hold objects, as `text.en`."""

    @property
    def reachable(self) -> list[str]:
        """All that can be named as a text or a label."""
        return [*self.names, *self.nested]


def file_format(path: Path) -> str | None:
    """Return the format that a file's name tells (`.csv` for `reviews.csv.gz`), or None if clvq cannot read it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in COMPRESSIONS and suffixes[-2] != ".parquet":
        suffixes.pop()
    suffix = ".jsonl" if suffixes[-1:] == [".ndjson"] else "".join(suffixes[-1:])
    return suffix if suffix in FORMATS else None


def layout_of(path: Path, options: FileOptions) -> Layout | None:
    """Return how the lines of a text file are split into fields; None where a line is a text, and for the other
    formats.

    ClvqError where this is in doubt.
    """
    suffix = file_format(path)
    return find_layout(path, suffix, options) if suffix in LINES else None


def read_columns(path: Path, layout: Layout | None) -> Columns:
    """Return what columns a file has: from a parquet file's schema, otherwise from its first rows, and from later ones
    with a column that no row before them has."""
    if file_format(path) == ".parquet":
        return _parquet_columns(path)
    rows = read_rows(path, layout)
    first = list(islice(rows, _HEAD))
    names = {name for row in first for name in row}
    for row in rows if file_format(path) in (".jsonl", ".json") else ():
        if not names.issuperset(row):
            names.update(row)
            first.append(row)
    return columns_of(first)


def columns_of(rows: Iterable[dict[str, Any]]) -> Columns:
    """Return the columns of a few rows. A column holds text where any of its values is a string that is no number."""
    names: dict[str, bool] = {}
    nested: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            is_text = isinstance(value, str) and NUMBER.fullmatch(value) is None
            names[name] = names.get(name, False) or is_text
            nested.update(dict.fromkeys(_entries(name, value)))
    return Columns(list(names), [name for name, is_text in names.items() if is_text], {}, list(nested))


def _entries(name: str, value: Any) -> Iterator[str]:
    """Yield the dotted names of the entries of an object. Of an entry that is an object itself, yield the entries."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict):
                yield from _entries(f"{name}.{key}", inner)
            else:
                yield f"{name}.{key}"


def value_at(row: dict[str, Any], name: str) -> Any:
    """Return the value of a column, or of a dotted name inside a column's objects; None where there is none."""
    if name in row:
        return row[name]
    for column, inner in row.items():
        if isinstance(inner, dict) and name.startswith(f"{column}."):
            return value_at(inner, name.removeprefix(f"{column}."))
    return None


def read_rows(path: Path, layout: Layout | None, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file from its first to its last; `layout` is the file's `layout_of`.

    Values of text formats are strings as written, also numbers. Blank lines of a table are no rows. A text file has the
    one column `text`, with one sentence in each line; its blank lines are rows too.
    """
    if layout is not None:
        yield from _read_delimited(path, layout, columns)
    elif (suffix := file_format(path)) == ".parquet":
        yield from _read_parquet(path, columns)
    elif suffix == ".txt":
        for number, line in enumerate(read_lines(path), 1):
            if found := next((kind for start, kind in _LABELLED_LINES.items() if line.startswith(start)), None):
                raise ClvqError(
                    f"{path}, line {number}: this is {found}, whose labels would be read as words of the texts. Save "
                    "texts and labels as columns of a table, or as JSON lines."
                )
            yield {"text": line.removesuffix("\n").removesuffix("\r")}
    else:
        present: dict[str, None] = {}
        for row in _read_json(path):
            present.update(dict.fromkeys(row))
            yield row
        if present:
            _require(path, [name for name in columns or [] if name.split(".")[0] not in present], list(present))


def _read_delimited(path: Path, layout: Layout, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    _require(path, columns, list(layout.names))
    for _, fields in read_records(path, layout):
        yield dict(zip(layout.names, fields, strict=True))


def _read_json(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the object of each line, or those of one array, which is read as a whole. ClvqError for one object of
    columns or of all rows."""
    rows = _json_objects(path)
    first = list(islice(rows, 2))
    if len(first) == 1 and (what := "columns" if _holds_columns(first[0]) else "rows" if _holds_rows(first[0]) else ""):
        names = ", ".join([*first[0]][:_SHOWN]) + (", ..." if len(first[0]) > _SHOWN else "")
        raise ClvqError(
            f"{path}, line 1: one object of {what} ({names}) instead of an object a row. It must hold "
            'one object a line, or one array of objects. With pandas: df.to_json(path, orient="records", lines=True).'
        )
    yield from chain(first, rows)


def _json_objects(path: Path) -> Iterator[dict[str, Any]]:
    lines = enumerate(read_lines(path), 1)
    for number, line in lines:
        if line.lstrip().startswith("["):
            document = line + "".join(rest for _, rest in lines)
            for item_number, item in enumerate(_parse_json(path, number, document), 1):
                yield _as_row(item, f"{path}, item {item_number}")
        elif line.strip() == "{":  # an object over several lines
            yield _as_row(
                _parse_json(path, number, line + "".join(rest for _, rest in lines)), f"{path}, line {number}"
            )
        elif not line.isspace():
            yield _as_row(_parse_json(path, number, line.rstrip()), f"{path}, line {number}")


def _holds_columns(item: dict[str, Any]) -> bool:
    """Return whether the only object of a file holds all rows: lists, or objects by row number, as pandas writes
    them."""
    values = list(item.values())
    lists = [value for value in values if isinstance(value, list)]
    by_number = [value for value in values if isinstance(value, dict) and value and all(map(str.isdecimal, value))]
    return bool(values) and (
        len(values) in (len(lists), len(by_number)) or any(isinstance(part, dict) for part in chain(*lists))
    )


def _holds_rows(item: dict[str, Any]) -> bool:
    """Return whether the only object of a file holds all rows by an id: objects with texts, under names of no text."""
    objects = [value for value in item.values() if isinstance(value, dict) and {*value} & {*TEXT_COLUMNS}]
    return 1 < len(item) == len(objects) and not {*item} & {*TEXT_COLUMNS}


def _as_row(item: Any, where: str) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    raise ClvqError(f'{where}: not an object such as {{"text": "..."}}, but a {type(item).__name__}.')


def _parse_json(path: Path, first_line: int, document: str) -> Any:
    try:
        # Numbers stay as written: 1.50 in a text column is not 1.5.
        return json.loads(document, parse_int=str, parse_float=str, parse_constant=_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        line = first_line + getattr(error, "lineno", 1) - 1
        reason = getattr(error, "msg", error)
        raise ClvqError(
            f"{path}, line {line}: not valid JSON ({reason}). The file must hold one object a line, or "
            "one array of objects; a broken last line often means a download that stopped."
        ) from error


def _constant(name: str) -> str | None:
    """Return NaN, Infinity or -Infinity as it is written; None for NaN, which is how pandas writes a missing value."""
    return None if name == "NaN" else name


def _unique(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; ValueError where it has a key twice."""
    item = dict(entries)
    if len(item) < len(entries):
        names = [name for name, _ in entries]
        raise ValueError(f"the key {next(name for name in item if names.count(name) > 1)!r} twice in an object")
    return item


def _parquet_columns(path: Path) -> Columns:
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise _broken_parquet(path, error) from error
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise ClvqError(f"{path} has the column {twice[0]!r} twice. Name each column once.")
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features") or {}
    entries = {name: _entry_of(feature) for name, feature in features.items()}
    classes = {name: feature["names"] for name, feature in entries.items() if _is_class_label(feature)}
    strings = [field.name for field in schema if _is_string(field.type)]
    nested = [name for field in schema for name in _struct_fields(field.name, field.type)]
    return Columns(schema.names, strings, classes, nested)


def _struct_fields(name: str, kind: Any) -> Iterator[str]:
    """Yield the dotted names of the entries of a parquet column of objects."""
    import pyarrow

    if pyarrow.types.is_struct(kind):
        for inner in kind:
            if pyarrow.types.is_struct(inner.type):
                yield from _struct_fields(f"{name}.{inner.name}", inner.type)
            else:
                yield f"{name}.{inner.name}"


def _entry_of(feature: Any) -> Any:
    """Return what a list holds, by its description in `datasets`; anything else as it is."""
    if isinstance(feature, list):
        return feature[0] if len(feature) == 1 else feature
    return feature.get("feature", feature) if isinstance(feature, dict) else feature


def _is_class_label(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and bool(feature.get("names"))


def _is_string(kind: Any) -> bool:
    import pyarrow

    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return str(kind) in ("string", "large_string", "string_view")


def _read_parquet(path: Path, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
            _require(path, columns, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=1000, columns=columns):
                yield from batch.to_pylist()
    except (OSError, OverflowError, pyarrow.ArrowException) as error:
        raise _broken_parquet(path, error) from error


def _broken_parquet(path: Path, error: Exception) -> ClvqError:
    return ClvqError(f"Cannot read {path}: {error}. Check that the parquet file is whole, and readable.")


def _require(path: Path, columns: list[str] | None, present: list[str]) -> None:
    """Raise ClvqError where a column is missing. Without this check, the rows of such a file would count as missing
    text."""
    if missing := [name for name in columns or [] if name not in present]:
        columns_here = ", ".join(present)
        raise ClvqError(f"{path} lacks the column {missing[0]!r} of the split's first file: {columns_here}.")
