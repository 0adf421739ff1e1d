"""The model as in the paper's figure: encode -> quantize -> decode."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clvq.errors import ClvqError
from clvq.models.decoder import Decoder, Layout
from clvq.models.hub import HubModel
from clvq.models.losses import straight_through
from clvq.models.quantizer import Quantized, VectorQuantizer
from clvq.models.shares import ALL_ROWS, Share


class ClvqOutput(NamedTuple):
    """The tensors of one forward pass. A position without a row holds 0, and -1 in `indices`."""

    prediction: Tensor
    """[B, T, E] the output layer's hidden states."""
    z_e: Tensor
    """[B, T, D] the encoder's output, before the codebook, in units of the scaled input layer."""
    z_q: Tensor
    """[B, T, D] the chosen codes, after the codebook."""
    indices: Tensor
    """[B, T] int64, codes of the first codebook."""


class Chosen(NamedTuple):
    """The codes of one codebook for rows `[N, D]`, which are what the codebooks before it left."""

    quantizer: VectorQuantizer
    rows: Tensor
    quantized: Quantized


class AdaptiveResidualEncoder(nn.Module):
    """`z_e = (1 - m) x + m LN(W x + b)`, `m = 0.5 sigmoid(a)` (arXiv 2506.20040, section 3.1).

    `a` starts at 0.2, `W` as the identity matrix and `b` as 0, so that codes lie near the states of the input layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Parameter(torch.tensor(0.2))
        nn.init.zeros_(self.linear.weight)
        nn.init.ones_(self.linear.weight.diagonal())  # eye_ imports a library of symbols on the meta device
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        mix = 0.5 * torch.sigmoid(self.gate)
        return (1 - mix) * x + mix * self.norm(self.linear(x))


class AffineMap(nn.Module):
    """`z_e = x A + b`, never trained. Distances between rows are measured after this map."""

    matrix: Tensor
    """[D, W]"""
    offset: Tensor
    """[W]"""

    def __init__(self, width: int, code_width: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.zeros(width, code_width))
        self.register_buffer("offset", torch.zeros(code_width))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix + self.offset


class ClvqVae(HubModel):
    """Replaces the hidden states of a lower layer by codes, and predicts those of a higher layer from the codes.

        model = clvq.ClvqVae.from_pretrained("run/L4-L8").eval()
        codes = model(hidden_states, mask).indices

    Hidden states are given as the language model makes them. The model multiplies the input by `input_scale` and
    divides the prediction by `output_scale`; both scales are stored with the weights. `encoder="identity"` leaves the
    input as it is (frozen k-means codes). `encoder="affine"` maps it to a space of `code_width` dimensions, in which
    the codes lie. Any other `metric` than "euclidean" compares rows and codes after the map `quantizer.metric_map`,
    which is stored with the weights; the codes themselves stay in the space of the rows. With `predict="update"` the
    decoder predicts what the layers between add to the input, and the input is added to its prediction. With several
    `codebooks` a row has a code of each: the first codebook quantizes the row, every other one what those before it
    left of the row (Zeghidour et al. 2021, arXiv 2107.03312, algorithm 1), and the decoder sees the sum. Concepts are
    the codes of the first.
    """

    def __init__(
        self,
        input_width: int,
        output_width: int,
        codebook_size: int = 400,
        top_k: int = 5,
        temperature: float = 1.0,
        temperature_unit: str = "gap",
        ema_decay: float = 0.99,
        encoder: str = "residual",
        decoder_layers: int = 2,
        decoder_heads: int = 8,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        decoder_memory: str = "quantized",
        code_width: int | None = None,
        metric: str = "euclidean",
        predict: str = "state",
        codebooks: int = 1,
    ) -> None:
        super().__init__()
        width = input_width if code_width is None else code_width
        if decoder_layers and width % decoder_heads:
            layer = "output" if width != input_width else "input"
            raise ClvqError(f"The {layer} layer's width {width} is not divisible by {decoder_heads} decoder heads.")
        if predict == "update" and input_width != output_width:
            raise ClvqError(
                f"The layers have widths {input_width} and {output_width}, so there is no update from one to the other."
                " Use --predict state."
            )
        if codebooks < 1:
            raise ClvqError(f"codebooks must be 1 or more; it is {codebooks}.")
        self.predicts_update = predict == "update"
        self.input_width = input_width
        self.encoder = _encoder(encoder, input_width, width)
        quantizers = [
            VectorQuantizer(
                codebook_size,
                width,
                top_k=top_k,
                temperature=temperature,
                temperature_unit=temperature_unit,
                ema_decay=ema_decay,
                has_metric=metric != "euclidean",
            )
            for _ in range(codebooks)
        ]
        self.quantizer = quantizers[0]
        self.refinements = nn.ModuleList(quantizers[1:])
        self.decoder = Decoder(
            width, output_width, decoder_layers, decoder_heads, feed_forward, dropout, decoder_memory
        )
        self.input_scale: Tensor
        self.output_scale: Tensor
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("output_scale", torch.ones(()))

    @property
    def codebook(self) -> Tensor:
        """[K, D] of the concepts, in units of the scaled input layer; [K, W] in the space of an affine encoder."""
        return self.quantizer.codebook

    @property
    def quantizers(self) -> list[VectorQuantizer]:
        """The quantizer of the concepts, then those that refine it."""
        return [self.quantizer, *self.refinements]

    @property
    def code_map(self) -> Tensor | None:
        """[D, W] matrix of an affine encoder, in whose space the codes lie; None where codes lie in the space of the
        inputs."""
        return self.encoder.matrix if isinstance(self.encoder, AffineMap) else None

    def encode(self, hidden_states: Tensor) -> Tensor:
        """Encode hidden states of the input layer `[..., D]` as `z_e [..., D]`."""
        return self.encoder(hidden_states.to(self.codebook.dtype) * self.input_scale)

    def quantize(self, z_e: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantize `z_e [B, T, D]` with a mask `[B, T]` to `(z_q [B, T, D], indices [B, T])`.

        `z_q` is the sum over codebooks, and the index is that of the first. Where there is no row, `z_q` is 0 and the
        index is -1.
        """
        mask = _row_mask(z_e, mask)
        chosen = self.choose(z_e[mask])
        indices = chosen[0].quantized.indices
        return _scatter(straight_through(z_e[mask], total(chosen)), mask), _scatter(indices, mask, fill=-1)

    def choose(self, z_e: Tensor, share: Share = ALL_ROWS) -> list[Chosen]:
        """Give each row of `z_e [N, D]` a code of every codebook: drawn in training mode, the nearest otherwise.

        The rows may be one process's `share` of a batch.
        """
        first = Chosen(self.quantizer, z_e, self.quantizer(z_e, share))
        return [first, *self.refine(z_e, first.quantized.codes, share)]

    def refine(self, z_e: Tensor, codes: Tensor, share: Share = ALL_ROWS) -> list[Chosen]:
        """Choose codes of the codebooks after the first for rows `z_e [N, D]`, whose first codes are `codes [N, D]`."""
        left, chosen = z_e.detach(), []
        for quantizer in self.quantizers[1:]:
            left = left - codes
            chosen.append(Chosen(quantizer, left, quantizer(left, share)))
            codes = chosen[-1].quantized.codes
        return chosen

    def codes_at(self, indices: Tensor) -> Tensor:
        """Return the sum `[N, D]` of the codes at `indices [N, codebooks]`."""
        return reduce(torch.add, (one.codebook[indices[:, i]] for i, one in enumerate(self.quantizers)))

    def decode(self, z_q: Tensor, mask: Tensor | None = None, z_e: Tensor | None = None) -> Tensor:
        """Predict hidden states of the output layer `[B, T, E]`, or the update to them, from `z_q [B, T, D]`. A decoder
        with `decoder_memory="encoder"` needs `z_e` as well."""
        mask = _row_mask(z_q, mask)
        if self.decoder.sees_encoder and z_e is None:
            raise ClvqError("This decoder attends to the encoder's output: decode(z_q, mask, z_e) needs z_e.")
        rows = self.decoder(z_q[mask], Layout.of_mask(mask), None if z_e is None else z_e[mask])
        return _scatter(rows / self.output_scale, mask)

    def completed(self, decoded: Tensor, inputs: Tensor) -> Tensor:
        """Return the scaled output rows `[N, E]` from the decoder's output: an update is added to the scaled inputs."""
        return decoded + inputs * (self.output_scale / self.input_scale) if self.predicts_update else decoded

    def assign(self, hidden_states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the nearest code of each row `[B, T]`, or -1, for hidden states `[B, T, D]` and a mask `[B, T]`.

        ClvqError for states of another width, and where a row holds NaN or infinity: it has no nearest code.
        """
        if hidden_states.ndim != 3 or hidden_states.shape[2] != self.input_width:
            raise ClvqError(
                f"Hidden states [B, T, {self.input_width}] are expected, and these are {[*hidden_states.shape]}."
            )
        mask = _row_mask(hidden_states, mask)
        rows = hidden_states[mask]
        if not rows.isfinite().all():
            raise ClvqError("The hidden states hold NaN or infinity: such a row has no nearest code.")
        with torch.no_grad():
            return _scatter(self.quantizer.assign(self.encode(rows)), mask, fill=-1)

    def nearest(self, z_e: Tensor) -> Tensor:
        """Return the nearest code `[N]` of each row of `z_e [N, D]`."""
        return self.quantizer.assign(z_e)

    def forward(self, hidden_states: Tensor, mask: Tensor | None = None) -> ClvqOutput:
        """Run the model on hidden states of the input layer `[B, T, D]`, with a mask `[B, T]` that is true at rows."""
        mask = _row_mask(hidden_states, mask)
        z_e = _scatter(self.encode(hidden_states[mask]), mask)
        z_q, indices = self.quantize(z_e, mask)
        prediction = self.decode(z_q, mask, z_e)
        if self.predicts_update:
            prediction = prediction + _scatter(hidden_states[mask].to(prediction.dtype), mask)
        return ClvqOutput(prediction, z_e, z_q, indices)


def total(chosen: Sequence[Chosen]) -> Tensor:
    """Return the sum `[N, D]` of the codes of all codebooks."""
    return reduce(torch.add, (choice.quantized.codes for choice in chosen))


def _encoder(name: str, width: int, code_width: int) -> nn.Module:
    if name == "affine":
        return AffineMap(width, code_width)
    return AdaptiveResidualEncoder(width) if name == "residual" else nn.Identity()


def _row_mask(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask as bool on the values' device; all true without a mask. ClvqError where shapes differ."""
    if mask is None:
        return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    if mask.shape != values.shape[:2]:
        raise ClvqError(f"The mask {tuple(mask.shape)} must have the first two sizes of {tuple(values.shape)}.")
    return mask.to(values.device, torch.bool)


def _scatter(rows: Tensor, mask: Tensor, fill: int = 0) -> Tensor:
    """Put packed rows `[N, ...]` into `[B, T, ...]`, with `fill` where there is no row."""
    flat = rows.new_full((mask.numel(), *rows.shape[1:]), fill)
    return flat.index_copy(0, Layout.of_mask(mask).positions, rows).view(*mask.shape, *rows.shape[1:])
