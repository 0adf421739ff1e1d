"""A language model above the layer that a checkpoint reconstructs, with the reconstruction in place of the states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clvq.activations.new_text import tokenize
from clvq.activations.store import ROWS_AT_ONCE, ActivationStore, SentenceRows
from clvq.interventions.splice_figures import OTHERS, outcome
from clvq.language_model.batch_rows import BatchRows
from clvq.language_model.inputs import Inputs
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import WORD
from clvq.language_model.sites import capturing, no_cache
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.language_model.word_targets import TextTarget
from clvq.models.clvq_vae import ClvqVae
from clvq.models.sae import TopKSae
from clvq.progress import Progress, Report
from clvq.training.checkpoint import Checkpoint

_LOGITS_AT_ONCE = 1 << 26
"""Largest number of logits in a batch, where the next token is asked for at every token."""
_COMPARED_AT_ONCE = 1 << 24


class Outcomes(NamedTuple):
    """Figures of answers."""

    sentences: np.ndarray
    """`[S]` the index of the sentence of each answer."""
    columns: dict[str, np.ndarray]
    """`[S]` each: what `outcome` gives, and the number of the sentence's `tokens` and `tokens_of_rows`."""


class Splicer:
    """A language model above the layer that a checkpoint reconstructs."""

    def __init__(self, checkpoint: Checkpoint, store: ActivationStore, model: LanguageModel, progress: Report) -> None:
        self.store, self.model, self.input_layer = store, model, checkpoint.input_layer
        self.upper = UpperLayers(model, checkpoint.settings.target_layer)
        self.layers = (self.input_layer, self.upper.layer)
        self.only_sentence_row = True
        self._means = [mean.to(model.device, model.dtype) for mean in _training_means(store, self.layers, progress)]
        self._reconstructor = checkpoint.load().to(model.device)
        self._progress = progress

    def outcomes(self, sentences: Sequence[SentenceRows], batch_tokens: int) -> Outcomes:
        """Return the figures of all answers of sentences with tokens: one for each part that is asked, or one at each
        token where the target is the text itself."""
        tokenized = tokenize(self.model, self.store, [row.text for row in sentences])
        whole = isinstance(self.upper.target, TextTarget)
        found = list((self._of_text if whole else self._of_answers)(sentences, tokenized, batch_tokens))
        names = list(found[0].columns) if found else []
        columns = {name: np.concatenate([part.columns[name] for part in found]) for name in names}
        numbers = [part.sentences for part in found]
        return Outcomes(np.concatenate(numbers) if numbers else np.empty(0, np.int64), columns)

    def _of_answers(
        self, sentences: Sequence[SentenceRows], tokenized: Sequence[TokenizedSentence], batch_tokens: int
    ) -> Iterator[Outcomes]:
        """Yield the figures of the answers to the parts of each text, batch by batch."""
        target, done = self.upper.target, 0
        right = [
            target.aligned(row.text, sentence, row.answers) for row, sentence in zip(sentences, tokenized, strict=True)
        ]
        able = [
            (number, part)
            for number, sentence in enumerate(tokenized)
            if sentence.input_ids
            for part in target.asked(sentence, right[number])
        ]
        for batch in self.model.batches([tokenized[number] for number, _ in able], batch_tokens):
            keys = [able[index] for index in batch]
            labels = [target.truth(sentences[number].label, right[number], part) for number, part in keys]
            columns = self._answers([tokenized[number] for number, _ in keys], labels, [part for _, part in keys])
            yield Outcomes(np.array([number for number, _ in keys]), _columns(columns))
            done += len(batch)
            self._progress(Progress("splice", done, len(able), "sentences"))

    @torch.no_grad()
    def _answers(
        self, sentences: Sequence[TokenizedSentence], labels: Sequence[float], parts: Sequence[int]
    ) -> dict[str, Tensor]:
        """Return figures `[B]` of the answer to the part that is asked of each sentence."""
        upper = self.upper
        inputs = upper.inputs(sentences, parts)
        states = self._states(inputs)
        clean = states[upper.layer]
        scores = upper.scores(clean, inputs)
        truth = torch.tensor(labels, device=scores.device)
        figures = outcome("", scores, scores, truth, upper.target)
        with_row, stand_ins = self._replaced(sentences, inputs, states)
        for prefix, replaced in stand_ins:
            figures |= outcome(prefix, upper.scores(replaced, inputs), scores, truth, upper.target)
        self._see_what_counts(sentences, inputs, clean, scores)
        return {**figures, "tokens": inputs.attention_mask.sum(dim=1), "tokens_of_rows": with_row.sum(dim=1)}

    def _of_text(
        self, sentences: Sequence[SentenceRows], tokenized: Sequence[TokenizedSentence], batch_tokens: int
    ) -> Iterator[Outcomes]:
        """Yield the figures of the next token at every token of the texts, batch by batch."""
        self.only_sentence_row = False
        able = [number for number, sentence in enumerate(tokenized) if len(sentence.input_ids) > 1]
        at_once, done = max(1, min(batch_tokens, _LOGITS_AT_ONCE // self.upper.target.count)), 0
        for batch in self.model.batches([tokenized[number] for number in able], at_once):
            numbers = np.array([able[index] for index in batch])
            columns = self._tokens([tokenized[number] for number in numbers])
            yield Outcomes(numbers[columns.pop("sentence").cpu().numpy()], _columns(columns))
            done += len(batch)
            self._progress(Progress("splice", done, len(able), "sentences"))

    @torch.no_grad()
    def _tokens(self, sentences: Sequence[TokenizedSentence]) -> dict[str, Tensor]:
        """Return figures `[P]` of the next token, wherever a token of the text follows; a prompt's are not asked for.

        The loss is that of the token that follows in the text.
        """
        upper = self.upper
        inputs = upper.inputs(sentences)
        states = self._states(inputs)
        follows = inputs.attention_mask.bool()
        if inputs.fixed is not None:
            follows &= ~inputs.fixed
        sentence, position = follows[:, 1:].nonzero(as_tuple=True)
        truth = inputs.input_ids[sentence, position + 1]
        clean = upper.next_tokens(states[upper.layer], inputs)[sentence, position]  # [P, V]
        figures = self._compared("", clean, clean, truth)
        with_row, stand_ins = self._replaced(sentences, inputs, states)
        for prefix, replaced in stand_ins:
            figures |= self._compared(prefix, upper.next_tokens(replaced, inputs)[sentence, position], clean, truth)
        of_sentence = {"tokens": inputs.attention_mask.sum(dim=1), "tokens_of_rows": with_row.sum(dim=1)}
        return {"sentence": sentence, **figures, **{name: counts[sentence] for name, counts in of_sentence.items()}}

    def _compared(self, prefix: str, scores: Tensor, clean: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return `outcome` of `[P, V]`, a few tokens at a time, with only the loss of the token in the text."""
        size = max(1, _COMPARED_AT_ONCE // scores.shape[1])
        parts = [
            outcome(prefix, *chunk, self.upper.target)
            for chunk in zip(scores.split(size), clean.split(size), truth.split(size), strict=True)
        ]
        figures = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        figures[f"{prefix}loss"] = figures.pop(f"{prefix}loss_labels")
        return figures

    def _replaced(
        self, sentences: Sequence[TokenizedSentence], inputs: Inputs, states: dict[int, Tensor]
    ) -> tuple[Tensor, Iterator[tuple[str, Tensor]]]:
        """Return which tokens have a row `[B, T]`, and the states `[B, T, D]` that replace the clean ones, with the
        prefix of their figures: spliced and ablated, with each of OTHERS at the tokens without a row."""
        clean = states[self.upper.layer]
        rows = BatchRows.of(sentences, self.store.settings.pooling, clean.device)
        kept, values = self._reconstruction(states, rows)
        is_word = torch.from_numpy((rows.flags & WORD) != 0).to(clean.device)
        of_rows = kept[rows.row]
        place = rows.sentence[of_rows], rows.token[of_rows]
        with_row = torch.zeros_like(inputs.attention_mask, dtype=torch.bool)
        with_row[place] = True
        word_mean, sentence_mean = self._means
        spliced, ablated = clean.clone(), clean.clone()
        spliced[place] = values[rows.row[of_rows]].to(clean.dtype)
        ablated[place] = torch.where(is_word[rows.row[of_rows]][:, None], word_mean, sentence_mean)
        without_row = inputs.attention_mask.bool() & ~with_row
        return with_row, _stand_ins(spliced, ablated, without_row, word_mean)

    def _states(self, inputs: Inputs) -> dict[int, Tensor]:
        """Return the model's own states `[B, T, D]` at both layers."""
        captured: dict[int, Tensor] = {}
        base = self.model.base
        layers, device = sorted(set(self.layers)), self.model.device
        with capturing(self.model.sites, layers, lambda state: state, captured, device=device, stop=True):
            base(**inputs.arguments, **no_cache(base))
        return captured

    def _reconstruction(self, states: dict[int, Tensor], rows: BatchRows) -> tuple[Tensor, Tensor]:
        """Return which rows `[R]` are no sinks, and `[R, E]`: the reconstruction of these rows, 0 elsewhere."""
        stored = self.store.as_stored({layer: rows.gather(states[layer]) for layer in set(self.layers)})
        kept = torch.from_numpy(~self.store.sinks_among(rows.flags, stored)).to(rows.row.device)
        inputs = stored[self.input_layer][kept]
        made = states[self.upper.layer].new_zeros(len(kept), states[self.upper.layer].shape[2], dtype=torch.float32)
        if len(inputs):
            numbers = torch.repeat_interleave(torch.arange(len(rows.counts)), torch.tensor(rows.counts))
            lengths = torch.bincount(numbers[kept.cpu()], minlength=len(rows.counts))
            make = reconstruct_as_read if isinstance(self.upper.target, TextTarget) else reconstruct
            made[kept] = make(self._reconstructor, inputs, lengths[lengths > 0])
        return kept, made

    def _see_what_counts(
        self, sentences: Sequence[TokenizedSentence], inputs: Inputs, clean: Tensor, scores: Tensor
    ) -> None:
        """Test whether the answer depends only on the sentence rows: put the mean everywhere else.

        This is done batch by batch, until it changes the scores.
        """
        if not self.only_sentence_row:
            return
        alone = self._means[0].expand_as(clean).clone()
        at = torch.tensor([sentence.sentence_token for sentence in sentences], device=clean.device)
        line = torch.arange(len(at), device=at.device)[at >= 0]
        alone[line, at[at >= 0]] = clean[line, at[at >= 0]]
        self.only_sentence_row = torch.equal(self.upper.scores(alone, inputs), scores)


@torch.no_grad()
def reconstruct(model: ClvqVae | TopKSae, rows: Tensor, lengths: Tensor) -> Tensor:
    """Return what the model makes of packed input rows `[N, D]` of sentences with `lengths` `[B]` rows each: `[N, E]`.

    The nearest codes are used. The result is in the language model's own units.
    """
    if isinstance(model, TopKSae):
        return model.reconstruct(rows)
    mask = (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).to(rows.device)
    padded = rows.new_zeros(*mask.shape, rows.shape[1])
    padded[mask] = rows
    return model(padded, mask).prediction[mask]


def reconstruct_as_read(model: ClvqVae | TopKSae, rows: Tensor, lengths: Tensor) -> Tensor:
    """Return what `reconstruct` makes of each row `[N, E]` without the rows that follow it in its sentence.

    A decoder that attends to the whole sentence would put what follows a token into the state that is to predict it.
    """
    if isinstance(model, TopKSae):
        return reconstruct(model, rows, lengths)
    made = []
    for own in rows.split(lengths.tolist()):
        for ends in torch.arange(1, len(own) + 1).split(max(1, ROWS_AT_ONCE // len(own))):
            beginnings = torch.cat([own[:end] for end in ends.tolist()])
            made.append(reconstruct(model, beginnings, ends)[ends.cumsum(0).to(own.device) - 1])
    return torch.cat(made)


def _stand_ins(spliced: Tensor, ablated: Tensor, without_row: Tensor, mean: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield both states with each of OTHERS at the tokens without a row. These tokens are clean at first."""
    for others in OTHERS:
        for name, states in (("spliced", spliced), ("ablated", ablated)):
            if others == "ablated":
                states[without_row] = mean
            yield f"{others} {name} ", states


def _columns(figures: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: figure.double().cpu().numpy() for name, figure in figures.items()}


def _training_means(store: ActivationStore, layers: tuple[int, int], progress: Report) -> tuple[Tensor, Tensor]:
    """Return the means `[E]` of the last layer over words, and over sentence rows that are no words.

    They are over the training rows without sinks. Where one kind has no rows, the mean of the other kind is used.
    """
    kept = torch.from_numpy(~store.sinks("train", layers))
    is_word = torch.from_numpy((store.flags("train") & WORD) != 0)
    width = store.layer(layers[1]).width
    totals, counts = torch.zeros(2, width, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    for first, shard in store.rows("train", layers[1], progress).shards():
        for start in range(0, len(shard), ROWS_AT_ONCE):
            rows = shard[start : start + ROWS_AT_ONCE]
            place = slice(first + start, first + start + len(rows))
            for kind, chosen in enumerate((kept[place] & is_word[place], kept[place] & ~is_word[place])):
                totals[kind] += rows[chosen].sum(dim=0, dtype=torch.float64)
                counts[kind] += int(chosen.sum())
            progress(Progress("means", place.stop, len(kept), "rows"))
    means = (totals / counts.clamp_min(1)[:, None]).float()
    either = (totals.sum(dim=0) / counts.sum().clamp_min(1)).float()
    words, sentences = (mean if count else either for mean, count in zip(means, counts, strict=True))
    return words, sentences
