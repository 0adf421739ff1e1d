"""Rows made from the states of tokens.

Only this module makes them, also for new texts. A row is the mean state of some tokens of its sentence, in the model's
dtype, rounded to the dtype of storage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clvq.language_model.rows import RowLayout, row_layout
from clvq.language_model.tokenization import TokenizedSentence


class BatchRows:
    """The rows `[R]` of a batch of sentences, one sentence after the other, and the tokens `[P]` that make them."""

    def __init__(self, layouts: Sequence[RowLayout], device: torch.device) -> None:
        self.layouts = layouts
        self.counts = [len(layout.flags) for layout in layouts]
        """Rows of each sentence."""
        self.flags = np.array([flag for layout in layouts for flag in layout.flags], np.uint8)
        """`[R]` the sum of the flags of each row: WORD, SENTENCE, FIRST, PROMPT."""
        positions = [(index, row) for index, layout in enumerate(layouts) for row in layout.positions]
        tokens = [(index, token, row) for row, (index, used) in enumerate(positions) for token in used]
        columns = torch.tensor(tokens, dtype=torch.long, device=device).reshape(-1, 3)
        self.sentence, self.token, self.row = columns.unbind(dim=1)
        """`[P]` each: the token's sentence in the batch, its position there, and its row."""
        self._lengths = torch.tensor([len(used) for _, used in positions], dtype=torch.long, device=device)

    @classmethod
    def of(cls, sentences: Sequence[TokenizedSentence], pooling: str, device: torch.device) -> BatchRows:
        return cls([row_layout(sentence, pooling) for sentence in sentences], device)

    def gather(self, states: Tensor) -> Tensor:
        """Return rows `[R, D]` of states `[B, T, D]`, in the same dtype: means over each row's tokens, computed in 32
        bits."""
        values = states[self.sentence, self.token]  # [P, D]
        if len(values) == len(self._lengths):
            return values
        return torch.segment_reduce(values.float(), "mean", lengths=self._lengths).to(states.dtype)

    def gather_gradients(self, gradients: Tensor) -> Tensor:
        """Return the gradients of rows `[R, D]`, in 32 bits, from those of tokens `[B, T, D]`. A row's gradient is the
        sum over its tokens: the effect of moving all of them by the same step."""
        values = gradients[self.sentence, self.token].float()  # [P, D]
        if len(values) == len(self._lengths):
            return values
        return torch.segment_reduce(values, "sum", lengths=self._lengths)


def as_stored(rows: Tensor, dtype: str) -> Tensor:
    """Return rows as they are read from a store of this dtype, in 32 bits."""
    return rows.to(getattr(torch, dtype)).float()
