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
    columns = directions.new_zeros(directions.mT.shape)
    for number, direction in enumerate(directions.unbind(dim=-2)):
        earlier, rest = columns[..., :number], direction[..., None]
        for _ in range(2 if number else 0):  # the second time takes out what rounding left
            rest = rest - earlier @ (earlier.mT @ rest)
        length = torch.linalg.vector_norm(rest, dim=-2, keepdim=True)
        columns[..., number] = torch.where(length > INDEPENDENT, rest / length.clamp_min(INDEPENDENT), 0.0)[..., 0]
    return columns
