"""Targets: what is asked of a language model, and what a change of its answer is called.

A target turns what the model gives into scores `[B, C]`, names the C answers, and says what attributions explain. It
says too what a flip, a divergence and a right answer are, so that prediction, attribution, edits, splice and figures
ask one place. The two families, one of several answers (`Choice`) and
a number (`Score`), are in `answers`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from clvq.config import LABEL, TAG, TEXT_TOKEN
from clvq.config.prompts import parse_label_words
from clvq.errors import ClvqError
from clvq.language_model.answers import Choice, Score, Target
from clvq.language_model.continuations import ALONE, Continuation, continuations_of, places_of
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.words import find_words

OUTSIDE = "O"
"""The tag of a word that has none, as named entity recognition writes it."""


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
    """Each label of a head that gives any number of them, asked by itself: whether the text has it, by a sigmoid.

    A text has a part for each label. With `z` the logit of the label, scores are `[0, z]` for no and yes, so that the
    softmax over them is the sigmoid, and what is explained is `z` towards the answer: `z` of a yes, `-z` of a no.
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
        """Return the logit of the label, towards the answer."""
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

    A text has a part for each word. The word's own row stands in the place of the sentence row. Figures are taken over
    tagged words: those whose label is a tag other than `O`; where nothing is labelled, over all words.
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
        """Return whether a number is that of a tag, rather than of none or of `O`."""
        return number >= 0 and self.tags[number] != OUTSIDE

    def part_name(self, part: int, text: str, sentence: TokenizedSentence) -> str:
        start, end = sentence.words[part]
        return text[start:end]

    def aligned(
        self, text: str, sentence: TokenizedSentence, answers: Sequence[float] | None
    ) -> Sequence[float] | None:
        """Return the label of each word that has a row; a corpus has one for whatever white space sets apart."""
        if answers is None:
            return None
        starts = [start for start, _ in find_words(text, "whitespace")]
        return [answers[bisect_right(starts, start) - 1] for start, _ in sentence.words]

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        return sentence.word_tokens[part][0]

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        assert places is not None, "which word of each text is asked for must be said"
        return output[torch.arange(len(output), device=output.device), places]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": self.names}


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
        """Return the squared error in units of the clean scores' deviation; `labels` are numbers, NaN for none."""
        assert self.unit, "compared scores have a unit"
        return (changed[:, 0] - labels / self.unit).square()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.called}


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
    """The next token at every token of a text, of which the one that follows in the text is the right one."""

    kind = TEXT_TOKEN

    def label_loss(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return -log of the probability of the token that follows `[P]`."""
        return Choice.label_loss(self, changed, labels)

    def correct(self, changed: Tensor, labels: Tensor) -> Tensor:
        """Return whether the likeliest token is the one that follows `[P]`."""
        return Choice.correct(self, changed, labels)


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
    def of(cls, words: Mapping[str, str], tokenizer: Any) -> Self:
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

    def scores(self, output: Tensor, places: Tensor | None = None) -> Tensor:
        """Return `[B, C]` from logits `[B, V]` of the next token, or `[B, M, K + 1, V]` of those at and behind it."""
        chances = output.log_softmax(dim=-1)
        if output.dim() == 2:
            chances = chances[:, None, None]
        at = [places_of(word, self.continuations) for word in self.tokens]
        return torch.stack(
            [torch.stack([chances[:, m, step, token] for m, step, token in word]).sum(dim=0) for word in at], dim=1
        )

    def stored(self, scores: Tensor) -> Tensor:
        return scores.exp()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": dict(self.words)}


class ClozeTarget(LabelWordTarget):
    """The label whose word is the likeliest one at the mask of the prompt, of a masked language model.

    Scores are log-probabilities of the words there, over the whole vocabulary (Schick and Schütze, arXiv 2001.07676).
    The state of the mask stands as the sentence row.
    """

    reads_next_token = False
    reads_mask = True
    reads_place = True

    @classmethod
    def of(cls, words: Mapping[str, str], tokenizer: Any) -> Self:
        """Return the target for words by label. ClvqError: a word that is not one token, or the word of two labels."""
        for word in words.values():
            if len(known_tokens(tokenizer, word)) > 1:
                raise ClvqError(f"--label-words: {not_one_token(tokenizer, word)} A mask stands for one token.")
        return super().of(words, tokenizer)

    def place(self, sentence: TokenizedSentence, part: int) -> int:
        return sentence.sentence_token


@dataclass(frozen=True)
class TokenTarget(Score):
    """The logit of one next token of a causal language model, or how much higher it is than that of another."""

    kind = "token"
    reads_next_token = True
    token: str
    token_number: int
    against: str | None = None
    against_number: int | None = None

    @classmethod
    def of(cls, token: str, against: str | None, tokenizer: Any) -> TokenTarget:
        """Return the target for a token, and another. ClvqError: a text that is not one token; both the same."""
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


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a causal language model, or of a masked one; nothing: its likeliest next token."""

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

    def cloze(self, tokenizer: Any) -> Target:
        """Return the target of a masked language model. ClvqError: a word is not one token."""
        return ClozeTarget.of(dict(self.label_words), tokenizer)


NOTHING = Asked()
"""The likeliest next token is asked for."""


def head_target(config: Any, architecture: str) -> Target:
    """Return what a classification head is asked, from the `config` of its model and the name of its class."""
    names = tuple(str(config.id2label.get(number, f"LABEL_{number}")) for number in range(config.num_labels))
    if architecture.endswith("ForTokenClassification"):
        return TagTarget(names)
    if config.problem_type == "multi_label_classification":
        return LabelTarget(names)
    if len(names) == 1:
        return ScoreTarget("score" if names[0] == "LABEL_0" else names[0])
    return ClassTarget(names)


def as_stored(target: Target | None, described: Mapping[str, Any] | None) -> Target | None:
    """Return the target of a model as a store describes it: with the unit of scores, and with the labels of a head
    asked one by one where those of the corpus are lists."""
    if target is None or described is None:
        return target
    if isinstance(target, ClassTarget) and described["kind"] == LabelTarget.kind:
        target = LabelTarget(target.classes)
    return target.scaled(described["unit"])


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
        raise ClvqError(not_one_token(tokenizer, word))
    return ids[0]


def not_one_token(tokenizer: Any, word: str) -> str:
    """Return the message that `word` is several tokens, and which."""
    parts = " ".join(map(repr, tokenizer.convert_ids_to_tokens(word_tokens(tokenizer, word))))
    spaced = "" if word[:1].isspace() else f" Inside a text words mostly begin with a space: {' ' + word!r}."
    return f"{word!r} is not one token of this model: its tokenizer gives {parts}.{spaced}"


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
