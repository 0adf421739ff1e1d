"""The share of a batch that one of several processes has, and what the shares make together.

Whatever is drawn is drawn for the whole batch, and a process takes the draws of its own rows. So a batch that is
divided gives the same codes, sums and gradients as one that is not, up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from clvq.device import Processes


@dataclass(frozen=True)
class Share:
    """Which rows of a batch are here; without arguments, all of them."""

    places: Tensor | None = None
    """[n] int64, the place in the batch of each row that is here, ascending; None where the batch is not divided."""
    count: int = 0
    """Number of rows in the batch, where it is divided."""
    processes: Processes = field(default_factory=Processes)

    @classmethod
    def of(cls, processes: Processes, lengths: np.ndarray, device: torch.device) -> Share:
        """Return the share of this process's sentences, of a batch whose sentences have `lengths [S]` rows each."""
        own = own_sentences(processes, np.arange(len(lengths)))
        if len(own) == len(lengths):
            return cls(processes=processes)
        ends = np.cumsum(lengths)
        places = np.concatenate([np.arange(ends[i] - lengths[i], ends[i]) for i in own])
        return cls(torch.from_numpy(places).to(device), int(ends[-1]), processes)

    def sum(self, values: Tensor) -> None:
        """Add up what each share makes of its rows, in place."""
        if self.places is not None:
            self.processes.sum(values)

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give all processes the gradients of the whole batch, which the shares' gradients sum to."""
        if self.processes.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        if self.places is None:
            self.processes.share(flat)
        else:
            self.processes.sum(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def size(self, rows: Tensor) -> int:
        """Return the number of rows in the batch, of which `rows [n, ...]` are here."""
        return len(rows) if self.places is None else self.count

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the batch's rows of `values [n]`."""
        if self.places is None:
            return values.mean()
        total = values.sum()
        self.sum(total)
        return total / self.count

    def whole(self, values: Tensor) -> Tensor:
        """Return the values of all rows of the batch, of which `values [n]` are here."""
        if self.places is None:
            return values
        whole = values.new_zeros(self.count).index_copy_(0, self.places, values)
        self.sum(whole)
        return whole

    def exponential(self, like: Tensor) -> Tensor:
        """Draw from the exponential distribution for each value of `like [n, ...]`."""
        whole = torch.empty(self.size(like), *like.shape[1:], dtype=like.dtype, device=like.device).exponential_()
        return whole if self.places is None else whole[self.places]

    def rows_at(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return the rows at some places `[m]` of the batch, of which `rows [n, D]` are here."""
        if self.places is None:
            return rows[places]
        at = torch.searchsorted(self.places, places).clamp_max(len(self.places) - 1)
        found = rows[at] * (self.places[at] == places)[:, None]
        self.sum(found)
        return found


ALL_ROWS = Share()


def own_sentences(processes: Processes, batch: np.ndarray) -> np.ndarray:
    """Return this process's sentences of a batch. One with fewer sentences than processes is not divided: all processes
    have all of it."""
    return batch[processes.rank :: processes.count] if len(batch) >= processes.count else batch
