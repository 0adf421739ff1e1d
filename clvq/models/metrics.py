"""Measures of quality, each with its formula. Sums are kept in 64 bits and divided once, at the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def perplexity(counts: Tensor) -> float:
    """Return `exp(-sum_i p_i log p_i)` with `p = counts / sum(counts)`; 0 where nothing was counted."""
    total = float(counts.sum())
    if not total:
        return 0.0
    shares = counts[counts > 0].double() / total
    return math.exp(-float((shares * shares.log()).sum()))


class ExplainedVariance:
    """Accumulates the fraction of variance unexplained, `FVU = sum |y - y_hat|^2 / sum |y - mean|^2`. `mean` is that of
    the training rows."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean
        self.errors = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, targets: Tensor, predictions: Tensor) -> None:
        """Add the errors and squares of rows `[N, E]`."""
        self.errors += (targets - predictions).square().sum(dtype=torch.float64).cpu()
        self.squares += (targets - self.mean).square().sum(dtype=torch.float64).cpu()

    @property
    def fvu(self) -> float | None:
        """The FVU; None where there was no row, or no variance."""
        return float(self.errors / self.squares) if self.squares > 0 else None
