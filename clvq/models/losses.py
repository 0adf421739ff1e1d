"""The two terms of the loss, pure functions of rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def reconstruction_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return `mean((prediction - target)^2)` over rows `[N, E]` (arXiv 2506.20040, the reconstruction term)."""
    return functional.mse_loss(prediction, target)


def commitment_loss(z_e: Tensor, codes: Tensor) -> Tensor:
    """Return `mean((z_e - sg(z_q))^2)` over rows `[N, D]`, where sg stops the gradient (arXiv 2506.20040, the
    commitment term)."""
    return functional.mse_loss(z_e, codes.detach())


def straight_through(z_e: Tensor, codes: Tensor) -> Tensor:
    """Return `z_q = z_e + sg(e - z_e)`: the value of the code `e`, the gradient of `z_e` (Bengio et al. 2013).

    It is computed as `e + (z_e - sg(z_e))`, whose value is exactly the code. In the usual order of the terms, rounding
    lets the last bits of `z_e` past the bottleneck.
    """
    return codes.detach() + (z_e - z_e.detach())
