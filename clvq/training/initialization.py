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
    config, rows = job.config, job.rows.training
    job.progress(Progress("codebook", note=f"Initializing {config.codebook_size} codes ({config.initialization})."))
    generator = torch.Generator().manual_seed(config.seed)
    for number, quantizer in enumerate(model.quantizers):
        sample = rows.sample_inputs(sample_size(config.codebook_size), generator)
        for part in sample.split(ROWS_AT_ONCE):
            part.copy_(quantizer.mapped(_left(model, part, number)))
        codes = initial_codebook(sample, config.codebook_size, config.initialization, generator, job.progress)
        quantizer.set_codebook(quantizer.unmapped(codes), _expected_count(job))
        for buffer in quantizer.buffers():
            processes.share(buffer)


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
