"""The two kinds of answers of a language model, a choice and a number, and how a change of an answer is measured.

Clean scores are those of the unchanged model. Answers before and after a change are compared as `compared(scores)`
gives them: as log-probabilities for a choice; for a score, in units of the standard deviation of the clean scores.
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
from clvq.language_model.continuations import ALONE, Forwards
from clvq.language_model.tokenization import TokenizedSentence


class Target(ABC):
    """What is asked of a model. Scores are `[B, C]`; answers are whole numbers `[B]` below C.

    In methods that compare answers, `clean` and `changed` are what `compared` returns before and after a change.
    """

    kind: ClassVar[str]
    """What the answer is, in words: "class", "next token" and so on."""
    reads_next_token: ClassVar[bool] = False
    """Whether scores are taken from the logits over the vocabulary for the token after the last one."""
    reads_mask: ClassVar[bool] = False
    """Whether scores are taken from the logits over the vocabulary at the mask of the prompt."""
    reads_place: ClassVar[bool] = False
    """Whether the answer is read at one token of the text, whose position is the `place`."""
    forwards: Forwards = ALONE
    """For each forward by which the model is asked, what to append to a text: tokens where the next one alone does not
    suffice."""
    label_form: ClassVar[LabelForm] = "class"
    """The form that the labels of a corpus have for this target."""
    reads_padding: ClassVar[bool] = False
    """Whether the model's head may find the end of a text by the padding behind it."""
    has_parts: ClassVar[bool] = False
    """Whether a text is asked several questions: one for each label, or for each word."""
    unit: float | None = None
    """Standard deviation of the clean scores of the evaluation split; None for a choice, and before these are known."""
    is_choice: ClassVar[bool]
    """Whether the answer is one of several, rather than a number."""

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of answers, C."""

    @property
    @abstractmethod
    def names(self) -> list[str] | None:
        """Names of the C answers; labels and predictions are indices into this list. None where there is no such
        list."""

    @abstractmethod
    def name(self, answer: int, part: int = 0) -> str:
        """Return the name of an answer to the question about a part of a text."""

    def numbered(self, answer: int, part: int) -> int:
        """Return the number of an answer to a part among the answers to all parts, where each part has its own."""
        return answer

    @property
    def has_places(self) -> bool:
        """Whether the `place` of each text is needed to take its scores."""
        return self.has_parts or self.reads_mask

    @property
    def stored_width(self) -> int:
        """How many numbers activations keep for each text; 0 where nothing is predicted during their extraction."""
        return self.count

    def parts(self, sentence: TokenizedSentence) -> list[int]:
        """Return the numbers of the questions that are asked about a text: only 0, unless the target `has_parts`."""
        return [0]

    def asked(self, sentence: TokenizedSentence, answers: Sequence[float] | None) -> list[int]:
        """Return the parts of a text that figures are computed over; `answers` are the right ones (see `aligned`)."""
        return self.parts(sentence)

    def part_name(self, part: int, text: str, sentence: TokenizedSentence) -> str | None:
        """Return what a part of a text is called; None where there are no parts."""
        return None

    def aligned(
        self, text: str, sentence: TokenizedSentence, answers: Sequence[float] | None
    ) -> Sequence[float] | None:
        """Return the right answer to each part of a text, from the right answers that the corpus has for the text."""
        return answers

    def truth(self, label: int | None, answers: Sequence[float] | None, part: int) -> float:
        """Return the right answer to a part of a text, from the text's class or its labels of another form. For a
        choice this is the number of an answer, -1 for none; for a score the number itself, NaN for none."""
        if not self.has_parts:
            return -1 if label is None or label >= self.count else label
        return -1 if answers is None else int(answers[part])

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        """Return the index that `scores` needs for a part of a text: the number of the part, or a token's position."""
        return part

    def overview(self, output: Tensor) -> Tensor:
        """Return the scores of all parts of each text, `[B, stored_width]`; `stored` makes of them what is kept."""
        return self.scores(output)

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        """Return scores `[B, C]` from the model's output: the logits of its head, or of the next token, in 32 bits.

        For a target that has places, `places` `[B]` holds the `place` of the part that each text is asked.
        """
        return output

    @abstractmethod
    def answers(self, scores: Tensor) -> Tensor:
        """Return the answers `[B]`."""

    @abstractmethod
    def explained(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the number `[B]` that attributions explain, differentiable in the scores."""

    @abstractmethod
    def compared(self, scores: Tensor) -> Tensor:
        """Return the values `[B, C]` in which answers are compared, in the dtype of the scores."""

    @abstractmethod
    def confidence(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the probability `[B]` of each answer, or the score where there are no probabilities."""

    @abstractmethod
    def stored(self, scores: Tensor) -> Tensor:
        """Return what activations keep of each answer `[B, C]`: probabilities, or the score."""

    @abstractmethod
    def flipped(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return whether the change gives another answer."""

    @abstractmethod
    def divergence(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return how far the changed answer is from the clean one."""

    @abstractmethod
    def fall(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return by how much the change lowers the probability, or the score, of the clean answer."""

    @abstractmethod
    def loss(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return the loss of the changed answer when the clean one is taken as the truth."""

    @abstractmethod
    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of an answer when `labels` `[B]` are taken as the truth; NaN without a label (-1)."""

    @abstractmethod
    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return 1 where an answer is the label, else 0; NaN without a label (-1)."""

    def scaled(self, unit: float | None) -> Target:
        """Return the target with `unit`, the standard deviation of the clean scores; a choice does not need it."""
        return self

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Return what identifies the target; it differs between any two targets of a model."""


class Choice(Target):
    """The answer is the one with the highest score. Its probability is that of the softmax over the scores."""

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
        """Return whether the likeliest answer is another one."""
        return clean.argmax(dim=1) != changed.argmax(dim=1)

    def divergence(self, clean: Tensor, changed: Tensor) -> Tensor:
        """Return KL(clean || changed) in nats."""
        chances = clean.exp()
        # Where a probability is 0, the term is 0 although the logarithm is not finite.
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

    A flip is a change of more than one standard deviation of the clean scores, up or down. The divergence is the
    squared change in units of this deviation, instead of KL. A score has no probability and no class. Its label is the
    right number.
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
        """Return scores in units of the clean scores' standard deviation. ClvqError where that is unknown, or 0."""
        if not self.unit:
            raise ClvqError(
                f"The clean scores of {self.name(0)} do not differ between the sentences of the evaluation split, so "
                "that there is no unit to measure a change in. Use more sentences, or other ones."
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
