"""What is kept of a text that is too long to be shown: its words, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence

AROUND = 500
"""Characters that are kept before and after a word, where nothing else is said."""
LONGEST_WORD = 200
"""Characters that are kept of a word. Longer ones are not words of a language: encoded files, long addresses."""


def shortened(word: str) -> str:
    """Return the beginning of a word that is too long to be shown; any other one as it is."""
    return word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…"


class Excerpt:
    """A text without its parts that are too long to be shown; a mark stands in place of each.

    shown = Excerpt(text, [(start, end), ...])     # the words, in their order
    shown.text[shown.at(start) : shown.at(end)]    # a word, or its beginning
    """

    def __init__(self, text: str, words: Sequence[tuple[int, int]], around: int = AROUND) -> None:
        self._cuts: list[tuple[int, int]] = []
        end = 0
        for start, stop in words:
            self._cut(end + around * (end > 0), start - around)
            self._cut(start + LONGEST_WORD, stop)
            end = stop
        self._cut(end + around * (1 if words else 2), len(text))
        parts, end = [], 0
        for start, stop in self._cuts:
            parts.append(text[end:start])
            end = stop
        self.text = "…".join([*parts, text[end:]])
        """The excerpt."""

    def _cut(self, start: int, stop: int) -> None:
        if stop > start:
            self._cuts.append((start, stop))

    def at(self, offset: int) -> int:
        """Return the place in the excerpt of a place in the text; that of the mark where it was cut out."""
        moved = offset
        for start, stop in self._cuts:
            if offset > start:
                moved -= min(offset, stop) - start - 1
        return moved
