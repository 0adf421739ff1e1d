"""How the first codebook `[K, D]` is made from rows: by scaled-spherical k-means++, by k-means, or as random rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clvq.errors import ClvqError
from clvq.models.distances import ROWS_AT_ONCE, Distances, nearest
from clvq.progress import Progress, Report, silent

ROWS_PER_CODE = 256
MOST_ROWS = 200_000
SEEDING_ROWS_PER_CODE = 32
LLOYD_STEPS = 25
SINGLE_SEEDS = 1024
"""Number of clusters up to which seeds are drawn one by one, as k-means++ does."""
SEEDS_PER_DRAW = 64
"""A round draws one new seed for this many seeds that were drawn before."""


def sample_size(codebook_size: int) -> int:
    """Return how many sampled rows an initialization uses. More rows per code would hardly change the code's
    centroid."""
    return min(MOST_ROWS, ROWS_PER_CODE * codebook_size)


def initial_codebook(
    rows: Tensor, codebook_size: int, initialization: str, generator: torch.Generator, progress: Report = silent
) -> Tensor:
    """Compute first codes `[K, D]` from rows `[N, D]`. `generator` lives on the CPU. The rows may be overwritten.

    `spherical` (arXiv 2506.20040, section 3.3): k-means++ and Lloyd's algorithm on unit vectors; each centroid is then
    multiplied by the mean norm of its members. ClvqError where there are fewer rows than codes.
    """
    if len(rows) < codebook_size:
        raise ClvqError(
            f"A codebook of {codebook_size} codes needs as many training words; there are {len(rows)}. "
            "Use a smaller --codebook-size."
        )
    if initialization == "random":
        indices = torch.randperm(len(rows), generator=generator)[:codebook_size]
        return rows[indices.to(rows.device)].clone()
    if initialization == "kmeans":
        return k_means(rows, codebook_size, generator, progress=progress)
    norms = rows.norm(dim=1)
    unit = functional.normalize(rows, dim=1, out=rows)  # in place: a copy would be the largest tensor of a training
    codes = k_means(unit, codebook_size, generator, spherical=True, progress=progress)
    members = nearest(unit, codes)
    total = torch.zeros(codebook_size, device=rows.device).index_add_(0, members, norms)
    count = torch.bincount(members, minlength=codebook_size)
    mean_norm = torch.where(count > 0, total / count.clamp_min(1), norms.mean())
    return codes * mean_norm[:, None]


def k_means(
    rows: Tensor, clusters: int, generator: torch.Generator, spherical: bool = False, progress: Report = silent
) -> Tensor:
    """Run Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii 2007): rows `[N, D]` -> centroids `[K, D]`.

    `spherical`: rows are unit vectors, and so are centroids. An empty cluster restarts at the row farthest from its
    centroid. The algorithm stops when no row changes its cluster, or after LLOYD_STEPS.
    """
    seeding = torch.randperm(len(rows), generator=generator)[: SEEDING_ROWS_PER_CODE * clusters]
    centroids = _plus_plus(rows[seeding.to(rows.device)], clusters, generator)
    members = None
    for step in range(LLOYD_STEPS):
        progress(Progress("k-means", step, LLOYD_STEPS, "steps"))
        previous, members = members, nearest(rows, centroids)
        if previous is not None and torch.equal(previous, members):
            break
        total = torch.zeros_like(centroids).index_add_(0, members, rows)
        count = torch.bincount(members, minlength=clusters)
        empty = (count == 0).nonzero().squeeze(1)
        centroids = total / count.clamp_min(1)[:, None]
        if len(empty):
            parts = zip(rows.split(ROWS_AT_ONCE), members.split(ROWS_AT_ONCE), strict=True)
            distance = torch.cat([(part - centroids[own]).square().sum(dim=1) for part, own in parts])
            centroids[empty] = rows[distance.topk(len(empty)).indices]
        if spherical:
            centroids = functional.normalize(centroids, dim=1)
    progress(Progress("k-means", LLOYD_STEPS, LLOYD_STEPS, "steps"))
    return centroids


def _plus_plus(rows: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Draw k-means++ seeds, each in proportion to the squared distance from the nearest seed drawn before.

    For more than SINGLE_SEEDS clusters, seeds are drawn in rounds: a round draws one seed for every SEEDS_PER_DRAW
    seeds drawn before. The number of rounds then grows with the logarithm of `clusters`. k-means|| also draws in
    rounds, and clusters its seeds a second time (Bahmani et al. 2012). The rounds here are small enough to do without
    that.
    """
    draws = torch.rand(clusters, generator=generator, dtype=torch.float64)
    squares = rows.square().sum(dim=1)
    seeds = newest = torch.tensor([int(draws[0] * len(rows))], device=rows.device)
    distance = torch.full_like(squares, torch.inf)
    while len(seeds) < clusters:
        distance = torch.minimum(distance, _squared_distance(rows, squares, rows[newest]))
        distance[newest] = 0
        cumulative = distance.double().cumsum(0)
        chances = draws[len(seeds) : len(seeds) + 1]
        if clusters > SINGLE_SEEDS and len(seeds) >= 2 * SEEDS_PER_DRAW:
            count = min(len(seeds) // SEEDS_PER_DRAW, clusters - len(seeds))
            chances = torch.rand(count, generator=generator, dtype=torch.float64)
        found = torch.searchsorted(cumulative, chances.to(cumulative.device) * cumulative[-1], right=True)
        newest = found.clamp_max(len(rows) - 1).unique()
        seeds = torch.cat([seeds, newest])
    return rows[seeds]


def _squared_distance(rows: Tensor, squares: Tensor, seeds: Tensor) -> Tensor:
    """Return the squared distance `[N]` of each row to the nearest of some seeds."""
    if len(seeds) == 1:
        return (squares - 2 * (rows @ seeds[0]) + seeds[0] @ seeds[0]).clamp_min_(0)
    return Distances.to_codes(seeds).least(rows).add_(squares).clamp_min_(0)
