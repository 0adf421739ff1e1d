"""How near estimated effects of concepts are to the true ones (CEBaB, arXiv 2205.14140, section 3.2).

For a pair with the true effect `d` `[C]` and its estimate `e` `[C]`, both changes of the model's probabilities

    error     |d - e|, the individual causal effect error with the Euclidean distance
    norm      | |d| - |e| |
    cosine    1 - cos(d, e); 1 where one of the two is no effect, 0 where both are none. Effects of less than NO_EFFECT
              count as none: they are rounding, which has a direction too

and over the changes `a`, `b` (concept, old value, new value) of several pairs, with mean true effects `t` and mean
estimates `s` for a class

    order     sum (t_a - t_b) sign(s_a - s_b) / sum |t_a - t_b|, mean over classes: 1 where the estimates rank the
              changes as their true effects do, -1 where they rank them the other way round. This is Kendall's tau with
              each two changes weighted by how much their true effects differ, so that the order of changes without an
              effect does not matter
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clvq.interventions.bench_records import BenchDifference, BenchRow
from clvq.interventions.counterfactuals import Pair
from clvq.interventions.intervals import LEVEL, difference_intervals, holm, paired_intervals, seed_errors, within
from clvq.interventions.records import Interval

DISTANCES = ("error", "norm", "cosine")
RANGES = {"error": (0.0, np.inf), "norm": (0.0, np.inf), "cosine": (0.0, 2.0)}
"""Between which values each is."""
NO_EFFECT = 1e-5
LEAST_PAIRS = 2
"""Fewest pairs with which a change counts towards the order."""
ORDER_RESAMPLES = 300


def distances(true: np.ndarray, estimated: np.ndarray) -> np.ndarray:
    """Return the DISTANCES `[P, 3]` between true and estimated effects `[P, C]`."""
    sizes = [np.linalg.norm(effects, axis=1) for effects in (true, estimated)]
    none = [size < NO_EFFECT for size in sizes]
    cosine = np.divide(
        (true * estimated).sum(axis=1), sizes[0] * sizes[1], out=np.zeros(len(true)), where=~(none[0] | none[1])
    )
    apart = np.where(none[0] & none[1], 0.0, np.clip(1 - cosine, 0, 2))
    return np.stack([np.linalg.norm(true - estimated, axis=1), np.abs(sizes[0] - sizes[1]), apart], axis=1)


def order(true: np.ndarray, estimated: np.ndarray, changes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return how well the mean true and estimated effects of changes agree in order, from effects `[P, C]` of pairs.

    `changes` `[P]` are numbered from 0. Each pair counts `weights` `[P]` times (default: once). The result is 0 where
    no two true effects differ.
    """
    weights = np.ones(len(changes)) if weights is None else weights
    counts = np.bincount(changes, weights)
    kept = counts > 0
    agreement = []
    for column in range(true.shape[1]):
        t, s = (
            np.bincount(changes, weights * effects[:, column])[kept] / counts[kept] for effects in (true, estimated)
        )
        gaps, ranks = t[:, None] - t, np.sign(s[:, None] - s)
        total = np.abs(gaps).sum()
        agreement.append(float((gaps * ranks).sum() / total) if total > 0 else 0.0)
    return float(np.mean(agreement))


def pair_rows(
    method: str, true: np.ndarray, of_seeds: np.ndarray, pairs: Sequence[Pair], originals: np.ndarray, seed: int
) -> list[BenchRow]:
    """Return all figures of a method over pairs: from true effects `[P, C]` and estimates `[M, P, C]` of M seeds."""
    gaps = np.stack([distances(true, estimated) for estimated in of_seeds])
    kinds = np.array([pair.kind for pair in pairs])
    rows = []
    for part in ("all", *dict.fromkeys(kinds.tolist())):
        mask = np.ones(len(kinds), bool) if part == "all" else kinds == part
        values = paired_intervals(gaps[:, mask], originals[mask], seed)
        for measure, *figure in zip(DISTANCES, *(value.tolist() for value in values), strict=True):
            interval = within(Interval(*figure), RANGES[measure])
            rows.append(BenchRow(method, measure, part, None, interval, int(mask.sum())))
    return [*rows, _order_row(method, true, of_seeds, pairs, originals, seed)]


def _order_row(
    method: str, true: np.ndarray, of_seeds: np.ndarray, pairs: Sequence[Pair], originals: np.ndarray, seed: int
) -> BenchRow:
    """Return the order with its interval over resampled originals; None where fewer than two changes have enough pairs.

    Resampled means are noisier than the means themselves, so that resampled orders agree less. The percentiles are
    therefore moved up by how much their median is below the figure.
    """
    _, changes = np.unique([" > ".join(pair.change) for pair in pairs], return_inverse=True)
    enough = np.bincount(changes)[changes] >= LEAST_PAIRS
    if len(np.unique(changes[enough])) < 2:
        return BenchRow(method, "order", "all", None, None, 0)
    _, changes = np.unique(changes[enough], return_inverse=True)
    _, groups = np.unique(originals[enough], return_inverse=True)
    count = int(groups.max()) + 1
    generator = np.random.default_rng(seed)
    of_seeds, true = of_seeds[:, enough], true[enough]
    values = [order(true, estimated, changes) for estimated in of_seeds]
    value, drawn = np.mean(values), np.empty(ORDER_RESAMPLES)
    for resample in range(ORDER_RESAMPLES):
        weights = generator.multinomial(count, np.full(count, 1 / count))[groups].astype(float)
        drawn[resample] = np.mean([order(true, estimated, changes, weights) for estimated in of_seeds])
    drawn += seed_errors(np.array(values)[:, None], ORDER_RESAMPLES, generator)[:, 0]
    tail = 50 * (1 - LEVEL)
    low, median, high = np.percentile(drawn, [tail, 50, 100 - tail])
    low, high = np.clip([value + low - median, value + high - median], -1, 1)
    return BenchRow(
        method, "order", "all", None, Interval(float(value), float(low), float(high)), int(changes.max()) + 1
    )


def pair_differences(
    true: np.ndarray, estimates: dict[str, np.ndarray], pairs: Sequence[Pair], originals: np.ndarray, seed: int
) -> list[BenchDifference]:
    """Return the error of the first method minus that of each other, by kind of pair, from estimates `[M, P, C]`."""
    (first, of_first), *others = estimates.items()
    kinds = np.array([pair.kind for pair in pairs])
    found = []
    for other, of_other in others:
        for part in ("all", *dict.fromkeys(kinds.tolist())):
            mask = np.ones(len(kinds), bool) if part == "all" else kinds == part
            ours, theirs = (
                np.stack([distances(true[mask], estimated[mask])[:, :1] for estimated in of_seeds])
                for of_seeds in (of_first, of_other)
            )
            sides = difference_intervals(ours, theirs, originals[mask], seed)
            value, low, high, p = (float(side[0]) for side in sides)
            found.append((other, part, Interval(value, low, high), p))
    adjusted = holm([p for *_, p in found])
    return [
        BenchDifference(first, other, part, figure, p, p_holm)
        for (other, part, figure, p), p_holm in zip(found, adjusted, strict=True)
    ]
