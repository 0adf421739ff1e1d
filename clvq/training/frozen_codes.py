"""Frozen codes, which training never moves. Learned codes are compared with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from clvq.errors import ClvqError
from clvq.models.codebook_init import initial_codebook, sample_size
from clvq.models.quantizer import unmapped
from clvq.progress import Progress, Report, silent
from clvq.training.job import Job
from clvq.training.rows import PairRows
from clvq.training.sensitivity import symmetric_root
from clvq.training.yardsticks import ridge_map

AGGLOMERATIVE_ROWS = 10_000
"""Number of rows in the sample. All pairs of them are compared, which takes 400 MB for the distances."""


class FrozenCodes(NamedTuple):
    """Codes, and the affine map to the space in which they lie."""

    codes: Tensor
    """[K, D], or [K, W] in the space of the map."""
    matrix: Tensor | None = None
    """[D, W]; None where rows are compared as they are."""
    offset: Tensor | None = None
    """[W]"""
    metric_map: Tensor | None = None
    """[D, D] map to the space in which rows and codes are compared; None: they are compared as they are."""


def kmeans_codes(train: PairRows, codebook_size: int, seed: int, progress: Report = silent) -> Tensor:
    """Return spherical k-means codes `[K, D]` of the scaled input layer itself, without an encoder before them."""
    generator = torch.Generator().manual_seed(seed)
    rows = train.sample_inputs(sample_size(codebook_size), generator)
    return initial_codebook(rows, codebook_size, "spherical", generator, progress)


def shared_kmeans_codes(job: Job) -> Tensor:
    """Return the `kmeans_codes` of a job. They are computed at the first call.

    They are a yardstick, and the frozen codes of `--method kmeans` and `--yardsticks full`. Training starts from other
    codes: k-means codes of the encoder's output.
    """
    settings = job.config.codebook_size, job.config.seed
    if settings not in job.rows.kmeans:
        job.rows.kmeans[settings] = kmeans_codes(job.rows.training, *settings, job.progress)
    return job.rows.kmeans[settings]


def _kmeans(job: Job) -> FrozenCodes:
    return FrozenCodes(shared_kmeans_codes(job))


def _random(job: Job) -> FrozenCodes:
    """Draw codes from the normal distribution with the mean and the covariance of rows of the scaled input layer.

    Training rows drawn at random would not do. They are words of the corpus, and tell words apart nearly as well as
    k-means codes.
    """
    generator = torch.Generator().manual_seed(job.config.seed)
    rows = _sample(job, generator).double().cpu()
    mean = rows.mean(dim=0)
    draws = torch.randn(job.config.codebook_size, len(mean), generator=generator, dtype=torch.float64)
    codes = mean + draws @ symmetric_root((rows - mean).T @ (rows - mean) / len(rows))
    return FrozenCodes(codes.float().to(job.rows.training.device))


def _ridge_kmeans(job: Job) -> FrozenCodes:
    """Return spherical k-means codes of the output layer as the ridge yardstick predicts it from each row."""
    rows = job.rows
    weights = ridge_map(rows.training, rows.selection, rows.means, job.progress)
    matrix, offset = weights[:-1], weights[-1]
    generator = torch.Generator().manual_seed(job.config.seed)
    mapped = _sample(job, generator) @ matrix + offset
    return FrozenCodes(
        initial_codebook(mapped, job.config.codebook_size, "spherical", generator, job.progress), matrix, offset
    )


def _agglomerative(job: Job) -> FrozenCodes:
    """Return the means of the clusters that Ward's agglomerative clustering makes of a sample of rows, as ConceptX does
    (arXiv 2206.13289).

    The clustering compares all pairs of rows, so it cannot take more rows. ClvqError for more codes than rows.
    """
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
    """Return k-means codes in the metric of the language model's sensitivity, as rows of the input layer."""
    assert job.metric_map is not None
    generator = torch.Generator().manual_seed(job.config.seed)
    mapped = _sample(job, generator) @ job.metric_map
    codes = initial_codebook(mapped, job.config.codebook_size, "kmeans", generator, job.progress)
    return FrozenCodes(unmapped(codes, job.metric_map), metric_map=job.metric_map)


FROZEN_CODES: dict[str, Callable[[Job], FrozenCodes]] = {
    "agglomerative": _agglomerative,
    "kmeans": _kmeans,
    "random": _random,
    "ridge-kmeans": _ridge_kmeans,
    "gradient-kmeans": _gradient_kmeans,
}
"""For each method with frozen codes, the function that makes them."""


def _sample(job: Job, generator: torch.Generator) -> Tensor:
    """Draw rows `[N, D]` of the scaled input layer, as many as help to place the codes."""
    return job.rows.training.sample_inputs(sample_size(job.config.codebook_size), generator)
