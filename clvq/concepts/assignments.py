"""Find the nearest code of every row of a split, in one deterministic pass, and the words that the rows stand for.

Memory grows by a few bytes per row: hidden states are read one chunk at a time, and texts stay on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from clvq.activations.store import ROWS_AT_ONCE, ActivationStore, gather
from clvq.config import LABEL, TAG
from clvq.device import pick_device
from clvq.errors import ClvqError
from clvq.language_model.head_targets import tags_of_words
from clvq.language_model.rows import WORD
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from clvq.models.clvq_vae import ClvqVae
    from clvq.models.sae import TopKSae


class Assignment(NamedTuple):
    """Codes of the rows `[R]` of a split in the order of the store; attention sinks have code -1 and distance 0."""

    codes: np.ndarray
    """[R] int32."""
    distances: np.ndarray
    """[R] float32, squared Euclidean from `z_e` to the code, in units of the scaled input layer."""
    deviation: float
    """Mean over the words of `|z_e - mean z_e|^2`, the scale to which distances are compared."""


@dataclass(frozen=True)
class SplitText:
    """The words of the rows `[R]`, and the texts and classes of the sentences `[S]` of a split, as numbers."""

    vocabulary: list[str]
    """The word types `[V]`: a type is a word's text as written."""
    types: np.ndarray
    """[R] int32 index of the row's word in `vocabulary`; -1 for a sentence row, which stands for no word."""
    sentences: np.ndarray
    """[R] int32 index of the row's sentence."""
    texts: np.ndarray
    """[S] int32 number of the sentence's text: sentences with the same text have the same number."""
    labels: np.ndarray
    """[S] int64, -1 where there is none."""
    predictions: np.ndarray
    """[S] int64, -1 where there is none."""
    label_sets: np.ndarray | None = None
    """[S, L] int8 for a model that gives several labels: 1 where the label is right, 0 where it is not, -1 where the
    corpus does not say. None for other models."""
    prediction_sets: np.ndarray | None = None
    """[S, L] int8 for such a model: 1 where the label is predicted, 0 where it is not, -1 without a prediction."""
    tags: np.ndarray | None = None
    """[R] int64 for a model that gives each word a tag: the right tag of the row's word, -1 where there is none. None
    for other models."""


def load_model(checkpoint: Checkpoint) -> ClvqVae | TopKSae:
    """Load a checkpoint's model onto the device that it was trained on, or onto this machine's default device."""
    try:
        device = pick_device(checkpoint.settings.device)
    except ClvqError:
        device = pick_device(None)
    return checkpoint.load().to(device)


@torch.no_grad()
def codes_and_distances(model: ClvqVae | TopKSae, scaled: Tensor) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return codes `[N]`, squared distances `[N]` and the encoder's output `[N, W]` of scaled input rows `[N, D]`.

    The distances are between that output and the codes.
    """
    z_e = model.encoder(scaled)
    nearest = model.nearest(z_e)
    gaps = model.codebook[nearest].sub_(z_e)
    return nearest.cpu().numpy(), torch.linalg.vector_norm(gaps, dim=1).square().cpu().numpy(), z_e


@torch.no_grad()
def assign(
    model: ClvqVae | TopKSae, store: ActivationStore, split: str, layers: tuple[int, int], progress: Report = silent
) -> Assignment:
    """Return the nearest code of every row that is no sink at either of `layers` (input, output)."""
    keep = ~store.sinks(split, layers)
    is_word = (store.flags(split) & WORD) != 0
    codebook, scale = model.codebook, float(model.input_scale)
    codes, distances = np.full(len(keep), -1, np.int32), np.zeros(len(keep), np.float32)
    squares = torch.zeros((), dtype=torch.float64, device=codebook.device)
    total = torch.zeros(codebook.shape[1], dtype=torch.float64, device=codebook.device)
    for first, shard in store.rows(split, layers[0], progress).shards():
        for start in range(0, len(shard), ROWS_AT_ONCE):
            rows = shard[start : start + ROWS_AT_ONCE]
            span = slice(first + start, first + start + len(rows))
            kept = keep[span]
            if kept.any():
                kept_rows = rows if kept.all() else rows[torch.from_numpy(kept)]
                scaled = gather([kept_rows], scale, codebook.device)
                codes[span][kept], distances[span][kept], z_e = codes_and_distances(model, scaled)
                words = z_e[torch.from_numpy(is_word[span][kept]).to(z_e.device)]
                # 32 bits are enough for sums over a row or a chunk, but sums over all chunks need 64.
                squares += torch.linalg.vector_norm(words, dim=1).double().square().sum()
                total += words.sum(dim=0).double()
            progress(Progress("codes", span.stop, len(keep), "rows", {"rows": len(rows)}))
    count = max(int((keep & is_word).sum()), 1)
    return Assignment(codes, distances, max(float(squares - total.square().sum() / count) / count, 0.0))


def read_text(store: ActivationStore, split: str, progress: Report = silent) -> SplitText:
    """Return the word types, sentences, distinct texts and classes of a split, from one pass over its sentences."""
    counts = store.row_counts(split)
    numbers: dict[str, int] = {}
    digests: dict[int, int] = {}
    types = np.full(int(counts.sum()), -1, np.int32)
    texts, labels, predictions = [], [], []
    kind = store.manifest.target_kind
    gives_sets = kind == LABEL
    tags = np.full(len(types), -1, np.int64) if kind == TAG else None
    unknown = [-1] * len(store.label_names or ())
    label_sets: list[list[int]] = []
    prediction_sets: list[list[int]] = []
    row = 0
    for sentence_index, sentence in enumerate(store.sentences(split)):
        text = sentence.text
        first = row
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if flag & WORD:
                types[row] = numbers.setdefault(text[start:end], len(numbers))
            row += 1
        if tags is not None and sentence.answers is not None:
            is_word = (np.array(sentence.flags, np.uint8) & WORD) != 0
            starts = np.array(sentence.starts, np.int64)[is_word].tolist()
            tags[first:row][is_word] = tags_of_words(sentence.answers, text, starts)
        texts.append(digests.setdefault(xxhash.xxh3_128_intdigest(text.encode()), len(digests)))
        labels.append(-1 if sentence.label is None else sentence.label)
        predictions.append(-1 if sentence.prediction is None else sentence.prediction)
        if gives_sets:
            label_sets.append(unknown if sentence.answers is None else [int(answer) for answer in sentence.answers])
            probable = sentence.probabilities
            prediction_sets.append(unknown if probable is None else [int(share > 0.5) for share in probable])
        if sentence_index % 1024 == 0:
            progress(Progress("words", sentence_index, len(counts), "sentences"))
    return SplitText(
        list(numbers),
        types,
        np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        np.array(texts, np.int32),
        np.array(labels, np.int64),
        np.array(predictions, np.int64),
        np.array(label_sets, np.int8) if gives_sets else None,
        np.array(prediction_sets, np.int8) if gives_sets else None,
        tags,
    )
