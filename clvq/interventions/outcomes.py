"""What a change of states does to the answers of a model, sentence by sentence `[B]`.

Answers are log probabilities `[B, C]` of classes, or of next tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def divergence(clean: Tensor, changed: Tensor) -> Tensor:
    """Return KL(clean || changed) in nats."""
    chances = clean.exp()
    # Where a chance is 0 its logarithm has no weight.
    return torch.where(chances > 0, chances * (clean - changed), 0).sum(dim=1)


def flipped(clean: Tensor, changed: Tensor) -> Tensor:
    """Return whether another answer is the likeliest."""
    return clean.argmax(dim=1) != changed.argmax(dim=1)


def fall(clean: Tensor, changed: Tensor) -> Tensor:
    """Return how much less probable the likeliest clean answer is."""
    answer = clean.argmax(dim=1, keepdim=True)
    return (clean.exp() - changed.exp()).gather(1, answer)[:, 0]


def correct(answers: Tensor, labels: Tensor) -> Tensor:
    """Return 1 where the likeliest answer is the label, else 0; NaN where there is no label (-1)."""
    return torch.where(labels >= 0, (answers.argmax(dim=1) == labels).to(answers), torch.nan)
