"""The map of a codebook: the exact method, that of Barnes and Hut, and principal components.

python benchmarks/map.py

Codes are normal draws about 60 centres. Kept neighbours: how many of the ten nearest codes by cosine are among the ten
nearest on the map.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import cpu_seconds, print_table

from clvq.concepts import map as codes_map

WIDTH, CENTRES, NEAREST = 384, 60, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, nargs="+", default=[400, 800, 1600, 3200])
    parser.add_argument("--most-exact", type=int, default=1600, help="the exact method is left out above so many codes")
    options = parser.parse_args()
    rows = []
    for count in options.codes:
        units = made(count)
        left, values, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
        cells = [f"{kept(units, (left * values)[:, :2]):.2f}"]
        for most in (count, 0):  # the exact method, then the other one
            codes_map.EXACT_CODES = most
            if most > options.most_exact:
                cells.append("-")
                continue
            seconds, places = cpu_seconds(lambda: codes_map.layout(units))  # noqa: B023
            cells.append(f"{seconds:.1f} s, {kept(units, places):.2f}")
        rows.append((f"{count:,}", *cells))
    columns = ("codes", "principal components, kept neighbours", "exact", "Barnes-Hut")
    print_table("Maps of codes: CPU seconds and kept neighbours", rows, columns)


def made(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    centres = random.normal(size=(CENTRES, WIDTH))
    return codes_map.directions(centres[random.integers(CENTRES, size=count)] + random.normal(size=(count, WIDTH)))


def kept(units: np.ndarray, places: np.ndarray) -> float:
    distances = np.square(places[:, None] - places[None]).sum(axis=-1)
    by_cosine, on_map = (np.argsort(matrix, axis=1)[:, 1 : NEAREST + 1] for matrix in (-units @ units.T, distances))
    return float(np.mean([len(np.intersect1d(*pair)) / NEAREST for pair in zip(by_cosine, on_map, strict=True)]))


if __name__ == "__main__":
    main()
