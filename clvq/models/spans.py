"""Orthonormal bases of what some directions span."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

INDEPENDENT = 1e-4
"""A direction of length 1 counts as spanned by earlier directions if its part orthogonal to them is no longer."""


def orthonormal(directions: Tensor) -> Tensor:
    """Orthonormalize directions `[..., r, D]`, at most of length 1, into columns `[..., D, r]`; zeros for a direction
    that is in the span of earlier ones.

    By QR decomposition. It gives such a direction an arbitrary column, and takes that column's part out of all later
    directions, so where there are later ones the Gram-Schmidt process is used.
    """
    several = directions.reshape(-1, *directions.shape[-2:])
    columns, mixing = torch.linalg.qr(several.mT)
    missing = several.shape[1] - columns.shape[2]  # more directions than dimensions
    new = functional.pad(mixing.diagonal(dim1=1, dim2=2).abs() > INDEPENDENT, (0, missing))
    columns = functional.pad(columns, (0, missing)) * new[:, None, :]
    follows = (~new).cumsum(dim=1)[:, :-1] > 0
    doubtful = (follows & several[:, 1:].any(dim=2)).any(dim=1)
    if doubtful.any():
        columns[doubtful] = _one_by_one(several[doubtful])
    return columns.view(*directions.shape[:-2], *columns.shape[1:])


def _one_by_one(directions: Tensor) -> Tensor:
    """Return what `orthonormal` gives for directions `[N, r, D]`, by the Gram-Schmidt process."""
    columns = torch.zeros_like(directions.mT)
    for number, direction in enumerate(directions.unbind(dim=1)):
        earlier, rest = columns[:, :, :number], direction[:, :, None]
        for _ in range(2):  # the second time takes out what rounding left
            rest = rest - earlier @ (earlier.mT @ rest)
        length = torch.linalg.vector_norm(rest, dim=1, keepdim=True)
        columns[:, :, number] = torch.where(length > INDEPENDENT, rest / length.clamp_min(INDEPENDENT), 0.0)[:, :, 0]
    return columns
