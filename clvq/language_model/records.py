"""What artifacts record about a language model: which one it is, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from clvq.artifacts.records import Record
from clvq.language_model.input_format import InputFormat


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Record):
    """A language model as an artifact names it."""

    id: str
    """The folder as it was given, a hub id, or `demo`."""
    folder: str | None = None
    """Absolute path of the model's folder; None for the demo, for a model of the hub, and in artifacts of an earlier
    clvq."""
    revision: str | None
    """The hub's commit; None for a folder."""
    fingerprint: str
    architecture: str
    is_decoder: bool
    num_layers: int
    max_length: int
    """The largest number of tokens of a text."""
    no_head_reason: str | None
    """Why the model predicts nothing; None where it does."""
    input_format: InputFormat | None = None
    """None where texts are given to the model as they are."""


@dataclass(frozen=True)
class StoredTarget(Record):
    """What was asked of a model."""

    kind: str
    """`Target.kind`."""
    unit: float | None
    """Standard deviation of the clean scores of the evaluation split; None for a choice."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else `Target.as_json` says; other keys for each kind."""

    def as_json(self) -> dict[str, Any]:
        """Return the kind, the details beside it, and the unit."""
        return {"kind": self.kind, **self.details, "unit": self.unit}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned. KeyError where the kind or the unit is missing."""
        details = {name: value for name, value in body.items() if name not in ("kind", "unit")}
        return cls(body["kind"], body["unit"], details)
