"""Paired bootstrap intervals over distinct texts."""

from __future__ import annotations

import numpy as np

from clvq.interventions.records import Interval

RESAMPLES = 2000
LEVEL = 0.95
_CELLS_AT_ONCE = 1 << 24


def paired_intervals(
    differences: np.ndarray, texts: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`[S, F]` differences, one a sentence, and `[S]` which text each is -> mean, low and high `[F]`.

    Texts are drawn with replacement, each with all of its sentences, and the mean over the sentences drawn is taken;
    the interval is of percentiles of it. All columns share the draws, so what is paired stays so.
    """
    _, groups = np.unique(texts, return_inverse=True)
    counts = np.bincount(groups).astype(float)
    sums = np.stack([np.bincount(groups, column) for column in differences.T], axis=1)
    generator = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // len(counts))
    chances = np.full(len(counts), 1 / len(counts))
    means = []
    for start in range(0, resamples, at_once):
        drawn = generator.multinomial(len(counts), chances, min(at_once, resamples - start)).astype(float)
        means.append((drawn @ sums) / (drawn @ counts)[:, None])
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return differences.mean(axis=0), low, high


def interval_of(values: np.ndarray, texts: np.ndarray, seed: int) -> Interval:
    """`[S]` values, one a sentence, and `[S]` which text each is -> their mean with its interval."""
    value, low, high = paired_intervals(values[:, None], texts, seed)
    return Interval(float(value[0]), float(low[0]), float(high[0]))
