"""Which rows a sentence has, and of which tokens: rows are the states of words, as an activation store holds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clvq.errors import ClvqError
from clvq.language_model.tokenization import TokenizedSentence

POOLINGS = ("last", "mean", "first")

# Flags of a row; a decoder's last word is WORD | SENTENCE where its row is that of the last token.
WORD, SENTENCE, FIRST, PROMPT = 1, 2, 4, 8

SINK_RATIO = 10.0
"""A row whose norm is more than this many times the median norm of its layer is an attention sink."""


class RowLayout(NamedTuple):
    """The `R` rows of one sentence, in token order; an encoder's sentence row comes first, unless it is a mask's."""

    positions: list[tuple[int, ...]]
    """For each row, the positions in `input_ids` whose mean state the row is."""
    flags: list[int]
    """For each row, the sum of the flags that hold: WORD, SENTENCE, FIRST, PROMPT. FIRST: a decoder's first token is in
    the row's state. PROMPT: the row is of a word of the prompt, which has a row only where that was asked for."""
    words: list[int]
    """For each row, the index of its word in `TokenizedSentence.words`; -1 for a sentence row that is not a word's."""


def row_layout(sentence: TokenizedSentence, pooling: str) -> RowLayout:
    """Return which token states make which row; `pooling` takes a word's last, first or mean sub-word state.

    Where a decoder's last word has the last token's state as its row, word and sentence share one row with both flags.
    """
    if pooling not in POOLINGS:
        raise ClvqError(f"unknown pooling: {pooling!r}. Use one of: {', '.join(POOLINGS)}.")
    pooled = {"last": slice(-1, None), "mean": slice(None), "first": slice(0, 1)}[pooling]
    positions = [tokens[pooled] for tokens in sentence.word_tokens]
    flags = [WORD] * len(positions)
    words = list(range(len(positions)))
    if sentence.sentence_token >= 0:
        sentence_row = (sentence.sentence_token,)
        if sentence_row in positions:
            flags[positions.index(sentence_row)] |= SENTENCE
        else:
            index = sum(tokens[0] < sentence.sentence_token for tokens in positions)
            positions.insert(index, sentence_row)
            flags.insert(index, SENTENCE)
            words.insert(index, -1)
    fixed = set(sentence.fixed_tokens)
    if sentence.first_token < 0:
        fixed.discard(sentence.sentence_token)  # an encoder's sentence row is no word, even if it is a prompt's mask
    if fixed:
        flags = [flag | PROMPT if fixed.issuperset(row) else flag for flag, row in zip(flags, positions, strict=True)]
    if (first := sentence.first_token) >= 0:
        flags = [flag | FIRST if first in row else flag for flag, row in zip(flags, positions, strict=True)]
    return RowLayout(positions, flags, words)


def sink_rows(flags: np.ndarray, norms: np.ndarray, median_norm: float) -> np.ndarray:
    """Return `[R]` bool: the attention sinks among the rows of a layer.

    A row is a sink where it has a decoder's first token in it, or a norm over SINK_RATIO times the layer's median norm.
    """
    return ((flags & FIRST) != 0) | (norms > SINK_RATIO * median_norm)
