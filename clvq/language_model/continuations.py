"""Tokens appended to a text, by which a model is asked for words of several tokens, all of them in one forward.

The probability of a word of tokens `w1 ... wk` is the product of `P(wi | text, w1 ... wi-1)`. So the model reads each
text followed by the beginning `w1 ... wk-1` of a word, once for each beginning. A beginning that also begins a longer
one is left out, because the longer one gives its probabilities too. Those that are left are the continuations. For `B`
texts `[B, T]` and `M` continuations of at most `K` tokens, the model reads `[M * B, T + K]`: all texts with the first
continuation, then all texts with the second, and so on.

Where the results of a model depend on padding or on the batch, each continuation has a forward of its own, without
padding. Every beginning is a continuation then, so that each token is predicted as if nothing stood behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

Continuation = tuple[int, ...]

Forwards = tuple[tuple[Continuation, ...], ...]
"""For each forward by which a model is asked, what is appended to a text."""
ALONE: Forwards = (((),),)
"""One forward, and no token is appended to the text."""


class Place(NamedTuple):
    """Where a token of a word is predicted."""

    continuation: int
    step: int
    """How many tokens of the continuation stand before it."""
    token: int


def continuations_of(words: Sequence[Continuation]) -> tuple[Continuation, ...]:
    """Return the continuations of a text by which every token of every word is predicted at least once.

        continuations_of([(5,), (7, 8), (7, 9, 4)])     # ((7, 9),)

    A continuation holds the tokens of a word but the last.
    """
    beginnings = sorted({word[:-1] for word in words}, key=lambda beginning: (-len(beginning), beginning))
    kept: list[Continuation] = []
    for beginning in beginnings:
        if not any(longer[: len(beginning)] == beginning for longer in kept):
            kept.append(beginning)
    return tuple(kept)


def beginnings_of(words: Sequence[Continuation]) -> tuple[Continuation, ...]:
    """Return the beginnings of all words, the shortest first: continuations for a model that runs each of them alone.

    beginnings_of([(5,), (7, 8), (7, 9, 4)])        # ((), (7,), (7, 9))
    """
    return tuple(sorted({word[:step] for word in words for step in range(len(word))}, key=lambda one: (len(one), one)))


def places_of(word: Continuation, continuations: Sequence[Continuation]) -> list[Place]:
    """Return where each token of a word is predicted: in the first continuation that begins as the word does."""

    def first(step: int) -> int:
        return next(n for n, continuation in enumerate(continuations) if continuation[:step] == word[:step])

    return [Place(first(step), step, token) for step, token in enumerate(word)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return `[B, M, K, D]` from the parts `[B, m, k, D]` of several forwards; steps that a part lacks are 0."""
    most = max(part.shape[2] for part in parts)
    return torch.cat([pad(part, (0, 0, 0, most - part.shape[2])) for part in parts], dim=1)


def longest(continuations: Sequence[Continuation]) -> int:
    """Return K, the number of tokens of the longest continuation."""
    return max(map(len, continuations))


def extended(inputs: Mapping[str, Tensor], continuations: Sequence[Continuation], pad_id: int) -> dict[str, Tensor]:
    """Return inputs `[M * B, T + K]` of the model, padded on the right: `inputs` `[B, T]` with each continuation."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows, extra = len(ids), longest(continuations)
    lengths = mask.sum(dim=1)
    wider = {
        "input_ids": torch.cat([ids, ids.new_full((rows, extra), pad_id)], dim=1).repeat(len(continuations), 1),
        "attention_mask": torch.cat([mask, mask.new_zeros(rows, extra)], dim=1).repeat(len(continuations), 1),
    }
    row = torch.arange(rows, device=ids.device)
    for number, continuation in enumerate(continuations):
        for step, token in enumerate(continuation):
            wider["input_ids"][number * rows + row, lengths + step] = token
            wider["attention_mask"][number * rows + row, lengths + step] = 1
    return wider


def states_behind(states: Tensor, attention_mask: Tensor, continuations: Sequence[Continuation]) -> Tensor:
    """Return the states `[B, M, K, D]` of the tokens behind each text, from `states` `[M * B, T + K, D]` of `extended`
    inputs."""
    rows, lengths = len(attention_mask), attention_mask.sum(dim=1)
    steps = lengths[:, None] + torch.arange(longest(continuations), device=states.device)  # [B, K]
    by_text = states.reshape(len(continuations), rows, *states.shape[1:]).transpose(0, 1)  # [B, M, T + K, D]
    index = steps[:, None, :, None].expand(-1, len(continuations), -1, states.shape[-1])
    return by_text.gather(2, index)


def extended_states(states: Tensor, behind: Tensor, attention_mask: Tensor) -> Tensor:
    """Return states `[M * B, T + K, D]` for `extended` inputs: `states` `[B, T, D]` of the texts, and `behind` after
    them.

    The result is differentiable in `states`. States at padding have no influence.
    """
    rows, count, extra, width = behind.shape
    lengths = attention_mask.sum(dim=1)
    steps = lengths[:, None] + torch.arange(extra, device=states.device)  # [B, K]
    wide = torch.cat([states, states.new_zeros(rows, extra, width)], dim=1)
    parts = [
        wide.scatter(1, steps[:, :, None].expand(-1, -1, width), behind[:, number].to(wide.dtype))
        for number in range(count)
    ]
    return torch.cat(parts)
