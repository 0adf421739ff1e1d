"""The TopK sparse autoencoder, the usual method to compare with (Gao et al. 2024, arXiv 2406.04093).

    z      = TopK(ReLU(W_enc (x - b)))        k latents of M are active
    x_hat  = W_dec z + b                       the rows of W_dec' are unit vectors, the latents' directions

In this module, rows are scaled rows of the input layer; hidden states are as the language model makes them. Where a
word needs one code, the code is its strongest latent. The place of that code is the reconstruction from this latent
alone, at its mean strength.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clvq.models.spans import orthonormal


class Latents(NamedTuple):
    """The k largest latents of each row, the strongest first."""

    values: Tensor
    """[N, k], not negative; 0 is a latent that is not active."""
    indices: Tensor
    """[N, k] int64."""


class TopKSae(nn.Module):
    """Takes hidden states as the language model makes them: `input_scale` is stored with the weights.

    Initialized as published: the directions are random, and the encoder is their transpose. The caller sets the bias.
    """

    input_scale: Tensor
    strength: Tensor
    """[M] running mean of each latent over the rows where it is the strongest."""
    batches_unused: Tensor
    code_map: None = None
    """Codes lie at the input layer."""

    def __init__(self, input_width: int, latents: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.directions = nn.Parameter(functional.normalize(torch.randn(latents, input_width), dim=1))
        """[M, D] unit vectors."""
        self.weights = nn.Parameter(self.directions.detach().clone())
        """[M, D] weights of the encoder."""
        self.bias = nn.Parameter(torch.zeros(input_width))
        """[D]."""
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("strength", torch.zeros(latents))
        self.register_buffer("batches_unused", torch.zeros(latents, dtype=torch.int64))

    def preactivations(self, rows: Tensor) -> Tensor:
        """Return the preactivations `[N, M]` of rows `[N, D]`."""
        return (rows - self.bias) @ self.weights.T

    def strongest(self, preactivations: Tensor) -> Latents:
        values, indices = preactivations.topk(self.k, dim=1)
        return Latents(values.relu(), indices)

    def combine(self, latents: Latents) -> Tensor:
        """Sum the directions, weighted by the latents, without the bias: rows `[N, D]`."""
        return functional.embedding_bag(latents.indices, self.directions, per_sample_weights=latents.values, mode="sum")

    def predict(self, rows: Tensor, latents: Latents) -> Tensor:
        """Return the scaled rows of the layer that is reconstructed, from latents of the scaled input rows `[N, D]`."""
        return self.combine(latents) + self.bias

    @property
    def target_bias(self) -> nn.Parameter:
        """The bias at the layer that is reconstructed."""
        return self.bias

    @property
    def input_directions(self) -> Tensor:
        """[M, D] unit vectors of the latents at the input layer."""
        return self.directions.detach()

    @property
    def atoms(self) -> Tensor:
        """[M, D] what a latent of 1 adds to the input layer's hidden states."""
        return self.directions.detach() / self.input_scale

    def encode(self, hidden_states: Tensor) -> Latents:
        """Encode hidden states of the input layer `[N, D]` as latents."""
        return self.strongest(self.preactivations(self.encoder(hidden_states) * self.input_scale))

    def reconstruct(self, hidden_states: Tensor) -> Tensor:
        """Reconstruct hidden states of the input layer `[N, D]`."""
        return (self.combine(self.encode(hidden_states)) + self.bias) / self.input_scale

    @torch.no_grad()
    def basis(self, hidden_states: Tensor) -> Tensor:
        """Return orthonormal columns `[N, D, k]` that span the directions of each word's active latents.

        `hidden_states` `[N, D]` are those of the input layer. Columns are zero where a word has fewer than k active
        latents, or directions that depend on one another. The first columns span the strongest latents, so that fewer
        of them describe a smaller concept.
        """
        latents = self.encode(hidden_states)
        return orthonormal(self.input_directions[latents.indices] * (latents.values > 0)[:, :, None])

    @torch.no_grad()
    def normalize(self) -> None:
        """Make the directions unit vectors again, after a step of the optimiser."""
        self.directions.copy_(functional.normalize(self.directions, dim=1))

    @property
    def codebook(self) -> Tensor:
        """[M, D] place of each latent as a code, in units of the scaled input layer."""
        return self.bias.detach() + self.strength[:, None] * self.directions.detach()

    def encoder(self, rows: Tensor) -> Tensor:
        """Return the rows unchanged: codes are in the input layer's own space."""
        return rows.to(self.bias.dtype)

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """Return the strongest latent `[N]` of each row `[N, D]`."""
        return self.preactivations(rows).argmax(dim=1)

    @torch.no_grad()
    def assign(self, hidden_states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the strongest latent of each row `[B, T]`, or -1, for hidden states `[B, T, D]` and a mask
        `[B, T]`."""
        codes = self.nearest((self.encoder(hidden_states) * self.input_scale).flatten(0, 1)).view(
            hidden_states.shape[:2]
        )
        return codes if mask is None else codes.masked_fill(~mask.to(codes.device, torch.bool), -1)
