"""Targets: what is asked of a language model, and what a change of its answer is called.

A target turns what the model gives into scores `[B, C]`, names the C answers, and says what attributions explain. It
says too what a flip, a divergence and a right answer are, so that prediction, attribution, edits, splice and figures
ask one place. The two families, one of several answers (`Choice`) and a number (`Score`), are in `answers`; the targets
of classification heads in `head_targets`, and those of heads over a vocabulary in `word_targets`. Here one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clvq.config.prompts import parse_label_words
from clvq.language_model.answers import Target
from clvq.language_model.head_targets import ClassTarget, LabelTarget
from clvq.language_model.word_targets import ClozeTarget, LabelWordTarget, NextTokenTarget, TokenTarget


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


def as_stored(target: Target | None, described: Mapping[str, Any] | None) -> Target | None:
    """Return the target of a model as a store describes it: with the unit of scores, and with the labels of a head
    asked one by one where those of the corpus are lists."""
    if target is None or described is None:
        return target
    if isinstance(target, ClassTarget) and described["kind"] == LabelTarget.kind:
        target = LabelTarget(target.classes)
    return target.scaled(described["unit"])
