"""The result of `steer` as values: a text before and after steering, and each answer of the model to it."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.artifacts.records import Record


@dataclass(frozen=True)
class Answer(Record):
    """An answer of the model, with its probability or its score before and after steering."""

    name: str
    before: float
    after: float
    control: float
    """Mean over the random steps of the same length."""
    control_low: float
    control_high: float
    """The range of the middle 90% of those steps."""


@dataclass(frozen=True)
class Steered(Record):
    """A text before and after steering."""

    text: str
    left_out: int
    """Number of words beyond the model's maximum length."""
    remove: list[int]
    add: list[int]
    strength: float
    at: str
    """Where states were edited: `SteerConfig.at`."""
    edited_words: int
    """Words of which a token's state was edited."""
    edited_tokens: int
    distance: float
    """Mean length of the step that a token's state took, in the language model's own units."""
    target: str
    """What was asked: "class", "score" or another `Target.kind`."""
    unit: float | None
    """Standard deviation of the clean scores of the evaluation split, where the answer is a score."""
    prediction_before: str
    prediction_after: str
    """The likeliest answer; of a score, its name both times."""
    flipped: bool | None
    """Whether the prediction is another one; None for a score."""
    divergence: float
    """KL of the answers before and after, in nats; for a score, its squared change in squared standard deviations."""
    control_flips: float | None
    """Share of the random steps that flip the prediction; None for a score."""
    control_divergence: float
    answers: list[Answer]
    continuation_before: str | None
    continuation_after: str | None
    """What a causal language model writes after the text; None where nothing was generated."""
