"""Concepts whose words match a regular expression, over every word of every concept, not only the top ones."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import regex

from clvq.concepts.codebook import Codebook
from clvq.errors import ClvqError

SECONDS = 5.0
"""A pattern that is not through the vocabulary by then is catastrophic: it would not be for hours."""
SHOWN_WORDS = 20


def search(codebook: Codebook, pattern: str) -> dict[str, Any]:
    """`pattern` is searched for in each word type (anchor it with ^ and $ for whole words).

    Gives the matching types and occurrences of the corpus, and every concept that has some, the best first: by the
    harmonic mean of `precision` (of the concept's words, those that match) and `recall` (of the matching words of the
    corpus, those that lie in the concept). ClvqError where the pattern is broken, or takes forever.
    """
    expression = compiled(pattern)
    counts, text = codebook.word_counts()
    matching = np.array(_matches(expression, text.vocabulary), bool)
    # Words that are left out everywhere (sinks) have no count, so that recall can reach 1.
    of_type = counts.sum(axis=0)
    chosen = counts[:, np.flatnonzero(matching)]
    numbers = np.flatnonzero(matching)
    of_code, total = chosen.sum(axis=1), int(of_type[matching].sum())
    words = counts.sum(axis=1)
    concepts: list[dict[str, Any]] = []
    for code in np.flatnonzero(of_code).tolist():
        place = slice(chosen.indptr[code], chosen.indptr[code + 1])
        seen = sorted(
            zip(chosen.data[place].tolist(), (text.vocabulary[numbers[i]] for i in chosen.indices[place]), strict=True),
            key=lambda entry: (-entry[0], entry[1]),
        )
        precision, recall = of_code[code] / words[code], of_code[code] / total
        concepts.append(
            {
                "code": code,
                "matches": int(of_code[code]),
                "words": int(words[code]),
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(2 * precision * recall / (precision + recall)),
                "matching_words": [{"word": word, "count": count} for count, word in seen[:SHOWN_WORDS]],
            }
        )
    concepts.sort(key=lambda concept: (-concept["f1"], concept["code"]))
    types = int((matching & (of_type > 0)).sum())
    return {"pattern": pattern, "types": types, "occurrences": total, "concepts": concepts}


def compiled(pattern: str) -> regex.Pattern[str]:
    """The expression; ClvqError where it is broken."""
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ClvqError(f"{pattern!r} is no regular expression: {error}.") from error


def _matches(pattern: regex.Pattern[str], vocabulary: list[str]) -> list[bool]:
    until = time.monotonic() + SECONDS
    try:
        return [pattern.search(word, timeout=max(until - time.monotonic(), 1e-6)) is not None for word in vocabulary]
    except TimeoutError as error:
        raise ClvqError(
            f"{pattern.pattern!r} takes over {SECONDS:.0f} seconds: it backtracks without end. "
            "Take nested repetition such as (a+)+ out of it."
        ) from error
