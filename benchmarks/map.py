"""The map of a codebook, beside scikit-learn's exact t-SNE and beside principal components alone.

python benchmarks/map.py

Codes are normal draws about 60 centres. Kept neighbours: how many of the ten nearest codes by cosine are among the ten
nearest on the map.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import cpu_seconds, print_table
from sklearn.manifold import TSNE

from clvq.concepts import map as codes_map

WIDTH, CENTRES, NEAREST = 384, 60, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, nargs="+", default=[400, 800, 1600, 3200, 6400, 16384])
    parser.add_argument("--most-exact", type=int, default=800, help="the exact method is left out above so many codes")
    options = parser.parse_args()
    rows = []
    for count in options.codes:
        units = made(count)
        components = principal_components(units)
        cells = [f"{kept(units, components):.2f}"]
        if count <= options.most_exact:
            seconds, places = cpu_seconds(lambda: exact(units, components))  # noqa: B023
            cells.append(f"{seconds:.1f} s, {kept(units, places):.2f}")
        else:
            cells.append("-")
        seconds, places = cpu_seconds(lambda: codes_map.layout(units))  # noqa: B023
        rows.append((f"{count:,}", *cells, f"{seconds:.1f} s, {kept(units, places):.2f}"))
    columns = ("codes", "principal components, kept neighbours", "exact t-SNE", "clvq")
    print_table("Maps of codes: CPU seconds and kept neighbours", rows, columns)


def principal_components(units: np.ndarray) -> np.ndarray:
    left, values, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    return (left * values)[:, :2]


def exact(units: np.ndarray, components: np.ndarray) -> np.ndarray:
    start = components * 1e-4 / components[:, 0].std()
    return TSNE(metric="cosine", method="exact", init=start, random_state=0).fit_transform(units)


def made(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    centres = random.normal(size=(CENTRES, WIDTH))
    return codes_map.directions(centres[random.integers(CENTRES, size=count)] + random.normal(size=(count, WIDTH)))


def kept(units: np.ndarray, places: np.ndarray) -> float:
    """The share over at most 800 evenly spaced codes."""
    asked = np.linspace(0, len(units) - 1, min(len(units), 800)).round().astype(int)
    distances = np.square(places[asked, None] - places[None]).sum(axis=-1)
    cosines = units[asked] @ units.T
    by_cosine, on_map = (np.argsort(matrix, axis=1)[:, 1 : NEAREST + 1] for matrix in (-cosines, distances))
    return float(np.mean([len(np.intersect1d(*pair)) / NEAREST for pair in zip(by_cosine, on_map, strict=True)]))


if __name__ == "__main__":
    main()
