"""Targets of classification heads: a class, labels one by one, a tag for each word, a number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clvq.config import LABEL, TAG
from clvq.errors import ClvqError
from clvq.language_model.answers import Choice, Score, Target
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.words import find_words

OUTSIDE = "O"
"""The tag of a word that belongs to no entity, as named entity recognition writes it."""


@dataclass(frozen=True)
class ClassTarget(Choice):
    """The class that a sequence classification head predicts; scores are the head's logits."""

    kind = "class"
    reads_padding = True
    classes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return list(self.classes)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": self.names}


@dataclass(frozen=True)
class LabelTarget(Choice):
    """The labels of a multi-label head, each asked separately: whether the text has the label, by a sigmoid.

    A text has a part for each label. With `z` the logit of the label, scores are `[0, z]` for no and yes, so that the
    softmax over them is the sigmoid of `z`. The explained number is `z` where the answer is yes, and `-z` where it is
    no.
    """

    kind = LABEL
    label_form = "several"
    reads_padding = True
    has_parts = True
    labels: tuple[str, ...]

    @property
    def count(self) -> int:
        return 2

    @property
    def stored_width(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        return list(self.labels)

    def name(self, answer: int, part: int = 0) -> str:
        return self.labels[part] if answer else f"not {self.labels[part]}"

    def numbered(self, answer: int, part: int) -> int:
        return 2 * part + answer

    def parts(self, sentence: TokenizedSentence) -> list[int]:
        return list(range(len(self.labels)))

    def part_name(self, part: int, text: str, sentence: TokenizedSentence) -> str:
        return self.labels[part]

    def overview(self, output: Tensor) -> Tensor:
        """Return the logits of all labels `[B, L]`."""
        return output

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        assert places is not None, "which label each text is asked for must be said"
        return functional.pad(output.gather(1, places[:, None]), (1, 0))

    def explained(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the logit `z` of the label where the answer is yes, and `-z` where it is no."""
        return torch.where(answers == 1, scores[:, 1], -scores[:, 1])

    def confidence(self, scores: Tensor, answers: Tensor) -> Tensor:
        return self.explained(scores, answers).sigmoid()

    def stored(self, scores: Tensor) -> Tensor:
        """Return the probability of each label `[B, L]`, from the logits of `overview`."""
        return scores.sigmoid()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": self.names}


@dataclass(frozen=True)
class TagTarget(Choice):
    """The tag that a token classification head gives a word, read at the word's first token.

    A text has a part for each word. The row of the word is used in place of the sentence row. Figures are computed over
    the words whose label is a tag other than `O`, or over all words where nothing is labelled.
    """

    kind = TAG
    label_form = "words"
    has_parts = True
    reads_place = True
    tags: tuple[str, ...]

    @property
    def stored_width(self) -> int:
        return 0

    @property
    def names(self) -> list[str]:
        return list(self.tags)

    def name(self, answer: int, part: int = 0) -> str:
        return self.tags[answer]

    def parts(self, sentence: TokenizedSentence) -> list[int]:
        return list(range(len(sentence.words)))

    def asked(self, sentence: TokenizedSentence, answers: Sequence[float] | None) -> list[int]:
        words = self.parts(sentence)
        return words if answers is None else [word for word in words if self.is_tag(int(answers[word]))]

    def is_tag(self, number: int) -> bool:
        """Return whether a number stands for a tag other than `O`; a negative number stands for no tag."""
        return number >= 0 and self.tags[number] != OUTSIDE

    def part_name(self, part: int, text: str, sentence: TokenizedSentence) -> str:
        start, end = sentence.words[part]
        return text[start:end]

    def aligned(
        self, text: str, sentence: TokenizedSentence, answers: Sequence[float] | None
    ) -> Sequence[float] | None:
        """Return the label of each word that has a row. The corpus has a label for each word between white space."""
        return None if answers is None else tags_of_words(answers, text, [start for start, _ in sentence.words])

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        return sentence.word_tokens[part][0]

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        assert places is not None, "which word of each text is asked for must be said"
        return output[torch.arange(len(output), device=output.device), places]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": self.names}


def tags_of_words(answers: Sequence[float], text: str, starts: Sequence[int]) -> list[float]:
    """Return the tag of each word `[N]`, from `answers`, a tag for each word between white space. A word is given by
    the place of its first character in the text."""
    between = [start for start, _ in find_words(text, "whitespace")]
    return [answers[bisect_right(between, start) - 1] for start in starts]


@dataclass(frozen=True)
class ScoreTarget(Score):
    """The one number that a head gives: a regression, a reward, the relevance of a text."""

    kind = "score"
    label_form = "number"
    reads_padding = True
    called: str = "score"

    def name(self, answer: int, part: int = 0) -> str:
        return self.called

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return the squared error, in units of the clean scores' standard deviation; `labels` are numbers or NaN."""
        assert self.unit, "compared scores have a unit"
        return (changed[:, 0] - labels / self.unit).square()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.called}


def head_target(config: Any, architecture: str) -> Target:
    """Return the target of a classification head, from the `config` and the class name (`architecture`) of its
    model."""
    if set(config.id2label) != set(range(config.num_labels)):
        raise ClvqError(
            f"config.json numbers the labels {', '.join(map(str, config.id2label))} (id2label), and a head with "
            f"{config.num_labels} outputs has labels 0 to {config.num_labels - 1}. Correct id2label."
        )
    names = tuple(_told_apart([str(config.id2label[number]) for number in range(config.num_labels)]))
    if architecture.endswith("ForTokenClassification"):
        return TagTarget(names)
    if config.problem_type == "multi_label_classification":
        return LabelTarget(names)
    if len(names) == 1:
        return ScoreTarget("score" if names[0] == "LABEL_0" else names[0])
    return ClassTarget(names)


def _told_apart(names: list[str]) -> list[str]:
    """Return the names of labels, with the number of its label behind a name that several labels have."""
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names)]
