"""How good a trained model is on a split, in one deterministic pass: FVU, usage of codes, reliance on the codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clvq.device import give_back_memory
from clvq.models.clvq_vae import ClvqVae
from clvq.models.decoder import Layout
from clvq.models.metrics import ExplainedVariance, perplexity
from clvq.progress import Progress, Report, silent
from clvq.training.results import Evaluation
from clvq.training.rows import PairBatch, PairRows

ATTESTED = 5
"""A code counts as well attested when it occurs in at least this many distinct texts."""

OWN_CODE_DRAWS = 3
"""Number of draws per sentence. Each draw replaces the code of one random word by the mean code."""


@dataclass(frozen=True)
class TrainingMeans:
    """Means `[E]` of the scaled output layer over the training rows. Variance is measured about them."""

    words: Tensor
    sentences: Tensor
    updates: Tensor | None = None
    """Mean over words of the output layer minus the input layer; None for layers of different widths, and for the same
    layer."""

    @classmethod
    def of_rows(cls, rows: PairRows, progress: Report = silent) -> TrainingMeans:
        sums: dict[bool, Tensor] = {}
        counts = {True: 0, False: 0}
        done, between = 0, None
        for indices in rows.batches(512):
            batch = rows.read(indices)
            if batch.inputs.shape == batch.targets.shape and rows.pair.layers[0] != rows.pair.layers[1]:
                steps = rows.pair.updates(batch)[batch.is_word].sum(dim=0, dtype=torch.float64)
                between = steps if between is None else between + steps
            for of_words in (True, False):
                targets = batch.targets[batch.is_word == of_words]
                sums[of_words] = sums.get(of_words, 0.0) + targets.sum(dim=0, dtype=torch.float64)
                counts[of_words] += len(targets)
            done += len(indices)
            progress(Progress("means", done, len(rows), "sentences"))
        words, sentences = ((sums[which] / max(counts[which], 1)).float() for which in (True, False))
        return cls(words, sentences, None if between is None else (between / max(counts[True], 1)).float())


class _Assigned(NamedTuple):
    """The nearest codes of a split, batch by batch."""

    batches: list[tuple[np.ndarray, Tensor, Tensor]]
    """(the sentences' indices in the rows, codes [N, codebooks], is_word [N]), tensors on the CPU."""
    usage: Tensor
    """[K] number of words with each code of the first codebook."""
    candidates_in_use: float
    """exp of the mean entropy of the draw."""


class _Reliance(NamedTuple):
    """FVU over words when words get wrong codes."""

    fvu_codes_shuffled: float | None = None
    fvu_own_code_mean: float | None = None
    fvu_first_codebook: float | None = None


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
    """Measure a model with its final codebook; each row takes its nearest code.

    `reliance` adds the figures of bottleneck reliance: how much predictions depend on the codes. `seed` decides
    their random draws.
    """
    model.eval()
    size = len(model.codebook)
    assigned = _assign(model, rows, batch_sentences)
    words, sentence_rows = ExplainedVariance(means.words), ExplainedVariance(means.sentences)
    occurrences, errors, done = Occurrences(rows), list[Tensor](), 0
    for number, (indices, codes, is_word) in enumerate(assigned.batches):
        give_back_memory(number)
        batch = rows.read(indices)
        prediction = _decode(model, batch, model.codes_at(codes.to(model.codebook.device)))
        words.add(batch.targets[batch.is_word], prediction[batch.is_word])
        sentence_rows.add(batch.targets[~batch.is_word], prediction[~batch.is_word])
        errors.append((prediction - batch.targets).square().sum(dim=1))
        occurrences.add(indices, codes[:, 0], is_word, batch.mask)
        done += len(indices)
        progress(Progress("evaluate", done, len(rows), "sentences"))
    spoilt = _reliance(model, rows, words, errors, assigned, seed, progress) if reliance else _Reliance()
    active = int((assigned.usage > 0).sum())
    return Evaluation(
        rows=int(assigned.usage.sum()),
        fvu=words.fvu,
        fvu_sentence_rows=sentence_rows.fvu if have_sentence_rows(rows, int(assigned.usage.sum())) else None,
        codebook_perplexity=perplexity(assigned.usage),
        active_codes=active,
        active_codes_5=occurrences.well_attested(),
        dead_codes=size - active,
        candidates_in_use=assigned.candidates_in_use,
        **spoilt._asdict(),
    )


def _assign(model: ClvqVae, rows: PairRows, batch_sentences: int) -> _Assigned:
    quantizer = model.quantizer
    batches, entropy, drawn = [], 0.0, 0
    usage = torch.zeros(len(model.codebook), dtype=torch.int64)
    for indices in rows.batches(batch_sentences):
        batch = rows.read(indices)
        z_e = model.encoder(batch.inputs)
        candidates = quantizer.candidates(z_e)
        first, is_word = candidates.indices[:, 0], batch.is_word.cpu()
        further = [choice.quantized.indices for choice in model.refine(z_e, model.codebook[first])]
        codes = torch.stack([first, *further], dim=1).cpu()
        chances = quantizer.probabilities(candidates)[batch.is_word]
        entropy += float(torch.special.entr(chances).sum(dtype=torch.float64))
        drawn += len(chances)
        usage += torch.bincount(codes[is_word, 0], minlength=len(usage))
        batches.append((indices, codes, is_word))
    return _Assigned(batches, usage, float(np.exp(entropy / max(drawn, 1))))


def _decode(model: ClvqVae, batch: PairBatch, z_q: Tensor) -> Tensor:
    """Predict target rows `[N, E]` from the codes `z_q [N, D]` of a batch's rows."""
    z_e = model.encoder(batch.inputs) if model.decoder.sees_encoder else None
    return model.completed(model.decoder(z_q, Layout.of_mask(batch.mask), z_e), batch.inputs)


def _reliance(
    model: ClvqVae,
    rows: PairRows,
    words: ExplainedVariance,
    errors: list[Tensor],
    assigned: _Assigned,
    seed: int,
    progress: Report,
) -> _Reliance:
    """Measure how much worse words are predicted when codes are shuffled among the words, when one word per sentence
    loses its own codes, and, of several codebooks, with the first one's codes alone. `words` is what is measured with
    all codes, and `errors` the squared error of each batch's rows `[N]`.

    A sentence with n words stands for n words. So the mean, over the draws, of what the error of the one word grows by
    is multiplied by n:

        FVU without the own code = FVU + sum_s n_s mean(error without - error with its code) / sum |y - mean|^2
    """
    shuffled, alone = (ExplainedVariance(words.mean) for _ in range(2))
    growth = torch.zeros((), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    nothing = torch.zeros(0, len(model.quantizers), dtype=torch.int64)
    word_codes = torch.cat([nothing, *(codes[is_word] for _, codes, is_word in assigned.batches)])
    permuted = word_codes[torch.randperm(len(word_codes), generator=generator)]
    device, mean_code = model.codebook.device, _mean_code(model, word_codes)
    sizes = [len(codes) for _, codes, _ in assigned.batches]
    chances = torch.rand(OWN_CODE_DRAWS, sum(sizes), generator=generator)
    words_replaced = done = 0
    batches = zip(assigned.batches, errors, chances.split(sizes, dim=1), strict=True)
    for number, ((indices, codes, is_word), with_codes, draws) in enumerate(batches):
        give_back_memory(number)
        batch = rows.read(indices)
        mixed, count = codes.clone(), int(is_word.sum())
        mixed[is_word] = permuted[words_replaced : words_replaced + count]
        words_replaced += count
        prediction = _decode(model, batch, model.codes_at(mixed.to(device)))
        shuffled.add(batch.targets[batch.is_word], prediction[batch.is_word])
        own = model.codes_at(codes.to(device))
        for draw in draws:
            numbers, sizes_of_sentences = (each.to(device) for each in _one_word_a_sentence(is_word, batch.mask, draw))
            z_q = own.clone()
            z_q[numbers] = mean_code
            without, targets = _decode(model, batch, z_q)[numbers], batch.targets[numbers]
            grown = (without - targets).square().sum(dim=1) - with_codes[numbers]
            growth += (grown.double() * sizes_of_sentences).sum().cpu()
        if len(model.quantizers) > 1:
            prediction = _decode(model, batch, model.codebook[codes[:, 0].to(device)])
            alone.add(batch.targets[batch.is_word], prediction[batch.is_word])
        done += len(indices)
        progress(Progress("bottleneck reliance", done, len(rows), "sentences"))
    own_replaced = None if words.fvu is None else words.fvu + float(growth / OWN_CODE_DRAWS / words.squares)
    return _Reliance(shuffled.fvu, own_replaced, alone.fvu)


def _mean_code(model: ClvqVae, codes: Tensor) -> Tensor:
    """Return the mean `[D]` of what the decoder is given for words with `codes [N, codebooks]`."""
    means = []
    for number, quantizer in enumerate(model.quantizers):
        usage = torch.bincount(codes[:, number], minlength=len(quantizer.codebook)).double()
        means.append(usage @ quantizer.codebook.double().cpu() / max(len(codes), 1))
    return torch.stack(means).sum(dim=0).float().to(model.codebook.device)


def have_sentence_rows(rows: PairRows, words: int) -> bool:
    """Return whether most sentences have a row beside those of their `words`. In a decoder, the last word's row is the
    sentence's, and only a text with something behind its last word has another."""
    return 2 * (rows.row_count - words) >= len(rows)


def update_factor(rows: PairRows, means: TrainingMeans) -> float | None:
    """Return the factor that turns an FVU over the words of `rows` into the FVU of the update.

    None where there is no update (widths differ, or the input layer itself is predicted), or where the update does not
    vary.
    """
    if means.updates is None:
        return None
    states, updates = ExplainedVariance(means.words), ExplainedVariance(means.updates)
    for indices in rows.batches(256):
        batch = rows.read(indices)
        targets, steps = batch.targets[batch.is_word], rows.pair.updates(batch)[batch.is_word]
        states.add(targets, targets)
        updates.add(steps, steps)
    return float(states.squares / updates.squares) if updates.squares > 0 else None


class Occurrences:
    """Counts on how many distinct texts each code occurs, batch by batch."""

    def __init__(self, rows: PairRows) -> None:
        self.texts = torch.from_numpy(rows.texts)
        self.pairs: list[Tensor] = []
        """[2, P] codes, and the texts in which a word has them."""

    def add(self, indices: np.ndarray, codes: Tensor, is_word: Tensor, mask: Tensor) -> None:
        """Add the codes `[N]` of the rows of the sentences at `indices`, whose layout is `mask` `[B, T]`."""
        sentences = torch.from_numpy(indices)[mask.cpu().nonzero()[:, 0][is_word]]
        self.pairs.append(torch.unique(torch.stack([codes[is_word], self.texts[sentences]]), dim=1))

    def well_attested(self) -> int:
        """Return the number of codes on at least ATTESTED distinct texts."""
        pairs = torch.unique(torch.cat(self.pairs, dim=1), dim=1)
        return int((torch.bincount(pairs[0]) >= ATTESTED).sum())


def _one_word_a_sentence(is_word: Tensor, mask: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return one random word of each sentence that has a word `[<= B]`: its index among the packed rows, which is that
    of the largest of the random `draws` `[N]`, and the number of words of its sentence."""
    chances = torch.full(mask.shape, -1.0)
    numbers = torch.zeros(mask.shape, dtype=torch.int64)
    on_cpu = mask.cpu()
    chances[on_cpu] = torch.where(is_word, draws, -1.0)
    numbers[on_cpu] = torch.arange(len(draws))
    best, sizes = chances.max(dim=1), (chances >= 0).sum(dim=1)
    return numbers.gather(1, best.indices[:, None]).squeeze(1)[sizes > 0], sizes[sizes > 0]
