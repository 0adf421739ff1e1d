"""Rows of a layer pair, sentence by sentence: what training and evaluation read from the activation store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from clvq.activations.store import ActivationStore, LayerRows, gather
from clvq.errors import ClvqError
from clvq.language_model.tokenization import WORD
from clvq.progress import Report, silent

SELECTION_SHARE = 0.05
SELECTION_MOST = 1000
"""The slice of the training split on which choices are made: a twentieth of the distinct texts, at most so many."""

SHUFFLE_BATCHES = 32
"""Sentences are sorted by length within so many shuffled batches: little padding, and batches still mix."""


class PairBatch(NamedTuple):
    """Rows of some sentences, packed: no row is padding."""

    inputs: Tensor
    """[N, D] the input layer, scaled."""
    targets: Tensor
    """[N, E] the output layer, scaled."""
    mask: Tensor
    """[B, T] bool: sentence b has its rows at the first places of line b."""
    is_word: Tensor
    """[N] bool: a word's row (a decoder's last word is one too), not a sentence row alone."""


class PairRows:
    """The kept rows of chosen sentences of a split, at an input and an output layer.

    `sentences` are indices into the split; those without a kept row are left out. Each layer is multiplied by its
    scale. `keep` marks rows of the whole split; None is all of them.
    """

    def __init__(
        self,
        store: ActivationStore,
        split: str,
        layers: tuple[int, int],
        *,
        sentences: np.ndarray | None = None,
        keep: np.ndarray | None = None,
        scales: tuple[float, float] = (1.0, 1.0),
        device: str | torch.device = "cpu",
        progress: Report = silent,
    ) -> None:
        self.split, self.layers, self.scales, self.device = split, layers, scales, torch.device(device)
        self._layer_rows: tuple[LayerRows, LayerRows] = (
            store.rows(split, layers[0], progress),
            store.rows(split, layers[1], progress),
        )
        counts = store.row_counts(split)
        ends = np.cumsum(counts)
        self._is_word = (store.flags(split) & WORD) != 0
        self._keep = None if keep is None or keep.all() else keep
        if self._keep is None:
            kept = counts
        else:
            total = np.concatenate([[0], np.cumsum(self._keep)])
            kept = total[ends] - total[ends - counts]
        chosen = np.arange(len(counts)) if sentences is None else sentences
        self.sentences = chosen[kept[chosen] > 0]
        """[S] indices of the sentences in the split."""
        self.lengths = kept[self.sentences]
        """[S] kept rows of each."""
        self._starts, self._ends = (ends - counts)[self.sentences], ends[self.sentences]

    def __len__(self) -> int:
        """How many sentences."""
        return len(self.sentences)

    @property
    def row_count(self) -> int:
        return int(self.lengths.sum())

    def restricted(self, chosen: np.ndarray) -> PairRows:
        """The same rows for fewer sentences; `chosen` are places in `sentences`."""
        other = object.__new__(PairRows)
        other.__dict__.update(self.__dict__)
        other.sentences, other.lengths = self.sentences[chosen], self.lengths[chosen]
        other._starts, other._ends = self._starts[chosen], self._ends[chosen]
        return other

    def row_numbers(self, places: np.ndarray) -> np.ndarray:
        """[N] indices in the split of the kept rows of the sentences at `places`."""
        numbers = np.concatenate([np.arange(self._starts[i], self._ends[i]) for i in places])
        return numbers if self._keep is None else numbers[self._keep[numbers]]

    def read(self, places: np.ndarray) -> PairBatch:
        """The rows of the sentences at `places` (indices into `sentences`)."""
        numbers = self.row_numbers(places)
        starts, ends = self._starts[places], self._ends[places]
        tensors = []
        for rows, scale in zip(self._layer_rows, self.scales, strict=True):
            values = rows.slices(starts, ends)
            if self._keep is not None:
                marks = [torch.from_numpy(self._keep[s:e]) for s, e in zip(starts, ends, strict=True)]
                values = [value[mark] for value, mark in zip(values, marks, strict=True)]
            tensors.append(gather(values, scale, self.device))
        lengths = torch.from_numpy(self.lengths[places])
        mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        is_word = torch.from_numpy(self._is_word[numbers])
        inputs, targets = tensors
        return PairBatch(inputs, targets, mask.to(self.device), is_word.to(self.device))

    def batches(self, batch_sentences: int) -> Iterator[np.ndarray]:
        """Places in order of length, for passes whose order does not matter."""
        order = np.argsort(self.lengths, kind="stable")
        if len(order):
            yield from np.array_split(order, range(batch_sentences, len(order), batch_sentences))

    def shuffled_batches(self, batch_sentences: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Places in an order that `seed` and `epoch` alone decide, sentences of like length in a batch."""
        generator = np.random.default_rng([seed, epoch])
        order = generator.permutation(len(self))
        batches: list[np.ndarray] = []
        for start in range(0, len(order), batch_sentences * SHUFFLE_BATCHES):
            window = order[start : start + batch_sentences * SHUFFLE_BATCHES]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += np.array_split(window, range(batch_sentences, len(window), batch_sentences))
        return [batches[i] for i in generator.permutation(len(batches))]

    def sample_inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` rows of the input layer (all, where there are fewer) `[N, D]`, scaled, drawn by sentence."""
        order = torch.randperm(len(self), generator=generator).numpy()
        needed = int(np.searchsorted(np.cumsum(self.lengths[order]), count)) + 1
        parts = [self.read(places).inputs for places in np.array_split(order[:needed], range(512, needed, 512))]
        return torch.cat(parts)[:count]


def split_by_text(store: ActivationStore, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first sentence with each distinct text: (for training, the selection slice).

    A text seen twice teaches nothing new, and a copy in both parts would make choices look better than they are.
    """
    digests = np.fromiter(
        (xxhash.xxh3_64_intdigest(row.text.encode()) for row in store.sentences(split)),
        np.uint64,
        store.sentence_count(split),
    )
    _, first = np.unique(digests, return_index=True)
    order = first[np.argsort(digests[first], kind="stable")]  # by hash: random, and the same whatever the order
    count = min(SELECTION_MOST, max(1, int(SELECTION_SHARE * len(order))))
    if len(order) < 2:
        raise ClvqError(f"The {split} split has {len(order)} distinct text; training needs at least 2.")
    return np.sort(order[count:]), np.sort(order[:count])


def frequency_mask(
    store: ActivationStore, sentences: np.ndarray, min_frequency: int, max_frequency: int, order: str, seed: int
) -> np.ndarray:
    """[rows] bool of the training split: words whose type is frequent enough, at most `max_frequency` rows a type.

    A type is a word's text. `order="file"` keeps the first rows, as published; `"random"` draws them, in turn from
    each class, so that no type is seen in contexts of one class only. Sentence rows always stay.
    """
    flags = store.flags("train")
    keep = np.zeros(len(flags), bool)
    chosen = np.zeros(store.sentence_count("train"), bool)
    chosen[sentences] = True
    types: dict[str, list[tuple[int, int]]] = {}
    row = 0
    for number, sentence in enumerate(store.sentences("train")):
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if chosen[number]:
                if flag & WORD:
                    label = -1 if sentence.label is None else sentence.label
                    types.setdefault(sentence.text[start:end], []).append((row, label))
                else:
                    keep[row] = True
            row += 1
    generator = np.random.default_rng(seed)
    for members in types.values():
        if len(members) < min_frequency:
            continue
        if max_frequency and len(members) > max_frequency:
            members = members[:max_frequency] if order == "file" else _spread(members, max_frequency, generator)
        keep[[row for row, _ in members]] = True
    return keep


def _spread(members: list[tuple[int, int]], count: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """`count` random members, the classes taking turns."""
    by_class: dict[int, list[tuple[int, int]]] = {}
    for place in generator.permutation(len(members)):
        by_class.setdefault(members[place][1], []).append(members[place])
    turns = sorted((turn, label, member) for label, group in by_class.items() for turn, member in enumerate(group))
    return [member for _, _, member in turns[:count]]
