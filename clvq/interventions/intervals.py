"""Paired bootstrap intervals over distinct texts and over seeds.

Texts are drawn with replacement, each with all of its sentences. The ends of the interval are percentiles of the mean
over the drawn sentences. Where a method was trained with M seeds, the mean is over the seeds too, and an error of that
mean is added to each resample: the standard error over seeds times a draw from Student's distribution with M - 1
degrees of freedom. Seeds themselves are not drawn again: a handful of them is too few for that, and such draws would
mix in what seeds do to single texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clvq.interventions.records import Interval

RESAMPLES = 2000
DIFFERENCE_RESAMPLES = 20_000
"""Holm's procedure multiplies the smallest p by the number of differences. With 2,000 resamples no p is below 0.001, so
that among 50 differences or more none could be below 0.05."""
LEVEL = 0.95
LEAST_TEXTS = 5
"""Distinct texts below which an interval says nothing, and no effect counts as shown."""
SHARES = (0.0, 1.0)
_CELLS_AT_ONCE = 1 << 24


def resampled_means(several: Sequence[np.ndarray], texts: np.ndarray, seed: int, resamples: int) -> list[np.ndarray]:
    """Return for each of `several` the means `[R, F]` of resamples.

    Each is `[M, S, F]`, of M seeds, S sentences and F figures. `texts` `[S]` says which text each sentence is. All
    share the texts that are drawn, so that pairs stay pairs. The errors over seeds are drawn for each by itself.
    """
    _, groups = np.unique(texts, return_inverse=True)
    counts = np.bincount(groups).astype(float)
    sums = [np.stack([[np.bincount(groups, column) for column in one.T] for one in values]) for values in several]
    generator = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // len(counts))
    chances = np.full(len(counts), 1 / len(counts))
    parts: list[list[np.ndarray]] = [[] for _ in several]
    for start in range(0, resamples, at_once):
        drawn = generator.multinomial(len(counts), chances, min(at_once, resamples - start)).astype(float)
        sentences = (drawn @ counts)[:, None]
        for part, of_seeds in zip(parts, sums, strict=True):
            middle = np.mean([drawn @ one.T / sentences for one in of_seeds], axis=0)
            means = np.stack([one.sum(axis=1) / counts.sum() for one in of_seeds])
            part.append(middle + seed_errors(means, len(middle), generator))
    return [np.concatenate(part) for part in parts]


def seed_errors(means: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return `[R, F]` draws of how far the mean over M seeds may be off, from the figures `[M, F]` of each; zeros for
    one seed."""
    count = len(means)
    if count == 1:
        return np.zeros((resamples, means.shape[1]))
    error = means.std(axis=0, ddof=1) / math.sqrt(count)
    return np.asarray(generator.standard_t(count - 1, (resamples, 1)) * error)


def paired_intervals(
    differences: np.ndarray, texts: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, low and high `[F]` of differences `[S, F]` of S sentences, or `[M, S, F]` of M seeds.

    `texts` `[S]` says which text each sentence is. All columns share the draws.
    """
    of_seeds = differences if differences.ndim == 3 else differences[None]
    (means,) = resampled_means([of_seeds], texts, seed, resamples)
    return of_seeds.mean(axis=(0, 1)), *_percentiles(means)


def difference_intervals(
    first: np.ndarray, second: np.ndarray, texts: np.ndarray, seed: int, resamples: int = DIFFERENCE_RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, low, high and p `[F]` of the first `[M, S, F]` minus the second, over the same sentences.

    p is two-sided. It is never below the smallest value that so many resamples can give.
    """
    one, other = resampled_means([first, second], texts, seed, resamples)
    means = one - other
    below, above = (np.sum(side, axis=0) + 1 for side in (means <= 0, means >= 0))
    p = np.minimum(1.0, 2 * np.minimum(below, above) / (resamples + 1))
    return first.mean(axis=(0, 1)) - second.mean(axis=(0, 1)), *_percentiles(means), p


def _percentiles(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def within(interval: Interval, bounds: tuple[float, float] | None) -> Interval:
    """Return the interval cut to the values that its figure can have: the error over few seeds may reach beyond."""
    if bounds is None:
        return interval
    low, high = np.clip([interval.low, interval.high], *bounds).tolist()
    return Interval(interval.value, low, high)


def holm(p: Sequence[float]) -> list[float]:
    """Return the p values adjusted for the number of comparisons (Holm's step-down procedure)."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, number in enumerate(sorted(range(len(p)), key=lambda number: p[number])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[number]))
        adjusted[number] = largest
    return adjusted


def interval_of(values: np.ndarray, texts: np.ndarray, seed: int) -> Interval:
    """Return the mean of values `[S]` of sentences, with its interval; `texts` `[S]` says which text each is."""
    value, low, high = paired_intervals(values[:, None], texts, seed)
    return Interval(float(value[0]), float(low[0]), float(high[0]))
