"""Where the sentences of a corpus come from, as the manifest of an activation store and a checkpoint record it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from clvq.artifacts.records import Record
from clvq.corpus.delimited import StoredLayout


@dataclass(frozen=True)
class DatasetName(Record):
    """A dataset without subsets: the demo, a file, or a folder that `datasets` saved."""

    dataset: str
    """A name of the hub, or the base name of a local file or folder."""


@dataclass(frozen=True)
class FolderName(DatasetName):
    """A folder that may have subsets."""

    subset: str | None


@dataclass(frozen=True)
class HubName(FolderName):
    """A dataset of the hub."""

    revision: str | None
    """Its commit; None where `datasets` does not say which."""


@dataclass(frozen=True, kw_only=True)
class SplitOrigin(Record):
    """A split of a dataset, and the columns that are read."""

    source: DatasetName
    files: list[str] | None = None
    """Base names of local files."""
    split: str
    text_column: str
    label_column: str | None
    label_columns: list[str] = field(default_factory=list)
    """Where each label has a column of its own: these columns, in the order of the labels; else empty."""
    part_columns: dict[str, str] = field(default_factory=dict)
    """For a text of several parts, the column of each part; else empty."""
    layout: StoredLayout | None = None
    """How a file is read as a table; None for other files."""

    omitted = ("files", "label_columns", "part_columns", "layout")

    @property
    def revision(self) -> str | None:
        """The commit of a dataset of the hub."""
        return self.source.revision if isinstance(self.source, HubName) else None

    def as_json(self) -> dict[str, Any]:
        """Return the fields, those of `source` among them."""
        body = super().as_json()
        source = body.pop("source")
        return {**source, **body}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned."""
        kind = HubName if "revision" in body else FolderName if "subset" in body else DatasetName
        return super().from_json({**body, "source": kind.from_json(body)})


@dataclass(frozen=True)
class HeldOut(Record):
    """An evaluation split that is a part of the training split's texts."""

    held_out: float
    """The share of the distinct texts."""
    unlabelled: list[str] = field(default_factory=list)
    """Splits of the dataset that are for evaluation and have no labels, though training has."""

    omitted = ("unlabelled",)


@dataclass(frozen=True, kw_only=True)
class CorpusProvenance(Record):
    """Where the sentences of both splits come from. Local files appear with their base names only."""

    training: SplitOrigin
    evaluation: SplitOrigin | HeldOut
    max_sentences: int | None
    streaming: bool
    seed: int
    label_map: dict[str, int | None] = field(default_factory=dict)
    """The number of each value of the label column."""
    label_form: str | None = None
    """None where a label is one class."""

    omitted = ("label_form",)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, those of `training` among them."""
        body = super().as_json()
        training = body.pop("training")
        return {**training, **body}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned. KeyError where there is no evaluation split."""
        evaluated = body["evaluation"]
        evaluation = (HeldOut if "held_out" in evaluated else SplitOrigin).from_json(evaluated)
        return super().from_json({**body, "training": body, "evaluation": evaluation})

    @property
    def dataset(self) -> str:
        """Name of the dataset of the training split."""
        return self.training.source.dataset

    @property
    def evaluated(self) -> SplitOrigin:
        """The split that evaluation sentences are taken from; the training split where they are held out of it."""
        return self.training if isinstance(self.evaluation, HeldOut) else self.evaluation
