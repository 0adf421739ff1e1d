"""`train`: from an activation store to a trained checkpoint, with its figures and the yardsticks to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq.activations.store import ActivationStore
from clvq.artifacts import CHECKPOINT, TRAINING_FOLDER, stamp
from clvq.config import LATENT_METHODS, UNUSED, TrainConfig, differences
from clvq.config.signatures import takes
from clvq.device import Processes, Runtime, pick_device
from clvq.errors import MismatchError
from clvq.models.clvq_vae import ClvqVae
from clvq.models.sae import TopKSae
from clvq.progress import Progress, Report, silent
from clvq.storage import remove_folder
from clvq.training.checkpoint import Checkpoint, add_frozen_kmeans, architecture, read_checkpoint, write_checkpoint
from clvq.training.evaluation import evaluate, update_factor
from clvq.training.frozen_codes import FROZEN_CODES, shared_kmeans_codes
from clvq.training.initialization import clusters, initialize
from clvq.training.job import Job, TrainingRows
from clvq.training.records import SaeArguments, TrainingProvenance, VaeArguments
from clvq.training.results import Evaluation, SaeChoice, SaeEvaluation, TrainingResults, Yardsticks
from clvq.training.sae_sweep import architecture as sae_architecture
from clvq.training.sae_sweep import train_sae
from clvq.training.sensitivity import with_metric
from clvq.training.state import STATE_NAME, Position
from clvq.training.tracking import require_tracker
from clvq.training.vae_trainer import Trainer
from clvq.training.yardsticks import yardsticks

KMEANS_FOLDER = "kmeans"


@takes(TrainConfig)
def train(
    store: ActivationStore | str | Path,
    *,
    path: str | Path,
    overwrite: bool = False,
    model: str | Path | None = None,
    batch_tokens: int = Runtime.batch_tokens,
    trust_remote_code: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Checkpoint:
    """Train a CLVQ-VAE, or what it is compared with, on two stored layers.

        checkpoint = clvq.train("run/activations", path="run/seed-1", input_layer=4, output_layer=8, seed=1)

    An unfinished training with the same settings continues, and a finished one is returned as it is. Settings that
    the method has no use for are ignored, with a note. MismatchError where the folder was made with other settings,
    unless `overwrite`.

    With another metric than "euclidean", and for the method gradient-kmeans, the language model is run over a sample of
    the training sentences. The result is stored beside the activations. ClvqError where the model predicts nothing or
    is not found, MismatchError where it is another one.

    Args:
        store: Activations that hold both layers, or their folder.
        path: Folder of the checkpoint. Keep it beside the activations, where the other functions look for them.
        overwrite: Replace the checkpoint that the folder holds.
        model: Folder or hub id where the language model is now, if it was moved. It runs only for its sensitivity.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """
    config = TrainConfig.resolve(**settings)
    if aside := [f"--{name.replace('_', '-')}" for name in UNUSED[config.method] if name in settings]:
        progress(Progress("train", note=f"--method {config.method} ignores {', '.join(aside)}."))
    require_tracker(config.report_to)
    store = store if isinstance(store, ActivationStore) else ActivationStore(store)
    path = Path(path)
    for layer in (config.input_layer, config.output_layer):
        store.layer(layer)
    processes = Processes.current()
    with processes.locked(path):
        if overwrite and processes.is_leader:
            CHECKPOINT.path(path).unlink(missing_ok=True)
            remove_folder(path / TRAINING_FOLDER)
        processes.wait()
        if CHECKPOINT.exists(path):
            checkpoint = read_checkpoint(path)
            refuse_other(checkpoint, config, store)
            if config.yardsticks == "basic" or _has_all_yardsticks(checkpoint.results):
                if processes.is_leader:
                    remove_folder(path / TRAINING_FOLDER)  # left by a kill after the checkpoint was written
                progress(Progress("train", note=f"{path} is up to date."))
                return checkpoint
        with _own_random_state(config.seed, pick_device(config.device)):
            layers = [store.layer(layer).fingerprint for layer in (config.input_layer, config.output_layer)]
            rows = TrainingRows.read(store, config, progress)
            identity = [config.deciding(), layers]
            job = Job(rows, config, path / TRAINING_FOLDER, identity, progress, tracker=config.report_to)
            if config.metric_of_codes != "euclidean":
                where = None if model is None else str(model)
                runtime = Runtime(config.device, batch_tokens, trust_remote_code, where)
                job = with_metric(job, store, runtime, processes)
            return _Training(store, path, job, processes).run()


@dataclass(frozen=True)
class _Training:
    """One run of `train`: it trains, measures and writes."""

    store: ActivationStore
    path: Path
    job: Job
    processes: Processes

    @property
    def rows(self) -> TrainingRows:
        return self.job.rows

    @property
    def config(self) -> TrainConfig:
        return self.job.config

    def run(self) -> Checkpoint:
        """Train in all processes. The leader alone measures and writes, while the others wait."""
        if not CHECKPOINT.exists(self.path):
            if self.config.method in LATENT_METHODS:
                self._train_sae()
            else:
                self._train()
        if self.config.yardsticks == "full":
            self._frozen_kmeans()
        if self.processes.is_leader:
            remove_folder(self.path / TRAINING_FOLDER)
        self.processes.wait()
        return read_checkpoint(self.path)

    def _train(self) -> None:
        method = self.config.method
        frozen = method in FROZEN_CODES
        metric = self.job.metric_map
        model, arguments = (
            self._frozen_model(method) if frozen else self._model("residual", metric, self.config.codebooks)
        )
        if not frozen and not (self.job.folder / STATE_NAME).exists():
            initialize(model, self.job, self.processes)
        position = self._train_codes(model, self.job, frozen)
        if self.processes.is_leader:
            self._write(model, arguments, self._evaluate(model, reliance=True), position)
        self.processes.wait()

    def _train_sae(self) -> None:
        outcome = train_sae(self.job)
        model = outcome.model
        arguments = sae_architecture(self.config, self.rows.widths, len(model.directions), model.k)
        self._write(model, arguments, outcome.evaluation, outcome.position, outcome.choice)

    def _write(
        self,
        model: ClvqVae | TopKSae,
        arguments: VaeArguments | SaeArguments,
        evaluation: Evaluation | SaeEvaluation,
        position: Position,
        sae: SaeChoice | None = None,
    ) -> None:
        results = TrainingResults(
            evaluation=evaluation,
            sae=sae,
            yardsticks=self._yardsticks(),
            update_factor=update_factor(self.rows.evaluation, self.rows.means),
            target_layer=self.config.target_layer,
            **self.rows.counts(),
            epochs_run=position.epoch,
            best_epoch=position.best_epoch,
            selection_fvu=position.best_fvu if np.isfinite(position.best_fvu) else None,
            steps=position.step,
            training_seconds=round(position.seconds, 1),
        )
        described = self.store.manifest.without_files((self.config.input_layer, self.config.output_layer))
        write_checkpoint(self.path, model, arguments, self.config, self._provenance(), described, results)

    def _yardsticks(self) -> Yardsticks:
        """Measure the yardsticks. A target that is the input layer needs no copy or ridge map, which would be exact."""
        config, rows = self.config, self.rows
        codes = shared_kmeans_codes(self.job)
        measured = yardsticks(rows.training, rows.selection, rows.evaluation, rows.means, codes, self.job.progress)
        return replace(measured, copy=None, ridge=None) if config.target_layer == config.input_layer else measured

    def _model(
        self, encoder: str, metric: Tensor | None = None, codebooks: int = 1, code_width: int | None = None
    ) -> tuple[ClvqVae, VaeArguments]:
        arguments = architecture(self.config, *self.rows.widths, encoder)
        arguments = replace(
            arguments,
            code_width=code_width,
            metric=None if metric is None else self.config.metric_of_codes,
            codebooks=codebooks if codebooks > 1 else None,
        )
        model = ClvqVae(**arguments.as_json()).to(self.rows.training.device)
        model.input_scale.fill_(self.rows.training.pair.scales[0])
        model.output_scale.fill_(self.rows.training.pair.scales[1])
        for quantizer in model.quantizers:
            if quantizer.metric_map is not None and metric is not None:
                quantizer.metric_map.copy_(metric)
        return model, arguments

    def _frozen_model(self, method: str) -> tuple[ClvqVae, VaeArguments]:
        """Return a model with the frozen codes of `method` and the decoder that all methods have, and its arguments.

        k-means codes have as many codebooks as the settings say; other frozen codes have one.
        """
        frozen = FROZEN_CODES[method](self.job)
        torch.manual_seed(self.config.seed)
        if frozen.matrix is None:
            codebooks = self.config.codebooks if method == "kmeans" else 1
            model, arguments = self._model("identity", frozen.metric_map, codebooks)
        else:
            model, arguments = self._model("affine", code_width=frozen.codes.shape[1])
            model.encoder.load_state_dict({"matrix": frozen.matrix, "offset": frozen.offset})
        model.quantizer.set_codebook(frozen.codes)
        generator = torch.Generator().manual_seed(self.config.seed)
        for number, quantizer in enumerate(model.quantizers[1:], start=1):
            quantizer.set_codebook(clusters(model, number, self.job, "spherical", generator))
        for part in (model.encoder, *model.quantizers):
            for buffer in part.buffers():
                self.processes.share(buffer)
        return model, arguments

    def _train_codes(self, model: ClvqVae, job: Job, frozen: bool) -> Position:
        return Trainer(model, replace(job, identity=[*job.identity, frozen]), frozen_codes=frozen).run()

    def _evaluate(self, model: ClvqVae, reliance: bool = False) -> Evaluation:
        rows, seed = self.rows, self.config.seed
        return evaluate(model, rows.evaluation, rows.means, reliance=reliance, seed=seed, progress=self.job.progress)

    def _frozen_kmeans(self) -> None:
        """Add the FVU of `--method kmeans` with the same settings, as a yardstick."""
        model, _ = self._frozen_model("kmeans")
        folder = self.job.folder / KMEANS_FOLDER
        self._train_codes(model, replace(self.job, folder=folder, stage="frozen k-means", tracker="none"), frozen=True)
        if self.processes.is_leader:
            add_frozen_kmeans(read_checkpoint(self.path), self._evaluate(model).fvu)

    def _provenance(self) -> TrainingProvenance:
        store, layers = self.store, (self.config.input_layer, self.config.output_layer)
        return TrainingProvenance(
            model=store.provenance.model,
            target=store.target,
            corpus=store.provenance.corpus,
            rows=store.fingerprint,
            layers={layer: store.layer(layer).fingerprint for layer in layers},
            device=str(self.rows.training.device),
            **stamp(),
        )


def refuse_other(checkpoint: Checkpoint, config: TrainConfig, store: ActivationStore | None) -> None:
    """Raise MismatchError that names the differences between a finished checkpoint and the settings here, or where it
    was trained on another store."""
    if differing := differences(checkpoint.settings.deciding(), config.deciding()):
        raise MismatchError(
            f"{checkpoint.path} holds a finished checkpoint with other settings: {'; '.join(differing)}. "
            "Use another --name, or --overwrite to replace it."
        )
    if store is not None:
        checkpoint.check_store(store)


def _has_all_yardsticks(results: TrainingResults) -> bool:
    """Return whether frozen codes were measured too. They cannot be where the evaluation words do not vary."""
    return results.yardsticks.frozen_kmeans is not None or results.evaluation.fvu is None


@contextmanager
def _own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for the block alone, and restore the caller's random state afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
