"""Attributions of several sentences, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from clvq.explanations.attribution import Attribution, IntegratedAttribution
from clvq.language_model.tokenization import TokenizedSentence


def by_index(
    attribution: IntegratedAttribution, sentences: Sequence[TokenizedSentence], parts: Sequence[int] | None = None
) -> dict[int, Attribution]:
    """The attribution of each sentence that has tokens, by its index."""
    return {
        index: one
        for batch in attribution.batches(sentences)
        for index, one in zip(batch, attribution.of_batch(sentences, batch, parts), strict=True)
    }
