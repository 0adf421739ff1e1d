"""What a trained model is measured against: copy of the input layer, a ridge map, the mean output of a k-means code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clvq.models.codebook_init import initial_codebook, nearest, sample_size
from clvq.models.metrics import ExplainedVariance
from clvq.progress import Progress, Report, silent
from clvq.training.evaluation import TrainingMeans
from clvq.training.rows import PairRows

RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Tried penalties, as shares of the mean variance of an input dimension; chosen on the selection slice."""


@dataclass(frozen=True)
class Yardsticks:
    """FVU over the word rows of the evaluation split; None where there is none."""

    copy: float | None
    """The input layer's rows taken for the output layer's; None where the widths differ."""
    ridge: float | None
    """A linear map with intercept, fitted on the training rows."""
    mean_per_code: float | None
    """Each row predicted as the mean training output of its spherical k-means code: one word, no context."""


def kmeans_codes(train: PairRows, codebook_size: int, seed: int) -> Tensor:
    """Return spherical k-means codes `[K, D]` of the scaled input layer, without an encoder."""
    generator = torch.Generator().manual_seed(seed)
    rows = train.sample_inputs(sample_size(codebook_size), generator)
    return initial_codebook(rows, codebook_size, "spherical", generator)


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
    gram, cross, code_sums, code_counts = _sums(train, codes, progress)
    overall = code_sums.sum(dim=0) / code_counts.sum()
    means_per_code = torch.where(code_counts[:, None] > 0, code_sums / code_counts.clamp_min(1)[:, None], overall)
    ridge = _best_ridge(gram, cross, selection, means)
    same_width = gram.shape[0] - 1 == cross.shape[1]
    figures = {name: ExplainedVariance(means.words) for name in ("copy", "ridge", "mean_per_code")}
    for indices in evaluation.batches(256):
        batch = evaluation.read(indices)
        inputs, targets = batch.inputs[batch.is_word], batch.targets[batch.is_word]
        if same_width:
            figures["copy"].add(targets, inputs)
        figures["ridge"].add(targets, _with_one(inputs) @ ridge)
        figures["mean_per_code"].add(targets, means_per_code[nearest(inputs, codes)].to(targets.dtype))
    return Yardsticks(**{name: figure.fvu for name, figure in figures.items()})


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


def _sums(train: PairRows, codes: Tensor, progress: Report) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute X'X [D+1, D+1], X'Y [D+1, E], the sum of outputs per code [K, E] and rows per code [K], over training
    words."""
    gram: Tensor | None = None
    done = 0
    for indices in train.batches(256):
        batch = train.read(indices)
        inputs, targets = _with_one(batch.inputs[batch.is_word]), batch.targets[batch.is_word]
        if gram is None:
            gram = inputs.new_zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
            cross = inputs.new_zeros(inputs.shape[1], targets.shape[1], dtype=torch.float64)
            code_sums = inputs.new_zeros(len(codes), targets.shape[1], dtype=torch.float64)
            code_counts = inputs.new_zeros(len(codes), dtype=torch.float64)
        gram += (inputs.T @ inputs).double()
        cross += (inputs.T @ targets).double()
        members = nearest(inputs[:, :-1], codes)
        code_sums.index_add_(0, members, targets.double())
        code_counts += torch.bincount(members, minlength=len(codes))
        done += len(indices)
        progress(Progress("yardsticks", done, len(train), "sentences"))
    assert gram is not None
    return gram, cross, code_sums, code_counts


def _best_ridge(gram: Tensor, cross: Tensor, selection: PairRows, means: TrainingMeans) -> Tensor:
    """Return the map `[D+1, E]` with the penalty that is best on the selection slice. The intercept is not
    penalised."""
    unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    unit[-1, -1] = 0
    size = float(gram.diagonal()[:-1].mean())
    maps = [torch.linalg.solve(gram + penalty * size * unit, cross).float() for penalty in RIDGE_PENALTIES]
    figures = [ExplainedVariance(means.words) for _ in maps]
    for indices in selection.batches(256):
        batch = selection.read(indices)
        inputs, targets = _with_one(batch.inputs[batch.is_word]), batch.targets[batch.is_word]
        for figure, weights in zip(figures, maps, strict=True):
            figure.add(targets, inputs @ weights)
    errors = [figure.fvu if figure.fvu is not None else float("inf") for figure in figures]
    return maps[errors.index(min(errors))]
