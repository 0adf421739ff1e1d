"""Rows -> a first codebook `[K, D]`: scaled-spherical k-means++, k-means, or random rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clvq.errors import ClvqError
from clvq.models.distances import nearest

ROWS_PER_CODE = 256
MOST_ROWS = 200_000
SEEDING_ROWS_PER_CODE = 32
LLOYD_STEPS = 25


def sample_size(codebook_size: int) -> int:
    """Return how many sampled rows an initialization uses. More rows per code would not change its centroid much."""
    return min(MOST_ROWS, ROWS_PER_CODE * codebook_size)


def initial_codebook(rows: Tensor, codebook_size: int, initialization: str, generator: torch.Generator) -> Tensor:
    """Compute first codes `[K, D]` from rows `[N, D]`. `generator` lives on the CPU. Rows may be overwritten.

    `spherical` (arXiv 2506.20040, section 3.3): k-means++ and Lloyd on unit vectors, each centroid scaled by its
    members' mean norm. Raises ClvqError for fewer rows than codes.
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
        return k_means(rows, codebook_size, generator)
    norms = rows.norm(dim=1)
    unit = functional.normalize(rows, dim=1)
    codes = k_means(unit, codebook_size, generator, spherical=True)
    members = nearest(unit, codes)
    total = torch.zeros(codebook_size, device=rows.device).index_add_(0, members, norms)
    count = torch.bincount(members, minlength=codebook_size)
    mean_norm = torch.where(count > 0, total / count.clamp_min(1), norms.mean())
    return codes * mean_norm[:, None]


def k_means(rows: Tensor, clusters: int, generator: torch.Generator, spherical: bool = False) -> Tensor:
    """Run Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii 2007): rows `[N, D]` -> centroids `[K, D]`.

    `spherical`: rows are unit vectors, and so are centroids. An empty cluster restarts at the row farthest from its
    centroid. Stops when no row changes its cluster, or after LLOYD_STEPS.
    """
    seeding = torch.randperm(len(rows), generator=generator)[: SEEDING_ROWS_PER_CODE * clusters]
    centroids = _plus_plus(rows[seeding.to(rows.device)], clusters, generator)
    members = None
    for _ in range(LLOYD_STEPS):
        previous, members = members, nearest(rows, centroids)
        if previous is not None and torch.equal(previous, members):
            break
        total = torch.zeros_like(centroids).index_add_(0, members, rows)
        count = torch.bincount(members, minlength=clusters)
        empty = (count == 0).nonzero().squeeze(1)
        centroids = total / count.clamp_min(1)[:, None]
        if len(empty):
            distance = (rows - centroids[members]).square().sum(dim=1)
            centroids[empty] = rows[distance.topk(len(empty)).indices]
        if spherical:
            centroids = functional.normalize(centroids, dim=1)
    return centroids


def _plus_plus(rows: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Draw k-means++ seeds, each in proportion to the squared distance from the nearest seed drawn before."""
    draws = torch.rand(clusters, generator=generator, dtype=torch.float64)
    squares = rows.square().sum(dim=1)
    seeds = [int(draws[0] * len(rows))]
    distance = torch.full_like(squares, torch.inf)
    for draw in draws[1:]:
        last = rows[seeds[-1]]
        distance = torch.minimum(distance, (squares - 2 * (rows @ last) + last @ last).clamp_min_(0))
        distance[seeds[-1]] = 0
        cumulative = distance.double().cumsum(0)
        index = int(torch.searchsorted(cumulative, draw.to(cumulative.device) * cumulative[-1], right=True))
        seeds.append(min(index, len(rows) - 1))
    return rows[torch.tensor(seeds, device=rows.device)]
