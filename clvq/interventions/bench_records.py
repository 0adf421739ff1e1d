"""bench.json as a value: one kind of line for every measure, so that methods and measures are compared in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from clvq.artifacts.records import ModelName, Record
from clvq.interventions.records import Interval, Seeds

REFERENCES = {
    "oracle": "the true counterfactual",
    "mean change": "mean effect of the same change",
    "no change": "no effect at all",
}
"""What checkpoints are compared with, the best first. They use no codes."""

STATES = "states"
"""The method of probes that read the whole state of a text, not its codes."""

MEASURES = {
    "error": "distance between the true and the estimated effect",
    "norm": "difference of the sizes of the two effects",
    "cosine": "cosine distance of the two effects",
    "order": "agreement of the order of true and estimated effects",
    "probing": "accuracy of a probe that reads k codes",
    "scr": "share of a spurious correlation that is removed with k codes",
    "tpp": "fall of the class's own probe without k codes, minus that of other classes' probes",
}


@dataclass(frozen=True)
class BenchRow(Record):
    """A figure of a checkpoint, of the mean over its seeds, or of a reference."""

    method: str
    """Name of a checkpoint (the first one of its seeds), a key of REFERENCES, or STATES."""
    measure: str
    """A key of MEASURES."""
    part: str
    """The kind of pairs, or the attribute that is read; "all" for all of them."""
    k: int | None
    """How many codes the measure uses; None where it has no such number."""
    figure: Interval | None
    """None where the measure is not defined."""
    count: int
    """How many pairs, changes or tasks the figure is a mean over."""

    @property
    def key(self) -> tuple[str, str, int | None]:
        """The fields that distinguish the figures of a method."""
        return self.measure, self.part, self.k


@dataclass(frozen=True)
class BenchDifference(Record):
    """Error of the first checkpoint minus that of another, over the same pairs: below 0, the first has less error."""

    method: str
    other: str
    part: str
    difference: Interval
    p: float
    """Two-sided, by resampling."""
    p_holm: float
    """`p` corrected for all differences of the table."""


@dataclass(frozen=True)
class BenchResults(Record):
    """What `clvq bench` measures."""

    model: ModelName
    groups: list[Seeds]
    """Checkpoints of one setting, which differ in the seed alone."""
    pairs: int
    originals: int
    """Texts that the pairs are made from."""
    left_out: int
    """Number of pairs that the model cannot read as a whole."""
    edited: dict[str, float]
    """By method, the share of pairs in which a word is edited."""
    rows: list[BenchRow]
    differences: list[BenchDifference]
    lacking: list[str]
    """The reason for each measure that has no row."""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the body of bench.json as a value."""
        differences = [{**line, "difference": Interval(**line["difference"])} for line in body["differences"]]
        return cls(
            model=ModelName.from_json(body["model"]),
            groups=[Seeds(**group) for group in body["groups"]],
            **{name: body[name] for name in ("pairs", "originals", "left_out", "edited", "lacking")},
            rows=[BenchRow(**{**line, "figure": Interval.read(line["figure"])}) for line in body["rows"]],
            differences=[BenchDifference(**line) for line in differences],
        )

    def row(self, method: str, measure: str, part: str = "all", k: int | None = None) -> BenchRow | None:
        """Return the row of a figure; None where there is none."""
        return next((row for row in self.rows if row.method == method and row.key == (measure, part, k)), None)

    @property
    def methods(self) -> list[str]:
        """Checkpoints as given, with the references around them: the oracle first, the weaker ones last."""
        references = list(REFERENCES)
        return [references[0], *(group.name for group in self.groups), *references[1:]]
