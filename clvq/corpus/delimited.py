"""Tables in text files: which delimiter, which quoting, and whether the first line names the columns.

Every likely way to read a file is tried on the whole file. A way counts only if each record has as many fields as the
first. `csv.Sniffer` is not used: it judges by how often characters occur, and sometimes takes a comma of the texts for
the delimiter.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from clvq.artifacts.records import Record
from clvq.config import Quoting
from clvq.corpus.lines import read_lines
from clvq.corpus.text_files import refuse_table
from clvq.corpus.usual_names import HEADER_NAMES
from clvq.errors import ClvqError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Delimiters that are recognised, by the names that `--delimiter` takes."""
USUAL = {".csv": ",", ".tsv": "\t"}
"""The usual delimiter for the ending of a file's name."""
NO_DELIMITER = ""
"""Stands for lines that are not split: each is a text."""
_SEPARATOR = re.compile(r'"?sep=([^"])"?')
"""The first line of a table that names its delimiter, as Excel writes and reads it."""


@dataclass(frozen=True)
class FileOptions:
    """What the user says about a file. What is None is found out from the file."""

    delimiter: str | None = None
    """A character, a name of DELIMITERS, or `none`."""
    quoting: Quoting | None = None
    header: bool | None = None
    """Whether the first line names the columns."""
    columns: tuple[str, ...] = ()
    """Columns that somebody named: a first line that holds one of them is a header."""

    @property
    def given(self) -> bool:
        return (self.delimiter, self.quoting, self.header) != (None, None, None)

    @property
    def character(self) -> str | None:
        """The delimiter as a character; "" where lines are not split. ClvqError for more than one character."""
        if self.delimiter is None:
            return None
        character = {**DELIMITERS, "none": NO_DELIMITER, "\\t": "\t"}.get(self.delimiter, self.delimiter)
        if len(character) > 1 or self.delimiter in ("", '"', "\n", "\r"):
            raise ClvqError(
                f"--delimiter is one character, or {', '.join(DELIMITERS)} or none; it is {self.delimiter!r}."
            )
        return character


@dataclass(frozen=True)
class StoredLayout(Record):
    """How a file was read as a table, in the words of the options."""

    delimiter: str
    """A character, or `none`."""
    quoting: Quoting
    header: bool


@dataclass(frozen=True)
class Layout:
    """How a file is read as a table."""

    delimiter: str
    quoted: bool
    """Whether double quotes enclose fields, as the CSV standard says; else they are characters like any other."""
    names: tuple[str, ...]
    """Names of the columns. A column without a name has its number, from 1."""
    has_header: bool

    @property
    def stored(self) -> StoredLayout:
        """The layout as artifacts record it."""
        return StoredLayout(self.delimiter or "none", "quoted" if self.quoted else "none", self.has_header)


class _Malformed(ClvqError):
    """Double quotes that do not pair up as the CSV standard says."""


@dataclass
class _Reading:
    """The result of one way to read a file."""

    delimiter: str
    quoted: bool
    first: Sequence[str] = ()
    records: int = 0
    """Number of records after the first."""
    quotes: bool = False
    """Whether a field begins with a double quote."""
    enclosed: int = 0
    """Number of records with a field that begins and ends with a double quote."""
    merges: bool = False
    """Whether a field spans several lines."""
    problem: str | None = None
    """Why this cannot be the right way to read the file."""

    @property
    def mostly_enclosed(self) -> bool:
        return self.enclosed > self.records / 2


def read_records(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of its first line, and the fields, of each record below the header. Blank lines are no
    records."""
    records = _records(path, layout.delimiter, layout.quoted)
    if layout.has_header:
        next(records, None)
    for line, fields in records:
        if len(fields) != len(layout.names):
            raise ClvqError(_uneven(path, line, len(fields), len(layout.names), layout.delimiter))
        yield line, fields


def find_layout(path: Path, suffix: str, options: FileOptions) -> Layout | None:
    """Return how a `.csv`, `.tsv` or `.txt` file is to be read as a table; None where each line is a text.

    ClvqError where this is in doubt, with the option that decides it.
    """
    if suffix == ".txt" and options.character in (None, NO_DELIMITER):
        if options.character is None:
            refuse_table(path, DELIMITERS.values())
        return None
    reading = _best(path, suffix, options)
    if reading is None:
        return Layout(options.character or USUAL.get(suffix, ","), False, (), True)  # an empty file
    has_header = options.header
    if has_header is None:
        _refuse_doubtful_header(path, reading.first, options.columns)
        has_header = True
    cells = reading.first if has_header else [""] * len(reading.first)
    names = tuple(cell if cell.strip() else str(number) for number, cell in enumerate(cells, 1))
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ClvqError(
            f"{path}: the first line names the column {repeated[0]!r} twice. Name each once; if it is no header, give "
            "--no-header."
        )
    return Layout(reading.delimiter, reading.quoted, names, has_header)


def _records(path: Path, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    lines = read_lines(path)
    if delimiter:
        first = next(lines, "")
        lines = chain(["\n" if _named_delimiter(first) else first], lines)  # a blank line keeps the others' numbers
    if not quoted:
        for number, text in enumerate(lines, 1):
            if text := text.removesuffix("\n").removesuffix("\r"):
                yield number, text.split(delimiter) if delimiter else [text]
        return
    csv.field_size_limit(2**31 - 1)  # the default of 128 KB is less than one long document
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise _Malformed(
            f"{path}, line {line}: {error}. A field that begins with a double quote must end with one and double the "
            "quotes inside it; --quoting none reads double quotes as they stand."
        ) from error


def _named_delimiter(first: str) -> str | None:
    """Return the delimiter that the first line of a file names; None where it names none."""
    found = _SEPARATOR.fullmatch(first.strip("\r\n"))
    return None if found is None else found[1]


def _uneven(path: Path, line: int, fields: int, columns: int, delimiter: str) -> str:
    name = next((name for name, character in DELIMITERS.items() if character == delimiter), repr(delimiter))
    return (
        f"{path}, line {line}: {fields} fields, but the first line has {columns} columns, with the delimiter {name}. "
        "Put fields that hold the delimiter in double quotes, or say how the file is to be read: --delimiter "
        "(none: each line is a text), --quoting."
    )


def _read_through(path: Path, delimiter: str, quoted: bool) -> _Reading:
    """Read the whole file in one way, until something shows that this way is wrong."""
    reading = _Reading(delimiter, quoted)
    try:
        for line, fields in _records(path, delimiter, quoted):
            if not quoted and any(field.startswith('"') for field in fields):
                reading.quotes = True
                reading.enclosed += any(len(f) > 1 and f[0] == f[-1] == '"' for f in fields)
            elif quoted and not reading.merges:
                reading.merges = any("\n" in field for field in fields)
            if not reading.first:
                reading.first = fields
                continue
            reading.records += 1
            if len(fields) != len(reading.first):
                reading.problem = _uneven(path, line, len(fields), len(reading.first), delimiter)
                break
    except _Malformed as error:
        reading.problem = str(error)
    return reading


def _best(path: Path, suffix: str, options: FileOptions) -> _Reading | None:
    """Return the one reading that fits the whole file; None for a file without records. ClvqError where none or several
    fit."""
    lines = read_lines(path)
    start = next(lines, "")
    named = None if options.character == NO_DELIMITER else _named_delimiter(start)
    first = next((line for line in chain([start] if named is None else [], lines) if line.strip("\r\n")), None)
    if first is None:
        return None
    usual = USUAL.get(suffix, ",")
    if options.character is not None:
        candidates = [options.character]
    elif named is not None:
        candidates = [named]
    else:
        candidates = [character for character in DELIMITERS.values() if character in first] or [usual]
        candidates.sort(key=lambda character: character != usual)
    readings = [_with_quoting(path, delimiter, options) for delimiter in candidates]
    fitting = [reading for reading in readings if reading.problem is None]
    if several := [reading for reading in fitting if len(reading.first) > 1]:
        fitting = several
    if not fitting:
        raise ClvqError(readings[0].problem or "")
    if len(fitting) > 1 and several:
        ways = " or ".join(f"{reading.delimiter!r} ({len(reading.first)} columns)" for reading in fitting)
        raise ClvqError(f"{path} can be read with the delimiter {ways}. Name the right one with --delimiter.")
    reading = fitting[0]
    holds = [character for character in DELIMITERS.values() if character in reading.first[0]]
    is_enclosed = options.header is False and reading.quoted and start.startswith('"')
    if len(reading.first) == 1 and holds and not is_enclosed and options.character is None:
        raise ClvqError(
            f"{path} would have only the column {reading.first[0][:80]!r}, whose name holds a delimiter. Say how its "
            f"lines are split: --delimiter (none: each line is a text)."
        )
    return reading


def _with_quoting(path: Path, delimiter: str, options: FileOptions) -> _Reading:
    """Return the reading with a delimiter, with or without quoted fields. Its `problem` says why neither fits.

    Double quotes count as plain characters where the quoted reading fails or merges lines. In addition, every line must
    then have as many fields as the first. A file of one column always meets that condition, so it is read as quoted
    where that is possible.
    """
    if delimiter == NO_DELIMITER or options.quoting == "none":
        return _read_through(path, delimiter, False)
    if options.quoting == "quoted":
        return _read_through(path, delimiter, True)
    plain = _read_through(path, delimiter, False)
    if plain.problem is None and not plain.quotes:
        return plain
    quoted = _read_through(path, delimiter, True)
    if plain.problem is not None or (quoted.problem is None and (plain.mostly_enclosed or not quoted.merges)):
        return quoted
    if quoted.problem is None and len(quoted.first) == 1:
        return quoted
    doubtful = plain.mostly_enclosed if quoted.problem is not None else delimiter != "\t"
    if doubtful:
        reason = quoted.problem or f"{path}: read with quoted fields, some of its texts go over several lines."
        plain.problem = f"{reason} Say which it is: --quoting quoted, or --quoting none."
    return plain


def _refuse_doubtful_header(path: Path, first: Sequence[str], named: Sequence[str]) -> None:
    """Raise ClvqError where the first line has no known column name. It may be data, which would be lost."""
    cells = {cell.strip() for cell in first}
    telling = {name.strip() for name in named if not name.strip().isdecimal()}  # a number is also that of a column
    if not {cell.lower() for cell in cells} & HEADER_NAMES and not telling & cells:
        shown = ", ".join(cell.strip()[:60] for cell in first[:8])
        if telling:
            raise ClvqError(
                f"{path} has no column {' or '.join(map(repr, sorted(telling)))} in its first line: {shown}. If that "
                "line names the columns, name one of them; if it is data, give --no-header and columns by number."
            )
        raise ClvqError(
            f"{path} has no text column with a usual name in its first line: {shown}. If that line names the columns, "
            "give --text-column, or --header; if it is data, give --no-header."
        )
