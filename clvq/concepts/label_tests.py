"""Test whether the texts of a code belong to a class more often than expected by chance.

The words of a sentence share its label, and copies of a text add no information. So the unit of the test is a distinct
text, and a code either occurs on a text or does not. Under the null hypothesis, the texts of a code are a random draw
from all texts, so the number of them that belong to a class is hypergeometric. Where labels are lists, a text can
belong to several classes, and each class is tested separately. The tail `P(X >= k)` is exact. The p-values are
corrected by Bonferroni over the classes, since the most over-represented class is chosen from the data, and by
Benjamini-Hochberg (1995) over the codes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Associations(NamedTuple):
    """Tests of codes `[K]` against classes `[C]`. A code on no text with a class has p and q 1, share and lift 0."""

    counts: np.ndarray
    """[K, C] number of distinct texts of the class on which the code occurs."""
    totals: np.ndarray
    """[C] number of distinct texts of the class."""
    texts: np.ndarray
    """[K] number of the code's distinct texts that have a class, or, where labels are lists, a known list."""
    population: int
    """Number of all distinct texts of this kind."""
    classes: np.ndarray
    """[K] the class with the smallest tail probability; of equal ones, that with the highest lift."""
    shares: np.ndarray
    """[K] share of the code's texts that are of that class."""
    lifts: np.ndarray
    """[K] `shares` divided by the class's share of all texts."""
    p: np.ndarray
    q: np.ndarray
    """[K] p adjusted by Benjamini-Hochberg over the codes that occur on a text with a class."""


def first_classes(texts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the first class of each distinct text `[T]`, from the text and the class (-1: none) of sentences `[S]`."""
    found = np.full(int(texts.max(initial=-1)) + 1, -1, np.int64)
    known = np.flatnonzero(classes >= 0)[::-1]  # reversed, since the last of several assignments to one place counts
    found[texts[known]] = classes[known]
    return found


def first_sets(texts: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Return the first known set of classes of each distinct text `[T, C]`, from the texts `[S]` and the sets `[S, C]`
    of the sentences. 1: the text belongs to the class, 0: it does not, -1: not known."""
    found = np.full((int(texts.max(initial=-1)) + 1, sets.shape[1]), -1, sets.dtype)
    known = np.flatnonzero(sets[:, 0] >= 0)[::-1]
    found[texts[known]] = sets[known]
    return found


def associate(codes: np.ndarray, texts: np.ndarray, classes: np.ndarray, size: int, class_count: int) -> Associations:
    """Test codes against classes, from pairs of a code `[P]` and a distinct text `[P]` on which it occurs, each once.

    `classes` `[T]` are those of the texts; texts of class -1 are left out. `size` is K, `class_count` is C.
    """
    sets = np.where(classes[:, None] < 0, -1, classes[:, None] == np.arange(class_count))
    return associate_sets(codes, texts, sets, size)


def associate_sets(codes: np.ndarray, texts: np.ndarray, sets: np.ndarray, size: int) -> Associations:
    """Test as `associate`, for texts that belong to any number of classes: `sets` `[T, C]` as from `first_sets`."""
    from scipy.stats import false_discovery_control, hypergeom  # slow to import, and not needed to read catalogues

    known = sets[texts, 0] >= 0
    codes, texts = codes[known], texts[known]
    class_count = sets.shape[1]
    counts = np.stack([np.bincount(codes[sets[texts, number] > 0], minlength=size) for number in range(class_count)], 1)
    every = np.unique(texts)
    totals, population = (sets[every] > 0).sum(axis=0), len(every)
    drawn = np.bincount(codes, minlength=size)[:, None]
    shares = counts / np.maximum(drawn, 1)
    lifts = shares * population / np.maximum(totals, 1)
    tails = (
        np.clip(hypergeom.sf(counts - 1, population, totals, drawn), 0.0, 1.0) if population else np.ones_like(lifts)
    )
    best = np.lexsort((-lifts, tails), axis=1)[:, :1]
    p = np.minimum(np.take_along_axis(tails, best, 1)[:, 0] * class_count, 1.0)
    tested = drawn[:, 0] > 0
    p[~tested] = 1.0
    q = np.ones(size)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    share, lift = (np.take_along_axis(values, best, 1)[:, 0] for values in (shares, lifts))
    return Associations(counts, totals, drawn[:, 0], population, best[:, 0], share, lift, p, q)
