"""Edits of states by their concepts, and steps of the same length to compare with: from states to new states.

    removal       x - Q Q' (x - mu)                takes the concept's part out, measured from the mean
    projection    x - R R' x                       the published edit: projects the raw code out of the raw state
    mean          mu                               takes out all that is particular to the word
    move          removal + s (c_j - mu)           puts another concept j in its place
    classless     the removal, with Q made orthogonal to the class direction w_y of the prediction. Its effect is what
                  is left of a concept's effect without a move along the direction that separates the classes

States are `[N, D]`, bases `[N, D, r]` with orthonormal columns or zeros, in 32 bits. A basis of zeros moves nothing.
Predictions are numbered as rows of `ConceptSpace.class_directions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from clvq.concepts.directions import ConceptSpace
from clvq.models.spans import orthonormal

ROUNDING = 1e-6
"""A state that comes this near to the mean, as a share of its way, has reached it."""


@dataclass(frozen=True)
class Edit:
    """The centred removal, and the base of the other edits."""

    space: ConceptSpace
    targets: Mapping[int, int] = field(default_factory=dict)
    """For each prediction, the concept that `move` puts in."""
    strength: float = 1.0
    """How many times `move` adds its deviation."""
    rank: int = 1
    """How many directions are taken out of a word."""
    name: ClassVar[str] = "removal"
    raw: ClassVar[bool] = False
    """Whether the method's raw codes are used, rather than directions about the mean."""
    has_rank: ClassVar[bool] = True
    """Whether the edit takes out as many directions as `rank` says."""

    @property
    def origin(self) -> Tensor:
        """[D] the point from which a concept's part of a state is measured."""
        return self.space.mean

    def basis(self, rows: Tensor) -> Tensor:
        """Return columns `[N, D, r]` that span the concepts of words `[N, D]`."""
        return self.space.basis(rows, self.rank)

    def free(self, vectors: Tensor, predictions: Tensor) -> Tensor:
        """Return the part of vectors `[N, D]` along which the edit and its controls may move states.

        `predictions` `[N]` are those of the states' sentences.
        """
        return vectors

    def allowed(self, basis: Tensor, predictions: Tensor) -> Tensor:
        """Return orthonormal columns that span the part of a basis `[N, D, r]` along which states may move (`free`)."""
        return basis

    def apply(self, states: Tensor, basis: Tensor, predictions: Tensor) -> Tensor:
        """Return the edited states `[N, D]`; `predictions` `[N]` are those of their sentences."""
        return states - projected(states - self.origin, basis)

    def taken(self, states: Tensor, basis: Tensor) -> Tensor:
        """Return `[2, N]`: how many directions are taken out of each state, and their share of its squared length."""
        about = states - self.origin
        inside = projected(about, basis).square().sum(dim=1)
        whole = about.square().sum(dim=1).clamp_min(torch.finfo(about.dtype).tiny)
        return torch.stack([basis.any(dim=1).sum(dim=1).to(inside), inside / whole])


class RawProjection(Edit):
    """The published projection of the raw code out of the raw state (arXiv 2506.20040, section 4)."""

    name = "projection"
    raw = True

    @property
    def origin(self) -> Tensor:
        return torch.zeros_like(self.space.mean)

    def basis(self, rows: Tensor) -> Tensor:
        return self.space.raw_basis(rows, self.rank)


class ClasslessRemoval(Edit):
    """The removal without its part along the class direction of the prediction."""

    name = "classless"

    def free(self, vectors: Tensor, predictions: Tensor) -> Tensor:
        along = self.space.class_directions[predictions]
        return vectors - along * (vectors * along).sum(dim=1, keepdim=True)

    def allowed(self, basis: Tensor, predictions: Tensor) -> Tensor:
        return orthonormal(torch.stack([self.free(column, predictions) for column in basis.unbind(dim=2)], dim=1))


class ReplacementByMean(Edit):
    name = "mean"
    has_rank = False

    def apply(self, states: Tensor, basis: Tensor, predictions: Tensor) -> Tensor:
        return self.space.mean.expand_as(states)

    def taken(self, states: Tensor, basis: Tensor) -> Tensor:
        """Return zeros: the whole state is replaced, so no directions are counted."""
        return states.new_zeros(2, len(states))


class Move(Edit):
    """The removal, with another concept put in `strength` times. With strength 0 it is the removal alone."""

    name = "move"

    def apply(self, states: Tensor, basis: Tensor, predictions: Tensor) -> Tensor:
        targets = torch.tensor([self.targets[number] for number in predictions.tolist()], device=states.device)
        return super().apply(states, basis, predictions) + self.strength * self.space.deviations(targets)


_KINDS = (Edit, ClasslessRemoval, RawProjection, ReplacementByMean, Move)
EDITS: dict[str, type[Edit]] = {kind.name: kind for kind in _KINDS}


@dataclass(frozen=True)
class Step:
    """States `[N, D]` before and after an edit, to which controls are matched."""

    edit: Edit
    before: Tensor
    basis: Tensor
    """[N, D, r] of the states' own concepts."""
    after: Tensor
    predictions: Tensor
    """[N] what is predicted for the sentence of each state."""

    @property
    def distances(self) -> Tensor:
        """[N] how far the edit moved each state."""
        return torch.linalg.vector_norm(self.after - self.before, dim=1)

    def along(self, basis: Tensor) -> Tensor:
        """Return the states moved as far as the edit moved them, in the direction of removing another `basis`.

        That direction is minus the state's part in the basis, measured from the edit's origin. A state without such a
        part stays.
        """
        allowed = self.edit.allowed(basis, self.predictions)
        away = functional.normalize(projected(self.before - self.edit.origin, allowed), dim=1)
        return self.before - self.distances[:, None] * away

    def together(self, directions: Tensor) -> Tensor:
        """Return the states moved as far as the edit moved them, along `directions` `[N, D]` of length 1.

        The sign does not depend on the states: those with the same direction move the same way.
        """
        free = functional.normalize(self.edit.free(directions, self.predictions), dim=1)
        return self.before + self.distances[:, None] * free

    def away(self, directions: Tensor, group: Tensor) -> Tensor:
        """Return the states moved as far as the edit moved them, along `directions` `[N, D]`.

        Each `group` `[N]` of states has one sign: that with which removing the direction would move the whole group.
        """
        free = functional.normalize(self.edit.free(directions, self.predictions), dim=1)
        inside = ((self.before - self.edit.origin) * free).sum(dim=1)
        totals = inside.new_zeros(int(group.max()) + 1).index_add_(0, group, inside)
        sign = torch.where(totals > 0, -1.0, 1.0)[group]
        return self.before + (sign * self.distances)[:, None] * free

    def towards_mean(self) -> Tensor:
        """Return the states moved as far as the edit moved them, straight towards the mean and not beyond it."""
        mean = self.edit.space.mean
        about = self.before - mean
        deviation = self.edit.free(about, self.predictions)
        length = torch.linalg.vector_norm(deviation, dim=1)
        share = (self.distances / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1)
        reached = share[:, None] > 1 - ROUNDING  # such a state is at the mean exactly
        return torch.where(reached, mean + (about - deviation), self.before - share[:, None] * deviation)


def projected(states: Tensor, basis: Tensor) -> Tensor:
    """Return the part of each state that lies in its own basis `[N, D]`."""
    return torch.einsum("ndr,nr->nd", basis, torch.einsum("ndr,nd->nr", basis, states))
