"""A text of several parts as one text: what stands in several columns, and belongs to one sentence.

The parts stand one behind the other with SEPARATOR between them, so that whatever shows, compares or stores a text
does so with all of its parts, and a character's place in the text says which part it is in.
"""

from __future__ import annotations

from collections.abc import Sequence

SEPARATOR = "\u241e"
"""The symbol for a record separator: visible, and no part of any language."""
_STAND_IN = " "


def join_parts(parts: Sequence[str]) -> str:
    """Return several parts as one text; one part stays as it is.

    join_parts(["A man eats.", "Someone eats."])     # "A man eats.␞Someone eats."
    """
    if len(parts) == 1:
        return parts[0]
    return SEPARATOR.join(part.replace(SEPARATOR, _STAND_IN) for part in parts)


def split_parts(text: str, count: int) -> list[str]:
    """Return the `count` parts of a text that `join_parts` made. ValueError where it has another number of them."""
    parts = [text] if count == 1 else text.split(SEPARATOR)
    if len(parts) != count:
        raise ValueError(f"{len(parts)} parts instead of {count}")
    return parts
