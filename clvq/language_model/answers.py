"""What an answer of a language model is, and what a change of it is called: one of several, or a number.

Answers before and after a change are compared in `compared(scores)`: log-probabilities of a choice; of a score, the
score in units of the standard deviation of the clean scores.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from clvq.corpus.forms import LabelForm
from clvq.errors import ClvqError
from clvq.language_model.continuations import ALONE, Continuation
from clvq.language_model.tokenization import TokenizedSentence


class Target(ABC):
    """What is asked of a model. Scores are `[B, C]`, answers `[B]` whole numbers below C."""

    kind: ClassVar[str]
    """What the answer is, in words: "class", "next token" and so on."""
    reads_next_token: ClassVar[bool] = False
    """Whether the model's output that counts is that of the next token after the last one, over the vocabulary."""
    reads_mask: ClassVar[bool] = False
    """Whether the model's output that counts is that at the mask of the prompt, over the vocabulary."""
    reads_place: ClassVar[bool] = False
    """Whether the answer is read at one token of the text, whose position is the `place`."""
    continuations: tuple[Continuation, ...] = ALONE
    """What stands behind a text when the model is asked, where that takes more than its next token."""
    label_form: ClassVar[LabelForm] = "class"
    """What a label of a corpus is, for this target."""
    reads_padding: ClassVar[bool] = False
    """Whether the model's head may find the end of a text by the padding behind it."""
    has_parts: ClassVar[bool] = False
    """Whether a text is asked several questions: one for each label, or for each word."""
    unit: float | None = None
    """Standard deviation of the clean scores of the evaluation split; None of a choice, and before these are known."""
    is_choice: ClassVar[bool]
    """Whether the answer is one of several, rather than a number."""

    @property
    @abstractmethod
    def count(self) -> int:
        """C."""

    @property
    @abstractmethod
    def names(self) -> list[str] | None:
        """Names of the C answers that labels and predictions number; None where there are no such numbers."""

    @abstractmethod
    def name(self, answer: int, part: int = 0) -> str:
        """Return the name of an answer to a part."""

    @property
    def has_places(self) -> bool:
        """Whether a `place` must be known of each text to take its scores."""
        return self.has_parts or self.reads_mask

    @property
    def stored_width(self) -> int:
        """How many numbers of a text activations keep; 0 where nothing is predicted when they are extracted."""
        return self.count

    def parts(self, sentence: TokenizedSentence) -> list[int]:
        """Return the numbers of the questions that a text is asked: 0 alone, except where it `has_parts`."""
        return [0]

    def asked(self, sentence: TokenizedSentence, answers: Sequence[float] | None) -> list[int]:
        """Return the parts of a text over which figures are taken, where `answers` (see `aligned`) are right for it."""
        return self.parts(sentence)

    def part_name(self, part: int, text: str, sentence: TokenizedSentence) -> str | None:
        """Return what a part of a text is called; None where there are no parts."""
        return None

    def aligned(
        self, text: str, sentence: TokenizedSentence, answers: Sequence[float] | None
    ) -> Sequence[float] | None:
        """Return what is right for each part of a text, from what the corpus says is right for it."""
        return answers

    def truth(self, label: int | None, answers: Sequence[float] | None, part: int) -> float:
        """Return what is right for a part of a text, from its class or its labels of another form: the number of an
        answer, -1 for none; of a score the number itself, NaN for none."""
        if not self.has_parts:
            return -1 if label is None or label >= self.count else label
        return -1 if answers is None else int(answers[part])

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        """Return what is needed to take the scores of a part of a text, where the target `has_places`."""
        return part

    def overview(self, output: Tensor) -> Tensor:
        """Return the scores of all parts of a text together, `[B, stored_width]`, of which `stored` keeps something."""
        return self.scores(output)

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        """Return scores `[B, C]` from what the model gives: logits of its head, or of the next token, in 32 bits.

        `places` `[B]` are those of the parts (see `place`), for a target that has places.
        """
        return output

    @abstractmethod
    def answers(self, scores: Tensor) -> Tensor:
        """Return the answer `[B]` to each question."""

    @abstractmethod
    def explained(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the number `[B]` that attributions explain, differentiable in the scores."""

    @abstractmethod
    def compared(self, scores: Tensor) -> Tensor:
        """Return `[B, C]` in which answers are compared, in the type of the scores."""

    @abstractmethod
    def confidence(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the probability `[B]` of each answer, or the score where there are no probabilities."""

    @abstractmethod
    def stored(self, scores: Tensor) -> Tensor:
        """Return what activations keep of each answer `[B, C]`: probabilities, or the score."""

    @abstractmethod
    def flipped(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return whether the answer is another one, from both as `compared`."""

    @abstractmethod
    def divergence(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return how far the changed answer is from the clean one, from both as `compared`."""

    @abstractmethod
    def fall(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return how much less the clean answer holds after the change, from both as `compared`."""

    @abstractmethod
    def loss(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return the loss of the changed answer where the clean one is the truth, from both as `compared`."""

    @abstractmethod
    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of an answer, as `compared`, where `labels` `[B]` are the truth; NaN without one (-1)."""

    @abstractmethod
    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return 1 where an answer, as `compared`, is the label, else 0; NaN without a label (-1)."""

    def scaled(self, unit: float | None) -> Target:
        """Return the target with the standard deviation of the clean scores, which a choice has no use for."""
        return self

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Return what identifies the target, in which no two targets of a model are alike."""


class Choice(Target):
    """The answer is the one with the highest score, and has a probability: that of the softmax over the scores."""

    is_choice = True

    @property
    def count(self) -> int:
        return len(self.names or ())

    def name(self, answer: int, part: int = 0) -> str:
        names = self.names
        assert names is not None, f"{type(self).__name__} does not say how its answers are called"
        return names[answer]

    def answers(self, scores: Tensor) -> Tensor:
        return scores.argmax(dim=1)

    def explained(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the score of each answer."""
        return scores.gather(1, answers[:, None]).squeeze(1)

    def compared(self, scores: Tensor) -> Tensor:
        """Return log-probabilities."""
        return scores.log_softmax(dim=1)

    def confidence(self, scores: Tensor, answers: Tensor) -> Tensor:
        return (self.explained(scores, answers) - scores.logsumexp(dim=1)).exp()

    def stored(self, scores: Tensor) -> Tensor:
        return scores.softmax(dim=1)

    def flipped(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return whether another answer is the likeliest."""
        return clean.argmax(dim=1) != changed.argmax(dim=1)

    def divergence(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return KL(clean || changed) in nats."""
        chances = clean.exp()
        # Where a chance is 0 its logarithm has no weight.
        return torch.where(chances > 0, chances * (clean - changed), 0).sum(dim=1)

    def fall(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return how much less probable the likeliest clean answer is."""
        answer = clean.argmax(dim=1, keepdim=True)
        return (clean.exp() - changed.exp()).gather(1, answer)[:, 0]

    def loss(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return -log of the probability of the likeliest clean answer."""
        return -changed.gather(1, clean.argmax(dim=1, keepdim=True))[:, 0]

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        known = (labels >= 0) & (labels < changed.shape[1])
        loss = -changed.gather(1, labels.where(known, 0)[:, None])[:, 0]
        return torch.where(known, loss, torch.nan)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        return torch.where(labels >= 0, (changed.argmax(dim=1) == labels).to(changed), torch.nan)


@dataclass(frozen=True)
class Score(Target):
    """The answer is a number.

    A flip is a change of more than one standard deviation of the clean scores, up or down. In place of KL stands the
    squared change in those units. A score has no probability and no class; its label is the number that is right.
    """

    is_choice = False
    unit: float | None = field(default=None, kw_only=True)
    """Standard deviation of the clean scores of the evaluation split; None before these are known."""

    @property
    def count(self) -> int:
        return 1

    @property
    def names(self) -> None:
        return None

    def answers(self, scores: Tensor) -> Tensor:
        return torch.zeros(len(scores), dtype=torch.long, device=scores.device)

    def truth(self, label: int | None, answers: Sequence[float] | None, part: int) -> float:
        return math.nan if answers is None else answers[0]

    def explained(self, scores: Tensor, answers: Tensor) -> Tensor:
        return scores[:, 0]

    def compared(self, scores: Tensor) -> Tensor:
        """Return scores in units of their standard deviation. ClvqError where that is not known, or 0."""
        if not self.unit:
            raise ClvqError(
                f"The clean scores of {self.name(0)} do not differ between the sentences of the evaluation split, so "
                "that no change can be called large. Use more sentences, or other ones."
            )
        return scores / self.unit

    def confidence(self, scores: Tensor, answers: Tensor) -> Tensor:
        return scores[:, 0]

    def stored(self, scores: Tensor) -> Tensor:
        return scores

    def flipped(self, clean: Tensor, changed: Tensor) -> Tensor:
        return (changed - clean).abs()[:, 0] > 1

    def divergence(self, clean: Tensor, changed: Tensor) -> Tensor:
        return (changed - clean).square()[:, 0]

    def fall(self, clean: Tensor, changed: Tensor) -> Tensor:
        return (clean - changed)[:, 0]

    def loss(self, clean: Tensor, changed: Tensor) -> Tensor:
        return self.divergence(clean, changed)

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        return changed.new_full((len(changed),), torch.nan)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        return changed.new_full((len(changed),), torch.nan)

    def scaled(self, unit: float | None) -> Self:
        return replace(self, unit=unit)
