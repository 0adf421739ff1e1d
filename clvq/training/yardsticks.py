"""What a trained model is measured against: copy of the input layer, a ridge map, the mean output of a k-means code."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from clvq.models.distances import nearest
from clvq.models.metrics import ExplainedVariance
from clvq.progress import Progress, Report, silent
from clvq.training.evaluation import TrainingMeans
from clvq.training.results import Yardsticks
from clvq.training.rows import PairBatch, PairRows

RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Penalties that are tried, as shares of the mean variance of an input dimension. The selection slice decides."""


@torch.no_grad()
def yardsticks(
    train: PairRows,
    selection: PairRows,
    evaluation: PairRows,
    means: TrainingMeans,
    codes: Tensor,
    progress: Report = silent,
) -> Yardsticks:
    """Compute the yardsticks on `evaluation`; `codes` are the result of `kmeans_codes`."""
    products = _Products()
    code_sums = codes.new_zeros(len(codes), len(means.words), dtype=torch.float64)
    code_counts = codes.new_zeros(len(codes), dtype=torch.float64)
    for batch in _training_batches(train, "yardsticks", progress):
        products.add(batch)
        members = nearest(batch.inputs[batch.is_word], codes)
        code_sums.index_add_(0, members, batch.targets[batch.is_word].double())
        code_counts += torch.bincount(members, minlength=len(codes))
    overall = code_sums.sum(dim=0) / code_counts.sum()
    means_per_code = torch.where(code_counts[:, None] > 0, code_sums / code_counts.clamp_min(1)[:, None], overall)
    ridge = _best_ridge(products, selection, means)
    same_width = codes.shape[1] == len(means.words)
    figures = {name: ExplainedVariance(means.words) for name in ("copy", "ridge", "mean_per_code")}
    for places in evaluation.batches(256):
        batch = evaluation.read(places)
        inputs, targets = batch.inputs[batch.is_word], batch.targets[batch.is_word]
        if same_width:
            figures["copy"].add(targets, evaluation.pair.copies(batch)[batch.is_word])
        figures["ridge"].add(targets, _with_one(inputs) @ ridge)
        figures["mean_per_code"].add(targets, means_per_code[nearest(inputs, codes)].to(targets.dtype))
    return Yardsticks(**{name: figure.fvu for name, figure in figures.items()})


@torch.no_grad()
def ridge_map(train: PairRows, selection: PairRows, means: TrainingMeans, progress: Report = silent) -> Tensor:
    """Return the map `[D+1, E]` of the ridge yardstick, from scaled inputs with a 1 behind each to scaled outputs."""
    products = _Products()
    for batch in _training_batches(train, "ridge map", progress):
        products.add(batch)
    return _best_ridge(products, selection, means)


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


class _Products:
    """Sums over training words, in 64 bits: X'X `[D+1, D+1]` and X'Y `[D+1, E]`, where X has a column of ones."""

    def __init__(self) -> None:
        self.gram, self.cross = torch.zeros(()), torch.zeros(())

    def add(self, batch: PairBatch) -> None:
        inputs, targets = _with_one(batch.inputs[batch.is_word]), batch.targets[batch.is_word]
        self.gram = self.gram.to(inputs.device) + (inputs.T @ inputs).double()
        self.cross = self.cross.to(inputs.device) + (inputs.T @ targets).double()


def _training_batches(train: PairRows, stage: str, progress: Report) -> Iterator[PairBatch]:
    done = 0
    for places in train.batches(256):
        yield train.read(places)
        done += len(places)
        progress(Progress(stage, done, len(train), "sentences"))


def _best_ridge(products: _Products, selection: PairRows, means: TrainingMeans) -> Tensor:
    """Return the map `[D+1, E]` with the best penalty on the selection slice. The intercept is not penalised."""
    gram, cross = products.gram, products.cross
    unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    unit[-1, -1] = 0
    size = float(gram.diagonal()[:-1].mean())
    maps = [torch.linalg.solve(gram + penalty * size * unit, cross).float() for penalty in RIDGE_PENALTIES]
    figures = [ExplainedVariance(means.words) for _ in maps]
    for places in selection.batches(256):
        batch = selection.read(places)
        inputs, targets = _with_one(batch.inputs[batch.is_word]), batch.targets[batch.is_word]
        for figure, weights in zip(figures, maps, strict=True):
            figure.add(targets, inputs @ weights)
    errors = [figure.fvu if figure.fvu is not None else float("inf") for figure in figures]
    return maps[errors.index(min(errors))]
