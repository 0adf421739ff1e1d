"""Orthonormal bases of what some directions span."""

from __future__ import annotations

import torch
from torch import Tensor

INDEPENDENT = 1e-4
"""A direction of length 1 counts as spanned by earlier directions if its part orthogonal to them is no longer."""


def orthonormal(directions: Tensor) -> Tensor:
    """Orthonormalize directions `[..., r, D]`, at most of length 1, into columns `[..., D, r]`; zeros for a direction
    that is in the span of earlier ones.

    By the Gram-Schmidt process. A QR decomposition gives such a direction an arbitrary column, and takes that column's
    part out of all later directions.
    """
    columns: list[Tensor] = []
    for direction in directions.unbind(dim=-2):
        rest = direction
        for _ in range(2 if columns else 0):  # the second time takes out what rounding left
            earlier = torch.stack(columns, dim=-1)
            rest = rest - (earlier @ (earlier.mT @ rest[..., None]))[..., 0]
        length = torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
        columns.append(torch.where(length > INDEPENDENT, rest / length.clamp_min(INDEPENDENT), 0.0))
    return torch.stack(columns, dim=-1)
