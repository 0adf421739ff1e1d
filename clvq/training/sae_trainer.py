"""The training of a TopK sparse autoencoder: its losses, the revival of dead latents, its figures on a split."""

from __future__ import annotations

import torch
from torch import Tensor

from clvq.models.metrics import ExplainedVariance, perplexity
from clvq.models.sae import Latents, TopKSae
from clvq.progress import Progress, Report, silent
from clvq.training.evaluation import Occurrences, TrainingMeans, have_sentence_rows
from clvq.training.loop import Judgement, TrainingLoop
from clvq.training.results import SaeEvaluation
from clvq.training.rows import PairBatch, PairRows

AUXILIARY_WEIGHT = 1 / 32
"""Weight of the auxiliary loss, as published."""


@torch.no_grad()
def evaluate_sae(model: TopKSae, rows: PairRows, means: TrainingMeans, progress: Report = silent) -> SaeEvaluation:
    """Evaluate in one pass over a split, whose targets are the rows of the layer that is reconstructed."""
    words, sentence_rows = ExplainedVariance(means.words), ExplainedVariance(means.sentences)
    size = len(model.directions)
    usage, codes = (torch.zeros(size, dtype=torch.int64) for _ in range(2))
    occurrences, count, done = Occurrences(rows), 0, 0
    for indices in rows.batches(256):
        batch = rows.read(indices)
        latents = model.strongest(model.preactivations(batch.inputs))
        prediction = model.predict(batch.inputs, latents)
        words.add(batch.targets[batch.is_word], prediction[batch.is_word])
        sentence_rows.add(batch.targets[~batch.is_word], prediction[~batch.is_word])
        active = latents.indices[batch.is_word][latents.values[batch.is_word] > 0]
        usage += torch.bincount(active, minlength=size).cpu()
        is_word, strongest = batch.is_word.cpu(), latents.indices[:, 0].cpu()
        codes += torch.bincount(strongest[is_word], minlength=size)
        occurrences.add(indices, strongest, is_word, batch.mask)
        count += int(is_word.sum())
        done += len(indices)
        progress(Progress("evaluate", done, len(rows), "sentences"))
    active_latents, active_codes = int((usage > 0).sum()), int((codes > 0).sum())
    return SaeEvaluation(
        rows=count,
        fvu=words.fvu,
        fvu_sentence_rows=sentence_rows.fvu if have_sentence_rows(rows, count) else None,
        l0=int(usage.sum()) / max(count, 1),
        active_latents=active_latents,
        dead_latents=size - active_latents,
        codebook_perplexity=perplexity(codes),
        active_codes=active_codes,
        active_codes_5=occurrences.well_attested(),
        dead_codes=size - active_codes,
    )


class SaeTrainer(TrainingLoop[TopKSae]):
    """Trains a TopK sparse autoencoder as Gao et al. 2024 do, appendix A.

    The loss is the squared error, divided by the squared distance of the target rows from their bias. A latent is dead
    if no row used it in `revive_after` batches. The strongest dead latents reconstruct the residual, which is what the
    other latents leave. The auxiliary loss is the share of the residual that they miss; it brings dead latents back.
    Directions stay unit vectors: only the part of a gradient that is orthogonal to its direction is kept, and each step
    ends with normalizing the directions. All rows count, words and sentence rows, as in the training of codes.
    """

    epsilon = 6.25e-10
    remedy = "Look for rows with huge values in the input layer, or leave out sinks (no --keep-sinks)."

    def _step(self, batch: PairBatch) -> dict[str, float]:
        model, rows = self.model, batch.inputs
        self._begin_step()
        preactivations = model.preactivations(rows)
        latents = model.strongest(preactivations)
        left = batch.targets - model.predict(rows, latents)
        reconstruction = left.square().mean() / (batch.targets - model.target_bias.detach()).square().mean()
        dead = self._dead()
        auxiliary = auxiliary_loss(model, preactivations, left.detach(), dead)
        loss = reconstruction + AUXILIARY_WEIGHT * auxiliary
        self._descend(loss, float(loss.detach()))
        model.normalize()
        self._count(latents)
        return {
            "rows": float(len(rows)),
            "loss": float(loss.detach()),
            "reconstruction": float(reconstruction.detach()),
            "auxiliary": float(auxiliary.detach()),
            "dead": float(len(dead)),
        }

    def _dead(self) -> Tensor:
        """Return indices of the dead latents; none where `revive_after` is 0."""
        after = self.config.revive_after
        return (self.model.batches_unused >= after).nonzero().squeeze(1)[: None if after else 0]

    @torch.no_grad()
    def _count(self, latents: Latents) -> None:
        """Record which latents were in use, and how large the strongest latents were."""
        model = self.model
        model.batches_unused.add_(1)
        model.batches_unused[latents.indices[latents.values > 0]] = 0
        strongest, size = latents.indices[:, 0], len(model.strength)
        count = torch.bincount(strongest, minlength=size)
        total = torch.zeros_like(model.strength).index_add_(0, strongest, latents.values[:, 0])
        seen = total / count.clamp_min(1)
        known = torch.where(model.strength > 0, model.strength.lerp(seen, 1 - self.config.ema_decay), seen)
        model.strength.copy_(torch.where(count > 0, known, model.strength))

    def _shape_gradients(self) -> None:
        gradient, directions = self.model.directions.grad, self.model.directions.detach()
        assert gradient is not None
        gradient.addcmul_((gradient * directions).sum(dim=1, keepdim=True), directions, value=-1)

    def _judge(self) -> Judgement:
        self.model.eval()
        result = evaluate_sae(self.model, self.job.rows.selection, self.job.rows.means)
        figures = {"selection_l0": result.l0, "selection_active_latents": result.active_latents}
        return Judgement(result.fvu, figures, {"L0": result.l0})


def auxiliary_loss(model: TopKSae, preactivations: Tensor, left: Tensor, dead: Tensor) -> Tensor:
    """Return the share of the residual `[N, D]` that the strongest dead latents miss; 0 where no latent is dead.

    The number of these latents is half the width, as published, or all dead latents where there are fewer.
    """
    if not len(dead):
        return left.new_zeros(())
    count = min(len(dead), max(1, left.shape[1] // 2))
    values, order = preactivations[:, dead].topk(count, dim=1)
    prediction = model.combine(Latents(values.relu(), dead[order]))
    return (left - prediction).square().mean() / left.square().mean().clamp_min(torch.finfo(left.dtype).tiny)
