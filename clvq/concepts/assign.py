"""Assign codes to new text, word by word: the code of each word, its distance to the code, and how unusual that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clvq.activations.new_text import new_rows, tokenize
from clvq.artifacts.records import Record
from clvq.concepts.assignments import codes_and_distances
from clvq.concepts.codebook import codebook
from clvq.config import AssignConfig
from clvq.config.signatures import takes
from clvq.corpus.parts import encodable, given_texts
from clvq.device import Runtime
from clvq.language_model.tokenization import TokenizedSentence
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoint
from clvq.training.source import language_model_of

ROUNDING = 1e-5
"""A word is the farthest of its code also where its distance differs from the stored one by this share."""
TEXTS_AT_ONCE = 1024
"""Number of texts that are read before the first is answered; among these, texts of similar length share a batch."""


@dataclass(frozen=True)
class AssignedWord(Record):
    """A word of a text, and the code nearest to the word."""

    start: int
    end: int
    """Characters `start` to `end` of the text are the word."""
    text: str
    code: int | None
    """None for an attention sink, which has no code."""
    concept: str | None
    """Name of the concept."""
    distance: float | None
    """Squared Euclidean distance to the code, in units of the scaled input layer."""
    nearer: float | None
    """Share of the code's training words that are nearer to the code than this word: above 0.99, the word is unlike
    them. None for a code that no training word has."""


@dataclass(frozen=True)
class AssignedText(Record):
    """A text and its words."""

    id: int
    """Index among the texts, from 0."""
    text: str
    words: list[AssignedWord]
    left_out: int
    """Number of words beyond the model's maximum length."""


@takes(AssignConfig)
def assign(
    checkpoint: Checkpoint | str | Path,
    texts: str | Iterable[str | Mapping[str, str]],
    *,
    progress: Report = silent,
    **settings: Any,
) -> Iterator[AssignedText]:
    """Yield each text with the code of every word, in the order of the texts.

        for text in clvq.assign("run/L4-L8", ["a slow , lifeless film"]):
            print([(word.text, word.code, word.concept) for word in text.words])

    Texts are read as they are needed, so that a corpus of any size takes the memory of about a thousand texts. Words,
    rows and codes are made as in the activations that the checkpoint was trained on; the activations themselves need
    not be there. ClvqError where the model is not found; MismatchError where another model is found; ArtifactError for
    a checkpoint with neither concepts nor activations to make them from.

    Args:
        checkpoint: A checkpoint, or its folder.
        texts: One text, or any number of them. Where the model reads several parts (pairs of texts, a prompt with other
            columns), a text is a dictionary: {"text": "...", "text_pair": "..."}.
    """
    config = AssignConfig.resolve(**settings)
    assigner = Assigner(read_checkpoint(checkpoint), Runtime.of_settings(config), progress)
    return assigner.assigned(texts)


class Assigner:
    """The language model, the codes and the concepts of a checkpoint, loaded to assign codes to texts."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime, progress: Report = silent) -> None:
        self.book, self.batch_tokens = codebook(checkpoint, progress=progress), runtime.batch_tokens
        self.description = checkpoint.description()
        self.model = language_model_of(checkpoint, self.description, runtime, progress)
        self.codes = checkpoint.load().to(self.model.device)
        self.layers = (checkpoint.input_layer, checkpoint.output_layer)
        self.quantiles = self.book.distance_quantiles()
        self.usage = {concept.code: concept.words for concept in self.book.concepts}
        self.name = cache(self.book.name)  # making a name takes a thousand times as long as finding a code

    def assigned(self, texts: Iterable[str | Mapping[str, str]], progress: Report = silent) -> Iterator[AssignedText]:
        """Yield the texts with the codes of their words."""
        remaining, done = given_texts(texts), 0
        while window := [self._joined(text) for text in islice(remaining, TEXTS_AT_ONCE)]:
            sentences = tokenize(self.model, self.description, window)
            words: dict[int, list[AssignedWord]] = {}
            for batch in self.model.batches(sentences, self.batch_tokens):
                chosen = [sentences[index] for index in batch]
                given = self._words([window[index] for index in batch], chosen)
                words.update(zip(batch, given, strict=True))
                progress(Progress("assign", done + len(words), None, "texts"))
            for index, (text, sentence) in enumerate(zip(window, sentences, strict=True)):
                yield AssignedText(done + index, text, words[index], sentence.truncated_words)
            done += len(window)

    def _joined(self, parts: Mapping[str, str]) -> str:
        """Return the parts of a text as they are stored together, without halves of Unicode characters."""
        return self.model.input_format.joined({name: encodable(value) for name, value in parts.items()})

    @torch.no_grad()
    def _words(self, texts: list[str], sentences: list[TokenizedSentence]) -> list[list[AssignedWord]]:
        rows = new_rows(self.model, self.description, sentences, self.layers)
        scaled = rows.states[self.layers[0]].to(self.codes.codebook.device) * self.codes.input_scale
        codes, distances, _ = codes_and_distances(self.codes, scaled)
        by_word = rows.of_words(range(len(codes)))
        return [
            [
                self._word(text, span, row, codes, distances)
                for span, row in zip(sentence.words, row_of_words, strict=True)
            ]
            for text, sentence, row_of_words in zip(texts, sentences, by_word, strict=True)
        ]

    def _word(
        self, text: str, span: tuple[int, int], row: int | None, codes: np.ndarray, distances: np.ndarray
    ) -> AssignedWord:
        start, end = span
        if row is None:
            return AssignedWord(start, end, text[start:end], None, None, None, None)
        code, distance = int(codes[row]), float(distances[row])
        of_code = self.quantiles[code]
        nearer = None if np.isnan(of_code[0]) else _share_nearer(of_code, self.usage[code], distance)
        return AssignedWord(
            start, end, text[start:end], code, self.name(code), float(f"{distance:.6g}"), nearer
        )  # fmt: skip


def _share_nearer(quantiles: np.ndarray, words: int, distance: float) -> float:
    """Return the share of a code's training `words` that are nearer to it than `distance`.

    It is interpolated between the quantiles of their distances at equal steps `[Q]`. The farthest of n words has n - 1
    nearer ones.
    """
    if distance > quantiles[-1] * (1 + ROUNDING):
        return 1.0
    steps = len(quantiles) - 1
    above = min(int(np.searchsorted(quantiles, distance)), steps)  # the first of equal quantiles
    below, end = quantiles[max(above - 1, 0)], quantiles[above]
    left = (end - distance) / (end - below) if end > distance and above else 0.0
    return round(float(above - left) / steps * (words - 1) / words, 4)
