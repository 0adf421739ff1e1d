"""Where the demo model's training starts: three measures that make minutes on one CPU thread enough.

Positions start as waves, so that attention finds neighbours early; branches start quiet, so that ten layers pass a
gradient on; and sub-words start near those with whom they share contexts, as a factorised co-occurrence matrix puts
them (Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

WINDOW = 5  # sub-words to either side that count as context, the nearer the more


def start_well(model: Any, sentences: Sequence[Sequence[int]]) -> None:
    """Set the first weights of a `BertForSequenceClassification`; `sentences` are token ids without special ones."""
    bert, config = model.bert, model.config
    scale = config.initializer_range
    places = bert.embeddings.position_embeddings.weight
    vectors = bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        angles = torch.arange(places.shape[0])[:, None] * 0.001 ** torch.linspace(0, 1, places.shape[1] // 2)
        places.copy_(torch.cat((angles.sin(), angles.cos()), dim=1) * 2**0.5 * scale)
        for layer in bert.encoder.layer:
            for branch in (layer.attention.output.dense, layer.output.dense):
                branch.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
        related = related_vectors(sentences, *vectors.shape) * scale
        known = related.norm(dim=1) > 0
        vectors[known] = related[known]


def related_vectors(sentences: Sequence[Sequence[int]], vocabulary: int, width: int) -> Tensor:
    """[vocabulary, width]: positive pointwise mutual information of sub-words, factorised; rows of norm sqrt(width).

    A random rotation spreads the leading components over all coordinates. Sub-words that never occur get zeros.
    """
    counts = torch.zeros(vocabulary, vocabulary)
    for distance in range(1, WINDOW + 1):
        pairs = [pair for ids in sentences for pair in zip(ids, ids[distance:], strict=False)]
        left, right = torch.tensor(pairs).T
        counts.index_put_((left, right), torch.tensor(1 / distance), accumulate=True)
    joint = (counts + counts.T) / (2 * counts.sum())
    alone = joint.sum(dim=1)
    information = (joint / (alone[:, None] * alone).clamp(min=1e-12)).clamp(min=1).log()
    directions, strengths, _ = torch.linalg.svd(information)
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    vectors = directions[:, :width] * strengths[:width].sqrt() @ rotation
    norms = vectors.norm(dim=1, keepdim=True)
    return torch.where(norms > 1e-3, vectors / norms.clamp(min=1e-3) * width**0.5, 0.0)
