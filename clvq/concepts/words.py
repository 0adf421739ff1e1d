"""The top words of a concept: words that are both typical of the concept and distinctive for it.

A word's score is `p(w|c) log(lift)`, its part of the divergence between the concept's words and all words (in nats). A
word that is frequent everywhere has a lift near 1, so its score is near 0. A rare word that occurs only in this concept
has a small share, so its score is small too.

The lift is smoothed: `(n + 1) / (E + 1)` for n occurrences where `E = n_c n_w / N` are expected. That is the posterior
mean of the ratio under a Gamma(1, 1) prior, whose mean is 1 (DuMouchel, The American Statistician 53, 1999). Without
smoothing, words that occur only once get the highest lifts, so names and misspellings lead the list of each small
concept. With smoothing, the lift of a single occurrence is at most 2, while twenty occurrences still give a high lift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SMOOTHING = 1.0
"""Number of occurrences that is added to the observed and to the expected number."""


class RankedWords(NamedTuple):
    """Words of one concept, the best first; each array is as long as `types`."""

    types: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    """Shares of the concept's words."""
    recalls: np.ndarray
    """Shares of each word's occurrences that are in this concept."""


def count_words(codes: np.ndarray, types: np.ndarray, size: int, vocabulary_size: int) -> csr_array:
    """Count how often each word type has each code, `[K, V]` sparse, from the code and the type of each word `[N]`."""
    from scipy.sparse import coo_array

    ones = np.ones(len(codes), np.int64)
    counts = coo_array((ones, (codes, types)), shape=(size, vocabulary_size)).tocsr()
    counts.sum_duplicates()
    return counts


def rank_words(counts: csr_array, vocabulary: list[str], most: int) -> list[RankedWords]:
    """Return the `most` best words of every concept. Words with equal scores are in alphabetical order."""
    of_type, of_code = counts.sum(axis=0), counts.sum(axis=1)
    alphabetical = np.empty(len(vocabulary), np.int64)
    alphabetical[np.argsort(np.array(vocabulary, object), kind="stable")] = np.arange(len(vocabulary))
    total = max(int(of_type.sum()), 1)
    ranked = []
    for code in range(counts.shape[0]):
        span = slice(counts.indptr[code], counts.indptr[code + 1])
        types, seen = counts.indices[span], counts.data[span]
        shares = seen / max(int(of_code[code]), 1)
        scores = shares * np.log((seen + SMOOTHING) / (of_type[types] * of_code[code] / total + SMOOTHING))
        order = np.lexsort((alphabetical[types], -scores))[:most]
        recalls = seen / of_type[types]
        ranked.append(RankedWords(types[order], seen[order], shares[order], recalls[order]))
    return ranked
