"""Targets of language models: the next token, a given token, and label words, behind a text or at a mask in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor

from clvq.config import TEXT_TOKEN
from clvq.errors import ClvqError
from clvq.language_model.answers import Choice, Score
from clvq.language_model.continuations import ALONE, Continuation, Forwards, beginnings_of, continuations_of, places_of
from clvq.language_model.tokenization import TokenizedSentence


@dataclass(frozen=True)
class NextTokenTarget(Choice):
    """The likeliest next token of a causal language model; scores are logits over the vocabulary."""

    kind = "next token"
    reads_next_token = True
    tokenizer: Any
    vocabulary: int
    """The number of logits of the head, which may be more than the tokenizer has tokens."""

    @property
    def count(self) -> int:
        return self.vocabulary

    @property
    def names(self) -> None:
        return None

    def name(self, answer: int, part: int = 0) -> str:
        return str(self.tokenizer.decode([answer]))

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return NaN: labels of a corpus are no tokens."""
        return changed.new_full((len(changed),), torch.nan)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return NaN: labels of a corpus are no tokens."""
        return changed.new_full((len(changed),), torch.nan)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind}


class TextTarget(NextTokenTarget):
    """The next token at every token of a text; the right answer is the token that follows in the text."""

    kind = TEXT_TOKEN

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return -log of the probability of the token that follows `[P]`."""
        return Choice.label_loss(self, changed, labels)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return whether the likeliest token is the one that follows `[P]`."""
        return Choice.correct(self, changed, labels)


@dataclass(frozen=True)
class LabelWordTarget(Choice):
    """The label whose word is the likeliest next one, for a causal language model.

    Scores are log-probabilities of the words over the whole vocabulary. The score of a word of several tokens is the
    sum over its tokens, each predicted behind those before it. The probabilities that are shown and compared are taken
    among the label words. Activations keep the probabilities over the whole vocabulary; their sum is the probability
    that the next word is one of the label words.
    """

    kind = "label word"
    reads_next_token = True
    words: tuple[tuple[str, str], ...]
    """For each label its name and its word."""
    tokens: tuple[Continuation, ...]
    """The tokens of each word."""
    forwards: Forwards = ALONE

    @classmethod
    def of(cls, words: Mapping[str, str], tokenizer: Any) -> Self:
        """Return the target for words by label. ClvqError where the tokenizer does not know a word, or two labels have
        the same word."""
        tokens = tuple(tuple(known_tokens(tokenizer, word)) for word in words.values())
        if len(set(tokens)) < len(tokens):
            listed = ", ".join(map(repr, words.values()))
            raise ClvqError(f"Two labels have the same label word: {listed}. Give each its own.")
        return cls(tuple(words.items()), tokens, (continuations_of(tokens),))

    @property
    def names(self) -> list[str]:
        return [label for label, _ in self.words]

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        """Return scores `[B, C]` from logits: `[B, V]` behind a text, or `[B, M, K + 1, V]` behind it and each appended
        token."""
        chances = output.log_softmax(dim=-1)
        if output.dim() == 2:
            chances = chances[:, None, None]
        at = [places_of(word, list(chain(*self.forwards))) for word in self.tokens]
        return torch.stack(
            [torch.stack([chances[:, m, step, token] for m, step, token in word]).sum(dim=0) for word in at], dim=1
        )

    def stored(self, scores: Tensor) -> Tensor:
        return scores.exp()

    def apart(self) -> Self:
        """Return the target for a model whose results depend on padding or on the batch: each continuation has a
        forward of its own."""
        return replace(self, forwards=tuple((beginning,) for beginning in beginnings_of(self.tokens)))

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": dict(self.words)}


class ClozeTarget(LabelWordTarget):
    """The label whose word is the likeliest one at the mask of the prompt, for a masked language model.

    Scores are log-probabilities of the words there, over the whole vocabulary (Schick and Schütze, arXiv 2001.07676).
    The state of the mask is the sentence row.
    """

    reads_next_token = False
    reads_mask = True
    reads_place = True

    @classmethod
    def of(cls, words: Mapping[str, str], tokenizer: Any) -> Self:
        """Return the target for words by label. ClvqError where a word is not one token, or two labels have the same
        word."""
        for word in words.values():
            if len(known_tokens(tokenizer, word)) > 1:
                raise ClvqError(f"--label-words: {not_one_token(tokenizer, word)} A mask stands for one token.")
        return super().of(words, tokenizer)

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        return sentence.sentence_token


@dataclass(frozen=True)
class TokenTarget(Score):
    """The logit of one next token of a causal language model, or that logit minus the logit of another token."""

    kind = "token"
    reads_next_token = True
    token: str
    token_number: int
    against: str | None = None
    against_number: int | None = None

    @classmethod
    def of(cls, token: str, against: str | None, tokenizer: Any) -> TokenTarget:
        """Return the target for a token, or for its difference from the token `against`. ClvqError where either is not
        one token of the tokenizer, or both are the same."""
        first = token_id(tokenizer, token)
        second = None if against is None else token_id(tokenizer, against)
        if first == second:
            raise ClvqError(f"--target and --against are the same token, {token!r}: their difference is always 0.")
        return cls(token, first, against, second)

    def name(self, answer: int, part: int = 0) -> str:
        return repr(self.token) if self.against is None else f"{self.token!r} against {self.against!r}"

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        score = output[:, self.token_number]
        return (score if self.against_number is None else score - output[:, self.against_number])[:, None]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "token": self.token, "against": self.against}


def word_tokens(tokenizer: Any, word: str) -> list[int]:
    """Return the ids of the tokens of `word` as it follows other text; a leading space is kept.

        word_tokens(tokenizer, " bad")     # [2089] in GPT-2

    Tokenizers like SentencePiece put a space before their input. So the word is tokenized behind a colon, where no
    space is added. ClvqError where the word is empty, or merges with the colon into one token.
    """
    before, behind = (_ids(tokenizer, text) for text in (":", f":{word}"))
    if not word.strip() or behind[: len(before)] != before or len(behind) == len(before):
        raise ClvqError(f"{word!r} is not a word that this model can predict: its tokenizer makes no token of it.")
    return behind[len(before) :]


def known_tokens(tokenizer: Any, word: str) -> list[int]:
    """Return `word_tokens`. ClvqError where the tokenizer does not know one of them."""
    ids = word_tokens(tokenizer, word)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise ClvqError(f"The tokenizer of this model does not know {word!r}. Give another word.")
    return ids


def token_id(tokenizer: Any, word: str) -> int:
    """Return the id of the one token of `word`. ClvqError where the tokenizer cuts the word up, or does not know it."""
    ids = word_tokens(tokenizer, word)
    if len(ids) > 1 or ids[0] == tokenizer.unk_token_id:
        raise ClvqError(not_one_token(tokenizer, word))
    return ids[0]


def not_one_token(tokenizer: Any, word: str) -> str:
    """Return the message that `word` is not one token, with the tokens that the tokenizer gives."""
    parts = " ".join(map(repr, tokenizer.convert_ids_to_tokens(word_tokens(tokenizer, word))))
    spaced = "" if word[:1].isspace() else f" Inside a text words mostly begin with a space: {' ' + word!r}."
    return f"{word!r} is not one token of this model: its tokenizer gives {parts}.{spaced}"


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
