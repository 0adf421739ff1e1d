"""The colour of a word, from its attribution relative to the strongest attribution in its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clvq.explanations.records import ExplainedWord

FOR = ("#deebf7", "#9ecae1", "#6baed6", "#4292c6")
AGAINST = ("#fee6ce", "#fdbe85", "#fd9d4f", "#f07818")
"""Background colours for black letters, from weak to strong. Nearly everyone can tell blue from orange."""
INSIDE = "·"
_FAINTEST = 0.1
"""A word below this share of the strongest attribution has no colour."""


def strongest(words: Sequence[ExplainedWord]) -> float:
    """Return the largest absolute attribution of a sentence's words; 1 where all are 0."""
    return max((abs(word.attribution) for word in words), default=0.0) or 1.0


def pieces(text: str, words: Sequence[ExplainedWord]) -> Iterator[tuple[str, ExplainedWord | None]]:
    """Yield a text piece by piece, in order: what is shown of each word, and what is between words, with None.

    Of a token that is part of a character that is shown already, INSIDE is shown.
    """
    end = 0
    for word in words:
        yield text[end : word.start], None
        yield text[max(end, word.start) : word.end] or INSIDE, word
        end = max(end, word.end)
    yield text[end:], None


def shade(word: ExplainedWord, most: float, for_it: Sequence[str] = FOR, against: Sequence[str] = AGAINST) -> str:
    """Return the colour of a word, given the strongest attribution `most`; "" for a word with a weak attribution."""
    share = abs(word.attribution) / most
    if share < _FAINTEST:
        return ""
    shades = for_it if word.attribution > 0 else against
    return shades[min(int(share * len(shades)), len(shades) - 1)]
