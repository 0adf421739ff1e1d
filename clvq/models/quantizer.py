"""The vector quantizer: distances, the draw among the nearest codes, the EMA codebook, revival of unused codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clvq.models.distances import Distances

SMOOTHING = 1e-5
"""Rows that Laplace smoothing adds to each code where a sum of rows is divided by their number."""


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

    With `has_metric` distances are those between rows and codes that the symmetric, invertible buffer `metric_map`
    `[D, D]` has mapped. Codes stay in the space of the rows: a mean of mapped rows is the map of their mean, so the EMA
    is the same in both.
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
        self.register_buffer("metric_map", torch.eye(width) if has_metric else None)

    @torch.no_grad()
    def set_codebook(self, codes: Tensor, count: Tensor | None = None) -> None:
        """Puts codes `[K, D]` in place, each as if `count` rows (default 1) lay exactly on it."""
        count = torch.ones(len(codes), device=codes.device) if count is None else count
        self._set_state(codes, count, codes * count[:, None])
        self.batches_unused.zero_()
        self.mean_gap.zero_()

    def forward(self, z_e: Tensor) -> Quantized:
        """Rows `[N, D]` -> their codes: drawn in training mode, the nearest otherwise."""
        indices = self.draw(z_e) if self.training else self.assign(z_e)
        return Quantized(self.codebook.index_select(0, indices), indices)

    @torch.no_grad()
    def assign(self, z_e: Tensor) -> Tensor:
        """[N, D] -> [N] index of the nearest code."""
        return self._distances().nearest(z_e.to(self.codebook.dtype))

    @torch.no_grad()
    def draw(self, z_e: Tensor) -> Tensor:
        """[N, D] -> [N] index drawn among the `top_k` nearest; updates the running mean gap."""
        if self.top_k == 1 or not len(z_e):
            return self.assign(z_e)
        candidates = self.candidates(z_e)
        if self.temperature_unit == "gap":
            gap = _mean_gap(candidates.distances)
            self.mean_gap.copy_(gap if self.mean_gap == 0 else self.mean_gap.lerp(gap, 1 - self.ema_decay))
        place = torch.multinomial(self.probabilities(candidates), 1)
        return candidates.indices.gather(1, place).squeeze(1)

    @torch.no_grad()
    def candidates(self, z_e: Tensor) -> Candidates:
        return Candidates(*self._distances().nearest_few(z_e.to(self.codebook.dtype), self.top_k))

    def probabilities(self, candidates: Candidates) -> Tensor:
        """[N, top_k] probability with which each candidate is drawn."""
        unit = 1.0
        if self.temperature_unit == "gap":
            unit = float(self.mean_gap) or float(_mean_gap(candidates.distances)) or 1.0
        return torch.softmax(-(candidates.distances - candidates.distances[:, :1]) / (self.temperature * unit), dim=1)

    def relative_distances(self, z_e: Tensor) -> Tensor:
        """[N, D] -> [N, K] squared distance less the row's own squared norm, which no choice depends on."""
        return self._distances().of(z_e.to(self.codebook.dtype))

    def _distances(self) -> Distances:
        return Distances.to_codes(self.codebook, self.metric_map)

    def mapped(self, rows: Tensor) -> Tensor:
        """[N, D] -> [N, D] in the space in which distances are Euclidean; the rows themselves without a metric."""
        return rows if self.metric_map is None else rows @ self.metric_map

    def unmapped(self, rows: Tensor) -> Tensor:
        """Return the rows `[N, D]` that `mapped` makes these of."""
        return rows if self.metric_map is None else unmapped(rows, self.metric_map)

    @torch.no_grad()
    def update(self, z_e: Tensor, indices: Tensor, reduce: Callable[[Tensor], None] | None = None) -> None:
        """One EMA step from a batch's rows `[N, D]` and their codes `[N]`.

        `N_i <- g N_i + (1-g) n_i`, `M_i <- g M_i + (1-g) s_i`, `e_i = M_i / N_i` with Laplace smoothing of the
        denominator. The smoothing is not written back: an unused code keeps its place until `revive` moves it.
        `reduce` sums a tensor in place over processes.
        """
        rows = z_e.detach().to(self.ema_sum.dtype)
        count = torch.bincount(indices, minlength=len(self.codebook)).to(rows.dtype)
        total = torch.zeros_like(self.ema_sum).index_add_(0, indices, rows)
        if reduce is not None:
            reduce(count)
            reduce(total)
        ema_count = self.ema_count.lerp(count, 1 - self.ema_decay)
        ema_sum = self.ema_sum.lerp(total, 1 - self.ema_decay)
        smoothed = (ema_count + SMOOTHING) / (ema_count.sum() + len(count) * SMOOTHING) * ema_count.sum()
        used = count > 0
        # A code without rows keeps its exact place: its two sums decay alike, and smoothing would pull it to 0.
        codes = torch.where(used[:, None], ema_sum / smoothed[:, None], self.codebook)
        self._set_state(codes, ema_count, ema_sum)
        self.batches_unused.add_(1).masked_fill_(used, 0)

    @torch.no_grad()
    def revive(self, z_e: Tensor, indices: Tensor, after: int) -> int:
        """Moves every code unused for `after` batches onto a row of `z_e` drawn in proportion to its squared
        quantization error. Its sums restart as one row at its new place. Returns how many codes moved."""
        dead = (self.batches_unused >= after).nonzero().squeeze(1)
        if not len(dead):
            return 0
        errors = self.mapped(z_e.detach().to(self.codebook.dtype) - self.codebook[indices]).square().sum(dim=1)
        count = min(len(dead), int((errors > 0).sum()))
        if not count:
            return 0
        dead = dead[:count]
        rows = z_e.detach()[torch.multinomial(errors, count)].to(self.codebook.dtype)
        ones = torch.ones(count, device=rows.device, dtype=self.ema_count.dtype)
        self._set_state(
            self.codebook.index_copy(0, dead, rows),
            self.ema_count.index_copy(0, dead, ones),
            self.ema_sum.index_copy(0, dead, rows),
        )
        self.batches_unused[dead] = 0
        return count

    def _set_state(self, codes: Tensor, count: Tensor, total: Tensor) -> None:
        """The one place where the codebook and its sums change, so that no one can change half of them."""
        self.codebook.copy_(codes)
        self.ema_count.copy_(count)
        self.ema_sum.copy_(total)


def unmapped(rows: Tensor, metric_map: Tensor) -> Tensor:
    """Return the `[N, D]` that a metric's map `[D, D]` makes these rows of, computed in 64 bits."""
    return torch.linalg.solve(metric_map.double(), rows.double(), left=False).to(rows.dtype)


def _mean_gap(distances: Tensor) -> Tensor:
    """[N, k] distances, nearest first -> mean over rows of `(d_k - d_1) / (k - 1)`."""
    return ((distances[:, -1] - distances[:, 0]) / max(distances.shape[1] - 1, 1)).mean()
