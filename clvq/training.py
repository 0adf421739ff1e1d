"""`train`: an activation store -> a trained checkpoint, with the figures and the yardsticks that make it credible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq import provenance
from clvq.activations import ActivationStore
from clvq.checkpoint import (
    CONFIG_NAME,
    TRAINING_FOLDER,
    Checkpoint,
    add_yardstick,
    architecture,
    read_checkpoint,
    write_checkpoint,
)
from clvq.codebook_init import initial_codebook, sample_size
from clvq.config import TrainConfig
from clvq.errors import ClvqError, MismatchError
from clvq.evaluation import Evaluation, TrainingMeans, evaluate
from clvq.model import ClvqVae
from clvq.pair_rows import PairRows, frequency_mask, split_by_text
from clvq.processes import Processes, device_of
from clvq.progress import Progress, Report, silent
from clvq.storage import fingerprint, locked, remove_folder
from clvq.tokenization import WORD
from clvq.trainer import Position, Trainer
from clvq.yardsticks import kmeans_codes, yardsticks

KMEANS_FOLDER = "kmeans"


def train(
    store: ActivationStore | str | Path,
    *,
    path: str | Path,
    overwrite: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Checkpoint:
    """Trains a CLVQ-VAE on a store's layer pair into the checkpoint folder `path`.

    `settings` are the fields of `TrainConfig`; `input_layer` and `output_layer` must be among them. An unfinished
    training with the same settings continues, a finished one is returned as it is; with other settings it raises
    MismatchError unless `overwrite`.
    """
    config = TrainConfig.resolve(**settings)
    store = store if isinstance(store, ActivationStore) else ActivationStore(store)
    path = Path(path)
    for layer in (config.input_layer, config.output_layer):
        store.layer(layer)
    processes = Processes.current()
    with locked(path) if processes.is_leader else nullcontext():
        if overwrite and processes.is_leader:
            (path / CONFIG_NAME).unlink(missing_ok=True)
            remove_folder(path / TRAINING_FOLDER)
        processes.wait()
        if (path / CONFIG_NAME).exists():
            checkpoint = read_checkpoint(path)
            _refuse_other(checkpoint, config, store)
            if config.yardsticks == "basic" or "frozen_kmeans" in checkpoint.results["yardsticks"]:
                progress(Progress("train", note=f"{path} is up to date."))
                return checkpoint
        with _own_random_state(config.seed, device_of(config.device)):
            return _Training(store, path, config, processes, progress).run()


class _Training:
    """One run of `train`: reads rows, trains, measures, writes."""

    def __init__(
        self, store: ActivationStore, path: Path, config: TrainConfig, processes: Processes, progress: Report
    ) -> None:
        self.store, self.path, self.config = store, path, config
        self.processes, self.progress = processes, progress
        self.device = device_of(config.device)
        layers = (config.input_layer, config.output_layer)
        self.scales = (1.0, 1.0)
        if config.layer_scale == "unit":
            self.scales = (store.layer(layers[0]).scale, store.layer(layers[1]).scale)
        training, selection = split_by_text(store, "train")
        no_sinks = ~store.sinks("train", layers)
        self.selection = self._rows("train", selection, no_sinks)
        self.evaluation = self._rows("eval", None, ~store.sinks("eval", layers))
        if not len(self.evaluation):
            raise ClvqError(f"The evaluation split of {store.path} has no rows: its texts are empty, or sinks alone.")
        self.rows = self._rows("train", training, no_sinks & self._wanted_types(training))
        if self.rows.row_count < config.codebook_size:
            raise ClvqError(
                f"--codebook-size {config.codebook_size} is more than the {self.rows.row_count} training rows. "
                f"Use 1 to {self.rows.row_count}."
            )
        self.means = TrainingMeans.of(self.rows, progress)

    def run(self) -> Checkpoint:
        """All processes train; the leader alone measures and writes, while the others wait."""
        if not (self.path / CONFIG_NAME).exists():
            self._train()
        if self.config.yardsticks == "full":
            self._frozen_kmeans()
        if self.processes.is_leader:
            remove_folder(self.path / TRAINING_FOLDER)
        self.processes.wait()
        return read_checkpoint(self.path)

    def _rows(self, split: str, sentences: np.ndarray | None, keep: np.ndarray) -> PairRows:
        layers = (self.config.input_layer, self.config.output_layer)
        return PairRows(
            self.store,
            split,
            layers,
            sentences=sentences,
            keep=keep,
            scales=self.scales,
            device=self.device,
            progress=self.progress,
        )

    def _wanted_types(self, sentences: np.ndarray) -> np.ndarray:
        """[rows] bool of the training split: what the caps on word types leave; everything where there is none."""
        flags, config = self.store.flags("train"), self.config
        if not config.max_frequency and not config.min_frequency:
            return np.ones(len(flags), bool)
        keep = frequency_mask(
            self.store, sentences, config.min_frequency, config.max_frequency, config.frequency_order, config.seed
        )
        if not keep[(flags & WORD) != 0].any():
            raise ClvqError(f"No word type has --min-frequency {config.min_frequency} training rows.")
        return keep

    def _model(self, encoder: str) -> tuple[ClvqVae, dict[str, Any]]:
        widths = self.store.layer(self.config.input_layer).width, self.store.layer(self.config.output_layer).width
        arguments = architecture(self.config, *widths, encoder)
        model = ClvqVae(**arguments).to(self.device)
        model.input_scale.fill_(self.scales[0])
        model.output_scale.fill_(self.scales[1])
        return model, arguments

    def _train(self) -> None:
        folder = self.path / TRAINING_FOLDER
        model, arguments = self._model("residual")
        if not (folder / "state.safetensors").exists():
            self._initialize(model)
        position = self._trainer(model, folder, "train").run()
        if self.processes.is_leader:
            self._write(model, arguments, position)
        self.processes.wait()

    def _write(self, model: ClvqVae, arguments: dict[str, Any], position: Position) -> None:
        config = self.config
        figures = self._evaluate(model)
        codes = kmeans_codes(self.rows, config.codebook_size, config.seed)
        standards = yardsticks(self.rows, self.selection, self.evaluation, self.means, codes, self.progress)
        results = {
            "evaluation": figures.as_json(),
            "yardsticks": asdict(standards),
            "training_rows": self.rows.row_count,
            "training_sentences": len(self.rows),
            "selection_sentences": len(self.selection),
            "evaluation_sentences": len(self.evaluation),
            **_outcome(position),
        }
        write_checkpoint(self.path, model, arguments, config, self._provenance(), results)

    def _initialize(self, model: ClvqVae) -> None:
        """Codes from the `z_e` that the encoder gives before training."""
        config = self.config
        self.progress(
            Progress("codebook", note=f"Initializing {config.codebook_size} codes ({config.initialization}).")
        )
        generator = torch.Generator().manual_seed(config.seed)
        inputs = self.rows.sample_inputs(sample_size(config.codebook_size), generator)
        with torch.no_grad():
            for part in inputs.split(16384):
                part.copy_(model.encoder(part))
        model.quantizer.set_codebook(
            initial_codebook(inputs, config.codebook_size, config.initialization, generator),
            self._expected_count(config),
        )
        for buffer in model.quantizer.buffers():
            self.processes.share(buffer)

    def _expected_count(self, config: TrainConfig) -> Tensor:
        """Rows a code gets in a batch on average: the weight that the first codes have against the first batches."""
        rows = self.rows.row_count / max(1, len(self.rows)) * config.batch_sentences
        return torch.full((config.codebook_size,), rows / config.codebook_size, device=self.device)

    def _trainer(self, model: ClvqVae, folder: Path, stage: str, *, frozen_codes: bool = False) -> Trainer:
        layers = [self.store.layer(i).fingerprint for i in (self.config.input_layer, self.config.output_layer)]
        identity = fingerprint([self.config.deciding(), layers, frozen_codes])
        return Trainer(
            model,
            self.rows,
            self.selection,
            self.means,
            self.config,
            folder,
            identity,
            self.progress,
            stage=stage,
            frozen_codes=frozen_codes,
        )

    def _evaluate(self, model: ClvqVae) -> Evaluation:
        return evaluate(
            model, self.evaluation, self.means, reliance=True, seed=self.config.seed, progress=self.progress
        )

    def _frozen_kmeans(self) -> None:
        """Adds the FVU of spherical k-means codes of the input layer, never moved, with the same decoder and budget."""
        torch.manual_seed(self.config.seed)
        model, _ = self._model("identity")
        model.quantizer.set_codebook(kmeans_codes(self.rows, self.config.codebook_size, self.config.seed))
        self.processes.share(model.quantizer.codebook)
        folder = self.path / TRAINING_FOLDER / KMEANS_FOLDER
        self._trainer(model, folder, "frozen k-means", frozen_codes=True).run()
        if self.processes.is_leader:
            add_yardstick(read_checkpoint(self.path), "frozen_kmeans", self._evaluate(model).fvu)

    def _provenance(self) -> dict[str, Any]:
        store, config = self.store, self.config
        return {
            "model": store.provenance["model"],
            "corpus": store.provenance["corpus"],
            "rows": store.fingerprint,
            "layers": {
                str(layer): store.layer(layer).fingerprint for layer in (config.input_layer, config.output_layer)
            },
            "device": str(self.device),
            "versions": provenance.versions(),
            "created": provenance.now(),
        }


def _refuse_other(checkpoint: Checkpoint, config: TrainConfig, store: ActivationStore) -> None:
    """MismatchError that names what differs between a finished checkpoint and what is asked for."""
    there, here = checkpoint.settings.deciding(), config.deciding()
    differing = [f"{name.replace('_', '-')} ({there.get(name)!r} there, {here[name]!r} here)" for name in here
                 if there.get(name) != here[name]]  # fmt: skip
    if differing:
        raise MismatchError(
            f"{checkpoint.path} holds a finished checkpoint with other settings: {'; '.join(differing)}. "
            "Use another --name, or --overwrite to replace it."
        )
    checkpoint.check_store(store)


def _outcome(position: Position) -> dict[str, Any]:
    return {
        "epochs_run": position.epoch,
        "best_epoch": position.best_epoch,
        "selection_fvu": position.best_fvu if np.isfinite(position.best_fvu) else None,
        "steps": position.step,
        "training_seconds": round(position.seconds, 1),
    }


@contextmanager
def _own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch for the block alone, so that a notebook's own draws go on as if nothing had happened."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
