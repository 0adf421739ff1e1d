"""Rows of new text, made as the activations of a checkpoint were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clvq.activations.description import Description
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import WORD, RowLayout, row_layout
from clvq.language_model.tokenization import TokenizedSentence


@dataclass(frozen=True)
class NewRows:
    """The `R` rows of some sentences, one sentence after the other."""

    layouts: list[RowLayout]
    states: dict[int, Tensor]
    """For each layer `[R, D]`, as a store holds them, in 32 bits."""
    sinks: np.ndarray
    """[R] bool: attention sinks at any of the layers."""

    @property
    def is_word(self) -> np.ndarray:
        """[R] bool: rows of words."""
        return np.array([flag & WORD != 0 for layout in self.layouts for flag in layout.flags], bool)

    def of_words(self, values: Sequence[int]) -> list[list[int | None]]:
        """Return the values of each sentence's words in their order, from a value of each row `[R]`; None for a
        sink."""
        value_of_row = iter([None if is_sink else value for value, is_sink in zip(values, self.sinks, strict=True)])
        # Rows stand in the order of the layouts.
        of_sentences = [{word: next(value_of_row) for word in layout.words} for layout in self.layouts]
        return [[of_words[word] for word in sorted(of_words) if word >= 0] for of_words in of_sentences]


def tokenize(model: LanguageModel, described: Description, texts: Sequence[str]) -> list[TokenizedSentence]:
    """Return the tokens and words of texts, found as in the activations."""
    return model.tokenize(texts, described.settings.unit, described.settings.words)


def new_rows(
    model: LanguageModel, described: Description, sentences: Sequence[TokenizedSentence], layers: Sequence[int]
) -> NewRows:
    """Return the rows of sentences at some layers, in one forward where the sentences may share it."""
    pooling = described.settings.pooling
    layouts = [row_layout(sentence, pooling) for sentence in sentences]
    states = described.as_stored(model.run(sentences, layers, pooling).hidden)
    flags = np.array([flag for layout in layouts for flag in layout.flags], np.uint8)
    return NewRows(layouts, states, described.sinks_among(flags, states))
