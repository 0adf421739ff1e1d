"""How good a trained model is on a split, in one deterministic pass: FVU, usage of codes, reliance on the codes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq.models.clvq_vae import ClvqVae
from clvq.models.decoder import Layout
from clvq.models.metrics import ExplainedVariance, perplexity
from clvq.progress import Progress, Report, silent
from clvq.training.rows import PairRows

HELD_OUT_SENTENCES = 5
"""A code counts as well attested when it occurs on so many distinct sentences."""

OWN_CODE_DRAWS = 3
"""How many rows of each sentence take their turn with the mean code."""


@dataclass(frozen=True)
class Evaluation:
    """Figures over the word rows of a split; None where they cannot be had."""

    rows: int
    fvu: float | None
    fvu_sentence_rows: float | None
    """The same over sentence rows alone, about their own training mean."""
    codebook_perplexity: float
    active_codes: int
    active_codes_5: int
    """Codes on 5 distinct sentences or more."""
    dead_codes: int
    candidates_in_use: float
    """exp of the mean entropy of the draw among the nearest codes: 1 is greedy, top_k is uniform."""
    fvu_codes_shuffled: float | None = None
    """Bottleneck reliance: with codes shuffled among the words of the split."""
    fvu_own_code_mean: float | None = None
    """Bottleneck reliance: of a row whose own code is the mean code while its neighbours keep theirs."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrainingMeans:
    """Means of the scaled output layer over the training rows, about which variance is measured; each `[E]`."""

    words: Tensor
    sentences: Tensor

    @classmethod
    def of(cls, rows: PairRows, progress: Report = silent) -> TrainingMeans:
        sums: dict[bool, Tensor] = {}
        counts = {True: 0, False: 0}
        done = 0
        for places in rows.batches(512):
            batch = rows.read(places)
            for of_words in (True, False):
                chosen = batch.targets[batch.is_word == of_words]
                sums[of_words] = sums.get(of_words, 0.0) + chosen.sum(dim=0, dtype=torch.float64)
                counts[of_words] += len(chosen)
            done += len(places)
            progress(Progress("means", done, len(rows), "sentences"))
        return cls(*((sums[which] / max(counts[which], 1)).float() for which in (True, False)))


@torch.no_grad()
def evaluate(
    model: ClvqVae,
    rows: PairRows,
    means: TrainingMeans,
    *,
    batch_sentences: int = 256,
    reliance: bool = False,
    seed: int = 0,
    progress: Report = silent,
) -> Evaluation:
    """One pass with the final codebook, nearest codes only; `reliance` adds the two figures of bottleneck reliance."""
    model.eval()
    size = len(model.codebook)
    indices, usage, entropy = _assign(model, rows, batch_sentences)
    words = ExplainedVariance(means.words)
    sentence_rows = ExplainedVariance(means.sentences)
    shuffled, own = ExplainedVariance(means.words), ExplainedVariance(means.words)
    attested = torch.zeros(size, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    word_codes = torch.cat([torch.zeros(0, dtype=torch.int64), *(codes[is_word] for codes, is_word in indices)])
    permuted = word_codes[torch.randperm(len(word_codes), generator=generator)]
    mean_code = (usage.double() @ model.codebook.double().cpu() / max(int(usage.sum()), 1)).float()
    taken = done = 0
    for (codes, is_word), places in zip(indices, rows.batches(batch_sentences), strict=True):
        batch = rows.read(places)
        layout = Layout.of_mask(batch.mask)
        memory = model.encoder(batch.inputs) if model.decoder.sees_encoder else None
        codes_here, on_device = codes.to(model.codebook.device), batch.is_word
        prediction = model.decoder(model.codebook[codes_here], layout, memory)
        words.add(batch.targets[on_device], prediction[on_device])
        sentence_rows.add(batch.targets[~on_device], prediction[~on_device])
        count_sentences(attested, codes, is_word, batch.mask)
        if reliance:
            mixed = codes.clone()
            count = int(is_word.sum())
            mixed[is_word] = permuted[taken : taken + count]
            taken += count
            prediction = model.decoder(model.codebook[mixed.to(codes_here.device)], layout, memory)
            shuffled.add(batch.targets[on_device], prediction[on_device])
            for _ in range(OWN_CODE_DRAWS):
                replaced = _one_word_a_sentence(is_word, batch.mask, generator).to(codes_here.device)
                z_q = model.codebook[codes_here]
                z_q[replaced] = mean_code.to(z_q.device)
                prediction = model.decoder(z_q, layout, memory)
                own.add(batch.targets[replaced], prediction[replaced])
        done += len(places)
        progress(Progress("evaluate", done, len(rows), "sentences"))
    active = int((usage > 0).sum())
    return Evaluation(
        rows=int(usage.sum()),
        fvu=words.fvu,
        fvu_sentence_rows=sentence_rows.fvu,
        codebook_perplexity=perplexity(usage),
        active_codes=active,
        active_codes_5=int((attested >= HELD_OUT_SENTENCES).sum()),
        dead_codes=size - active,
        candidates_in_use=entropy,
        fvu_codes_shuffled=shuffled.fvu,
        fvu_own_code_mean=own.fvu,
    )


def _assign(model: ClvqVae, rows: PairRows, batch_sentences: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor, float]:
    """Batch by batch (codes [N], is_word [N]) on the CPU; usage [K] by words; exp of the draw's mean entropy."""
    quantizer = model.quantizer
    parts, entropy, drawn = [], 0.0, 0
    usage = torch.zeros(len(model.codebook), dtype=torch.int64)
    for places in rows.batches(batch_sentences):
        batch = rows.read(places)
        candidates = quantizer.candidates(model.encoder(batch.inputs))
        codes, is_word = candidates.indices[:, 0].cpu(), batch.is_word.cpu()
        chances = quantizer.probabilities(candidates)[batch.is_word]
        entropy += float(torch.special.entr(chances).sum(dtype=torch.float64))
        drawn += len(chances)
        usage += torch.bincount(codes[is_word], minlength=len(usage))
        parts.append((codes, is_word))
    return parts, usage, float(np.exp(entropy / max(drawn, 1)))


def count_sentences(attested: Tensor, codes: Tensor, is_word: Tensor, mask: Tensor) -> None:
    """Adds to each code how many sentences of the batch have a word with it."""
    sentence = mask.cpu().nonzero()[:, 0][is_word]
    pairs = torch.unique(torch.stack([sentence, codes[is_word]]), dim=1)
    attested += torch.bincount(pairs[1], minlength=len(attested))


def _one_word_a_sentence(is_word: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """[<= B] places, among the packed rows, of one random word of each sentence that has one."""
    chances = torch.full(mask.shape, -1.0)
    places = torch.zeros(mask.shape, dtype=torch.int64)
    on_cpu = mask.cpu()
    draws = torch.rand(int(on_cpu.sum()), generator=generator)
    chances[on_cpu] = torch.where(is_word, draws, -1.0)
    places[on_cpu] = torch.arange(len(draws))
    best = chances.max(dim=1)
    return places.gather(1, best.indices[:, None]).squeeze(1)[best.values >= 0]
