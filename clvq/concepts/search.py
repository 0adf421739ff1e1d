"""Search for concepts by a regular expression: over all words of each concept, not only the top ones, and over the
names that readers gave."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import regex

from clvq.artifacts.records import Record
from clvq.concepts.codebook import Codebook
from clvq.errors import ClvqError
from clvq.notebook import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame

SECONDS = 5.0
"""A search that takes longer is stopped, since a pattern with excessive backtracking could take hours."""
SHOWN_WORDS = 20
"""Number of matching words that a result keeps for each concept."""


@dataclass(frozen=True)
class MatchingWord(Record):
    """A word type that matches."""

    word: str
    count: int


@dataclass(frozen=True)
class Match(Record):
    """A concept with words that match."""

    code: int
    name: str
    """Name of the concept."""
    matches: int
    """Number of the concept's words that match."""
    words: int
    precision: float
    """Share of the concept's words that match."""
    recall: float
    """Share of the matching words of the corpus that are in the concept."""
    f1: float
    """Harmonic mean of precision and recall."""
    matching_words: list[MatchingWord]
    """The most frequent matching words."""


@dataclass(frozen=True)
class NamedConcept(Record):
    """A concept, and the name that a reader gave it."""

    code: int
    name: str


@dataclass(frozen=True)
class SearchResult(Record):
    """The concepts whose words match a pattern, the best first: by f1, then by code."""

    pattern: str
    types: int
    """Number of word types that match."""
    occurrences: int
    """Number of words of the corpus that match."""
    named: list[NamedConcept]
    """The concepts whose given name matches, by code. Their words need not match."""
    concepts: list[Match]

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per concept."""
        rows = [
            {**match.as_json(), "matching_words": [word.word for word in match.matching_words]}
            for match in self.concepts
        ]
        return data_frame(rows, [field.name for field in fields(Match)])


def search(codebook: Codebook, pattern: str) -> SearchResult:
    """Return every concept with a word, or a given name, that matches `pattern`, a regular expression.

    The pattern may match any part of a word type or name; anchor it with ^ and $ for whole ones. ClvqError where the
    pattern is invalid or takes too long.
    """
    expression = compiled(pattern)
    given = sorted(codebook.given_names.items())
    fits = _matches(expression, [name for _, name in given])
    named = [NamedConcept(code, name) for (code, name), fit in zip(given, fits, strict=True) if fit]
    counts, text = codebook.word_counts()
    matching = np.array(_matches(expression, text.vocabulary), bool)
    type_totals, code_totals = counts.sum(axis=0), counts.sum(axis=1)
    types = np.flatnonzero(matching)
    matching_counts = counts[:, types]
    code_matches = matching_counts.sum(axis=1)
    # Words that have no code anywhere (attention sinks) are not counted, so that recall can reach 1.
    occurrences = int(type_totals[matching].sum())
    concepts = []
    for code in np.flatnonzero(code_matches).tolist():
        columns = slice(matching_counts.indptr[code], matching_counts.indptr[code + 1])
        words = [
            MatchingWord(text.vocabulary[types[column]], count)
            for column, count in zip(
                matching_counts.indices[columns], matching_counts.data[columns].tolist(), strict=True
            )
        ]
        words.sort(key=lambda word: (-word.count, word.word))
        precision, recall = code_matches[code] / code_totals[code], code_matches[code] / occurrences
        concepts.append(
            Match(
                code=code,
                name=codebook.name(code),
                matches=int(code_matches[code]),
                words=int(code_totals[code]),
                precision=float(precision),
                recall=float(recall),
                f1=float(2 * precision * recall / (precision + recall)),
                matching_words=words[:SHOWN_WORDS],
            )
        )
    concepts.sort(key=lambda match: (-match.f1, match.code))
    return SearchResult(pattern, int((matching & (type_totals > 0)).sum()), occurrences, named, concepts)


def compiled(pattern: str) -> regex.Pattern[str]:
    """Return the compiled regular expression; ClvqError where it is invalid."""
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ClvqError(f"{pattern!r} is no regular expression: {error}.") from error


def _matches(pattern: regex.Pattern[str], texts: list[str]) -> list[bool]:
    until = time.monotonic() + SECONDS
    try:
        return [pattern.search(text, timeout=max(until - time.monotonic(), 1e-6)) is not None for text in texts]
    except TimeoutError as error:
        raise ClvqError(
            f"{pattern.pattern!r} takes over {SECONDS:.0f} seconds: it backtracks without end. "
            "Take nested repetition such as (a+)+ out of it."
        ) from error
