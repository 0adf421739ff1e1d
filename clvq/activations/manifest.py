"""The records of an activation store: what manifest.json says, and the record of an unfinished extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from clvq.artifacts.records import Record
from clvq.config import ExtractConfig
from clvq.corpus.provenance import CorpusProvenance
from clvq.language_model.input_format import InputFormat
from clvq.language_model.records import ModelRecord, StoredTarget

SENTENCES = "sentences"
"""Name of the part with the sentences, among the files of a shard."""


@dataclass(frozen=True)
class StoredFile(Record):
    """A file of a store."""

    file: str
    """Its name in the folder of the store."""
    checksum: str
    rows: int | None = None
    """Number of rows of a layer; None for a file of sentences."""

    omitted = ("rows",)


@dataclass(frozen=True)
class ScoreFit(Record):
    """How close the model's scores are to the right numbers."""

    r2: float | None
    """Coefficient of determination; None where all numbers are equal."""
    correlation: float | None
    """Pearson's; None where all numbers or all scores are equal."""


@dataclass(frozen=True, kw_only=True)
class SplitFigures(Record):
    """Figures of the sentences of a split. One is None where no sentence has the label, prediction or score that it
    needs."""

    labels: dict[str, int]
    """Number of sentences of each label, by its number."""
    accuracy: float | None
    majority: float | None
    """Share of the most frequent answer: of a class among the labels, or, where a model gives several labels, of yes or
    of no among all of them."""
    score_mean: float | None = None
    score_deviation: float | None = None
    """Standard deviation of the scores."""
    fit: ScoreFit | None = None
    """None where labels are no numbers."""
    label_words_share: float | None = None
    """Mean probability of all label words together; None where the model is not asked for label words."""

    omitted = ("label_words_share",)

    @property
    def r2(self) -> float | None:
        """R² of the fit."""
        return None if self.fit is None else self.fit.r2

    @property
    def correlation(self) -> float | None:
        """Correlation of the fit."""
        return None if self.fit is None else self.fit.correlation

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, those of the fit among them where there is one."""
        body = super().as_json()
        fit = body.pop("fit")
        return {**body, **(fit or {})}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned."""
        return super().from_json({**body, "fit": body if "r2" in body else None})


@dataclass(frozen=True)
class StoredSplit(Record):
    """The sentences of a split: their number, their file, and what became of the corpus."""

    sentences: int
    file: str
    checksum: str
    counts: dict[str, int]
    """Rows and words, and what was cut away or has no row."""
    corpus_counts: dict[str, int]
    """What became of the rows of the corpus."""
    figures: SplitFigures

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with the figures among them."""
        body = super().as_json()
        figures = body.pop("figures")
        return {**body, **figures}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned."""
        return super().from_json({**body, "figures": body})


@dataclass(frozen=True, kw_only=True)
class StoredLayer(Record):
    """What the manifest says about one layer."""

    index: int
    width: int
    scale: float
    """The factor by which rows are multiplied, so that the mean squared norm of training rows is `width`."""
    median_norm: float
    sinks: int
    """Number of training rows that are attention sinks."""
    fingerprint: str
    shards: dict[str, list[StoredFile]] = field(default_factory=dict, repr=False, compare=False)
    """The files of each split, which do not count when layers are compared; empty in the copy that a checkpoint
    keeps."""

    omitted = ("shards",)


@dataclass(frozen=True)
class Sources(Record):
    """Checksums of the local files that a store is made from; None for an input that is not local, or the demo."""

    model: str | None
    dataset: str | None
    eval_dataset: str | None


@dataclass(frozen=True)
class StoreProvenance(Record):
    """Where the rows of a store come from."""

    model: ModelRecord
    corpus: CorpusProvenance
    sources: Sources
    versions: dict[str, str]
    created: str


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """What manifest.json says.

        manifest = clvq.ActivationStore("run/activations").manifest
        print(manifest.splits["eval"].figures.accuracy)

    A checkpoint keeps a copy, which names no files.
    """

    settings: ExtractConfig
    """Settings that do not decide the result have their defaults."""
    batch_tokens: int | None = None
    """None in a store of an earlier clvq."""
    provenance: StoreProvenance
    label_names: list[str] | None
    has_predictions: bool
    target: StoredTarget | None = None
    """None where the model gave no answer, and in a store of an earlier clvq."""
    rows_fingerprint: str
    """Identifies the rows: texts, labels, spans and flags of every split."""
    splits: dict[str, StoredSplit] = field(default_factory=dict)
    """Empty in the copy that a checkpoint keeps."""
    layers: dict[int, StoredLayer]

    omitted = ("batch_tokens", "splits")

    @property
    def target_kind(self) -> str | None:
        """Kind of the target; None where the model gave no answer."""
        return None if self.target is None else self.target.kind

    def without_files(self, layers: Sequence[int]) -> Self:
        """Return the copy for a checkpoint, with the named layers only."""
        kept = {layer: replace(self.layers[layer], shards={}) for layer in layers}
        return replace(self, splits={}, layers=kept)


@dataclass(frozen=True)
class SplitProgress(Record):
    """How much of a split is extracted."""

    sentences: int = 0
    shards: list[dict[str, StoredFile]] = field(default_factory=list)
    """For each shard its files: of every layer by its number, and of the sentences."""
    counts: dict[str, int] = field(default_factory=dict)

    def with_shard(self, files: dict[str, StoredFile], sentences: int, counts: Mapping[str, int]) -> SplitProgress:
        """Return the progress after one more shard, which has so many sentences."""
        total = {key: self.counts.get(key, 0) + value for key, value in counts.items()}
        return SplitProgress(self.sentences + sentences, [*self.shards, files], total)


@dataclass(frozen=True, kw_only=True)
class Unfinished(Record):
    """What unfinished.json says: what is extracted, and which shards are complete."""

    settings: ExtractConfig
    batch_tokens: int | None = None
    sources: Sources
    input_format: InputFormat | None = None
    """None where texts are given to the model as they are."""
    layers: list[int]
    splits: dict[str, SplitProgress]
    format_version: int
    """That of the clvq that began the extraction."""
