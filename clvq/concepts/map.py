"""The positions of codes relative to each other: directions about their mean, neighbours, a map of two dimensions.

Codes share a large mean direction (their raw cosines are near 0.9), so angles are taken after subtracting the mean of
the used codes.
"""

from __future__ import annotations

import numpy as np

EXACT_CODES = 800
"""Up to this number of codes, t-SNE is exact; its time grows with the square of this number."""

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
    cosines = np.clip(units @ units.T, -1.0, 1.0)
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(most, len(units) - 1)]
    return [[(int(j), float(cosines[i, j])) for j in line] for i, line in enumerate(order)]


def layout(units: np.ndarray) -> np.ndarray:
    """Return positions `[K, 2]` in -1 to 1 of unit vectors `[K, D]`, by t-SNE on cosines (van der Maaten and Hinton
    2008), started from the principal components.

    The method is exact, or above `EXACT_CODES` codes that of Barnes and Hut (van der Maaten 2014). It runs in one
    thread, since sums over several threads depend on their order: the same codes always give the same map.
    """
    count = len(units)
    if count < 3:
        return np.array([[0.0, 0.0], [1.0, 0.0]])[:count]
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # The principal components are computed here, since sklearn may choose a randomized solver.
    left, values, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    start = np.zeros((count, 2))
    start[:, : len(values)] = (left * values)[:, :2]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    method = "exact" if count <= EXACT_CODES else "barnes_hut"
    perplexity = min(PERPLEXITY, (count - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=start, metric="cosine", method=method, random_state=0)
    with threadpool_limits(1, "openmp"):
        positions = tsne.fit_transform(units).astype(np.float64)
    positions -= (positions.max(axis=0) + positions.min(axis=0)) / 2
    return positions / max(float(np.abs(positions).max()), 1e-12)
