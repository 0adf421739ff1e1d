"""What `faithfulness` measures, as values: a class for each kind of JSON object in the files that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from clvq.artifacts.records import Record


@dataclass(frozen=True)
class Interval(Record):
    """A mean with its 95% interval over distinct texts."""

    value: float
    low: float
    high: float

    @classmethod
    def read(cls, body: Mapping[str, float] | None) -> Self | None:
        """Return the interval of a JSON object; None where there is none."""
        return None if body is None else cls(**body)


@dataclass(frozen=True)
class EffectRow(Record):
    """What an edit or a control does, over the sentences that have something to edit at a place."""

    checkpoint: str
    edit: str
    place: str
    mass: float | None
    """Share of the attribution that the edited words hold; None where words are not chosen by it."""
    control: str | None
    """None for the edit itself."""
    sentences: int
    tokens: int
    accuracy: float | None
    from_chance: float | None
    """`|accuracy - chance|`."""
    flips: float
    """Share of the sentences whose predicted class, or next token, changes."""
    kl: float
    """KL(clean || changed) in nats."""
    probability: float
    """How much the probability of the prediction falls."""
    distance: float
    """How far a token moves, on average, in the language model's units."""
    rank: float | None
    """Directions that the edit takes out of a token; None for controls and for the replacement by the mean."""
    energy: float | None
    """Share of a token's squared distance from the edit's origin that lies along these directions."""


@dataclass(frozen=True)
class SelectivityRow(Record):
    """What a concept does beyond a control in one figure."""

    checkpoint: str
    edit: str
    place: str
    mass: float | None
    rank: int | None
    """On the curve over ranks, how many directions the edit takes out of a word; None elsewhere."""
    figure: str
    """flips, kl or probability."""
    control: str
    concept: float
    control_value: float
    selectivity: float | None
    """`concept - control_value`; None where the control is not comparable (`reason` says why)."""
    low: float | None
    high: float | None
    reason: str | None

    @property
    def key(self) -> tuple[object, ...]:
        """The fields that distinguish the rows of a checkpoint."""
        return self.edit, self.place, self.mass, self.rank, self.control, self.figure


@dataclass(frozen=True)
class SeedsRow(SelectivityRow):
    """A row of the mean over checkpoints that differ in their seed alone."""

    spread: float | None
    """Standard deviation of the seeds' own selectivities."""
    seeds: int


@dataclass(frozen=True)
class ClassRow(SelectivityRow):
    """A row of the sentences of one class."""

    label: str
    sentences: int

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "sentences": self.sentences, **super().as_json()}


SPECIFICITY = ("cause", "isolation", "both", "targeted", "spillover")
"""Figures of `SpecificityRow`."""


@dataclass(frozen=True)
class SpecificityRow(Record):
    """Whether concepts of the predicted class change that class alone; see `clvq.interventions.specificity`."""

    checkpoint: str
    label: str | None
    """The predicted class; None for all of them."""
    sentences: int
    """Sentences that have words of concepts of the predicted class, and words of concepts of other classes."""
    words: float
    """Mean number of words of a sentence that have a concept of the predicted class."""
    other_words: float
    cause: Interval
    isolation: Interval
    both: Interval
    """Mean of cause and isolation."""
    targeted: Interval
    spillover: Interval

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{**body, **{name: Interval(**body[name]) for name in SPECIFICITY}})


@dataclass(frozen=True)
class DifferenceRow(Record):
    """Selectivity of `checkpoint` minus that of `other`, over the sentences that both edit.

    With several seeds, the interval is over texts and seeds.
    """

    checkpoint: str
    other: str
    edit: str
    place: str
    figure: str
    control: str
    difference: float
    low: float
    high: float
    distance: float
    other_distance: float
    sentences: int
    p: float
    """Two-sided, from the same resamples as the interval."""
    p_holm: float | None
    """`p` corrected for all differences of flips and KL against the hard controls; None for other rows."""


@dataclass(frozen=True)
class Tables(Record):
    """The lines of one or more checkpoints."""

    figures: list[EffectRow]
    rows: list[SelectivityRow]
    curve: list[SelectivityRow]
    """Rows of every mass from 0.1 to 1."""
    rank_curve: list[SelectivityRow]
    """Rows of every rank from 1 to 32."""

    @classmethod
    def joined(cls, several: Iterable[Tables]) -> Tables:
        """Return the lines of all, one after the other."""
        tables = list(several)
        return cls(*([line for one in tables for line in getattr(one, item.name)] for item in fields(cls)))


@dataclass(frozen=True)
class Seeds(Record):
    """Checkpoints of one setting, which differ in the seed alone."""

    name: str
    """Name of the first checkpoint."""
    method: str
    checkpoints: list[str]
    seeds: list[int]


@dataclass(frozen=True)
class Clean(Record):
    """The sentences with nothing edited."""

    sentences: int
    distinct_texts: int
    accuracy: float | None
    chance: float | None
    """Accuracy of always saying the most frequent class."""
    r2: float | None = None
    """R² of the scores, where the answer is a number and sentences have numbers as labels."""
