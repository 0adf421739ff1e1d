"""What a probe reads: sentence rows at the input layer, their labels, and the most salient word of each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import SplitText, read_text
from clvq.concepts.directions import ConceptSpace, concept_space
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.explainer import salient_words
from clvq.explanations.records import Explanation
from clvq.interventions.controls import Owner
from clvq.language_model.head_targets import LabelTarget, ScoreTarget, TagTarget
from clvq.language_model.rows import SENTENCE, WORD
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint
from clvq.training.rows import split_by_text

MOST_TRAINING = 50_000
"""Largest number of sentences that a probe is fitted to; it learns nothing new from more."""


_OTHER_LABELS = {
    LabelTarget.kind: "several labels for each",
    TagTarget.kind: "a tag for each word",
    ScoreTarget.kind: "a number for each",
}
"""What labels are where they are not one class a sentence, by `Target.kind`."""


def other_labels(store: ActivationStore) -> str | None:
    """Return what the model gives for a sentence where that is not one class: "several labels for each"."""
    return None if store.target is None else _OTHER_LABELS.get(store.target.kind)


def refuse_other_labels(store: ActivationStore, mode: str) -> None:
    """Raise ClvqError where labels are not one class a sentence, which a probe reads."""
    labels = other_labels(store)
    if labels is not None:
        raise ClvqError(
            f"--mode {mode} reads one class of each sentence, and {store.provenance.model.id} gives {labels}. "
            "Use --mode model or --mode splice, which measure its own answers."
        )


@dataclass(frozen=True)
class ProbeData:
    """Rows that a probe reads, and the sentences `[S]` of the evaluation split with their most salient words."""

    layer: int
    kind: str
    train: Tensor
    """[T, D] of the labelled training sentences, none of which is in the evaluation split."""
    train_labels: np.ndarray
    train_numbers: np.ndarray
    """[T] indices in the training split."""
    slices: tuple[np.ndarray, np.ndarray]
    """Indices in the training split, for fitting and for selection; no text is in both."""
    states: Tensor
    """[S, D]"""
    words: Tensor
    """[S, D] rows of the most salient words."""
    labels: np.ndarray
    texts: np.ndarray
    """[S] which distinct text each sentence is."""
    owners: list[Owner]
    """[S] the concept of each sentence's most salient word."""
    classes: np.ndarray
    """[S] the predicted class; the label, where the model predicts no classes."""
    space: ConceptSpace

    @classmethod
    def read(cls, checkpoint: Checkpoint, sentences: Sequence[Explanation], progress: Report) -> ProbeData:
        store, layer = checkpoint.store(), checkpoint.input_layer
        layers = (layer, checkpoint.settings.target_layer)
        space = concept_space(checkpoint, progress=progress)
        has_rows = any(bool((store.flags(split) & SENTENCE != 0).any()) for split in ("train", "eval"))
        train, numbers = _rows(store, "train", layers, has_rows, progress)
        labels = read_text(store, "train", progress).labels[numbers]
        seen = {row.text for row in store.sentences("eval")}
        fresh = np.array([row.text not in seen for row in store.sentences("train")])[numbers]
        chosen = np.flatnonzero((labels >= 0) & fresh)
        if len(chosen) > MOST_TRAINING:
            chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST_TRAINING])
        text = read_text(store, "eval", progress)
        states, places = _rows(store, "eval", layers, has_rows, progress)
        salient = _salient_rows(store, text, layers, sentences)
        kept = np.array([at for at, number in enumerate(places) if number in salient and text.labels[number] >= 0], int)
        if not len(chosen) or not len(kept):
            raise ClvqError(
                f"{store.path} has no labelled sentences in both splits: a probe reads labels. "
                "Extract a corpus with labels (--label-column)."
            )
        if len(np.unique(labels[chosen])) < 2:
            raise ClvqError(f"All training sentences of {store.path} have one label: a probe needs two classes.")
        places = places[kept]
        rows = [salient[number] for number in places]
        stored = store.rows("eval", layer, progress)
        words = torch.cat(stored.slices(rows, [row + 1 for row in rows])).float().to(space.mean.device)
        codes = space.codes(words).tolist()
        return cls(
            layer=layer,
            kind="sentence" if has_rows else "mean of words",
            train=train[chosen],
            train_labels=labels[chosen],
            train_numbers=numbers[chosen],
            slices=split_by_text(store, "train"),
            states=states[kept].to(words.device),
            words=words,
            labels=text.labels[places],
            texts=text.texts[places],
            owners=[
                Owner(int(number), code, int(text.predictions[number]))
                for number, code in zip(places, codes, strict=True)
            ],
            classes=(text.predictions if store.has_predictions else text.labels)[places],
            space=space,
        )

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in `train` for fitting and for selection; no text is in both. ClvqError for too few."""
        fitting, selection = (np.flatnonzero(np.isin(self.train_numbers, part)) for part in self.slices)
        if not len(selection) or len(np.unique(self.train_labels[fitting])) < 2:
            raise ClvqError(
                f"{len(self.train_labels)} labelled training sentences are too few to fit a probe to some and select "
                "its regularisation on others."
            )
        return fitting, selection

    @property
    def chance(self) -> float:
        """Accuracy of always saying the most frequent class of the training sentences."""
        return float((self.labels == np.bincount(self.train_labels).argmax()).mean())

    def about(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "rows": self.kind,
            "distinct_texts": len(np.unique(self.texts)),
            "chance": self.chance,
        }


def _rows(
    store: ActivationStore, split: str, layers: tuple[int, int], sentence_rows: bool, progress: Report
) -> tuple[Tensor, np.ndarray]:
    """Return `[S, D]` and `[S]`: the sentence row, or the mean of the words' rows, of each sentence that has any, and
    the index of the sentence."""
    flag = SENTENCE if sentence_rows else WORD
    chosen = torch.from_numpy(~store.sinks(split, layers) & (store.flags(split) & flag != 0))
    counts = store.row_counts(split)
    owners = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    totals = torch.zeros(len(counts), store.layer(layers[0]).width)
    for first, shard in store.rows(split, layers[0], progress).shards():
        place = slice(first, first + len(shard))
        wanted = chosen[place]
        totals.index_add_(0, owners[place][wanted], shard[wanted].float())
    number = torch.bincount(owners[chosen], minlength=len(counts))
    kept = number > 0
    return totals[kept] / number[kept][:, None], kept.nonzero()[:, 0].numpy()


def _salient_rows(
    store: ActivationStore, text: SplitText, layers: tuple[int, int], sentences: Sequence[Explanation]
) -> dict[int, int]:
    """Return by sentence the row of its most salient word in the split, for explained sentences.

    Sentences whose words are all attention sinks are left out. MismatchError where an explanation has other words.
    """
    able = ~store.sinks("eval", layers)
    ends = np.cumsum(store.row_counts("eval"))
    of_words = np.flatnonzero(text.types >= 0)
    found = {}
    for sentence in sentences:
        number = sentence.id
        first = ends[number - 1] if number else 0
        rows = of_words[np.searchsorted(of_words, first) : np.searchsorted(of_words, ends[number])]
        if len(rows) != len(sentence.words):
            raise MismatchError(
                f"Sentence {number} has {len(rows)} words in {store.path} and {len(sentence.words)} in its "
                "explanation. Explain again with `clvq explain --overwrite`."
            )
        values = [(int(row), word.attribution) for row, word in zip(rows, sentence.words, strict=True) if able[row]]
        for top in salient_words([value for _, value in values], None):
            found[number] = values[top][0]
    return found
