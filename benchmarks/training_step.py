"""A training step against its own decoder alone, against padded batches, and against the published wiring.

    python benchmarks/training_step.py

CPU seconds; the ways alternate. The decoder alone runs forward and backward on the same packed batch. Like a step, it
can make its gradients anew (`fresh`); or it adds to those that it has, which takes less.

The padded batches hold the same sentences, 32 at a time in the order in which they were drawn. A sentence is padded to
the longest of its batch, and all places go through the same training step. Only the rows of words count.

The published code pads every sentence with zeros to the longest of the corpus and runs torch's own TransformerDecoder
of 6 post-norm blocks over it. That decoder alone, with its loss and its optimiser and without any quantizer, stands
here for the published training: a yardstick that is kind to it. Rows are the published ones: at most 20 a word type.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from common import arguments, cpu_seconds, median, notes, print_table, store
from torch import Tensor, nn

from clvq.activations.store import ActivationStore
from clvq.config import TrainConfig
from clvq.models.clvq_vae import ClvqVae
from clvq.models.decoder import Layout
from clvq.training.checkpoint import architecture
from clvq.training.evaluation import TrainingMeans
from clvq.training.job import Job, TrainingRows
from clvq.training.rows import (
    SHUFFLE_BATCHES,
    LayerPair,
    PairBatch,
    PairRows,
    frequency_mask,
    pair_rows,
    split_by_text,
)
from clvq.training.vae_trainer import Trainer


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--published-steps", type=int, default=2, help="0: leave that part out")
    options = parser.parse_args()
    activations = store(options)
    layers = {"input_layer": options.input_layer, "output_layer": options.output_layer}

    step_alone(activations, TrainConfig.resolve(**layers), options)
    mixed_lengths(activations, TrainConfig.resolve(**layers), options)
    if options.published_steps:
        published_wiring(activations, TrainConfig.resolve(preset="paper", **layers), options)


def step_alone(activations: ActivationStore, config: TrainConfig, options: argparse.Namespace) -> None:
    """A step, and its decoder's forward and backward on the same packed batch."""
    trainer, rows = prepare(activations, config, None, options)
    batches = [rows.read(indices) for indices in rows.shuffled_batches(config.batch_sentences, 0, 0)[: options.steps]]
    decoder = decoder_alone(trainer)
    ways: dict[str, Callable[[PairBatch], object]] = {
        "step": trainer._step,
        "fresh": lambda batch: decoder(batch, fresh=True),
        "accumulated": lambda batch: decoder(batch, fresh=False),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for batch in [batches[0], *batches]:  # the first one warms up
        for name, way in ways.items():
            spent[name].append(cpu_seconds(lambda: way(batch))[0])  # noqa: B023
    sums = {name: sum(values[1:]) for name, values in spent.items()}
    count = median([float(len(batch.inputs)) for batch in batches])
    print_table(
        "A training step, default settings",
        [
            (f"rows in a batch of {config.batch_sentences} sentences, median", f"{count:.0f}"),
            ("rows per CPU second through training", f"{sum(len(b.inputs) for b in batches) / sums['step']:.0f}"),
            (
                "step / own decoder's forward and backward alone, fresh gradients (target: at most 1.08)",
                f"{sums['step'] / sums['fresh']:.3f}",
            ),
            ("the same, accumulated gradients", f"{sums['step'] / sums['accumulated']:.3f}"),
        ],
    )


def mixed_lengths(activations: ActivationStore, config: TrainConfig, options: argparse.Namespace) -> None:
    """Packed batches of like length, and the same sentences in padded batches."""
    trainer, rows = prepare(activations, config, None, options)
    window = np.random.default_rng(0).permutation(len(rows))[: config.batch_sentences * SHUFFLE_BATCHES]
    part = rows.restricted(window)
    in_order = np.array_split(np.arange(len(part)), range(config.batch_sentences, len(part), config.batch_sentences))
    packed = part.shuffled_batches(config.batch_sentences, 0, 0)
    seconds, places = {"packed": 0.0, "padded": 0.0}, 0
    for number, pair in enumerate(zip([packed[0], *packed], [in_order[0], *in_order], strict=True)):
        ours, theirs = part.read(pair[0]), padded(part.read(pair[1]))
        for name, batch in (("packed", ours), ("padded", theirs)):
            spent, _ = cpu_seconds(lambda: trainer._step(batch))  # noqa: B023
            seconds[name] += spent if number else 0.0  # the first one warms up
        places += len(theirs.inputs) if number else 0
    words = part.row_count
    print_table(
        f"Training on {len(part):,} sentences of mixed length, {config.batch_sentences} in a batch",
        [
            ("rows, and places in padded batches", f"{words:,} and {places:,}"),
            ("rows per CPU second, padded batches", f"{words / seconds['padded']:.0f}"),
            ("rows per CPU second, clvq", f"{words / seconds['packed']:.0f}"),
            ("ratio (target: at least 1.8)", f"{seconds['padded'] / seconds['packed']:.2f}"),
        ],
    )


def padded(batch: PairBatch) -> PairBatch:
    """The batch with a row at each place of the mask; the rows of padding are zeros."""
    mask = torch.ones_like(batch.mask)

    def filled(rows: Tensor) -> Tensor:
        return rows.new_zeros(mask.numel(), rows.shape[1]).index_copy(0, batch.mask.flatten().nonzero()[:, 0], rows)

    is_word = torch.zeros(mask.numel(), dtype=torch.bool)
    is_word[batch.mask.flatten()] = batch.is_word
    return PairBatch(filled(batch.inputs), filled(batch.targets), mask, is_word)


def published_wiring(activations: ActivationStore, config: TrainConfig, options: argparse.Namespace) -> None:
    """The published settings, and the published decoder by torch's own modules."""
    training, _ = split_by_text(activations, "train")
    keep = frequency_mask(activations, training, config.min_frequency, config.max_frequency, "file", 0)
    trainer, rows = prepare(activations, config, keep, options)
    longest = int(rows.lengths.max())
    indices = rows.shuffled_batches(128, 0, 0)
    batches = [rows.read(batch_indices) for batch_indices in indices[: options.steps]]
    random_batch = np.random.default_rng(0).permutation(len(rows))[:128]  # the published order: no bucketing
    ours = [cpu_seconds(partial(trainer._step, batch))[0] for batch in [batches[0], *batches]][1:]
    published = Published(rows.read(random_batch), longest, config)
    theirs = [cpu_seconds(published.step)[0] for _ in range(options.published_steps)]
    our_rate = sum(len(batch.inputs) for batch in batches) / sum(ours)
    their_rate = published.rows / median(theirs)
    print_table(
        "Training with 6 blocks that attend to the encoder's output (--preset paper)",
        [
            ("rows in the published batch of 128 sentences", f"{published.rows}, padded to {longest} places each"),
            ("the published wiring, CPU seconds a batch", f"{median(theirs):.2f}"),
            ("the published wiring, rows per CPU second", f"{their_rate:.0f}"),
            ("clvq, rows per CPU second", f"{our_rate:.0f}"),
            ("ratio (target: at least 8)", f"{our_rate / their_rate:.1f}"),
        ],
    )


def prepare(
    activations: ActivationStore, config: TrainConfig, keep: np.ndarray | None, options: Any
) -> tuple[Trainer, PairRows]:
    """A trainer as `clvq train` makes it, with a random codebook: what it learns does not matter here."""
    layers = (config.input_layer, config.output_layer)
    training, selection = split_by_text(activations, "train")
    scales = (activations.layer(layers[0]).scale, activations.layer(layers[1]).scale)
    pair = LayerPair(layers, scales)
    rows = pair_rows(activations, "train", pair, sentences=training, keep=keep)
    held = pair_rows(activations, "train", pair, sentences=selection)
    widths = activations.layer(layers[0]).width, activations.layer(layers[1]).width
    torch.manual_seed(0)
    model = ClvqVae(**architecture(config, *widths, "residual").as_json())
    model.quantizer.set_codebook(rows.sample_inputs(config.codebook_size, torch.Generator().manual_seed(0)))
    means = TrainingMeans(torch.zeros(widths[1]), torch.zeros(widths[1]))
    job = Job(TrainingRows(rows, held, held, means, widths), config, options.run / "none" / "training", "", notes)
    trainer = Trainer(model, job)
    model.train()
    return trainer, rows


def decoder_alone(trainer: Trainer) -> Callable[..., None]:
    """The same decoder on ready codes: forward, squared error, backward; with new gradients where `fresh`."""
    decoder = trainer.model.decoder
    codebook = trainer.model.codebook.clone()

    def run(batch: PairBatch, fresh: bool) -> None:
        if fresh:
            decoder.zero_grad(set_to_none=True)
        z_q = codebook[torch.arange(len(batch.inputs)) % len(codebook)].requires_grad_()
        prediction = decoder(z_q, Layout.of_mask(batch.mask))
        nn.functional.mse_loss(prediction, batch.targets).backward()

    return run


class Published:
    """torch's TransformerDecoder on sentences padded to the longest of the corpus, as the published code does it."""

    def __init__(self, batch: PairBatch, longest: int, config: TrainConfig) -> None:
        width, output = batch.inputs.shape[1], batch.targets.shape[1]
        self.rows = len(batch.inputs)
        self.mask = torch.zeros(len(batch.mask), longest, dtype=torch.bool)
        self.mask[:, : batch.mask.shape[1]] = batch.mask
        self.inputs = self.padded(batch.inputs)
        self.targets = self.padded(batch.targets)
        layer = nn.TransformerDecoderLayer(width, config.decoder_heads, config.feed_forward, config.dropout)
        self.decoder = nn.TransformerDecoder(layer, config.decoder_layers)
        self.output = nn.Linear(width, output)
        self.optimizer = torch.optim.Adam([*self.decoder.parameters(), *self.output.parameters()], 1e-3)

    def padded(self, rows: Tensor) -> Tensor:
        """[N, D] -> [T, B, D]"""
        full = rows.new_zeros(*self.mask.shape, rows.shape[1])
        full[self.mask] = rows
        return full.transpose(0, 1)

    def step(self) -> None:
        self.optimizer.zero_grad()
        hidden = self.decoder(
            self.inputs,
            self.inputs,
            tgt_key_padding_mask=~self.mask,
            memory_key_padding_mask=~self.mask,
        )
        prediction = self.output(hidden)
        nn.functional.mse_loss(prediction[self.mask.T], self.targets[self.mask.T]).backward()
        self.optimizer.step()


if __name__ == "__main__":
    main()
