"""Texts as probes read them: the mean over their words of the states, and of the activity of each concept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from clvq.activations.store import ROWS_AT_ONCE, ActivationStore
from clvq.concepts.assignments import SplitText
from clvq.concepts.directions import ConceptSpace
from clvq.errors import ClvqError
from clvq.language_model.rows import WORD
from clvq.progress import Progress, Report, silent

LABEL = "label"
"""The attribute that every labelled corpus has."""


@dataclass(frozen=True)
class TextStates:
    """The texts `[S]` of a split that have a word."""

    states: np.ndarray
    """[S, D] mean state of the words at the input layer, scaled as for training."""
    attributes: Mapping[str, np.ndarray]
    """By name, the value of each text `[S]`; "" where it is not known."""
    texts: np.ndarray
    """[S] which distinct text each is."""
    rows: np.ndarray
    """[R] index of the text that each row of the split is a word of; -1 for attention sinks and for other rows."""


def text_states(
    store: ActivationStore,
    split: str,
    layer: int,
    text: SplitText,
    known: Mapping[str, Mapping[str, str]],
    progress: Report = silent,
) -> TextStates:
    """Return the mean states of the texts of a split, with their labels and their `known` attributes."""
    is_word = (store.flags(split) & WORD != 0) & ~store.sinks(split, (layer,))
    counts = np.bincount(text.sentences[is_word], minlength=store.sentence_count(split))
    kept = np.flatnonzero(counts)
    number = np.full(len(counts), -1)
    number[kept] = np.arange(len(kept))
    rows = np.where(is_word, number[text.sentences], -1)
    totals = torch.zeros(len(kept), store.layer(layer).width, dtype=torch.float64)
    for first, shard in store.rows(split, layer, progress).shards():
        for start in range(0, len(shard), ROWS_AT_ONCE):
            part = shard[start : start + ROWS_AT_ONCE].float()
            of_text = torch.from_numpy(rows[first + start : first + start + len(part)])
            totals.index_add_(0, of_text[of_text >= 0], part[of_text >= 0].double())
    states = (totals / torch.from_numpy(counts[kept])[:, None] * store.layer(layer).scale).numpy()
    names = store.label_names or []
    said = [known.get(sentence.text, {}) for sentence in store.sentences(split)]
    attributes = {LABEL: np.array([names[label] if 0 <= label < len(names) else "" for label in text.labels[kept]])}
    known_names = sorted({name for one in known.values() for name in one})
    if LABEL in known_names:
        raise ClvqError(
            f"An aspect of the pairs is called {LABEL!r}, as the labels of the corpus are. Rename its columns."
        )
    for name in known_names:
        attributes[name] = np.array([said[index].get(name, "") for index in kept])
    return TextStates(states, attributes, text.texts[kept], rows)


@torch.no_grad()
def text_codes(
    store: ActivationStore, split: str, layer: int, space: ConceptSpace, texts: TextStates, progress: Report = silent
) -> csr_array:
    """Return the activity `[S, K]` of each concept in each text, as the mean over its words."""
    size, device = len(space.atoms), space.mean.device
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for first, shard in store.rows(split, layer, progress).shards():
        for start in range(0, len(shard), ROWS_AT_ONCE):
            part = shard[start : start + ROWS_AT_ONCE]
            of_text = texts.rows[first + start : first + start + len(part)]
            words = part[torch.from_numpy(of_text >= 0)].float().to(device)
            if len(words):
                values, codes = (part.cpu().numpy() for part in space.activations(words))
                parts.append((values.ravel(), np.repeat(of_text[of_text >= 0], values.shape[1]), codes.ravel()))
            progress(Progress("codes of texts", first + start + len(of_text), len(texts.rows), "rows"))
    values, of_text, codes = (np.concatenate(column) for column in zip(*parts, strict=True))
    totals = csr_array((values.astype(np.float64), (of_text, codes)), shape=(len(texts.states), size))
    counts = np.bincount(texts.rows[texts.rows >= 0], minlength=len(texts.states))
    return csr_array(totals.multiply(1 / counts[:, None]))
