"""The model as in the paper's figure: encode -> quantize -> decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn
from torch.nn import functional

from clvq.artifacts import WEIGHTS_NAME
from clvq.errors import ArtifactError, ClvqError
from clvq.models.losses import straight_through
from clvq.models.quantizer import VectorQuantizer


class ClvqOutput(NamedTuple):
    """Everything one pass makes; positions without a row are 0, and -1 in `indices`."""

    prediction: Tensor
    """[B, T, E] the output layer's hidden states."""
    z_e: Tensor
    """[B, T, D] continuous, before the codebook, divided by the input layer's scale."""
    z_q: Tensor
    """[B, T, D] after the codebook."""
    indices: Tensor
    """[B, T] int64."""


class AdaptiveResidualEncoder(nn.Module):
    """`z_e = (1 - m) x + m LN(W x + b)`, `m = 0.5 sigmoid(a)` (arXiv 2506.20040, section 3.1).

    `a` starts at 0.2, `W` as the identity, `b` as 0: a code lives near the input layer's own space.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Parameter(torch.tensor(0.2))
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        mix = 0.5 * torch.sigmoid(self.gate)
        return (1 - mix) * x + mix * self.norm(self.linear(x))


class Attention(nn.Module):
    """Multi-head attention within each sentence, over packed rows: only attention itself ever sees padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, rows: Tensor, memory: Tensor, layout: Layout) -> Tensor:
        """rows [N, D] attend to memory [N, D] of their own sentence -> [N, D]."""
        query = layout.pad(self.query(rows), self.heads)  # [B, H, T, D/H]
        key, value = (layout.pad(half, self.heads) for half in self.key_value(memory).chunk(2, dim=1))
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=layout.mask[:, None, None, :].expand(-1, 1, layout.mask.shape[1], -1)
        )
        return self.output(layout.unpad(attended))


class Layout(NamedTuple):
    """Where the packed rows of a batch stand in it."""

    mask: Tensor
    """[B, T] bool, true where there is a row."""
    positions: Tensor
    """[N] place of each row in the flattened mask."""

    @classmethod
    def of(cls, mask: Tensor) -> Layout:
        return cls(mask, mask.flatten().nonzero().squeeze(1))

    def pad(self, rows: Tensor, heads: int) -> Tensor:
        """[N, D] -> [B, heads, T, D/heads], 0 where there is no row."""
        batch, length = self.mask.shape
        flat = rows.new_zeros(batch * length, rows.shape[1]).index_copy(0, self.positions, rows)
        return flat.view(batch, length, heads, -1).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """[B, heads, T, D/heads] -> [N, D]."""
        return padded.transpose(1, 2).reshape(self.mask.numel(), -1).index_select(0, self.positions)


class Block(nn.Module):
    """A transformer block. Over codes alone it is pre-norm (self-attention, feed-forward); with the encoder's output
    as memory it is the published post-norm block, which adds cross-attention to it."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, cross_attention: bool) -> None:
        super().__init__()
        self.post_norm = cross_attention
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, heads) if cross_attention else None
        self.cross_norm = nn.LayerNorm(width) if cross_attention else None
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, memory: Tensor | None, layout: Layout) -> Tensor:
        if self.cross_attention is None or self.cross_norm is None or memory is None:
            normed = self.attention_norm(rows)
            rows = rows + self.dropout(self.attention(normed, normed, layout))
            return rows + self.dropout(self._feed_forward(self.feed_forward_norm(rows)))
        rows = self.attention_norm(rows + self.dropout(self.attention(rows, rows, layout)))
        rows = self.cross_norm(rows + self.dropout(self.cross_attention(rows, memory, layout)))
        return self.feed_forward_norm(rows + self.dropout(self._feed_forward(rows)))

    def _feed_forward(self, rows: Tensor) -> Tensor:
        return self.contract(functional.relu(self.expand(rows)))


class Decoder(nn.Module):
    """Codes of a sentence -> the output layer's rows: blocks without causal mask or positions, then a linear map."""

    def __init__(
        self, width: int, output_width: int, layers: int, heads: int, feed_forward: int, dropout: float, memory: str
    ) -> None:
        super().__init__()
        cross = memory == "encoder"
        self.blocks = nn.ModuleList(Block(width, heads, feed_forward, dropout, cross) for _ in range(layers))
        self.norm = nn.Identity() if cross or not layers else nn.LayerNorm(width)
        self.output = nn.Linear(width, output_width)

    def forward(self, rows: Tensor, layout: Layout, memory: Tensor | None = None) -> Tensor:
        """[N, D] -> [N, E]; `memory` [N, D] is the encoder's output, for a decoder that attends to it."""
        for block in self.blocks:
            rows = block(rows, memory, layout)
        return self.output(self.norm(rows))


class ClvqVae(
    nn.Module,
    ModelHubMixin,
    library_name="clvq",
    tags=["interpretability", "vector-quantization", "concepts"],
    paper_url="https://arxiv.org/abs/2506.20040",
):
    """Squeezes the hidden states of a lower layer through a codebook and predicts those of a higher layer.

    Takes hidden states as the language model makes them: `input_scale` and `output_scale` (multiplied in, divided out)
    are stored with the weights. `encoder="identity"` leaves the input as it is (frozen k-means codes).
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
    ) -> None:
        super().__init__()
        if decoder_layers and input_width % decoder_heads:
            raise ClvqError(f"The input layer's width {input_width} is not divisible by {decoder_heads} decoder heads.")
        self.encoder = AdaptiveResidualEncoder(input_width) if encoder == "residual" else nn.Identity()
        self.quantizer = VectorQuantizer(
            codebook_size,
            input_width,
            top_k=top_k,
            temperature=temperature,
            temperature_unit=temperature_unit,
            ema_decay=ema_decay,
        )
        self.decoder = Decoder(
            input_width, output_width, decoder_layers, decoder_heads, feed_forward, dropout, decoder_memory
        )
        self.decoder_memory = decoder_memory
        self.input_scale: Tensor
        self.output_scale: Tensor
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("output_scale", torch.ones(()))

    @property
    def codebook(self) -> Tensor:
        """[K, D], in units of the scaled input layer."""
        return self.quantizer.codebook

    def encode(self, hidden_states: Tensor) -> Tensor:
        """Input layer's hidden states `[..., D]` -> `z_e [..., D]`."""
        return self.encoder(hidden_states.to(self.codebook.dtype) * self.input_scale)

    def quantize(self, z_e: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`z_e [B, T, D]`, mask `[B, T]` -> `(z_q [B, T, D], indices [B, T])`; 0 and -1 where there is no row."""
        mask = _row_mask(z_e, mask)
        rows = self.quantizer(z_e[mask])
        return _scatter(straight_through(z_e[mask], rows.codes), mask), _scatter(rows.indices, mask, fill=-1)

    def decode(self, z_q: Tensor, mask: Tensor | None = None, z_e: Tensor | None = None) -> Tensor:
        """`z_q [B, T, D]` -> output layer's hidden states `[B, T, E]`. A decoder with `decoder_memory="encoder"`
        needs `z_e` as well."""
        mask = _row_mask(z_q, mask)
        if self.decoder_memory == "encoder" and z_e is None:
            raise ClvqError("This decoder attends to the encoder's output: decode(z_q, mask, z_e) needs z_e.")
        memory = None if z_e is None or self.decoder_memory == "quantized" else z_e[mask]
        return _scatter(self.decoder(z_q[mask], Layout.of(mask), memory) / self.output_scale, mask)

    def assign(self, hidden_states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Input layer's hidden states `[B, T, D]`, mask `[B, T]` -> the nearest code of each row `[B, T]`, or -1."""
        mask = _row_mask(hidden_states, mask)
        with torch.no_grad():
            return _scatter(self.quantizer.assign(self.encode(hidden_states[mask])), mask, fill=-1)

    def nearest(self, z_e: Tensor) -> Tensor:
        """`z_e [N, D]` -> the nearest code of each row `[N]`."""
        return self.quantizer.relative_distances(z_e).argmin(dim=1)

    def forward(self, hidden_states: Tensor, mask: Tensor | None = None) -> ClvqOutput:
        """Input layer's hidden states `[B, T, D]`, mask `[B, T]` true at rows."""
        mask = _row_mask(hidden_states, mask)
        z_e = _scatter(self.encode(hidden_states[mask]), mask)
        z_q, indices = self.quantize(z_e, mask)
        return ClvqOutput(self.decode(z_q, mask, z_e), z_e, z_q, indices)

    def _save_pretrained(self, save_directory: Path) -> None:
        from clvq.storage import write_tensors

        write_tensors(save_directory / WEIGHTS_NAME, self.state_dict())

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Reads a checkpoint folder, or a repository on the hub. ArtifactError names a file that does not fit."""
        from huggingface_hub import hf_hub_download

        from clvq.storage import read_tensors

        if Path(model_id).is_dir():
            weights = Path(model_id) / WEIGHTS_NAME
        else:
            weights = Path(
                hf_hub_download(
                    model_id,
                    WEIGHTS_NAME,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        try:
            model = cls(**model_kwargs)
            model.load_state_dict(read_tensors(weights)[0])
        except (TypeError, RuntimeError) as error:
            raise ArtifactError(f"{weights} does not fit the config.json beside it: {error}") from error
        return model.eval()


def _row_mask(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mask as bool on the values' device; all true where none is given. ClvqError where shapes differ."""
    if mask is None:
        return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    if mask.shape != values.shape[:2]:
        raise ClvqError(f"The mask {tuple(mask.shape)} must have the first two sizes of {tuple(values.shape)}.")
    return mask.to(values.device, torch.bool)


def _scatter(rows: Tensor, mask: Tensor, fill: int = 0) -> Tensor:
    """[N, ...] -> [B, T, ...] with `fill` where there is no row."""
    flat = rows.new_full((mask.numel(), *rows.shape[1:]), fill)
    return flat.index_copy(0, Layout.of(mask).positions, rows).view(*mask.shape, *rows.shape[1:])
