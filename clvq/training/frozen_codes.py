"""Codes that training never moves: what those that it learns are measured against."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from clvq.errors import ClvqError
from clvq.models.codebook_init import initial_codebook, sample_size
from clvq.models.quantizer import unmapped
from clvq.progress import Progress
from clvq.training.job import Job
from clvq.training.rows import PairRows
from clvq.training.sensitivity import symmetric_root
from clvq.training.yardsticks import ridge_map

AGGLOMERATIVE_ROWS = 10_000
"""Sample of rows, of which all pairs are compared: 400 MB of distances."""


class FrozenCodes(NamedTuple):
    """Codes, and the affine map to the space in which they lie."""

    codes: Tensor
    """[K, D], or [K, W] in the space of the map."""
    matrix: Tensor | None = None
    """[D, W]; None where rows are compared as they are."""
    offset: Tensor | None = None
    """[W]"""
    metric_map: Tensor | None = None
    """[D, D] to the space in which rows and codes are compared; None: as they are."""


def kmeans_codes(train: PairRows, codebook_size: int, seed: int) -> Tensor:
    """Return spherical k-means codes `[K, D]` of the scaled input layer itself, with no encoder before them."""
    generator = torch.Generator().manual_seed(seed)
    rows = train.sample_inputs(sample_size(codebook_size), generator)
    return initial_codebook(rows, codebook_size, "spherical", generator)


def shared_kmeans_codes(job: Job) -> Tensor:
    """Return the `kmeans_codes` of a job, clustered when they are first asked for.

    They are a yardstick, and what `--method kmeans` and `--yardsticks full` freeze. The codes that training starts from
    are other ones: those of what the encoder makes of the rows.
    """
    settings = job.config.codebook_size, job.config.seed
    if settings not in job.rows.kmeans:
        job.rows.kmeans[settings] = kmeans_codes(job.rows.training, *settings)
    return job.rows.kmeans[settings]


def _kmeans(job: Job) -> FrozenCodes:
    return FrozenCodes(shared_kmeans_codes(job))


def _random(job: Job) -> FrozenCodes:
    """Normal draws with the mean and the covariance of rows of the scaled input layer.

    Training rows drawn at random would be words of the corpus already, and tell words apart nearly as k-means codes do.
    """
    generator = torch.Generator().manual_seed(job.config.seed)
    rows = _sample(job, generator).double().cpu()
    mean = rows.mean(dim=0)
    draws = torch.randn(job.config.codebook_size, len(mean), generator=generator, dtype=torch.float64)
    codes = mean + draws @ symmetric_root((rows - mean).T @ (rows - mean) / len(rows))
    return FrozenCodes(codes.float().to(job.rows.training.device))


def _ridge_kmeans(job: Job) -> FrozenCodes:
    """Spherical k-means codes of what the ridge yardstick predicts at the output layer from each row."""
    rows = job.rows
    weights = ridge_map(rows.training, rows.selection, rows.means, job.progress)
    matrix, offset = weights[:-1], weights[-1]
    generator = torch.Generator().manual_seed(job.config.seed)
    mapped = _sample(job, generator) @ matrix + offset
    return FrozenCodes(initial_codebook(mapped, job.config.codebook_size, "spherical", generator), matrix, offset)


def _agglomerative(job: Job) -> FrozenCodes:
    """Means of the clusters that Ward's agglomerative clustering makes of a sample of rows, as ConceptX does
    (arXiv 2206.13289). It compares all pairs of rows, so it cannot have more."""
    from sklearn.cluster import AgglomerativeClustering  # slow to import, and no other method needs it

    config = job.config
    if config.codebook_size > AGGLOMERATIVE_ROWS:
        raise ClvqError(
            f"--method agglomerative clusters {AGGLOMERATIVE_ROWS:,} rows, so --codebook-size can be "
            f"{AGGLOMERATIVE_ROWS:,} at most; it is {config.codebook_size:,}."
        )
    generator = torch.Generator().manual_seed(config.seed)
    rows = job.rows.training.sample_inputs(AGGLOMERATIVE_ROWS, generator).float().cpu()
    job.progress(Progress("codebook", note=f"Clustering {len(rows):,} rows by Ward's criterion."))
    clusters = torch.from_numpy(
        AgglomerativeClustering(n_clusters=config.codebook_size, linkage="ward").fit_predict(rows.numpy())
    )
    totals = torch.zeros(config.codebook_size, rows.shape[1], dtype=torch.float64)
    totals.index_add_(0, clusters, rows.double())
    means = totals / torch.bincount(clusters, minlength=config.codebook_size)[:, None]
    return FrozenCodes(means.float().to(job.rows.training.device))


def _gradient_kmeans(job: Job) -> FrozenCodes:
    """k-means codes in the metric of the model's own sensitivity, in the space of the rows."""
    assert job.metric_map is not None
    generator = torch.Generator().manual_seed(job.config.seed)
    mapped = _sample(job, generator) @ job.metric_map
    codes = initial_codebook(mapped, job.config.codebook_size, "kmeans", generator)
    return FrozenCodes(unmapped(codes, job.metric_map), metric_map=job.metric_map)


FROZEN_CODES: dict[str, Callable[[Job], FrozenCodes]] = {
    "agglomerative": _agglomerative,
    "kmeans": _kmeans,
    "random": _random,
    "ridge-kmeans": _ridge_kmeans,
    "gradient-kmeans": _gradient_kmeans,
}
"""Of each method that has such codes."""


def _sample(job: Job, generator: torch.Generator) -> Tensor:
    """[N, D] rows of the scaled input layer, as many as help to place the codes."""
    return job.rows.training.sample_inputs(sample_size(job.config.codebook_size), generator)
