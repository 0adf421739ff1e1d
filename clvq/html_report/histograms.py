"""Histograms of the distances of a concept's words, from their quantiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 24


class Histogram(NamedTuple):
    """Shares of words in bins of equal width, from the smallest to the largest distance."""

    low: float
    median: float
    high: float
    shares: list[float]
    """They add up to 1."""


def histogram(quantiles: np.ndarray) -> Histogram | None:
    """Return the histogram, in 24 bins, of the distances that have these quantiles `[101]`; None for no words (NaN).

    The distances between two quantiles are assumed to be evenly spread. If all distances are the same, one bin holds
    them.
    """
    if np.isnan(quantiles).any():
        return None
    levels = np.linspace(0, 1, len(quantiles))
    low, high = float(quantiles[0]), float(quantiles[-1])
    below = np.interp(np.linspace(low, high, BINS + 1), quantiles, levels)
    below[0], below[-1] = 0.0, 1.0
    shares = np.diff(below) if high > low else np.eye(1, BINS)[0]
    return Histogram(low, float(np.interp(0.5, levels, quantiles)), high, shares.tolist())
