"""The cross-layer TopK sparse autoencoder: latents of the input layer that predict the output layer.

    z      = TopK(ReLU(W_enc (x - b)))              k latents of M are active
    y_hat  = W_dec z + c  [+ S (x - b)]             the rows of W_dec' are unit vectors; S is the skip connection

It is a transcoder (Dunefsky et al. 2024, arXiv 2406.11944) between two layers of the residual stream. With the skip
connection it is the transcoder of Paulo et al. 2025 (arXiv 2501.18823). It sees the same two layers as a CLVQ-VAE, but
has no decoder that mixes words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from clvq.models.sae import Latents, TopKSae


class CrosslayerSae(TopKSae):
    """Takes hidden states `[N, D]` of the input layer and predicts those of the output layer `[N, E]`.

    Initialized as `TopKSae`: the directions are random. Where the widths are equal, the encoder is the transpose of the
    directions; where they differ, the encoder has random directions of its own. The skip connection starts at 0.
    """

    output_scale: Tensor

    def __init__(self, input_width: int, latents: int, k: int, output_width: int, skip: bool = False) -> None:
        super().__init__(input_width, latents, k)
        if output_width != input_width:
            self.directions = nn.Parameter(functional.normalize(torch.randn(latents, output_width), dim=1))
        self.output_bias = nn.Parameter(torch.zeros(output_width))
        """[E] the `c`."""
        self.skip = nn.Parameter(torch.zeros(output_width, input_width)) if skip else None
        """[E, D] the `S`."""
        self.register_buffer("output_scale", torch.ones(()))

    def predict(self, rows: Tensor, latents: Latents) -> Tensor:
        """Predict the scaled output rows `[N, E]` from the scaled input rows `[N, D]` and their latents."""
        prediction = self.combine(latents) + self.output_bias
        return prediction if self.skip is None else prediction + (rows - self.bias) @ self.skip.T

    @property
    def target_bias(self) -> nn.Parameter:
        return self.output_bias

    @property
    def input_directions(self) -> Tensor:
        """[M, D] unit vectors along which the encoder reads the latents from the input layer. Latents have no other
        direction there."""
        return functional.normalize(self.weights.detach(), dim=1)

    @property
    def atoms(self) -> Tensor:
        """[M, D] the shortest step of the input layer's hidden states that raises a latent by 1."""
        weights = self.weights.detach()
        squares = weights.square().sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        return weights / squares / self.input_scale

    @property
    def codebook(self) -> Tensor:
        """[M, D] for each latent, the state nearest to the bias at which the latent has its mean strength, in units of
        the scaled input layer."""
        return self.bias.detach() + self.strength[:, None] * self.atoms * self.input_scale

    def reconstruct(self, hidden_states: Tensor) -> Tensor:
        """Predict hidden states of the output layer `[N, E]` from those of the input layer `[N, D]`."""
        rows = self.encoder(hidden_states) * self.input_scale
        return self.predict(rows, self.strongest(self.preactivations(rows))) / self.output_scale
