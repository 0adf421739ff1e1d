"""The training of a CLVQ-VAE: its losses, the EMA step of its codebook, and how an epoch is judged."""

from __future__ import annotations

import torch
from torch import Tensor

from clvq.models.clvq_vae import ClvqVae, total
from clvq.models.decoder import Layout
from clvq.models.losses import commitment_loss, reconstruction_loss, straight_through
from clvq.models.metrics import perplexity
from clvq.training.evaluation import evaluate
from clvq.training.job import Job
from clvq.training.loop import Judgement, TrainingLoop
from clvq.training.rows import PairBatch

REVIVAL_SHARE = 0.9
"""Codes are revived in the first steps only, this share of all. A code moved at the very end would stay untrained."""


class Trainer(TrainingLoop[ClvqVae]):
    """Trains a CLVQ-VAE. With `frozen_codes` neither encoder nor codebook learns, and the nearest code is always taken.

    The commitment loss of frozen codes is still logged: it says how far the rows lie from their codes.
    """

    remedy = "Lower --learning-rate (now {rate}) and train again with --overwrite."

    def __init__(
        self,
        model: ClvqVae,
        job: Job,
        *,
        frozen_codes: bool = False,
    ) -> None:
        super().__init__(model, job)
        self.frozen_codes = frozen_codes
        self._usage = torch.zeros(job.config.codebook_size, dtype=torch.int64)

    def _step(self, batch: PairBatch) -> dict[str, float]:
        """Run one optimiser step and one EMA step. ClvqError, before either, where the loss is not finite."""
        model, config, share = self.model, self.config, self.share
        self._begin_step()
        z_e = model.encoder(batch.inputs)
        # Checked before the draw among codes, which would fail without saying why.
        self._refuse_not_finite("squared norm of the encoder's output", float(z_e.detach().square().sum()))
        if self.frozen_codes:
            for quantizer in model.quantizers:
                quantizer.eval()
        chosen = model.choose(z_e, share)
        codes, indices = chosen[0].quantized
        with torch.autocast(z_e.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            prediction = model.decoder(straight_through(z_e, total(chosen)), Layout.of_mask(batch.mask, share), z_e)
        reconstruction = reconstruction_loss(model.completed(prediction.float(), batch.inputs), batch.targets)
        commitment = commitment_loss(model.quantizer.mapped(z_e), model.quantizer.mapped(codes))
        # Each process weights its loss by its rows: the gradients then sum to those of the whole batch.
        count = share.size(z_e)
        weight = len(z_e) / count
        loss = weight * (reconstruction + config.commitment_weight * commitment)
        figures = torch.stack([loss.detach(), weight * reconstruction.detach(), weight * commitment.detach()])
        share.sum(figures)
        value, reconstruction_value, commitment_value = figures.tolist()
        self._descend(loss, value)
        if not self.frozen_codes:
            revives = config.revive_after and self.position.step < REVIVAL_SHARE * self.total_steps
            for quantizer, rows, quantized in chosen:
                quantizer.update(rows, quantized.indices, share)
                if revives:
                    quantizer.revive(rows, quantized.indices, config.revive_after, share)
                for buffer in quantizer.buffers():  # one codebook to the bit, on machines that round in other ways too
                    self.processes.share(buffer)
        usage = torch.bincount(indices, minlength=len(self._usage))
        share.sum(usage)
        self._usage += usage.cpu()
        return {
            "rows": float(count),
            "loss": value,
            "reconstruction": reconstruction_value,
            "commitment": commitment_value,
        }

    def _judge(self) -> Judgement:
        result = evaluate(
            self.model, self.job.rows.selection, self.job.rows.means, batch_sentences=self.config.batch_sentences
        )
        logged = {
            "selection_codebook_perplexity": result.codebook_perplexity,
            "selection_active_codes": result.active_codes,
        }
        return Judgement(result.fvu, logged, {"perplexity": result.codebook_perplexity})

    def _kept(self) -> dict[str, Tensor]:
        return {"usage": self._usage}

    def _step_figures(self) -> dict[str, float]:
        self._shown = {"perplexity": perplexity(self._usage)}
        self._usage.zero_()
        return {"codebook_perplexity": self._shown["perplexity"]}
