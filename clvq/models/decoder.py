"""The decoder: transformer blocks over the packed rows of each sentence, then a linear map to the output layer."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from clvq.models.shares import ALL_ROWS, Share


class Layout(NamedTuple):
    """Where the packed rows of a batch stand in the padded batch."""

    mask: Tensor
    """[B, T] bool, true where there is a row."""
    positions: Tensor
    """[N] place of each row in the flattened mask."""
    share: Share = ALL_ROWS
    """Which rows of a larger batch these are."""

    @classmethod
    def of_mask(cls, mask: Tensor, share: Share = ALL_ROWS) -> Layout:
        return cls(mask, mask.flatten().nonzero().squeeze(1), share)

    def pad(self, rows: Tensor, heads: int) -> Tensor:
        """Put packed rows `[N, D]` into `[B, heads, T, D/heads]`, with 0 where there is no row."""
        batch, length = self.mask.shape
        flat = rows.new_zeros(batch * length, rows.shape[1]).index_copy(0, self.positions, rows)
        return flat.view(batch, length, heads, -1).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """Take the packed rows `[N, D]` out of `[B, heads, T, D/heads]`."""
        return padded.transpose(1, 2).reshape(self.mask.numel(), -1).index_select(0, self.positions)


class Attention(nn.Module):
    """Multi-head attention within each sentence, over packed rows. Only the attention itself works on padded
    tensors."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, rows: Tensor, memory: Tensor, layout: Layout) -> Tensor:
        """Let rows `[N, D]` attend to the memory `[N, D]` of their own sentence, and return `[N, D]`."""
        query, key_value = self.query(rows), self.key_value(memory)
        if not rows.is_cuda:  # on a CPU attention over 16-bit numbers is slow, above all its gradient
            query, key_value = (values.to(self.query.weight.dtype) for values in (query, key_value))
        query = layout.pad(query, self.heads)  # [B, H, T, D/H]
        key, value = (layout.pad(half, self.heads) for half in key_value.chunk(2, dim=1))
        mask = layout.mask[:, None, None, :].expand(-1, 1, layout.mask.shape[1], -1)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(layout.unpad(attended))


class Dropout(nn.Module):
    """Dropout that is drawn for the whole batch of which the rows are a share."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, rows: Tensor, layout: Layout) -> Tensor:
        share = layout.share
        if share.places is None or not self.training or not self.rate:
            return functional.dropout(rows, self.rate, self.training)
        return rows * functional.dropout(rows.new_ones(share.count, rows.shape[1]), self.rate)[share.places]


class CodeBlock(nn.Module):
    """A pre-norm transformer block over codes alone: self-attention, feed-forward."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, rows: Tensor, layout: Layout) -> Tensor:
        """Run the block on rows `[N, D]`, and return `[N, D]`."""
        normed = self.attention_norm(rows)
        rows = rows + self.dropout(self.attention(normed, normed, layout), layout)
        hidden = functional.relu(self.expand(self.feed_forward_norm(rows)))
        return rows + self.dropout(self.contract(hidden), layout)


class MemoryBlock(nn.Module):
    """The published post-norm block: self-attention, cross-attention to the encoder's output, feed-forward."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, rows: Tensor, layout: Layout, z_e: Tensor) -> Tensor:
        """Run the block on rows `[N, D]` and the encoder's output `z_e [N, D]`, and return `[N, D]`."""
        rows = self.attention_norm(rows + self.dropout(self.attention(rows, rows, layout), layout))
        rows = self.cross_norm(rows + self.dropout(self.cross_attention(rows, z_e, layout), layout))
        hidden = functional.relu(self.expand(rows))
        return self.feed_forward_norm(rows + self.dropout(self.contract(hidden), layout))


class Decoder(nn.Module):
    """Predicts the output layer's rows from the codes of a sentence: blocks without causal mask or positions, then a
    linear map.

    `memory` "quantized" gives blocks that see only the codes; "encoder" gives blocks that also see the encoder's
    output.
    """

    def __init__(
        self, width: int, output_width: int, layers: int, heads: int, feed_forward: int, dropout: float, memory: str
    ) -> None:
        super().__init__()
        self.sees_encoder = memory == "encoder"
        block = MemoryBlock if self.sees_encoder else CodeBlock
        self.blocks = nn.ModuleList(block(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.Identity() if self.sees_encoder or not layers else nn.LayerNorm(width)
        self.output = nn.Linear(width, output_width)

    def forward(self, rows: Tensor, layout: Layout, z_e: Tensor | None = None) -> Tensor:
        """Predict rows `[N, E]` from codes `[N, D]`. A decoder over codes alone ignores the encoder's output
        `z_e [N, D]`."""
        for block in self.blocks:
            rows = block(rows, layout, z_e) if self.sees_encoder else block(rows, layout)
        return self.output(self.norm(rows))
