"""The decoder put to the test inside the language model: its reconstruction in place of the states it reconstructs.

With p what the model answers as it is, q what it answers with other states at the output layer, and y the answer
that p holds most likely (or the label)

    agreement     share of the sentences in which q's likeliest answer is p's
    KL            KL(p || q) in nats
    loss          L = -log q(y), for p itself L_clean
    share of the loss recovered    (L_ablated - L_spliced) / (L_ablated - L_clean), means over the sentences

*Spliced* are the rows that the decoder makes of the input layer's rows; *ablated* all rows replaced by the training
mean of the output layer: words by the mean of the words, sentence rows by that of the sentence rows, which is what
can be said of a row without looking at it. Recovered is 1 for a perfect decoder and 0 for one that says the mean.

Some tokens have no row: special tokens, sub-words that are not in their word's row, attention sinks. They carry
what the decoder never saw, so every figure is there twice: with these tokens left as they are (`clean`), and with
the words' mean in their place (`ablated`), spliced and ablated alike. The first lets them help, the second counts
their loss against the decoder.

A method that reconstructs its input layer (vqvae, sae) is spliced there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clvq.activations.store import ActivationStore, SentenceRows
from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.explanations.explainer import language_model_of
from clvq.interventions.mode_records import SpliceResult
from clvq.interventions.splice_figures import OTHERS, Figures, outcome
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import WORD, BatchRows
from clvq.language_model.sites import no_cache
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import Inputs, UpperLayers
from clvq.models.clvq_vae import ClvqVae
from clvq.models.quantizer import ROWS_AT_ONCE
from clvq.models.sae import TopKSae
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint

SPLIT = "eval"


def splice(
    checkpoint: Checkpoint,
    *,
    limit: int | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
    progress: Report = silent,
) -> SpliceResult:
    """Splice the reconstruction of a checkpoint into its language model, over the first `limit` sentences of the
    evaluation split (all).

    The interval of a share of the loss is that of its linearization about the means, `r + (n - r d) / mean d`.

    ClvqError where the model predicts nothing or no sentence has a row; ArtifactError and MismatchError where
    activations or model are missing or changed.
    """
    runtime = runtime or Runtime()
    store = checkpoint.store()
    model = language_model_of(checkpoint, store, runtime, progress)
    splicer = _Splicer(checkpoint, store, model, progress)
    sentences = list(store.sentences(SPLIT))[:limit]
    records = splicer.records(sentences, runtime.batch_tokens)
    spliced = [key for key, record in records.items() if record["tokens_of_rows"]]
    if not spliced:
        raise ClvqError(f"No sentence of the evaluation split of {store.path} has a row whose state could be replaced.")
    figures = Figures([records[key] for key in spliced], [sentences[number] for number, _ in spliced], seed)
    first = {number: (number, part) for number, part in reversed(spliced)}  # of each sentence its first part
    return SpliceResult(
        input_layer=checkpoint.input_layer,
        layer=splicer.upper.layer,
        target=splicer.upper.target.kind,
        sentences=len(first),
        left_out=len(sentences) - len(first),
        only_sentence_row=splicer.only_sentence_row,
        distinct_texts=figures.distinct_texts,
        tokens=sum(int(records[key]["tokens"]) for key in first.values()),
        tokens_of_rows=sum(int(records[key]["tokens_of_rows"]) for key in first.values()),
        accuracy=figures.mean("accuracy"),
        unit=splicer.upper.target.unit,
        others={name: figures.of(name) for name in OTHERS},
    )


class _Splicer:
    """A language model above the layer that a checkpoint reconstructs."""

    def __init__(self, checkpoint: Checkpoint, store: ActivationStore, model: LanguageModel, progress: Report) -> None:
        self.store, self.model, self.input_layer = store, model, checkpoint.input_layer
        self.upper = UpperLayers(model, checkpoint.settings.target_layer)
        self.layers = (self.input_layer, self.upper.layer)
        self.only_sentence_row = True
        self._means = [mean.to(model.device, model.dtype) for mean in _training_means(store, self.layers, progress)]
        self._reconstructor = checkpoint.load().to(model.device)
        self._progress = progress

    def records(self, sentences: Sequence[SentenceRows], batch_tokens: int) -> dict[tuple[int, int], dict[str, float]]:
        """The figures of the answers of each sentence that has tokens, by its index and the part that is asked."""
        settings = self.store.settings
        tokenized = self.model.tokenize([row.text for row in sentences], settings["unit"], settings["words"])
        target = self.upper.target
        right = [
            target.aligned(row.text, sentence, row.answers) for row, sentence in zip(sentences, tokenized, strict=True)
        ]
        able = [
            (number, part)
            for number, sentence in enumerate(tokenized)
            if sentence.input_ids
            for part in target.asked(sentence, right[number])
        ]
        records: dict[tuple[int, int], dict[str, float]] = {}
        for batch in self.model.batches([tokenized[number] for number, _ in able], batch_tokens):
            keys = [able[index] for index in batch]
            labels = [target.truth(sentences[number].label, right[number], part) for number, part in keys]
            outcomes = self.outcomes([tokenized[number] for number, _ in keys], labels, [part for _, part in keys])
            records |= dict(zip(keys, outcomes, strict=True))
            self._progress(Progress("splice", len(records), len(able), "sentences"))
        return records

    @torch.no_grad()
    def outcomes(
        self, sentences: Sequence[TokenizedSentence], labels: Sequence[float], parts: Sequence[int]
    ) -> list[dict[str, float]]:
        """For each sentence the figures of its answers to the part that it is asked, as `Figures` takes them."""
        upper = self.upper
        inputs = upper.inputs(sentences, parts)
        states = self._states(inputs)
        clean = states[upper.layer]
        rows = BatchRows.of(sentences, self.store.settings["pooling"], clean.device)
        kept, values = self._reconstruction(states, rows)
        is_word = torch.from_numpy((rows.flags & WORD) != 0).to(clean.device)
        of_rows = kept[rows.row]
        place = rows.sentence[of_rows], rows.token[of_rows]
        without_row = inputs.attention_mask.bool()
        without_row[place] = False
        word_mean, sentence_mean = self._means
        spliced, ablated = clean.clone(), clean.clone()
        spliced[place] = values[rows.row[of_rows]].to(clean.dtype)
        ablated[place] = torch.where(is_word[rows.row[of_rows]][:, None], word_mean, sentence_mean)
        scores = upper.scores(clean, inputs)
        truth = torch.tensor(labels, device=scores.device)
        figures = outcome("", scores, scores, truth, upper.target)
        for others in OTHERS:
            for name, replaced in (("spliced", spliced), ("ablated", ablated)):
                if others == "ablated":
                    replaced[without_row] = word_mean
                figures |= outcome(f"{others} {name} ", upper.scores(replaced, inputs), scores, truth, upper.target)
        self._see_what_counts(sentences, inputs, clean, scores)
        figures["tokens"] = inputs.attention_mask.sum(dim=1)
        figures["tokens_of_rows"] = figures["tokens"] - without_row.sum(dim=1)
        return [
            dict(zip(figures, column, strict=True))
            for column in torch.stack([figure.double() for figure in figures.values()], dim=1).tolist()
        ]

    def _states(self, inputs: Inputs) -> dict[int, Tensor]:
        """The model's own states at both layers [B, T, D]."""
        captured: dict[int, Tensor] = {}
        base = self.model.base
        with self.model.capturing(sorted(set(self.layers)), lambda state: state, captured, stop=True):
            base(**inputs.arguments, **no_cache(base))
        return captured

    def _reconstruction(self, states: dict[int, Tensor], rows: BatchRows) -> tuple[Tensor, Tensor]:
        """([R] bool the rows that are no sinks, [R, E] their reconstruction, 0 elsewhere)."""
        stored = self.store.as_stored({layer: rows.gather(states[layer]) for layer in set(self.layers)})
        kept = torch.from_numpy(~self.store.sinks_among(rows.flags, stored)).to(rows.row.device)
        inputs = stored[self.input_layer][kept]
        made = states[self.upper.layer].new_zeros(len(kept), states[self.upper.layer].shape[2], dtype=torch.float32)
        if len(inputs):
            numbers = torch.repeat_interleave(torch.arange(len(rows.counts)), torch.tensor(rows.counts))
            lengths = torch.bincount(numbers[kept.cpu()], minlength=len(rows.counts))
            made[kept] = reconstruct(self._reconstructor, inputs, lengths[lengths > 0])
        return kept, made

    def _see_what_counts(
        self, sentences: Sequence[TokenizedSentence], inputs: Inputs, clean: Tensor, scores: Tensor
    ) -> None:
        """Puts the mean everywhere but at the sentence rows, batch by batch until that changes the scores."""
        if not self.only_sentence_row:
            return
        alone = self._means[0].expand_as(clean).clone()
        at = torch.tensor([sentence.sentence_token for sentence in sentences], device=clean.device)
        line = torch.arange(len(at), device=at.device)[at >= 0]
        alone[line, at[at >= 0]] = clean[line, at[at >= 0]]
        self.only_sentence_row = torch.equal(self.upper.scores(alone, inputs), scores)


@torch.no_grad()
def reconstruct(model: ClvqVae | TopKSae, rows: Tensor, lengths: Tensor) -> Tensor:
    """Packed input rows `[N, D]` of sentences with `lengths` `[B]` rows each -> what the model makes of them `[N, E]`.

    With the nearest codes, and in the language model's own units.
    """
    if isinstance(model, TopKSae):
        return model.reconstruct(rows)
    mask = (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).to(rows.device)
    padded = rows.new_zeros(*mask.shape, rows.shape[1])
    padded[mask] = rows
    return model(padded, mask).prediction[mask]


def _training_means(store: ActivationStore, layers: tuple[int, int], progress: Report) -> tuple[Tensor, Tensor]:
    """Means `[E]` of the last of the layers over the training rows without sinks: (words, sentence rows alone)."""
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
