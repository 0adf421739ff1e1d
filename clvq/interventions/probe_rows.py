"""Rows of bench.json, made from the scores of tasks: means over tasks, with intervals over texts and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clvq.interventions.bench_records import BenchRow
from clvq.interventions.code_probes import Score, Scores
from clvq.interventions.intervals import paired_intervals
from clvq.interventions.records import Interval


def probe_rows(method: str, of_seeds: Sequence[Scores], seed: int) -> list[BenchRow]:
    """Return a row for each measure, number of codes and attribute, and one for all attributes together.

    Each row is the mean over tasks, from the scores of each seed.
    """
    rows = []
    for measure, k in dict.fromkeys((measure, k) for measure, _, k in of_seeds[0]):
        attributes = [name for kind, name, number in of_seeds[0] if (kind, number) == (measure, k)]
        for part, names in (("all", attributes), *((name, [name]) for name in attributes)):
            tasks = [[score for name in names for score in scores[measure, name, k].values()] for scores in of_seeds]
            figure = _mean_over_tasks(tasks, seed)
            rows.append(BenchRow(method, measure, part, k or None, figure, len(tasks[0])))
    return rows


def _mean_over_tasks(of_seeds: Sequence[Sequence[Score]], seed: int) -> Interval:
    texts = np.concatenate([score.texts for score in of_seeds[0]])
    # A task's score is the sum over its texts. With this factor, the mean over all texts is the mean over tasks.
    scale = len(texts) / len(of_seeds[0])
    values = np.stack([np.concatenate([score.values for score in tasks]) * scale for tasks in of_seeds])
    middle, low, high = paired_intervals(values[:, :, None], texts, seed)
    return Interval(float(middle[0]), float(low[0]), float(high[0]))
