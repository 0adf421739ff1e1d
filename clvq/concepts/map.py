"""The positions of codes relative to each other: directions about their mean, neighbours, a map of two dimensions.

Codes share a large mean direction (their raw cosines are near 0.9), so angles are taken after subtracting the mean of
the used codes.
"""

from __future__ import annotations

import numpy as np

LAID_OUT = 3_000
"""Up to this number of codes, t-SNE lays out each of them. Of more codes, this number, evenly spaced, are laid
out, and each other code is placed among its nearest neighbours, so that the time grows with the number of codes."""

PLACED_BY = 3
"""A code that is not laid out is placed at the mean of so many nearest codes that are, weighted by their cosines."""

ROWS_AT_ONCE = 1_024
"""Cosines of so many codes to all others are held at a time."""

PERPLEXITY = 30.0
"""Perplexity of t-SNE: roughly the number of neighbours that are considered for each code."""


def directions(codes: np.ndarray, usage: np.ndarray | None = None) -> np.ndarray:
    """Return unit vectors `[K, D]` float64 of codes `[K, D]`. With `usage` `[K]`, the mean code, weighted by usage, is
    subtracted first.

    A code that equals the mean has no direction and stays 0.
    """
    vectors = codes.astype(np.float64)
    if usage is not None and usage.sum() > 0:
        vectors = vectors - usage @ vectors / usage.sum()
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def mean_cosine(units: np.ndarray) -> float | None:
    """Return the mean cosine over all pairs of unit vectors `[K, D]`; None for fewer than two vectors."""
    count = len(units)
    if count < 2:
        return None
    return float((np.square(units.sum(axis=0)).sum() - np.square(units).sum()) / (count * (count - 1)))


def neighbours(units: np.ndarray, most: int) -> list[list[tuple[int, float]]]:
    """Return for each unit vector `[K, D]` the (index, cosine) of the `most` nearest others, the nearest first."""
    return _nearest(units, units, min(most, len(units) - 1), itself=True)


def layout(units: np.ndarray) -> np.ndarray:
    """Return positions `[K, 2]` in -1 to 1 of unit vectors `[K, D]`, by t-SNE on cosines (van der Maaten and Hinton
    2008) with the approximation of Barnes and Hut (van der Maaten 2014), started from the principal components.

    Above `LAID_OUT` vectors, the ones between those laid out are placed at the mean position of their nearest. The same
    vectors always give the same map.
    """
    count = len(units)
    if count < 3:
        return np.array([[0.0, 0.0], [1.0, 0.0]])[:count]
    laid_out = np.linspace(0, count - 1, min(count, LAID_OUT)).round().astype(int)
    others = np.setdiff1d(np.arange(count), laid_out)
    positions = np.empty((count, 2))
    positions[laid_out] = _t_sne(units[laid_out])
    for other, near in zip(others, _nearest(units[others], units[laid_out], PLACED_BY), strict=True):
        indices, cosines = zip(*near, strict=True)
        weights = np.maximum(cosines, 1e-6)
        positions[other] = weights @ positions[laid_out[list(indices)]] / weights.sum()
    positions -= (positions.max(axis=0) + positions.min(axis=0)) / 2
    return positions / max(float(np.abs(positions).max()), 1e-12)


def _nearest(rows: np.ndarray, units: np.ndarray, most: int, itself: bool = False) -> list[list[tuple[int, float]]]:
    """Return for each of `rows` `[N, D]` the (index, cosine) of the `most` nearest of `units` `[K, D]`, nearest first
    and of equal cosines the lower index first. `itself`: rows are the units, and none is its own neighbour."""
    found: list[list[tuple[int, float]]] = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        cosines = np.clip(rows[first : first + ROWS_AT_ONCE] @ units.T, -1.0, 1.0)
        if itself:
            lines = np.arange(len(cosines))
            cosines[lines, first + lines] = -np.inf
        least = np.partition(cosines, len(units) - most, axis=1)[:, -most] if most else np.full(len(cosines), np.inf)
        for line, floor in zip(cosines, least, strict=True):
            near = np.flatnonzero(line >= floor)
            near = near[np.argsort(-line[near], kind="stable")][:most]
            found.append([(int(index), float(line[index])) for index in near])
    return found


def _t_sne(units: np.ndarray) -> np.ndarray:
    """Return the positions `[K, 2]` of unit vectors `[K, D]`. It runs in one thread, since sums over several threads
    depend on their order."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # The principal components are computed here, since sklearn may choose a randomized solver.
    left, values, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    start = np.zeros((len(units), 2))
    start[:, : len(values)] = (left * values)[:, :2]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    perplexity = min(PERPLEXITY, (len(units) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=start, metric="cosine", method="barnes_hut", random_state=0)
    with threadpool_limits(1, "openmp"):
        return tsne.fit_transform(units).astype(np.float64)
