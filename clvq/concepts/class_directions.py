"""The direction of each class at the input layer, from the training words of sentences by what is predicted for them.

    w_y     mean word of the sentences that are predicted as y, minus that of the others, scaled to length 1

Where each label is asked about by itself, yes or no, a label has a direction of its own: `w_yes` is the mean word of
the sentences for which the label is predicted, minus that of the others, and `w_no` is `-w_yes`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clvq.concepts.assignments import SplitText


class ClassSums:
    """Sums of the words of a split by the predicted class, or by the labels that are predicted."""

    def __init__(self, text: SplitText, classes: int, width: int) -> None:
        """Take the predictions in `text`, of `classes` classes or labels; words have `width` values."""
        sets = text.prediction_sets
        self._by_label = sets is not None
        # A row for each sentence, [S, C] or [S, 1]: whether each label is predicted, or the class; -1 if not known.
        self._answers = torch.from_numpy(text.predictions[:, None] if sets is None else sets).long()
        self._sentences = torch.from_numpy(text.sentences).long()
        self._totals = torch.zeros(classes, width, dtype=torch.float64)
        self._counts = torch.zeros(classes, dtype=torch.int64)
        self._total = torch.zeros(width, dtype=torch.float64)
        self._words = 0

    def add(self, span: slice, selected: Tensor, rows: Tensor) -> None:
        """Add the `selected` `[N]` of rows `[N, D]`, which are those of the split at `span`."""
        if not len(self._counts):
            return
        answers, words = self._answers[self._sentences[span][selected]], rows[selected].double()
        known = answers[:, 0] >= 0
        answers, words = answers[known], words[known]
        self._total += words.sum(dim=0)
        self._words += len(words)
        if self._by_label:
            self._totals += answers.double().T @ words
            self._counts += answers.sum(dim=0)
        else:
            self._totals.index_add_(0, answers[:, 0], words)
            self._counts += torch.bincount(answers[:, 0], minlength=len(self._counts))

    def directions(self) -> Tensor:
        """Return the `w_y` `[C, D]`, or, for each label in turn, its `w_no` and `w_yes` `[2 L, D]`; zeros for an answer
        that is never or always given."""
        rest = self._words - self._counts
        given = (self._counts > 0) & (rest > 0)
        others = (self._total - self._totals) / rest.clamp_min(1)[:, None]
        gaps = self._totals / self._counts.clamp_min(1)[:, None] - others
        units = functional.normalize(gaps * given[:, None], dim=1).float()
        return torch.stack([-units, units], dim=1).flatten(0, 1) if self._by_label else units
