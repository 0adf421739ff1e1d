"""Words before they have a place in a text: their planted classes, and their inflection."""

from __future__ import annotations

from typing import NamedTuple

from demo.phrases import FUNCTION

POLARITY = {1: "positive", 0: "neutral", -1: "negative"}
DOUBLING = frozenset(("drag", "drop", "hum", "jam", "rub", "sag", "shrug", "slip", "snap", "stop", "trap"))


class Piece(NamedTuple):
    """A word or mark with its planted classes, not yet placed in a text."""

    text: str
    aspect: str | None = None
    domain: str | None = None
    polarity: str = "neutral"
    function: bool = False


def mark(text: str, sign: int = 0, aspect: str | None = None, domain: str | None = None) -> list[Piece]:
    """The words of `text`; those with a `*` judge by `sign`. Function words have no classes unless they judge."""
    pieces = []
    for raw in text.split():
        word = raw.strip("*")
        judges = word != raw
        function = word in FUNCTION and not judges
        polarity = POLARITY[sign if judges else 0]
        pieces.append(Piece(word, None if function else aspect, None if function else domain, polarity, function))
    return pieces


def inflect(verb: str, plural: bool, past: bool) -> str:
    """`verb` as "hold" or "hold/held", agreeing with a third person subject."""
    base, _, irregular = verb.partition("/")
    if base == "be":
        return ("were" if plural else "was") if past else ("are" if plural else "is")
    if not past and (plural or base == "have"):
        return base if plural else "has"
    stem = base[:-1] + "i" if base.endswith("y") and base[-2] not in "aeiou" else base
    if past:
        ending = "d" if base.endswith("e") else base[-1] + "ed" if base in DOUBLING else "ed"
        return irregular or stem + ending
    return stem + ("es" if stem.endswith(("s", "sh", "ch", "x", "z", "o", "i")) else "s")


def judging(text: str) -> str:
    """`text` with its first content word starred: the word of an adjective that carries the judgement."""
    words = text.split()
    place = next((i for i, word in enumerate(words) if word not in FUNCTION), len(words) - 1)
    words[place] += "*"
    return " ".join(words)
