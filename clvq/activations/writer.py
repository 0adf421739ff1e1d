"""Writing an activation store: shards as they fill, a record to continue from, the manifest at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor

from clvq.activations.inputs import model_folder, sources
from clvq.activations.manifest import (
    SENTENCES,
    Manifest,
    SplitFigures,
    SplitProgress,
    StoredFile,
    StoredLayer,
    StoredSplit,
    StoreProvenance,
    Unfinished,
)
from clvq.activations.sentence_files import read_flags, read_parts, write_sentences
from clvq.activations.store import ActivationStore, SentenceRows, layer_fingerprint
from clvq.activations.summary import SplitSummary
from clvq.artifacts import ACTIVATIONS, UNFINISHED_ACTIVATIONS, UNFINISHED_WINDOW, sensitivity, stamp
from clvq.config import ExtractConfig
from clvq.corpus.splits import SPLITS, Corpus
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.head_targets import ClassTarget
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.records import ModelRecord, StoredTarget
from clvq.language_model.rows import sink_rows
from clvq.progress import Progress, Report
from clvq.storage import check_file, child, file_checksum, fingerprint, read_tensors, write_tensors

SMALL_SHARE = 0.5
"""Where the label words together have a smaller share of the probability than this, a warning says so."""


@dataclass(frozen=True)
class ExtractionJob:
    """What one extraction does: which layers of which model, into which folder."""

    path: Path
    config: ExtractConfig
    batch_tokens: int
    """The setting, or where none is given the size that the store has or that suits the device."""
    model: LanguageModel
    store: ActivationStore | None
    """The finished store that lacks layers; None for a new one."""
    progress: Report

    @property
    def layers(self) -> list[int]:
        """The layers that are still to be written."""
        return sorted(set(self.config.layers) - set(self.store.layers if self.store else ()))

    @property
    def input_format(self) -> InputFormat | None:
        """The format of the texts, for the record; None where texts stand alone."""
        return None if self.model.input_format.is_plain else self.model.input_format

    @property
    def predicts(self) -> bool:
        """Whether predictions are stored too."""
        return self.store is None and self.model.target is not None and self.model.target.stored_width > 0


class StoreWriter:
    """Writes the layers of a job; `record` is the content of unfinished.json, which says which shards are complete."""

    def __init__(self, job: ExtractionJob, record: Unfinished) -> None:
        self.job, self.record = job, record

    @classmethod
    def open(cls, job: ExtractionJob) -> StoreWriter:
        """Continue what an unfinished run of the same job wrote, or begin a new store."""
        record = _resumed(job) or Unfinished(
            settings=job.config,
            batch_tokens=job.batch_tokens,
            sources=sources(job.config),
            input_format=job.input_format,
            layers=job.layers,
            splits={split: SplitProgress() for split in SPLITS},
            format_version=UNFINISHED_ACTIVATIONS.version,
        )
        return cls(job, record)

    @property
    def has_answers(self) -> bool:
        """Whether labels have another form than one class."""
        target = self.job.model.target
        return target is not None and target.label_form != "class"

    def sentences_done(self, split: str) -> int:
        return self.record.splits[split].sentences

    def write(self, split: str, rows: list[SentenceRows], states: dict[int, Tensor], counts: dict[str, int]) -> None:
        """Write the next shard of a split: rows of whole sentences, and their states `[rows, D]` of each layer."""
        done = self.record.splits[split]
        number = len(done.shards)
        files = {}
        for layer, values in states.items():
            path = self.job.path / f"{split}-L{layer}-{number:05d}.safetensors"
            tensors = {"hidden_states": values.to(getattr(torch, self.job.config.dtype)), "norms": values.norm(dim=1)}
            write_tensors(path, tensors)
            files[str(layer)] = StoredFile(path.name, file_checksum(path), len(values))
        if self.job.store is None:
            part = self.job.path / f"{split}-sentences-{number:05d}.parquet"
            write_sentences(part, [rows], self.has_answers)
            files[SENTENCES] = StoredFile(part.name, file_checksum(part))
        splits = {**self.record.splits, split: done.with_shard(files, len(rows), counts)}
        self.record = replace(self.record, splits=splits)
        UNFINISHED_ACTIVATIONS.write(self.job.path, self.record.as_json())
        UNFINISHED_WINDOW.path(self.job.path).unlink(missing_ok=True)

    def finish(self, corpus: Corpus | None) -> Manifest:
        """Join the sentence parts, measure the layers, write the manifest, and remove what only the run needed."""
        if self.job.store is None:
            assert corpus is not None
            manifest = self._new_manifest(corpus)
        else:
            manifest = self.job.store.manifest
            folder = model_folder(self.job.config, self.job.model)  # the model may have been moved
            provenance = manifest.provenance
            provenance = replace(provenance, model=replace(provenance.model, folder=folder))
            manifest = replace(manifest, provenance=provenance)
        layers = manifest.layers | {layer: self._measured_layer(layer, manifest) for layer in self.job.layers}
        settings = replace(manifest.settings, layers=tuple(sorted(layers)))
        manifest = replace(manifest, settings=settings, layers=dict(sorted(layers.items())))
        ACTIVATIONS.write(self.job.path, manifest.as_json())
        drop_unfinished(self.job.path)
        return manifest

    def _new_manifest(self, corpus: Corpus) -> Manifest:
        """Join the sentence parts, and return the manifest of a new store, without layers."""
        job, asked = self.job, self.job.model.target
        splits, digests = {}, []
        for split in SPLITS:
            splits[split], digest = self._joined(split, corpus)
            digests.append(digest)
        if job.input_format is not None:
            digests.append(fingerprint(job.input_format.as_json()))
        target = None
        if asked is not None:
            target = StoredTarget.from_json({**asked.as_json(), "unit": splits["eval"].figures.score_deviation})
            if asked.kind != ClassTarget.kind:  # the target of a class head is in the model's own files
                digests.append(fingerprint(asked.as_json()))
        return Manifest(
            settings=job.config,
            batch_tokens=job.batch_tokens,
            provenance=StoreProvenance(self._model(), corpus.provenance, self.record.sources, **stamp()),
            label_names=corpus.label_names or job.model.label_names,
            has_predictions=job.model.label_names is not None and not self.has_answers,
            target=target,
            rows_fingerprint=fingerprint(digests),
            splits=splits,
            layers={},
        )

    def _joined(self, split: str, corpus: Corpus) -> tuple[StoredSplit, str]:
        """Join the sentence parts of a split; return its entry in the manifest, and what identifies its rows."""
        done = self.record.splits[split]
        parts = [files[SENTENCES] for files in done.shards]
        path = self.job.path / f"{split}-sentences.parquet"
        summary = SplitSummary(self.job.model.target)
        write_sentences(path, summary.over(read_parts(self.job.path, parts)), self.has_answers)
        figures = summary.figures()
        self._warn_of_small_share(split, figures.label_words_share)
        self._warn_of_mismatch(split, figures)
        checksum, counts = file_checksum(path), corpus.counts[split]
        return StoredSplit(done.sentences, path.name, checksum, done.counts, counts, figures), summary.digest()

    def _model(self) -> ModelRecord:
        """Return what the manifest says about the language model."""
        model = self.job.model
        return ModelRecord(
            id=self.job.config.model,
            folder=model_folder(self.job.config, model),
            revision=model.revision,
            fingerprint=model.fingerprint,
            architecture=model.architecture,
            is_decoder=model.is_decoder,
            num_layers=model.num_layers,
            max_length=model.max_length,
            no_head_reason=None if model.target is not None else model.no_head_reason,
            input_format=self.job.input_format,
        )

    def _warn_of_small_share(self, split: str, share: float | None) -> None:
        if share is not None and share < SMALL_SHARE:
            note = (
                f"Warning: on {split} the label words hold {share:.1%} of the probability together, so the model "
                "mostly expects other words there. Do they fit behind the prompt, with their leading spaces?"
            )
            self.job.progress(Progress("extract", note=note))

    def _warn_of_mismatch(self, split: str, figures: SplitFigures) -> None:
        accuracy, majority = figures.accuracy, figures.majority
        if accuracy is not None and majority is not None and accuracy < majority:
            self.job.progress(
                Progress(
                    "extract",
                    note=f"Warning: on {split} the model is right on {accuracy:.1%} of the labels, less than with the "
                    f"most frequent answer alone ({majority:.1%}). Do the labels of the corpus mean what the model's "
                    f"do ({', '.join(self.job.model.label_names or [])})?",
                )
            )

    def _measured_layer(self, layer: int, manifest: Manifest) -> StoredLayer:
        """Return a layer's entry in the manifest. Scale and median norm come from the training rows; the scale leaves
        out sinks."""
        shards = {split: [files[str(layer)] for files in self.record.splits[split].shards] for split in SPLITS}
        measured = {split: _norms_and_digest(self.job.path, shards[split]) for split in SPLITS}
        norms = measured["train"][0]
        if not len(norms):
            raise ClvqError("The training split gave no rows: every text is empty, or the tokenizer drops all of it.")
        median = float(np.median(norms))
        counted = norms
        if not self.job.config.keep_sinks:
            flags = read_flags(child(self.job.path, manifest.splits["train"].file))
            kept = ~sink_rows(flags, norms, median)
            counted = norms[kept] if kept.any() else norms
        mean_square = float(np.mean(np.square(counted, dtype=np.float64)))
        width = self.job.model.width(layer)
        digests = [digest for _, digest in measured.values()]
        return StoredLayer(
            index=layer,
            width=width,
            scale=(width / mean_square) ** 0.5 if mean_square else 1.0,
            median_norm=median,
            sinks=int(len(norms) - len(counted)),
            fingerprint=layer_fingerprint(manifest.rows_fingerprint, self.job.config.keep_sinks, digests),
            shards=shards,
        )


def _resumed(job: ExtractionJob) -> Unfinished | None:
    """Return the record of an unfinished run of the same job; None without one. Its last shard is verified, as a crash
    may have damaged it. MismatchError where a new store was begun with other layers."""
    if not UNFINISHED_ACTIVATIONS.exists(job.path):
        return None
    record = UNFINISHED_ACTIVATIONS.read_as(job.path, Unfinished.from_json)
    if record.layers != job.layers:
        if job.store is None:
            raise MismatchError(
                f"{job.path} holds an unfinished extraction of layers {record.layers}. Finish it with `clvq extract "
                f"--layers {','.join(map(str, record.layers))}`, or start again with `clvq extract --overwrite`."
            )
        return None
    for split in SPLITS:
        for files in record.splits[split].shards[-1:]:
            for entry in files.values():
                check_file(child(job.path, entry.file), entry.checksum)
    sentences = sum(record.splits[split].sentences for split in SPLITS)
    job.progress(Progress("extract", note=f"Continuing after {sentences} sentences."))
    if record.format_version < UNFINISHED_ACTIVATIONS.version:
        job.progress(
            Progress(
                "extract",
                note="An earlier clvq wrote these activations, in batches whose sizes depended on time. They may "
                "differ by rounding from those of a new extraction, which --overwrite starts.",
            )
        )
    return record


def drop_unfinished(path: Path) -> None:
    """Remove what only an unfinished run needs."""
    UNFINISHED_WINDOW.path(path).unlink(missing_ok=True)
    for split in SPLITS:
        for part in path.glob(f"{split}-sentences-*.parquet"):
            part.unlink()
    UNFINISHED_ACTIVATIONS.path(path).unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove a store's own files, and nothing else that may be in the folder."""
    for artifact in (ACTIVATIONS, UNFINISHED_ACTIVATIONS):  # the manifest first: a folder without it is no store
        artifact.path(path).unlink(missing_ok=True)
    drop_unfinished(path)
    patterns = [f"{split}-{name}" for split in SPLITS for name in ("L*-*.safetensors", "sentences.parquet")]
    for pattern in (*patterns, sensitivity("*").name):
        for file in path.glob(pattern):
            file.unlink()


def _norms_and_digest(path: Path, shards: list[StoredFile]) -> tuple[np.ndarray, str]:
    """Return norms `[rows]` of a layer and split, and a digest of its values in order; where shards end does not
    matter."""
    norms, digest = [np.zeros(0, np.float32)], xxhash.xxh3_128()
    for shard in shards:
        tensors, _ = read_tensors(child(path, shard.file))
        norms.append(tensors["norms"].numpy())
        digest.update(tensors["hidden_states"].view(torch.uint8).numpy().data)
    return np.concatenate(norms), digest.hexdigest()
