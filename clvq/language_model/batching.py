"""Batches: which sentences go through a model together. Only a trial of the model and their lengths decide this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from clvq.language_model.tokenization import TokenizedSentence

_TRIAL_TOKENS = 24
_TOLERANCE, _ROUNDINGS = 1e-4, 16
"""Two states are equal but for rounding where they differ, relatively, by at most _TOLERANCE, or by _ROUNDINGS times
the epsilon of the model's dtype if that is more. Another shape of a batch means another order of sums, and so other
rounding. In the trial, models that read padding differ by a fifth or more."""


class Sharing(Enum):
    """Which sentences may share a forward."""

    ANY = "any sentences"
    EQUAL = "sentences of equal length"
    ALONE = "no sentences"

    def allows(self, length: int, other: int) -> bool:
        """Return whether sentences of `length` and `other` tokens may share a forward."""
        return self is Sharing.ANY or (self is Sharing.EQUAL and length == other)

    def note(self, model: str) -> str | None:
        """Return a note for users on how the model called `model` is batched; None where nothing is special."""
        notes = {
            Sharing.EQUAL: f"Results in {model} depend on padding. Only sentences of equal length are run together.",
            Sharing.ALONE: f"A sentence's results in {model} depend on the batch. Sentences are run one by one.",
        }
        return f"{notes[self]} This takes longer." if self in notes else None


def try_sharing(
    values: Callable[[list[TokenizedSentence]], list[Tensor]], token_ids: Sequence[int], max_length: int
) -> Sharing:
    """Return which sentences may share a forward of the model that `values` runs, found by a trial.

    `values` runs the model over sentences, and returns tensors whose rows are in the order of the sentences; the first
    tensor has the model's dtype. The sentences of the trial are drawn from `token_ids`, are the same each time, and
    have at most `max_length` tokens.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(length: int) -> TokenizedSentence:
        places = torch.randint(len(token_ids), (length,), generator=generator).tolist()
        tokens = list(range(length))
        return TokenizedSentence(
            input_ids=[token_ids[place] for place in places],
            words=[(token, token + 1) for token in tokens],
            word_tokens=[(token,) for token in tokens],
            sentence_token=-1, first_token=-1, dropped_words=0, truncated_words=0, left_out_tokens=0,
        )  # fmt: skip

    def is_as_alone(sentences: list[TokenizedSentence]) -> bool:
        alone = [torch.cat(parts) for parts in zip(*(values([sentence]) for sentence in sentences), strict=True)]
        tolerance = rounding_of(alone[0].dtype)
        return all(same_lines(*pair, tolerance) for pair in zip(values(sentences), alone, strict=True))

    longest = min(_TRIAL_TOKENS, max_length)
    lengths = sorted({max(1, longest // 8), max(1, 3 * longest // 8), longest})
    if is_as_alone([drawn(length) for length in lengths]):
        return Sharing.ANY
    return Sharing.EQUAL if is_as_alone([drawn(longest) for _ in range(3)]) else Sharing.ALONE


def has_growing_positions(config: Any) -> bool:
    """Return whether rotary positions depend on the longest text of a batch (LongRoPE, dynamic scaling)."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    entries = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    return any(entry.get("rope_type", entry.get("type")) in ("longrope", "dynamic") for entry in entries)


def rounding_of(dtype: torch.dtype) -> float:
    """Return the relative difference up to which two states of a model in this dtype are equal but for rounding."""
    return max(_TOLERANCE, _ROUNDINGS * torch.finfo(dtype).eps)


def same_lines(ours: Tensor, alone: Tensor, tolerance: float) -> bool:
    """Return whether rows `[R, D]` are equal but for rounding; a row that has a NaN in `alone` is ignored."""
    ours, alone = ours.float(), alone.float()
    same = (ours - alone).norm(dim=1) <= tolerance * alone.norm(dim=1)
    return bool((same | alone.isnan().any(dim=1)).all())


def batches_by_length(lengths: Sequence[int], batch_tokens: int, sharing: Sharing = Sharing.ANY) -> Iterator[list[int]]:
    """Yield batches of the indices of sentences of similar length, the longest first.

    With padding, a batch has at most `batch_tokens` tokens, unless it is a single longer sentence. The longest
    sentences come first, so that too little memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        end = start + max(1, batch_tokens // max(1, longest))
        others = takewhile(lambda index: sharing.allows(longest, lengths[index]), order[start + 1 : end])  # noqa: B023
        batch = [order[start], *others]
        start += len(batch)
        yield batch
