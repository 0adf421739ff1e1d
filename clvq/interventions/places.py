"""Where a sentence is edited: its salient words, the words of one concept, its sentence row, or all of its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clvq.explanations.explainer import salient_words
from clvq.language_model.tokenization import TokenizedSentence

SENTENCE_ROW = -1
"""Stands for the sentence row among the indices of words."""


class Subject(NamedTuple):
    """A sentence whose words can be edited."""

    number: int
    """Its index in the split."""
    sentence: TokenizedSentence
    attributions: list[float]
    """Attributions of its words; positive ones are in favour of the prediction."""
    codes: list[int | None]
    """Codes of its words; None for an attention sink, which is never edited."""
    sentence_code: int | None
    """Code of its sentence row."""
    prediction: int
    label: int | None
    part: int = 0
    """Which label, or which word, the model is asked for."""

    def code(self, word: int) -> int:
        code = self.sentence_code if word == SENTENCE_ROW else self.codes[word]
        assert code is not None
        return code

    def tokens(self, word: int) -> list[int]:
        """Return the positions of a word's sub-words, except a decoder's first token, which is an attention sink."""
        sentence = self.sentence
        own = [sentence.sentence_token] if word == SENTENCE_ROW else sentence.word_tokens[word]
        return [token for token in own if token != sentence.first_token]


@dataclass(frozen=True)
class Place:
    """Which words of a sentence are edited."""

    kind: str
    """salient, concept, sentence or all."""
    top: int = 1
    """How many salient words are edited, where `mass` is None."""
    mass: float | None = None
    """Salient words are the smallest set that holds this share of all positive attribution."""
    on_curve: bool = False
    """Whether the place is a point of the curve over masses, or over ranks."""
    rank: int | None = None
    """On the curve over ranks, how many directions are taken out of a word; None elsewhere."""

    def words(self, subject: Subject) -> list[int]:
        """Return the indices of words, or SENTENCE_ROW; empty where the sentence has nothing to edit here."""
        if self.kind == "sentence":
            return [] if subject.sentence_code is None or not subject.tokens(SENTENCE_ROW) else [SENTENCE_ROW]
        able = [word for word, code in enumerate(subject.codes) if code is not None and subject.tokens(word)]
        if self.kind == "all" or not able:
            return able
        values = [subject.attributions[word] for word in able]
        if self.kind == "concept":
            (top,) = salient_words(values, None)
            return [word for word in able if subject.codes[word] == subject.codes[able[top]]]
        chosen = salient_words(values, self.mass) if self.mass is not None else _top(values, self.top)
        return [able[place] for place in sorted(chosen)]


def _top(values: Sequence[float], count: int) -> set[int]:
    """Return the `count` words with the largest positive attribution; where none is positive, the one with the largest
    absolute attribution."""
    above = sorted((place for place, value in enumerate(values) if value > 0), key=lambda place: -values[place])
    return set(above[:count]) or salient_words(values, None)
