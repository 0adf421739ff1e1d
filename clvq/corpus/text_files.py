"""Text files with a text in each line, and what only seems to be one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from itertools import chain, islice
from pathlib import Path

from clvq.corpus.lines import read_lines
from clvq.corpus.usual_names import TEXT_COLUMNS
from clvq.errors import ClvqError

_NAME = re.compile(r"[\w.-]+")


def refuse_table(path: Path, delimiters: Collection[str]) -> None:
    """Raise ClvqError for a text file that seems to be a table or JSON lines.

    In such a file every line has as many tabs (or semicolons, or pipes) as the first, the first line names columns, or
    the first two lines are JSON objects.
    """
    counts: dict[str, int] | None = None
    lines = 0
    filled = (line for line in read_lines(path) if line.strip())
    head = list(islice(filled, 2))
    if head:
        _refuse_first_lines(path, [line.strip() for line in head], delimiters)
    for line in chain(head, filled):
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


def _refuse_first_lines(path: Path, head: Sequence[str], delimiters: Collection[str]) -> None:
    """Raise ClvqError where the first line of `head` names columns, or all of its lines are JSON objects."""
    what = f"the first line is {head[0][:60]!r}"
    for character in delimiters:
        cells = [cell.strip().lower() for cell in head[0].split(character)]
        if len(cells) > 1 and all(map(_NAME.fullmatch, cells)) and {*cells} & {*TEXT_COLUMNS}:
            raise ClvqError(
                f"{path} seems to be a table: {what}. Give --delimiter: {character!r}, or none, which takes each line "
                "as a text."
            )
    if all(map(_is_object, head)):
        raise ClvqError(
            f"{path} seems to hold JSON lines: {what}. Rename it to end in .jsonl, or give --delimiter none, which "
            "takes each line as a text."
        )


def _is_object(line: str) -> bool:
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
