"""Targets: what is asked of a language model, and what a change of its answer is called.

A target turns what the model gives into scores `[B, C]`, names the C answers, and says what attributions explain. It
says too what a flip, a divergence and a right answer are, so that prediction, attribution, edits, splice and figures
ask one place. There are two families:

    Choice    the answer is the one of C with the highest score: a class, the next token, a label word
    Score     the answer is a number: how high the logit of a token is, or how much higher than that of another

Answers before and after a change are compared in `compared(scores)`: log-probabilities of a choice; of a score, the
score in units of the standard deviation of the clean scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from clvq.config.prompts import parse_label_words
from clvq.errors import ClvqError
from clvq.language_model.continuations import ALONE, Continuation, continuations_of, places_of


class Target(ABC):
    """What is asked of a model. Scores are `[B, C]`, answers `[B]` whole numbers below C."""

    kind: ClassVar[str]
    """What the answer is, in words: "class", "next token" and so on."""
    reads_next_token: ClassVar[bool] = False
    """Whether the model's output that counts is that of the next token after the last one, over the vocabulary."""
    continuations: tuple[Continuation, ...] = ALONE
    """What stands behind a text when the model is asked, where that takes more than its next token."""
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
    def name(self, answer: int) -> str:
        """Return the name of an answer."""

    def scores(self, output: Tensor) -> Tensor:
        """Return scores `[B, C]` from what the model gives: logits of its head, or of the next token, in 32 bits."""
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

    def name(self, answer: int) -> str:
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
class ClassTarget(Choice):
    """The class that a sequence classification head predicts; scores are the head's logits."""

    kind = "class"
    classes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return list(self.classes)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": self.names}


@dataclass(frozen=True)
class NextTokenTarget(Choice):
    """The likeliest next token of a causal language model; scores are logits over the vocabulary."""

    kind = "next token"
    reads_next_token = True
    tokenizer: Any
    vocabulary: int
    """Logits of the head, which may be more than the tokenizer has tokens."""

    @property
    def count(self) -> int:
        return self.vocabulary

    @property
    def names(self) -> None:
        return None

    def name(self, answer: int) -> str:
        return str(self.tokenizer.decode([answer]))

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return NaN: labels of a corpus are no tokens."""
        return changed.new_full((len(changed),), torch.nan)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return NaN: labels of a corpus are no tokens."""
        return changed.new_full((len(changed),), torch.nan)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind}


@dataclass(frozen=True)
class LabelWordTarget(Choice):
    """The label whose word is the likeliest next one, of a causal language model.

    Scores are log-probabilities of the words, over the whole vocabulary; that of a word of several tokens is the sum
    over its tokens, each behind those before it. The probabilities that are shown and compared are those among the
    label words. Activations keep those over the whole vocabulary, whose sum is what the label words hold together.
    """

    kind = "label word"
    reads_next_token = True
    words: tuple[tuple[str, str], ...]
    """For each label its name and its word."""
    tokens: tuple[Continuation, ...]
    """The tokens that each word is."""
    continuations: tuple[Continuation, ...] = ALONE

    @classmethod
    def of(cls, words: Mapping[str, str], tokenizer: Any) -> LabelWordTarget:
        """Return the target for words by label. ClvqError: a word that the tokenizer does not know, or the word of two
        labels."""
        tokens = tuple(tuple(known_tokens(tokenizer, word)) for word in words.values())
        if len(set(tokens)) < len(tokens):
            listed = ", ".join(map(repr, words.values()))
            raise ClvqError(f"Two labels have the same label word: {listed}. Give each its own.")
        return cls(tuple(words.items()), tokens, continuations_of(tokens))

    @property
    def names(self) -> list[str]:
        return [label for label, _ in self.words]

    def scores(self, output: Tensor) -> Tensor:
        """Return `[B, C]` from logits `[B, V]` of the next token, or `[B, M, K + 1, V]` of those at and behind it."""
        chances = output.log_softmax(dim=-1)
        if output.dim() == 2:
            chances = chances[:, None, None]
        words = [places_of(word, self.continuations) for word in self.tokens]
        return torch.stack(
            [torch.stack([chances[:, m, step, token] for m, step, token in word]).sum(dim=0) for word in words], dim=1
        )

    def stored(self, scores: Tensor) -> Tensor:
        return scores.exp()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": dict(self.words)}


@dataclass(frozen=True)
class TokenTarget(Target):
    """The logit of one next token of a causal language model, or how much higher it is than that of another.

    A flip is a change of more than one standard deviation of the clean scores, up or down. In place of KL stands the
    squared change in those units. A score has no probability and no label.
    """

    kind = "token"
    reads_next_token = True
    is_choice = False
    token: str
    token_number: int
    against: str | None = None
    against_number: int | None = None
    unit: float | None = None
    """Standard deviation of the clean scores of the evaluation split; None before these are known."""

    @classmethod
    def of(cls, token: str, against: str | None, tokenizer: Any) -> TokenTarget:
        """Return the target for a token, and another. ClvqError: a text that is not one token; both the same."""
        first = token_id(tokenizer, token)
        second = None if against is None else token_id(tokenizer, against)
        if first == second:
            raise ClvqError(f"--target and --against are the same token, {token!r}: their difference is always 0.")
        return cls(token, first, against, second)

    @property
    def count(self) -> int:
        return 1

    @property
    def names(self) -> None:
        return None

    def name(self, answer: int) -> str:
        return repr(self.token) if self.against is None else f"{self.token!r} against {self.against!r}"

    def scores(self, output: Tensor) -> Tensor:
        score = output[:, self.token_number]
        return (score if self.against_number is None else score - output[:, self.against_number])[:, None]

    def answers(self, scores: Tensor) -> Tensor:
        return torch.zeros(len(scores), dtype=torch.long, device=scores.device)

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

    def scaled(self, unit: float | None) -> TokenTarget:
        return replace(self, unit=unit)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "token": self.token, "against": self.against}


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a causal language model; nothing: its likeliest next token."""

    token: str | None = None
    against: str | None = None
    label_words: tuple[tuple[str, str], ...] = ()
    """For each label its name and its word."""

    def __bool__(self) -> bool:
        return self != Asked()

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Asked:
        """Return what the settings of an extraction ask, as an activation store holds them too."""
        words = settings.get("label_words")
        label_words = () if words is None else tuple(parse_label_words(words).items())
        return cls(settings.get("target"), settings.get("against"), label_words)

    def target(self, tokenizer: Any, vocabulary: int) -> Target:
        """Return the target of a model with this tokenizer and as many logits. ClvqError: a word is not one token."""
        if self.label_words:
            return LabelWordTarget.of(dict(self.label_words), tokenizer)
        if self.token is not None:
            return TokenTarget.of(self.token, self.against, tokenizer)
        return NextTokenTarget(tokenizer, vocabulary)


NOTHING = Asked()
"""The likeliest next token is asked for."""


def word_tokens(tokenizer: Any, word: str) -> list[int]:
    """Return the ids of the tokens of `word` behind other text, a leading space kept.

        word_tokens(tokenizer, " bad")     # [2089] in GPT-2

    Tokenizers of the SentencePiece kind put a space before the text that they are given. Behind a colon the word is
    read as it stands. ClvqError: an empty word, and a word that runs together with the colon.
    """
    before, behind = (_ids(tokenizer, text) for text in (":", f":{word}"))
    if not word.strip() or behind[: len(before)] != before or len(behind) == len(before):
        raise ClvqError(f"{word!r} is no word that this model's tokenizer could give next.")
    return behind[len(before) :]


def known_tokens(tokenizer: Any, word: str) -> list[int]:
    """Return `word_tokens`. ClvqError where the tokenizer does not know one of them."""
    ids = word_tokens(tokenizer, word)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise ClvqError(f"The tokenizer of this model does not know {word!r}. Give another word.")
    return ids


def token_id(tokenizer: Any, word: str) -> int:
    """Return the token that `word` is. ClvqError where the tokenizer cuts it up, or does not know it."""
    ids = word_tokens(tokenizer, word)
    if len(ids) > 1 or ids[0] == tokenizer.unk_token_id:
        parts = " ".join(map(repr, tokenizer.convert_ids_to_tokens(ids)))
        spaced = "" if word[:1].isspace() else f" Inside a text words mostly begin with a space: {' ' + word!r}."
        raise ClvqError(f"{word!r} is not one token of this model: its tokenizer gives {parts}.{spaced}")
    return ids[0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
