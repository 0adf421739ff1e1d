"""What an edit is compared with: steps at the same tokens, of the same length, along other directions.

A removal is compared with four null controls:

    random        along a random direction, drawn for each concept
    covariance    along one drawn with the covariance of the training words, for each concept
    coherent      along one drawn with that covariance for the whole sentence, the same for all words. Its sign is that
                  which removing the direction from the sentence has. The concepts of a sentence share directions, such
                  as that of the class, whereas steps that are drawn for each concept would cancel out
    own           straight towards the mean, along the word's own deviation

Other controls are reported too, but are not nulls: a step along the class direction of the prediction
(class_direction), and steps along another concept's direction (other, usage, class), which put that concept in.

A draw depends only on the seed, the number of the draw, the sentence and the concept, not on batches and places. The
words of one concept in a sentence share their direction, as they do under the edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clvq.concepts.directions import ConceptSpace
from clvq.interventions.edits import Edit, Step

NULLS = ("random", "covariance", "coherent", "own")
INJECTIONS = ("other", "usage", "class")
CLASS_DIRECTION = "class_direction"
CONTROLS = (*NULLS, CLASS_DIRECTION, *INJECTIONS)
UNDRAWN = ("own", CLASS_DIRECTION)
"""Controls without a random draw."""
_KEYS = ("random", "covariance", "own", "other", "usage", "class", "coherent")
"""The place of a control here is part of the key of its draws, so the order must not change."""

LIKE_USAGE = 10
"""How many concepts count as used about as often as another."""

TOLERANCE = 0.01
"""Largest difference of a control's mean distance, as a share of the edit's, at which the two count as equal."""


WHOLE_SENTENCE = 2**32 - 1
"""Stands in place of a code where a draw is for all concepts of a sentence."""


class Owner(NamedTuple):
    """A concept in a sentence."""

    sentence: int
    """Index in the split."""
    code: int
    prediction: int
    """The number of what is predicted for the sentence (`Target.numbered`): that of a class, or of the yes or no to the
    label that the model is asked for."""


class Pools(NamedTuple):
    """The concepts that may be put in for another one."""

    edited: np.ndarray
    """[words] codes of all edited words of the split; a random one of them is the code of a random edited word."""
    usage: Mapping[int, np.ndarray]
    """For each code, the codes that are used about as often."""
    classes: Mapping[int, np.ndarray]
    """For each predicted class, the concepts that stand for another class."""

    def of(self, control: str, owner: Owner) -> np.ndarray:
        if control == "other":
            return self.edited[self.edited != owner.code]
        chosen = self.usage.get(owner.code) if control == "usage" else self.classes.get(owner.prediction)
        return np.zeros(0, np.int64) if chosen is None else chosen[chosen != owner.code]


def like_usage(usage: Tensor) -> dict[int, np.ndarray]:
    """Return for each used code the LIKE_USAGE codes that are next to it in the order of usage `[K]`."""
    counts = usage.numpy()
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    found = {}
    for place, code in enumerate(order):
        first = min(max(0, place - LIKE_USAGE // 2), max(0, len(order) - LIKE_USAGE - 1))
        near = order[first : first + LIKE_USAGE + 1]
        found[int(code)] = near[near != code]
    return found


class Draws:
    """The random directions of some owners. Edits of the same words share them, so each is drawn once."""

    def __init__(self, space: ConceptSpace, owners: Sequence[Owner]) -> None:
        self.space, self.owners = space, owners
        self._kept: dict[tuple[str, tuple[int, int]], Tensor] = {}

    def basis(self, control: str, rank: int, key: tuple[int, int]) -> Tensor:
        """Return orthonormal columns `[G, D, rank]` for each owner, as `random_basis` draws them."""
        if rank > 1:  # many columns take much memory, and are drawn again
            return random_basis(control, self.space, self.owners, rank, key)
        if (control, key) not in self._kept:
            self._kept[control, key] = random_basis(control, self.space, self.owners, 1, key)
        return self._kept[control, key]

    def of_sentences(self, control: str, key: tuple[int, int]) -> Tensor:
        """Return for each owner the direction `[G, D]` that is drawn for its whole sentence."""
        if (control, key) not in self._kept:
            whole = [Owner(owner.sentence, WHOLE_SENTENCE, owner.prediction) for owner in self.owners]
            places = {owner: place for place, owner in enumerate(dict.fromkeys(whole))}
            drawn = random_basis(control, self.space, list(places), 1, key)[:, :, 0]
            self._kept[control, key] = drawn[[places[owner] for owner in whole]]
        return self._kept[control, key]


def controlled(
    control: str,
    step: Step,
    draws: Draws,
    owner: Tensor,
    sentence: Tensor,
    pools: Pools,
    key: tuple[int, int],
) -> Tensor:
    """Return the states `[N, D]` moved by a control as far as the edit moved them.

    `owner` `[N]` is the index of each state's owner, and `sentence` `[N]` that of its sentence in the batch. `key` is
    the seed and the number of the draw. States for which there is no other concept to put in stay.
    """
    if control == "own":
        return step.towards_mean()
    if control == CLASS_DIRECTION:
        return step.together(-step.edit.space.class_directions[step.predictions])
    if control == "coherent":
        return step.away(draws.of_sentences(control, key)[owner], sentence)
    if control in INJECTIONS:
        return step.along(donor_basis(control, step.edit, draws.owners, pools, key)[owner])
    used = step.basis.any(dim=1)[:, None, :]  # [N, 1, r] as many columns as the state's own concept has
    return step.along(draws.basis(control, step.basis.shape[2], key)[owner] * used)


def random_basis(control: str, space: ConceptSpace, owners: Sequence[Owner], rank: int, key: tuple[int, int]) -> Tensor:
    """Draw orthonormal columns `[G, D, rank]` for each owner: in any direction, or as the training words vary."""
    shape = (len(space.mean), rank)
    draws = np.stack([one.standard_normal(shape, np.float32) for one in _generators(control, owners, key)])
    columns = torch.from_numpy(draws).to(space.mean.device)
    if control in ("covariance", "coherent"):
        columns = space.factor @ columns
    return functional.normalize(columns, dim=1) if rank == 1 else torch.linalg.qr(columns).Q


def donor_basis(control: str, edit: Edit, owners: Sequence[Owner], pools: Pools, key: tuple[int, int]) -> Tensor:
    """Return another concept's direction `[G, D, 1]` for each owner; zeros where there is none."""
    pairs = zip(owners, _generators(control, owners, key), strict=True)
    donors = [_donor(pools.of(control, owner), generator) for owner, generator in pairs]
    codes = torch.tensor(donors, device=edit.space.mean.device)
    directions = (edit.space.raw_directions if edit.raw else edit.space.directions)(codes.clamp_min(0))
    return (directions * (codes >= 0)[:, None])[:, :, None]


def _generators(control: str, owners: Sequence[Owner], key: tuple[int, int]) -> list[np.random.Generator]:
    number = _KEYS.index(control)
    return [np.random.default_rng([*key, number, owner.sentence, owner.code]) for owner in owners]


def _donor(pool: np.ndarray, generator: np.random.Generator) -> int:
    return int(pool[generator.integers(len(pool))]) if len(pool) else -1
