"""What a training is given: its rows at two layers (for training, selection and evaluation), and the job as one
value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from clvq.activations.store import ActivationStore
from clvq.config import TrainConfig
from clvq.device import pick_device
from clvq.errors import ClvqError
from clvq.language_model.rows import WORD
from clvq.progress import Report
from clvq.training.evaluation import TrainingMeans
from clvq.training.rows import LayerPair, PairRows, frequency_mask, pair_rows, split_by_text


@dataclass(frozen=True)
class TrainingRows:
    """Training rows, selection slice and evaluation split, whose targets are those of `config.target_layer`."""

    training: PairRows
    selection: PairRows
    evaluation: PairRows
    means: TrainingMeans
    widths: tuple[int, int]
    """Widths of the input and the target layer."""
    kmeans: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False, compare=False)
    """k-means codes of the training rows by their number and seed, kept so that they are clustered once."""

    @classmethod
    def read(cls, store: ActivationStore, config: TrainConfig, progress: Report) -> TrainingRows:
        """Find the rows of a store that `config` asks for; ClvqError where there are too few.

        Attention sinks of the input or the output layer are left out whatever the target layer is, so that all methods
        see the same words.
        """
        layers = (config.input_layer, config.target_layer)
        stored = [store.layer(layer) for layer in layers]
        if config.predict == "update" and stored[0].width != stored[1].width:
            raise ClvqError(
                f"Layers {layers[0]} and {layers[1]} have widths {stored[0].width} and {stored[1].width}, so there is "
                "no update from one to the other. Use --predict state."
            )
        scales = (stored[0].scale, stored[1].scale) if config.layer_scale == "unit" else (1.0, 1.0)
        pair = LayerPair(layers, scales, pick_device(config.device))
        training, selection = split_by_text(store, "train")
        no_sinks, eval_no_sinks = (
            ~store.sinks(split, (config.input_layer, config.output_layer)) for split in ("train", "eval")
        )
        selection_rows = pair_rows(store, "train", pair, sentences=selection, keep=no_sinks, progress=progress)
        evaluation_rows = pair_rows(store, "eval", pair, keep=eval_no_sinks, progress=progress)
        if not len(evaluation_rows):
            raise ClvqError(
                f"The evaluation split of {store.path} has no rows: its texts are empty, or all its words are "
                "attention sinks."
            )
        keep = no_sinks & _wanted_types(store, config, training)
        training_rows = pair_rows(store, "train", pair, sentences=training, keep=keep, progress=progress)
        if training_rows.row_count < config.codebook_size:
            raise ClvqError(
                f"--codebook-size {config.codebook_size} is more than the {training_rows.row_count} training rows. "
                f"Use 1 to {training_rows.row_count}."
            )
        _refuse_equal_states(training_rows)
        means = TrainingMeans.of_rows(training_rows, progress)
        return cls(training_rows, selection_rows, evaluation_rows, means, (stored[0].width, stored[1].width))

    def counts(self) -> dict[str, int]:
        """Count rows and sentences, for the results of a checkpoint."""
        return {
            "training_rows": self.training.row_count,
            "training_sentences": len(self.training),
            "selection_sentences": len(self.selection),
            "evaluation_sentences": len(self.evaluation),
        }


@dataclass(frozen=True)
class Job:
    """One training, short or complete: its rows, its settings, the folder of its state, and whom it reports to."""

    rows: TrainingRows
    config: TrainConfig
    folder: Path
    """Folder of the state from which an interrupted training goes on."""
    identity: Any
    """Everything that decides the result, ready for JSON. A state that was saved with another identity is refused."""
    progress: Report
    stage: str = "train"
    """Name of the training in the progress."""
    tracker: str = "none"
    """Experiment tracker for the log. Only the training of the checkpoint itself has one, not the trainings that
    accompany it."""
    metric_map: Tensor | None = None
    """[D, D] map to the space in which scaled rows of the input layer are compared; None: they are compared as they
    are."""


def _refuse_equal_states(rows: PairRows) -> None:
    """Raise ClvqError where all words have the same state at a layer. The first batch shows mostly that they differ."""
    first: list[Tensor] = []
    equal = {0, 1}
    for indices in rows.batches(256):
        batch = rows.read(indices)
        states = [side[batch.is_word] for side in (batch.inputs, batch.targets)]
        first = first or [side[:1] for side in states if len(side)]
        equal = {side for side in equal if not len(states[side]) or bool((states[side] == first[side]).all())}
        if not equal:
            return
    if first:
        layer = rows.pair.layers[min(equal)]
        raise ClvqError(
            f"All training words have the same state at layer {layer}, so there is nothing to learn. Take another "
            "layer, or check the weights of the model."
        )


def _wanted_types(store: ActivationStore, config: TrainConfig, sentences: np.ndarray) -> np.ndarray:
    """Return as bool `[rows]` the rows of the training split that the limits on the frequency of word types keep.
    Without limits these are all rows. ClvqError where no word is kept."""
    flags = store.flags("train")
    if not config.max_frequency and not config.min_frequency:
        return np.ones(len(flags), bool)
    keep = frequency_mask(
        store, sentences, config.min_frequency, config.max_frequency, config.frequency_order, config.seed
    )
    if not keep[(flags & WORD) != 0].any():
        raise ClvqError(f"No word type has --min-frequency {config.min_frequency} training rows.")
    return keep
