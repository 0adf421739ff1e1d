"""The quantizer beside its distance matrix product, and the first codes beside other libraries' k-means.

python benchmarks/codes.py --activations RUN/activations --layer 4

CPU seconds of one thread, medians of --rounds in which the ways alternate. vector-quantize-pytorch and faiss-cpu are
measured where they are installed. The quantizer takes normal draws, for its time depends on sizes alone. k-means takes
the states of training words; without --activations, normal draws about 400 centres.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import cpu_seconds, median, print_table
from sklearn.cluster import KMeans
from torch.nn import functional

import clvq
from clvq.models.codebook_init import k_means
from clvq.models.distances import nearest
from clvq.models.quantizer import VectorQuantizer

ROWS, WIDTH = 4096, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--activations", type=Path, help="an activation store, of whose training words k-means is run")
    parser.add_argument("--layer", type=int, default=4)
    parser.add_argument("--rows", type=int, default=81_000, help="for k-means at most")
    parser.add_argument("--codes", type=int, nargs="+", default=[400, 16_384], help="for the quantizer")
    parser.add_argument("--rounds", type=int, default=5, help="of the quantizer; k-means has one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quantizer_table(options.codes, options.rounds)
    kmeans_table(states(options))


def quantizer_table(sizes: list[int], rounds: int) -> None:
    rows = []
    for size in sizes:
        ways = quantizers(size)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for count in range(rounds + 1):  # the first round warms up
            for name, way in ways.items():
                seconds, _ = cpu_seconds(way)
                if count:
                    spent[name].append(seconds)
        product = median(spent["product"])
        rows += [(f"{size:,}", name, f"{median(spent[name]) / product:.2f}") for name in ways if name != "product"]
    title = f"A training step of the quantizer, {ROWS:,} rows of width {WIDTH}, as a ratio to rows @ codes.T"
    print_table(title, rows, ("codes", "way", "ratio"))


def quantizers(size: int) -> dict[str, Callable[[], Any]]:
    generator = torch.Generator().manual_seed(0)
    rows, codes = torch.randn(ROWS, WIDTH, generator=generator), torch.randn(size, WIDTH, generator=generator)
    ways: dict[str, Callable[[], Any]] = {"product": lambda: rows @ codes.T}
    for name, top_k in (("clvq: one of the 5 nearest is drawn", 5), ("clvq: the nearest", 1)):
        quantizer = VectorQuantizer(size, WIDTH, top_k=top_k).train()
        quantizer.set_codebook(codes)
        ways[name] = lambda own=quantizer: step(own, rows)  # type: ignore[misc]
    if find_spec("vector_quantize_pytorch"):
        from vector_quantize_pytorch import VectorQuantize

        for name, sampled in (
            ("vector-quantize-pytorch: the nearest", False),
            ("vector-quantize-pytorch: drawn", True),
        ):
            other = VectorQuantize(
                dim=WIDTH, codebook_size=size, decay=0.99, threshold_ema_dead_code=1, stochastic_sample_codes=sampled,
                sample_codebook_temp=1.0,
            ).train()  # fmt: skip
            ways[name] = lambda own=other: own(rows[None])  # type: ignore[misc]
    return ways


def step(quantizer: VectorQuantizer, rows: torch.Tensor) -> None:
    """What a training does with each batch: draw, update, revive."""
    indices = quantizer(rows).indices
    quantizer.update(rows, indices)
    quantizer.revive(rows, indices, after=100)


def states(options: argparse.Namespace) -> torch.Tensor:
    if options.activations is None:
        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(400, 384, generator=generator)
        drawn = torch.randint(400, (options.rows,), generator=generator)
        return centres[drawn] + torch.randn(options.rows, 384, generator=generator)
    shards = clvq.ActivationStore(options.activations).rows("train", options.layer).shards()
    return torch.cat([shard.float() for _, shard in shards])[: options.rows]


def kmeans_table(rows: torch.Tensor) -> None:
    """Spherical k-means of 400 clusters: unit vectors, inertia as the sum of squared distances to unit centroids."""
    units, clusters = functional.normalize(rows, dim=1), 400
    array = units.numpy()
    ways: dict[str, Callable[[], np.ndarray]] = {
        "clvq": lambda: k_means(units, clusters, torch.Generator().manual_seed(0), spherical=True).numpy(),
        "scikit-learn, one start": lambda: KMeans(clusters, n_init=1, random_state=0).fit(array).cluster_centers_,
        "scikit-learn, five starts": lambda: KMeans(clusters, n_init=5, random_state=0).fit(array).cluster_centers_,
    }
    if find_spec("faiss"):
        ways["faiss"] = lambda: faiss_centroids(array, clusters)
    table, first = [], 0.0
    for name, work in ways.items():
        seconds, centroids = cpu_seconds(work)
        first = first or seconds
        own = functional.normalize(torch.as_tensor(centroids).float(), dim=1)
        inertia = float((units - own[nearest(units, own)]).square().sum())
        table.append((name, f"{seconds:.1f}", f"{seconds / first:.2f}", f"{inertia:,.0f}"))
    title = f"k-means of {clusters} clusters over {len(units):,} unit vectors of width {units.shape[1]}"
    print_table(title, table, ("way", "CPU seconds", "times clvq", "inertia"))


def faiss_centroids(array: np.ndarray, clusters: int) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(1)
    found = faiss.Kmeans(array.shape[1], clusters, niter=25, spherical=True, seed=0, max_points_per_centroid=10_000)
    found.train(array)
    return np.asarray(found.centroids)


if __name__ == "__main__":
    main()
