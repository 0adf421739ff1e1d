"""A short name for each concept: the name that a reader gave, or one made from the concept's words.

A made name says what the words of a concept have in common, by simple rules and without a language model:

    most words end in the same letters     "words in -ing: making, going"
    most are numbers, marks, capitals      "numbers: 10, 1990", "marks: , .", "capitalised: Smith, Paris"
    else                                   "awful, terrible, bad"

Names and notes that readers give are kept in names.json beside the checkpoint, by the fingerprint of its weights. If
the checkpoint is trained again, the new weights have no names, and the names for the earlier weights are not lost.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clvq.artifacts import NAMES
from clvq.concepts.records import Concept
from clvq.errors import ClvqError, MismatchError
from clvq.storage import locked

WORDS = 3
"""Number of words in a name."""
MOST = 0.8
"""Share of a concept's top words, weighted by count, that must have a trait for the name to mention it."""
LONGEST, LONGEST_NOTE = 60, 2000
"""Most characters of a name, and of a note, that a reader gives; the report's page has the same limits."""
EXPORT = "clvq-names-export"
"""The `format` in a file of names that the report's page exports."""
SUFFIX_TYPES = 4
"""Number of different words that must share a suffix."""
SUFFIXES = (4, 3, 2)
"""Lengths, in letters, of the suffixes that are tried."""
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
    """Return the longest suffix that most of the words, at least two letters longer, share; "" without one."""
    types = {word.lower() for word in words}
    for length in SUFFIXES:
        for suffix in dict.fromkeys(word[-length:].lower() for word in words if word.isalpha()):
            inside = {word for word in types if word.endswith(suffix) and len(word) >= length + 2}
            if len(inside) >= SUFFIX_TYPES and _share(words, counts, lambda word: word.lower() in inside) >= MOST:  # noqa: B023
                return suffix
    return ""


def given_names(folder: Path, fingerprint: str) -> dict[int, str]:
    """Return the names that readers gave the codes of a checkpoint. ArtifactError where their file is damaged."""
    return _given(folder, fingerprint, "names")


def given_notes(folder: Path, fingerprint: str) -> dict[int, str]:
    """Return the notes that readers gave the codes of a checkpoint. ArtifactError where their file is damaged."""
    return _given(folder, fingerprint, "notes")


def _given(folder: Path, fingerprint: str, kind: str) -> dict[int, str]:
    if not NAMES.exists(folder):
        return {}
    return {int(code): text for code, text in NAMES.read(folder).get(kind, {}).get(fingerprint, {}).items()}


def give_name(folder: Path, fingerprint: str, code: int, name: str) -> None:
    """Keep the name that a reader gives a code; an empty name restores the made one.

    ClvqError where the name is longer than 60 characters or holds characters that cannot be shown.
    """
    give(folder, fingerprint, {code: name}, {})


def give(folder: Path, fingerprint: str, names: Mapping[int, str], notes: Mapping[int, str]) -> None:
    """Keep names and notes by code; an empty one deletes the stored one.

    ClvqError where one is too long or holds characters that cannot be shown; then none of them is kept.
    """
    given = {
        "names": {str(code): _checked_name(name) for code, name in names.items()},
        "notes": {str(code): _checked_note(code, note) for code, note in notes.items()},
    }
    with locked(folder):
        body = NAMES.read(folder) if NAMES.exists(folder) else {}
        NAMES.write(folder, {kind: _merged(body.get(kind, {}), fingerprint, new) for kind, new in given.items()})


def _merged(
    kept: Mapping[str, Mapping[str, str]], fingerprint: str, new: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    own = {**kept.get(fingerprint, {}), **new}
    return {**kept, fingerprint: {code: text for code, text in own.items() if text}}


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if len(name) > LONGEST or not name.isprintable():
        raise ClvqError(f"A concept's name has at most {LONGEST} printable characters; {name!r} has {len(name)}.")
    return name


def _checked_note(code: int, note: str) -> str:
    note = note.strip()
    if len(note) > LONGEST_NOTE or not all(line.isprintable() for line in note.replace("\t", " ").split("\n")):
        limit = f"A concept's note has at most {LONGEST_NOTE:,} printable characters"
        raise ClvqError(f"{limit}; that of code {code} has {len(note):,}.")
    return note


def read_export(path: Path, fingerprint: str) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names and the notes by code of a file that a report has exported.

    ClvqError where the file cannot be read or has another format; MismatchError where it is of another training.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClvqError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ClvqError(f"{path} is no JSON file: {error}.") from error
    if not isinstance(body, dict) or body.get("format") != EXPORT:
        raise ClvqError(f"{path} is no file of names: give one that was exported from the page of `clvq report`.")
    if body.get("format_version") != 1:
        raise ClvqError(f"{path} has format version {body.get('format_version')!r}; this clvq reads 1. Upgrade clvq.")
    if body.get("checkpoint") != fingerprint:
        raise MismatchError(
            f"{path} names the concepts of another training: its checkpoint is {body.get('checkpoint')}, this one is "
            f"{fingerprint}. Name the checkpoint that the report was made of."
        )
    names, notes = (_by_code(body.get(kind, {}), kind, path) for kind in ("names", "notes"))
    return names, notes


def _by_code(given: Any, kind: str, path: Path) -> dict[int, str]:
    if not isinstance(given, dict) or not all(
        code.isascii() and code.isdigit() and isinstance(text, str) for code, text in given.items()
    ):
        raise ClvqError(f"The {kind} in {path} are not texts by code. Export the file again.")
    return {int(code): text for code, text in given.items()}
