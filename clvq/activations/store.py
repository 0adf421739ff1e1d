"""The activation store: hidden states of words on disk, one file for each layer and shard, read through memory maps.

    manifest.json                     settings, provenance, counts, checksums; written last, so it marks completion
    <split>-sentences.parquet         one line a sentence: text, label, prediction, and its rows' spans and flags
    <split>-L<layer>-<shard>.safetensors   hidden_states [rows, D] in the type of storage, norms [rows] float32

Splits are `train` and `eval`. Rows stand in the order of the sentences, and within a sentence in token order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from clvq.activations.description import Description
from clvq.activations.manifest import Manifest, StoredLayer
from clvq.artifacts import ACTIVATIONS, UNFINISHED_ACTIVATIONS
from clvq.corpus.splits import SPLITS
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.language_model.rows import WORD
from clvq.notebook import Shown, data_frame
from clvq.progress import Progress, Report, silent
from clvq.storage import check_file, child, fingerprint, read_tensors

if TYPE_CHECKING:
    import torch
    from pandas import DataFrame
    from torch import Tensor

ROWS_AT_ONCE = 2048
"""The number of rows of a layer that are processed at a time."""


class SentenceRows(NamedTuple):
    """One sentence as stored, with the character span and the flags of each of its rows."""

    text: str
    label: int | None
    prediction: int | None
    probabilities: list[float] | None
    starts: list[int]
    ends: list[int]
    flags: list[int]
    answers: list[float] | None = None
    """The right answers where labels have another form than one class: see `corpus.splits.Sentence`."""

    @property
    def rows(self) -> tuple[list[int], list[int], list[int]]:
        """Starts, ends and flags."""
        return self.starts, self.ends, self.flags


class LayerRows:
    """The rows of one layer and split, memory-mapped shard by shard."""

    def __init__(self, shards: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._shards = [states for states, _ in shards]
        self._norms = [norms for _, norms in shards]
        self._first = np.cumsum([0] + [len(states) for states in self._shards])

    def __len__(self) -> int:
        return int(self._first[-1])

    def norms(self) -> np.ndarray:
        """Return the norms of the rows before scaling, [rows] float32."""
        return np.concatenate([norms.numpy() for norms in self._norms]) if self._norms else np.zeros(0, np.float32)

    def slices(self, starts: Sequence[int], ends: Sequence[int]) -> list[Tensor]:
        """Return views of the rows `[start, end)`; a range never crosses a shard, since sentences do not."""
        shards = np.searchsorted(self._first, starts, side="right") - 1
        return [
            self._shards[shard][start - self._first[shard] : end - self._first[shard]]
            for shard, start, end in zip(shards, starts, ends, strict=True)
        ]

    def shards(self) -> Iterator[tuple[int, Tensor]]:
        """Yield (first row, rows as stored) of each shard."""
        yield from ((int(first), shard) for first, shard in zip(self._first, self._shards, strict=False))


class ActivationStore(Description, Shown):
    """A finished store. `ActivationStore(path)` checks the manifest; shards are checked when a layer is first opened.

        store = clvq.ActivationStore("run/activations")
        print(sorted(store.layers), store.sentence_count("eval"))

    Raises ArtifactError for a store that is missing, unfinished, damaged, foreign or from a newer clvq.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        super().__init__(_read_manifest(self.path))
        self._checked: set[Path] = set()

    def _title(self) -> str:
        layers = ", ".join(map(str, sorted(self.layers)))
        sentences = sum(split.sentences for split in self.manifest.splits.values())
        source = f"{self.settings.model} over {sentences:,} sentences of {self.settings.dataset}"
        return f"{self.path}: layers {layers} of {source}"

    def _html(self, caption: str) -> str:
        from clvq.activations.notebook import store_html

        return store_html(caption, self.manifest)

    def to_pandas(self) -> DataFrame:
        """Return a table with one row for each sentence of both splits."""
        columns = ["split", "sentence", "text", "label", "prediction", "words"]
        rows = (
            dict(zip(columns, (split, index, sentence.text, sentence.label, sentence.prediction,
                               sum(flag & WORD != 0 for flag in sentence.flags)), strict=True))
            for split in self.manifest.splits
            for index, sentence in enumerate(self.sentences(split))
        )  # fmt: skip
        return data_frame(rows, columns).astype({"label": "Int64", "prediction": "Int64"})

    def layer(self, index: int) -> StoredLayer:
        """Return what the manifest says about a layer. MismatchError where the layer was not extracted."""
        if index not in self.layers:
            raise MismatchError(
                f"{self.path} holds layers {', '.join(map(str, sorted(self.layers)))}, not {index}. "
                f"Run `clvq extract --layers {index}` with the same model and corpus to add it."
            )
        return self.layers[index]

    def sentence_count(self, split: str) -> int:
        """Return the number of sentences of "train" or "eval"."""
        return self.manifest.splits[split].sentences

    def rows(self, split: str, layer: int, progress: Report = silent) -> LayerRows:
        """Return the rows of a layer; each shard's checksum is verified the first time."""
        shards = []
        entries = self.layer(layer).shards[split]
        for number, entry in enumerate(entries):
            path = child(self.path, entry.file)
            if path not in self._checked:
                check_file(path, entry.checksum)
                self._checked.add(path)
                progress(Progress(f"checking layer {layer}", number + 1, len(entries), "shards"))
            tensors, _ = read_tensors(path)
            if set(tensors) != {"hidden_states", "norms"} or len(tensors["norms"]) != entry.rows:
                raise ArtifactError(
                    f"{path} does not hold the rows that {ACTIVATIONS.name} says. Extract with --overwrite."
                )
            shards.append((tensors["hidden_states"], tensors["norms"]))
        return LayerRows(shards)

    def sentences(self, split: str, batch: int = 1024) -> Iterator[SentenceRows]:
        """Yield the sentences in order, read a batch at a time."""
        for table in self._parquet(split).iter_batches(batch_size=batch):
            columns = [table.column(name).to_pylist() for name in SentenceRows._fields if name in table.schema.names]
            yield from (SentenceRows(*values) for values in zip(*columns, strict=True))

    def row_counts(self, split: str) -> np.ndarray:
        """Return how many rows each sentence has, [sentences] int64."""
        parts = [
            np.diff(batch.column("flags").offsets.to_numpy())
            for batch in self._parquet(split).iter_batches(columns=["flags"])
        ]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)

    def flags(self, split: str) -> np.ndarray:
        """Return the flags of the rows, [rows] uint8: WORD, SENTENCE, FIRST, PROMPT."""
        parts = [
            batch.column("flags").flatten().to_numpy(zero_copy_only=False)
            for batch in self._parquet(split).iter_batches(columns=["flags"])
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def sinks(self, split: str, layers: Sequence[int]) -> np.ndarray:
        """Return which rows are attention sinks at any of the layers, [rows] bool. All are false in a store made with
        --keep-sinks."""
        flags = self.flags(split)
        norms = {} if self.settings.keep_sinks else {layer: self.rows(split, layer).norms() for layer in layers}
        return self._sinks(flags, norms)

    def _parquet(self, split: str) -> pq.ParquetFile:
        entry = self.manifest.splits[split]
        path = child(self.path, entry.file)
        if path not in self._checked:
            check_file(path, entry.checksum)
            self._checked.add(path)
        return pq.ParquetFile(path, memory_map=True)


def _read_manifest(path: Path) -> Manifest:
    """Return the manifest of a finished store, checked for format, version and damage."""
    if not ACTIVATIONS.exists(path):
        if UNFINISHED_ACTIVATIONS.exists(path):
            raise ArtifactError(f"{path} is unfinished. Rerun `clvq extract`: it continues where it stopped.")
        raise ArtifactError(f"{path} holds no activations ({ACTIVATIONS.name} is missing). Run `clvq extract` first.")
    return ACTIVATIONS.read_as(path, _with_files)


def _with_files(body: Mapping[str, Any]) -> Manifest:
    """Return what manifest.json says. ValueError where a field or the files of a split are missing."""
    manifest = Manifest.from_json(body)
    for split in SPLITS:
        if split not in manifest.splits or any(split not in layer.shards for layer in manifest.layers.values()):
            raise ValueError(f"the files of {split} are missing")
    return manifest


def layer_fingerprint(rows: str, keep_sinks: bool, values: Sequence[str]) -> str:
    """Identify a layer by its rows: what they stand for, whether sinks count, and a digest of each split's values."""
    return fingerprint([rows, keep_sinks, *values])


def gather(rows: Sequence[Tensor], scale: float = 1.0, device: str | torch.device = "cpu") -> Tensor:
    """Return slices of stored rows as one float32 tensor [N, D] on `device`, multiplied by `scale`."""
    import torch  # not at the top: what a store says of itself is read without torch

    if not rows:
        raise ClvqError("No rows to read.")
    return torch.cat(list(rows)).to(device=device, dtype=torch.float32).mul_(scale)
