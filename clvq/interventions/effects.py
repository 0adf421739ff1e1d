"""What edits inside the language model do to each sentence, kept on disk while they are measured.

effects.safetensors in a checkpoint's folder holds `figures` `[C, F, S]` of every change, `done` `[S]`, and what they
were made of. An interrupted measurement continues from it, and comparisons of the same checkpoint read it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from clvq.artifacts import EFFECTS
from clvq.artifacts.kinds import Derived
from clvq.device import Processes
from clvq.interventions.places import Place
from clvq.storage import fingerprint

SAVE_SECONDS = 20.0


class Effects(NamedTuple):
    """What a change does to each sentence `[S]`, as means over draws."""

    flips: np.ndarray
    """1 where another class, or another next token, is predicted."""
    kl: np.ndarray
    """KL(clean || changed) in nats."""
    probability: np.ndarray
    """How much the probability of the prediction falls."""
    correct: np.ndarray
    """1 where the label is predicted; NaN without a label."""
    distance: np.ndarray
    """Sum over the changed tokens of how far each moved."""
    tokens: np.ndarray
    """How many tokens change; 0 where the sentence has nothing to edit at this place."""
    rank: np.ndarray
    """Sum over the changed tokens of how many directions the edit takes out; 0 for controls."""
    energy: np.ndarray
    """Sum over the changed tokens of the share of the squared length along these directions; 0 for controls."""

    @classmethod
    def zeros(cls, sentences: int) -> Effects:
        return cls(*(np.zeros(sentences) for _ in cls._fields))

    @classmethod
    def mean(cls, several: Sequence[Effects]) -> Effects:
        """Return the means over checkpoints of the same sentences, sentence by sentence."""
        return cls(*(np.mean(values, axis=0) for values in zip(*several, strict=True)))


class Change(NamedTuple):
    """An edit at a place, or one of its controls."""

    edit: str
    place: Place
    control: str | None
    """None for the edit itself."""


class Record:
    """The effects of `changes` on `sentences`, filled batch by batch; kept in a file where one is named."""

    def __init__(self, changes: Sequence[Change], sentences: int) -> None:
        self.changes = list(changes)
        # In 32 bits, as in the file, so that what is read back is what was measured.
        self._figures = torch.zeros(len(self.changes), len(Effects._fields), sentences)
        self._done = torch.zeros(sentences, dtype=torch.bool)
        self._folder: Path | None = None
        self._artifact = EFFECTS
        self._made_of: dict[str, str] = {}
        self._saved = time.monotonic()

    @classmethod
    def at(
        cls,
        folder: Path,
        identity: Mapping[str, Any],
        changes: Sequence[Change],
        sentences: int,
        artifact: Derived = EFFECTS,
        *,
        overwrite: bool = False,
    ) -> Self:
        """Return the record in `folder`, finished or not, if it is of `identity` and the same changes and sentences.

        Otherwise, and with `overwrite`, return an empty record that will replace it. ArtifactError where the file is
        damaged.
        """
        record = cls(changes, sentences)
        described = [[change.edit, _described(change.place), change.control] for change in changes]
        made_of = fingerprint([identity, described, sentences, Effects._fields])
        record._folder, record._made_of = folder, {"made_of": made_of}
        record._artifact = artifact
        processes = Processes.current()
        if processes.is_leader:
            if overwrite:
                (folder / artifact.name).unlink(missing_ok=True)
            tensors = artifact.read(folder, record._made_of)
            if tensors is not None:
                record._figures, record._done = tensors["figures"].clone(), tensors["done"].clone()
        else:
            record._folder = None  # the leader alone writes
        processes.share(record._figures)
        processes.share(record._done)
        return record

    @property
    def left(self) -> list[int]:
        """Sentences that are not done."""
        return [int(number) for number in torch.nonzero(~self._done).flatten()]

    def add(self, numbers: Sequence[int], figures: torch.Tensor) -> None:
        """Add figures `[C, F, B]` of sentences `[B]`; write the file after SAVE_SECONDS, and when all are done."""
        self._figures[:, :, list(numbers)] = figures.float().cpu()
        self._done[list(numbers)] = True
        if self._folder is not None and (self._done.all() or time.monotonic() - self._saved > SAVE_SECONDS):
            self._artifact.write(self._folder, {"figures": self._figures, "done": self._done}, self._made_of)
            self._saved = time.monotonic()

    def effects(self) -> dict[Change, Effects]:
        values = self._figures.double().numpy()
        return {change: Effects(*figures) for change, figures in zip(self.changes, values, strict=True)}


def _described(place: Place) -> dict[str, Any]:
    """Return the fields that distinguish a place.

    Its rank is one of them only on the curve over ranks, so that effects that were stored without it stay valid.
    """
    return {name: value for name, value in asdict(place).items() if name != "rank" or value is not None}
