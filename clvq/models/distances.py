"""Squared distances between rows and codes, of a bounded number of rows at a time."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

ROWS_AT_ONCE = 2048
"""Of which distances to all codes are held: 134 MB at 16,384 codes."""


class Distances(NamedTuple):
    """Distances to the codes of a codebook, less each row's own squared norm, which no choice depends on."""

    squares: Tensor
    """[K] squared norms of the codes."""
    codes: Tensor
    """[D, K]"""

    @classmethod
    def to_codes(cls, codes: Tensor, metric_map: Tensor | None = None) -> Self:
        """Return those to codes `[K, D]`, after a symmetric map `[D, D]` of codes and rows where there is one."""
        if metric_map is None:
            return cls(codes.square().sum(dim=1), codes.T)
        mapped = codes @ metric_map
        return cls(mapped.square().sum(dim=1), metric_map @ mapped.T)

    def of(self, rows: Tensor) -> Tensor:
        """[N, D] -> [N, K]"""
        return torch.addmm(self.squares, rows, self.codes, alpha=-2)

    def nearest(self, rows: Tensor) -> Tensor:
        """[N, D] -> [N] index of the nearest code."""
        if not len(rows):
            return torch.zeros(0, dtype=torch.int64, device=rows.device)
        # `min` gives the same places as `argmin`, in less time.
        return torch.cat([self.of(part).min(dim=1).indices for part in rows.split(ROWS_AT_ONCE)])


def nearest(rows: Tensor, codes: Tensor) -> Tensor:
    """Return the index `[N]` of the nearest code by squared Euclidean distance, for rows `[N, D]` and codes `[K,
    D]`."""
    return Distances.to_codes(codes).nearest(rows)
