"""A text of several parts as one text: the parts come from several columns and belong to one sentence.

The parts are joined in order, with SEPARATOR between them. Whatever shows, compares or stores a text therefore uses all
of its parts, and the position of a character in the text tells its part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from clvq.config.prompts import TEXT
from clvq.errors import ClvqError

SEPARATOR = "\u241e"
"""The symbol for a record separator: visible, and no part of any language."""
_STAND_IN = " "
_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """Replace half of a UTF-16 pair by U+FFFD. JSON can hold such a half, but a tokenizer cannot: it has no UTF-8
    form."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def join_parts(parts: Sequence[str]) -> str:
    """Return several parts as one text.

        join_parts(["A man eats.", "Someone eats."])     # "A man eats.␞Someone eats."

    One part stays as it is.
    """
    if len(parts) == 1:
        return parts[0]
    return SEPARATOR.join(part.replace(SEPARATOR, _STAND_IN) for part in parts)


def split_parts(text: str, count: int) -> list[str]:
    """Return the `count` parts of a text that `join_parts` made. ValueError where the text has another number of
    parts."""
    parts = [text] if count == 1 else text.split(SEPARATOR)
    if len(parts) != count:
        raise ValueError(f"{len(parts)} parts instead of {count}")
    return parts


def text_parts(text: Any) -> dict[str, str]:
    """Return the parts of a text that a user gives: a text alone, or a dictionary of parts. ClvqError for anything
    else."""
    parts = {TEXT: text} if isinstance(text, str) else text
    if not isinstance(parts, Mapping) or not all(isinstance(part, str) for item in parts.items() for part in item):
        raise ClvqError(f"A text, or a dictionary of texts, is expected, and {text!r} is a {type(text).__name__}.")
    return dict(parts)


def given_texts(texts: Any) -> Iterator[dict[str, str]]:
    """Yield the parts of each text that a user gives: one text, or any number. ClvqError for a table, and for what is
    no text."""
    if hasattr(texts, "columns"):
        raise ClvqError("A table is given where texts are expected. Give one column of it, such as table['text'].")
    several = isinstance(texts, Iterable) and not isinstance(texts, str | Mapping)
    yield from map(text_parts, texts if several else [texts])
