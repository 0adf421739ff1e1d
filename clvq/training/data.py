"""The rows that a training sees: which of the store's, at which two layers, in which three parts."""

from __future__ import annotations

import numpy as np

from clvq.activations.store import ActivationStore
from clvq.config import TrainConfig
from clvq.device import pick_device
from clvq.errors import ClvqError
from clvq.language_model.tokenization import WORD
from clvq.progress import Report
from clvq.training.evaluation import TrainingMeans
from clvq.training.rows import PairRows, frequency_mask, split_by_text


class TrainingRows:
    """Training rows, selection slice and evaluation split, whose targets are those of `config.target_layer`.

    Sinks of either layer are left out whatever the target, so that all methods see the same words. Raises ClvqError
    where there are too few rows.
    """

    def __init__(self, store: ActivationStore, config: TrainConfig, progress: Report) -> None:
        self.store, self.config, self.progress = store, config, progress
        self.device = pick_device(config.device)
        self.layers = (config.input_layer, config.target_layer)
        self.widths = (store.layer(self.layers[0]).width, store.layer(self.layers[1]).width)
        self.scales = (1.0, 1.0)
        if config.layer_scale == "unit":
            self.scales = (store.layer(self.layers[0]).scale, store.layer(self.layers[1]).scale)
        training, selection = split_by_text(store, "train")
        pair = (config.input_layer, config.output_layer)
        no_sinks = ~store.sinks("train", pair)
        self.selection = self._rows("train", selection, no_sinks)
        self.evaluation = self._rows("eval", None, ~store.sinks("eval", pair))
        if not len(self.evaluation):
            raise ClvqError(f"The evaluation split of {store.path} has no rows: its texts are empty, or sinks alone.")
        self.training = self._rows("train", training, no_sinks & self._wanted_types(training))
        if self.training.row_count < config.codebook_size:
            raise ClvqError(
                f"--codebook-size {config.codebook_size} is more than the {self.training.row_count} training rows. "
                f"Use 1 to {self.training.row_count}."
            )
        self.means = TrainingMeans.of(self.training, progress)

    def counts(self) -> dict[str, int]:
        """For the results of a checkpoint."""
        return {
            "training_rows": self.training.row_count,
            "training_sentences": len(self.training),
            "selection_sentences": len(self.selection),
            "evaluation_sentences": len(self.evaluation),
        }

    def _rows(self, split: str, sentences: np.ndarray | None, keep: np.ndarray) -> PairRows:
        return PairRows(
            self.store,
            split,
            self.layers,
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
