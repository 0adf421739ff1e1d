"""A training step against its own decoder's forward and backward alone, and against the published wiring.

    python benchmarks/training_step.py

The published code pads every sentence with zeros to the longest of the corpus and runs torch's own TransformerDecoder
of 6 post-norm blocks over it. That decoder alone, with its loss and its optimiser and without any quantizer, stands
here for the published training: a yardstick that is kind to it. Rows are the published ones: at most 20 a word type.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import arguments, median, notes, print_table, store
from torch import Tensor, nn

from clvq.activations.store import ActivationStore
from clvq.config import TrainConfig
from clvq.models.clvq_vae import ClvqVae
from clvq.models.decoder import Layout
from clvq.training.checkpoint import architecture
from clvq.training.evaluation import TrainingMeans
from clvq.training.job import Job, TrainingRows
from clvq.training.rows import LayerPair, PairBatch, PairRows, frequency_mask, pair_rows, split_by_text
from clvq.training.vae_trainer import Trainer


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--published-steps", type=int, default=2)
    options = parser.parse_args()
    activations = store(options)
    layers = {"input_layer": options.input_layer, "output_layer": options.output_layer}

    config = TrainConfig.resolve(**layers)
    trainer, rows = prepare(activations, config, None, options)
    batches = [rows.read(indices) for indices in rows.shuffled_batches(config.batch_sentences, 0, 0)[: options.steps]]
    step, alone = [], []
    decoder = decoder_alone(trainer)
    for batch in [batches[0], *batches]:  # the first one warms up
        step.append(seconds(lambda batch=batch: trainer._step(batch)))
        alone.append(seconds(lambda batch=batch: decoder(batch)))
    count = median([float(len(batch.inputs)) for batch in batches])
    print_table(
        "A training step, default settings",
        [
            (f"rows in a batch of {config.batch_sentences} sentences, median", f"{count:.0f}"),
            ("rows per second through training", f"{sum(len(b.inputs) for b in batches) / sum(step[1:]):.0f}"),
            (
                "step / own decoder's forward and backward alone (target: at most 1.15)",
                f"{sum(step[1:]) / sum(alone[1:]):.3f}",
            ),
        ],
    )

    config = TrainConfig.resolve(preset="paper", **layers)
    training, _ = split_by_text(activations, "train")
    keep = frequency_mask(activations, training, config.min_frequency, config.max_frequency, "file", 0)
    trainer, rows = prepare(activations, config, keep, options)
    longest = int(rows.lengths.max())
    indices = rows.shuffled_batches(128, 0, 0)
    batches = [rows.read(batch_indices) for batch_indices in indices[: options.steps]]
    random_batch = np.random.default_rng(0).permutation(len(rows))[:128]  # the published order: no bucketing
    ours = [seconds(lambda batch=batch: trainer._step(batch)) for batch in [batches[0], *batches]][1:]
    published = Published(rows.read(random_batch), longest, config)
    theirs = [seconds(published.step) for _ in range(options.published_steps)]
    our_rate = sum(len(batch.inputs) for batch in batches) / sum(ours)
    their_rate = published.rows / median(theirs)
    print_table(
        "Training with 6 blocks that attend to the encoder's output (--preset paper)",
        [
            ("rows in the published batch of 128 sentences", f"{published.rows}, padded to {longest} places each"),
            ("the published wiring, seconds a batch", f"{median(theirs):.2f}"),
            ("the published wiring, rows per second", f"{their_rate:.0f}"),
            ("clvq, rows per second", f"{our_rate:.0f}"),
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
    model = ClvqVae(**architecture(config, *widths, "residual"))
    model.quantizer.set_codebook(rows.sample_inputs(config.codebook_size, torch.Generator().manual_seed(0)))
    means = TrainingMeans(torch.zeros(widths[1]), torch.zeros(widths[1]))
    job = Job(TrainingRows(rows, held, held, means, widths), config, options.run / "none" / "training", "", notes)
    trainer = Trainer(model, job)
    model.train()
    return trainer, rows


def decoder_alone(trainer: Trainer) -> Callable[[PairBatch], None]:
    """The same decoder on ready codes: forward, squared error, backward."""
    decoder = trainer.model.decoder
    codebook = trainer.model.codebook.clone()

    def run(batch: PairBatch) -> None:
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


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
