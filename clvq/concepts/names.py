"""A short name for each concept: the one that its reader gave it, or one made from its words and classes.

A name that is made says what the words of a concept have in common, by simple rules and without a language model:

    most words end in the same letters     "words in -ing: making, going"
    most are numbers, marks, capitals      "numbers: 10, 1990", "marks: , .", "capitalised: Smith, Paris"
    else                                   "awful, terrible, bad"

Names that readers give are kept in names.json beside the checkpoint, by the fingerprint of its weights, so that a
checkpoint that is trained anew has none, and its earlier names are not lost.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from clvq.artifacts import NAMES
from clvq.concepts.records import Concept
from clvq.errors import ClvqError
from clvq.storage import locked

WORDS = 3
"""Words in a name."""
MOST = 0.8
"""Share of a concept's listed words, by count, that must have a trait for the name to say it."""
LONGEST = 60
"""Characters of a name that a reader gives."""
SUFFIX_TYPES = 4
"""Different words that must share a suffix."""
SUFFIXES = (4, 3, 2)
"""Lengths of suffixes that are looked for, in letters."""
_TRAITS: dict[str, Callable[[str], bool]] = {
    "numbers": lambda word: any(map(str.isdigit, word)) and not any(map(str.isalpha, word)),
    "marks": lambda word: all(unicodedata.category(character)[0] in "PS" for character in word),
    "in capitals": lambda word: len(word) > 1 and word.isupper(),
    "capitalised": lambda word: word[:1].isupper() and not word.isupper(),
}


def made_name(concept: Concept) -> str:
    """Return a name from the typical words of a concept, the most typical first."""
    words = [entry.word.strip() for entry in concept.top_words if entry.word.strip()]
    if concept.of_sentence_rows or not words:
        return "whole sentences"
    counts = [entry.count for entry in concept.top_words if entry.word.strip()]
    shown = ", ".join(words[:WORDS])
    for trait, holds in _TRAITS.items():
        if _share(words, counts, holds) >= MOST:
            return f"{trait}: {shown}"
    suffix = _suffix(words, counts)
    return f"words in -{suffix}: {shown}" if suffix else shown


def _share(words: Sequence[str], counts: Sequence[int], holds: Callable[[str], bool]) -> float:
    return sum(count for word, count in zip(words, counts, strict=True) if holds(word)) / max(sum(counts), 1)


def _suffix(words: Sequence[str], counts: Sequence[int]) -> str:
    """Return the longest suffix that most of the words share, the words themselves being longer; "" without one."""
    types = {word.lower() for word in words}
    for length in SUFFIXES:
        for suffix in dict.fromkeys(word[-length:].lower() for word in words if word.isalpha()):
            inside = {word for word in types if word.endswith(suffix) and len(word) >= length + 2}
            if len(inside) >= SUFFIX_TYPES and _share(words, counts, lambda word: word.lower() in inside) >= MOST:  # noqa: B023
                return suffix
    return ""


def given_names(folder: Path, fingerprint: str) -> dict[int, str]:
    """Return the names that readers gave the codes of a checkpoint. ArtifactError where their file is damaged."""
    if not NAMES.exists(folder):
        return {}
    return {int(code): name for code, name in NAMES.read(folder)["names"].get(fingerprint, {}).items()}


def give_name(folder: Path, fingerprint: str, code: int, name: str) -> None:
    """Keep the name that a reader gives a code; an empty one brings back the name that is made.

    ClvqError where the name is longer than 60 characters or holds characters that cannot be shown.
    """
    name = " ".join(name.split())
    if len(name) > LONGEST or not name.isprintable():
        raise ClvqError(f"A concept's name has at most {LONGEST} printable characters; {name!r} has {len(name)}.")
    with locked(folder):
        kept = NAMES.read(folder)["names"] if NAMES.exists(folder) else {}
        own = {**kept.get(fingerprint, {}), str(code): name}
        NAMES.write(folder, {"names": {**kept, fingerprint: {key: value for key, value in own.items() if value}}})
