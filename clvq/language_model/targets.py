"""Targets: what is asked of a language model, and how a change of its answer is measured.

A target turns the model's output into scores `[B, C]`, names the C answers, and defines what attributions explain. It
also defines a flip, a divergence and a right answer. So prediction, attribution, edits, splice and figures all use the
same definitions. The two families are in `answers`: one of several answers (`Choice`), and a number (`Score`). The
targets of classification heads are in `head_targets`, those of heads over a vocabulary in `word_targets`. This module
chooses a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clvq.config import ExtractConfig
from clvq.config.prompts import parse_label_words
from clvq.language_model.answers import Target
from clvq.language_model.head_targets import ClassTarget, LabelTarget
from clvq.language_model.records import StoredTarget
from clvq.language_model.word_targets import ClozeTarget, LabelWordTarget, NextTokenTarget, TokenTarget


@dataclass(frozen=True)
class Asked:
    """What a user asks of a causal or masked language model. Where nothing is set, it is the likeliest next token."""

    token: str | None = None
    against: str | None = None
    label_words: tuple[tuple[str, str], ...] = ()
    """For each label its name and its word."""

    def __bool__(self) -> bool:
        return self != Asked()

    @classmethod
    def of_settings(cls, settings: ExtractConfig) -> Asked:
        """Return what the settings of an extraction, or of an activation store, ask of the model."""
        words = settings.label_words
        label_words = () if words is None else tuple(parse_label_words(words).items())
        return cls(settings.target, settings.against, label_words)

    def target(self, tokenizer: Any, vocabulary: int) -> Target:
        """Return the target of a model with this tokenizer and `vocabulary` logits. ClvqError where the token to
        predict is not one token, or the tokenizer does not know a label word."""
        if self.label_words:
            return LabelWordTarget.of(dict(self.label_words), tokenizer)
        if self.token is not None:
            return TokenTarget.of(self.token, self.against, tokenizer)
        return NextTokenTarget(tokenizer, vocabulary)

    def cloze(self, tokenizer: Any) -> Target:
        """Return the target of a masked language model. ClvqError where a label word is not one token."""
        return ClozeTarget.of(dict(self.label_words), tokenizer)


NOTHING = Asked()
"""The likeliest next token is asked for."""


def as_stored(target: Target | None, described: StoredTarget | None) -> Target | None:
    """Return the target of a model as a store describes it. It has the unit of the scores. A classification head is
    asked about each label separately where the labels of the corpus are lists."""
    if target is None or described is None:
        return target
    if isinstance(target, ClassTarget) and described.kind == LabelTarget.kind:
        target = LabelTarget(target.classes)
    return target.scaled(described.unit)
