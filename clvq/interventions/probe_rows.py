"""Rows of bench.json, made from the scores of tasks: means over tasks, with intervals over texts and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clvq.interventions.bench_records import BenchRow
from clvq.interventions.code_probes import Score, Scores
from clvq.interventions.intervals import SHARES, paired_intervals, within
from clvq.interventions.records import Interval

RANGES = {"probing": SHARES, "tpp": (-1.0, 1.0)}
"""Between which values a measure is; the share of a correlation that is removed has no bounds."""


def probe_rows(method: str, of_seeds: Sequence[Scores], seed: int) -> list[BenchRow]:
    """Return a row for each measure, number of codes and attribute, and one for all attributes together.

    Each row is the mean over tasks, from the scores of each seed.
    """
    rows = []
    for measure, k in dict.fromkeys((measure, k) for measure, _, k in of_seeds[0]):
        attributes = [name for kind, name, number in of_seeds[0] if (kind, number) == (measure, k)]
        for part, names in (("all", attributes), *((name, [name]) for name in attributes)):
            tasks = [[score for name in names for score in scores[measure, name, k].values()] for scores in of_seeds]
            figure = _mean_over_tasks(measure, tasks, seed)
            rows.append(BenchRow(method, measure, part, k or None, figure, len(tasks[0])))
    return rows


def _mean_over_tasks(measure: str, of_seeds: Sequence[Sequence[Score]], seed: int) -> Interval:
    texts = np.concatenate([score.texts for score in of_seeds[0]])
    # With this factor, a mean over all texts moves as the mean over tasks does.
    scale = len(texts) / len(of_seeds[0])
    values = np.stack(
        [
            np.mean([score.value for score in tasks]) + np.concatenate([score.deviations for score in tasks]) * scale
            for tasks in of_seeds
        ]
    )
    middle, low, high = paired_intervals(values[:, :, None], texts, seed)
    return within(Interval(float(middle[0]), float(low[0]), float(high[0])), RANGES.get(measure))
