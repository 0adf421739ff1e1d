"""Where the codes of a CLVQ-VAE start: codebook after codebook, from what the encoder gives before training."""

from __future__ import annotations

import torch
from torch import Tensor

from clvq.activations.store import ROWS_AT_ONCE
from clvq.device import Processes
from clvq.models.clvq_vae import ClvqVae
from clvq.models.codebook_init import initial_codebook, sample_size
from clvq.progress import Progress
from clvq.training.job import Job


def initialize(model: ClvqVae, job: Job, processes: Processes) -> None:
    """Set the codes of each codebook to clusters of sampled rows: of `z_e`, then of what the codebooks before left.

    All processes get the codes of the leader.
    """
    config = job.config
    each = "" if config.codebooks == 1 else f" for each of {config.codebooks} codebooks"
    note = f"Initializing {config.codebook_size} codes{each} ({config.initialization})."
    job.progress(Progress("codebook", note=note))
    generator = torch.Generator().manual_seed(config.seed)
    for number, quantizer in enumerate(model.quantizers):
        quantizer.set_codebook(clusters(model, number, job, config.initialization, generator), _expected_count(job))
        for buffer in quantizer.buffers():
            processes.share(buffer)


def clusters(model: ClvqVae, number: int, job: Job, initialization: str, generator: torch.Generator) -> Tensor:
    """Return codes `[K, D]` for codebook `number` (the first is 0), from what those before it leave of sampled rows."""
    size, quantizer = job.config.codebook_size, model.quantizers[number]
    sample = job.rows.training.sample_inputs(sample_size(size), generator)
    for part in sample.split(ROWS_AT_ONCE):
        part.copy_(quantizer.mapped(_left(model, part, number)))
    return quantizer.unmapped(initial_codebook(sample, size, initialization, generator, job.progress))


@torch.no_grad()
def _left(model: ClvqVae, inputs: Tensor, codebooks: int) -> Tensor:
    """Return what the nearest codes of the first `codebooks` leave of scaled inputs `[N, D]`."""
    left: Tensor = model.encoder(inputs)
    for quantizer in model.quantizers[:codebooks]:
        left = left - quantizer.codebook[quantizer.assign(left)]
    return left


def _expected_count(job: Job) -> Tensor:
    """Return the mean number of rows per code in a batch. It is the weight of the first codes when the first batches
    update them."""
    config, rows = job.config, job.rows.training
    count = rows.row_count / max(1, len(rows)) * config.batch_sentences
    return torch.full((config.codebook_size,), count / config.codebook_size, device=rows.device)
