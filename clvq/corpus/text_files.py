"""Text files with a text in each line, and what only seems to be one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from clvq.corpus.lines import read_lines
from clvq.corpus.usual_names import TEXT_COLUMNS
from clvq.errors import ClvqError

_NAME = re.compile(r"[\w.-]+")


def refuse_table(path: Path, delimiters: Collection[str]) -> None:
    """Raise ClvqError for a text file in which every line has as many tabs (or semicolons, or pipes) as the first, or
    whose first line is that of a table or of JSON lines."""
    counts: dict[str, int] | None = None
    lines = 0
    for line in read_lines(path):
        if line.strip():
            if not lines:
                _refuse_first_line(path, line.strip(), delimiters)
            here = {character: line.count(character) for character in "\t;|"}
            counts = here if counts is None else {c: n for c, n in counts.items() if n and here[c] == n}
            lines += 1
            if not counts:
                return
    same = next((character for character, count in (counts or {}).items() if count), None)
    if same is not None and lines > 1:
        raise ClvqError(
            f"{path} seems to be a table: every line has {same!r} {(counts or {})[same]} times. Give --delimiter: that "
            "character, or none, which takes each line as a text."
        )


def _refuse_first_line(path: Path, first: str, delimiters: Collection[str]) -> None:
    what = f"the first line is {first[:60]!r}"
    for character in delimiters:
        cells = [cell.strip().lower() for cell in first.split(character)]
        if len(cells) > 1 and all(map(_NAME.fullmatch, cells)) and {*cells} & {*TEXT_COLUMNS}:
            raise ClvqError(
                f"{path} seems to be a table: {what}. Give --delimiter: {character!r}, or none, which takes each line "
                "as a text."
            )
    try:
        is_object = first.startswith("{") and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return
    if is_object:
        raise ClvqError(
            f"{path} seems to hold JSON lines: {what}. Rename it to end in .jsonl, or give --delimiter none, which "
            "takes each line as a text."
        )
