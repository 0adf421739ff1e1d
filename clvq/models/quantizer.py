"""The vector quantizer: distances, the draw among the nearest codes, the EMA codebook, revival of unused codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from clvq.models.distances import Distances, smallest
from clvq.models.shares import ALL_ROWS, Share

SMOOTHING = 1e-5
"""Number of rows that Laplace smoothing adds to each code where a sum of rows is divided by their number."""


class Quantized(NamedTuple):
    """What the quantizer makes of rows z_e."""

    codes: Tensor
    """[N, D] the chosen rows of the codebook, without gradient."""
    indices: Tensor
    """[N] int64, the codes' indices."""


class Candidates(NamedTuple):
    """The nearest codes of each row, nearest first."""

    distances: Tensor
    """[N, top_k] squared, Euclidean or in the metric."""
    indices: Tensor
    """[N, top_k] int64."""


class VectorQuantizer(nn.Module):
    """A codebook `[K, D]` kept by exponential moving averages (arXiv 2506.20040, section 3; van den Oord et al. 2017).

    In training a code is drawn among the `top_k` nearest with probability `softmax(-distance / (temperature * unit))`;
    otherwise the nearest is taken. `unit` is the running mean over rows of `(d_k - d_1) / (k - 1)`, the mean gap
    between successive candidates (`temperature_unit="gap"`), or 1 (`"raw"`, as published).

    With `has_metric`, rows and codes are multiplied by the symmetric, invertible buffer `metric_map` `[D, D]` before
    distances are computed. Codes stay in the space of the rows. The mean of mapped rows is the mapped mean of the rows,
    so the exponential moving average (EMA) is the same in both spaces.
    """

    codebook: Tensor
    ema_count: Tensor
    ema_sum: Tensor
    mean_gap: Tensor
    batches_unused: Tensor
    metric_map: Tensor | None

    def __init__(
        self,
        codebook_size: int,
        width: int,
        *,
        top_k: int = 5,
        temperature: float = 1.0,
        temperature_unit: str = "gap",
        ema_decay: float = 0.99,
        has_metric: bool = False,
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.temperature = temperature
        self.temperature_unit = temperature_unit
        self.ema_decay = ema_decay
        self.register_buffer("codebook", torch.zeros(codebook_size, width))
        self.register_buffer("ema_count", torch.zeros(codebook_size))
        self.register_buffer("ema_sum", torch.zeros(codebook_size, width))
        self.register_buffer("mean_gap", torch.zeros(()))
        self.register_buffer("batches_unused", torch.zeros(codebook_size, dtype=torch.int64))
        self.register_buffer("metric_map", torch.zeros(width, width) if has_metric else None)
        if self.metric_map is not None:
            self.metric_map.diagonal().fill_(1)

    @torch.no_grad()
    def set_codebook(self, codes: Tensor, count: Tensor | None = None) -> None:
        """Set the codebook to codes `[K, D]`, each as if `count` rows (default 1) lay exactly on it."""
        count = torch.ones(len(codes), device=codes.device) if count is None else count
        self._set_state(codes, count, codes * count[:, None])
        self.batches_unused.zero_()
        self.mean_gap.zero_()

    def forward(self, z_e: Tensor, share: Share = ALL_ROWS) -> Quantized:
        """Return the codes of rows `[N, D]`: drawn in training mode, the nearest otherwise."""
        indices = self.draw(z_e, share) if self.training else self.assign(z_e)
        return Quantized(self.codebook.index_select(0, indices), indices)

    @torch.no_grad()
    def assign(self, z_e: Tensor) -> Tensor:
        """Return the index `[N]` of the nearest code of each row `[N, D]`."""
        return self._distances().nearest(z_e.to(self.codebook.dtype))

    @torch.no_grad()
    def draw(self, z_e: Tensor, share: Share = ALL_ROWS) -> Tensor:
        """Draw an index `[N]` among the `top_k` nearest codes of each row `[N, D]`, and update the running mean gap.

        The rows may be one process's `share` of a batch. Each row then gets the code that it would get in one process.
        """
        if self.top_k == 1 or not len(z_e):
            return self.assign(z_e)
        candidates = self.candidates(z_e)
        if self.temperature_unit == "gap":
            gap = share.mean(_gaps(candidates.distances))
            self.mean_gap.copy_(gap if self.mean_gap == 0 else self.mean_gap.lerp(gap, 1 - self.ema_decay))
        chances = self.probabilities(candidates)
        # The largest of chances divided by exponential draws: the way in which torch draws among few.
        place = (chances / share.exponential(chances)).argmax(dim=1, keepdim=True)
        return candidates.indices.gather(1, place).squeeze(1)

    @torch.no_grad()
    def candidates(self, z_e: Tensor) -> Candidates:
        return Candidates(*smallest(self.relative_distances(z_e), self.top_k))

    def probabilities(self, candidates: Candidates) -> Tensor:
        """Return the probability `[N, top_k]` with which each candidate is drawn."""
        unit = 1.0
        if self.temperature_unit == "gap":
            unit = float(self.mean_gap) or float(_gaps(candidates.distances).mean()) or 1.0
        return torch.softmax(-(candidates.distances - candidates.distances[:, :1]) / (self.temperature * unit), dim=1)

    def relative_distances(self, z_e: Tensor) -> Tensor:
        """Return the squared distances `[N, K]` of rows `[N, D]`, minus the row's own squared norm, which changes no
        choice."""
        return self._distances().of(z_e.to(self.codebook.dtype))

    def _distances(self) -> Distances:
        return Distances.to_codes(self.codebook, self.metric_map)

    def mapped(self, rows: Tensor) -> Tensor:
        """Return rows `[N, D]` in the space in which distances are Euclidean: without a metric, the rows themselves."""
        return rows if self.metric_map is None else rows @ self.metric_map

    def unmapped(self, rows: Tensor) -> Tensor:
        """Undo `mapped`: return rows `[N, D]` in their own space."""
        return rows if self.metric_map is None else unmapped(rows, self.metric_map)

    @torch.no_grad()
    def update(self, z_e: Tensor, indices: Tensor, share: Share = ALL_ROWS) -> None:
        """Run one EMA step with a batch's rows `[N, D]` and their codes `[N]`; they may be one process's `share`.

        `N_i <- g N_i + (1-g) n_i`, `M_i <- g M_i + (1-g) s_i`, `e_i = M_i / N_i`, where `n_i` and `s_i` are the number
        and the sum of the batch's rows of code i, and `g` is `ema_decay`. The denominator has Laplace smoothing, which
        is not written back: an unused code keeps its place until `revive` moves it.
        """
        rows = z_e.detach().to(self.ema_sum.dtype)
        count = torch.bincount(indices, minlength=len(self.codebook)).to(rows.dtype)
        total = torch.zeros_like(self.ema_sum).index_add_(0, indices, rows)
        share.sum(count)
        share.sum(total)
        ema_count = self.ema_count.lerp(count, 1 - self.ema_decay)
        ema_sum = self.ema_sum.lerp(total, 1 - self.ema_decay)
        smoothed = (ema_count + SMOOTHING) / (ema_count.sum() + len(count) * SMOOTHING) * ema_count.sum()
        used = count > 0
        # A code without rows keeps its exact place. Its two sums decay alike, but smoothing would pull it towards 0.
        codes = torch.where(used[:, None], ema_sum / smoothed[:, None], self.codebook)
        self._set_state(codes, ema_count, ema_sum)
        self.batches_unused.add_(1).masked_fill_(used, 0)

    @torch.no_grad()
    def revive(self, z_e: Tensor, indices: Tensor, after: int, share: Share = ALL_ROWS) -> int:
        """Move every code unused for `after` batches onto a row of the batch, and return how many codes moved.

        The row is drawn in proportion to its squared quantization error. The sums of a moved code restart as one row at
        its new place. `z_e` and `indices` may be one process's `share` of the batch.
        """
        dead = (self.batches_unused >= after).nonzero().squeeze(1)
        if not len(dead):
            return 0
        errors = self.mapped(z_e.detach().to(self.codebook.dtype) - self.codebook[indices]).square().sum(dim=1)
        scores = share.whole(errors / share.exponential(errors))  # the highest are rows drawn without replacement
        count = min(len(dead), int((scores > 0).sum()))
        if not count:
            return 0
        dead = dead[:count]
        rows = share.rows_at(z_e.detach().to(self.codebook.dtype), scores.topk(count).indices)
        ones = torch.ones(count, device=rows.device, dtype=self.ema_count.dtype)
        self._set_state(
            self.codebook.index_copy(0, dead, rows),
            self.ema_count.index_copy(0, dead, ones),
            self.ema_sum.index_copy(0, dead, rows),
        )
        self.batches_unused[dead] = 0
        return count

    def _set_state(self, codes: Tensor, count: Tensor, total: Tensor) -> None:
        """Set the codebook and its sums. Nothing else changes them, so that the two always change together."""
        self.codebook.copy_(codes)
        self.ema_count.copy_(count)
        self.ema_sum.copy_(total)


def unmapped(rows: Tensor, metric_map: Tensor) -> Tensor:
    """Return the rows `[N, D]` that the map `[D, D]` of a metric turns into these, computed in 64 bits."""
    return torch.linalg.solve(metric_map.double(), rows.double(), left=False).to(rows.dtype)


def _gaps(distances: Tensor) -> Tensor:
    """Return `(d_k - d_1) / (k - 1)` of each row `[N]`, from distances `[N, k]`, nearest first."""
    return (distances[:, -1] - distances[:, 0]) / max(distances.shape[1] - 1, 1)
