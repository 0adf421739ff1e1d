"""Edits of states by what concepts mean, and moves of the same length to compare with: states in, new states out.

    removal       x - Q Q' (x - mu)                the concept's part, taken about the mean
    projection    x - R R' x                       the published one: the raw code projected out of the raw state
    mean          mu                               everything that is particular to the word
    move          removal + s (c_j - mu)           another concept j in its place

States are `[N, D]`, bases `[N, D, r]` with orthonormal columns or zeros, in 32 bits. A basis of zeros moves nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def projected(states: Tensor, basis: Tensor) -> Tensor:
    """The part of each state that lies in its own basis `[N, D]`."""
    return torch.einsum("ndr,nr->nd", basis, torch.einsum("ndr,nd->nr", basis, states))


def centred_removal(states: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    """States without what their concept adds to the mean `[D]`."""
    return states - projected(states - mean, basis)


def raw_projection(states: Tensor, raw_basis: Tensor) -> Tensor:
    """States without any part along the raw code, as published (arXiv 2506.20040, section 4)."""
    return states - projected(states, raw_basis)


def replacement_by_mean(states: Tensor, mean: Tensor) -> Tensor:
    return mean.expand_as(states)


def move(states: Tensor, basis: Tensor, mean: Tensor, deviation: Tensor, strength: float) -> Tensor:
    """States with another concept in place of their own: `deviation` `[N, D]` or `[D]` is `c_j - mu`, taken
    `strength` times; at 0 this is the removal."""
    return centred_removal(states, basis, mean) + strength * deviation


def matched_step(states: Tensor, basis: Tensor, origin: Tensor, distances: Tensor) -> Tensor:
    """States moved by `distances` `[N]` the way that removing `basis` would move them: along minus their projection
    on it, taken about `origin` `[D]`. A state that has no such part stays."""
    away = functional.normalize(projected(states - origin, basis), dim=1)
    return states - distances[:, None] * away


def towards_mean(states: Tensor, mean: Tensor, distances: Tensor) -> Tensor:
    """States moved by `distances` `[N]` straight towards the mean `[D]`, and not beyond it."""
    deviation = states - mean
    length = torch.linalg.vector_norm(deviation, dim=1)
    return states - (distances / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1)[:, None] * deviation
