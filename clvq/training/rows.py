"""Rows of a layer pair, sentence by sentence: what training and evaluation read from the activation store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from clvq.activations.store import ActivationStore, LayerRows, gather
from clvq.device import give_back_memory
from clvq.errors import ClvqError
from clvq.language_model.rows import WORD
from clvq.progress import Report, silent

SELECTION_SHARE = 0.05
SELECTION_MOST = 1000
"""Size of the selection slice, the part of the training split on which choices are made: a twentieth of the distinct
texts, and at most this many."""

ROWS_IN_A_PASS = 4096
"""A pass that does not train reads at most this many rows at a time, so that its memory does not grow with the longest
sentences of a corpus."""
READ_AHEAD_FOR, READ_AHEAD = ("cuda",), 2
"""Types of devices for which training batches are read ahead, and how many."""
SHUFFLE_BATCHES = 32
"""Sentences are sorted by length within this many shuffled batches. Padding stays low, and batches still mix."""


class PairBatch(NamedTuple):
    """Rows of some sentences, packed without padding."""

    inputs: Tensor
    """[N, D] the input layer, scaled."""
    targets: Tensor
    """[N, E] the output layer, scaled."""
    mask: Tensor
    """[B, T] bool: sentence b has its rows at the first places of line b."""
    is_word: Tensor
    """[N] bool: whether the row is a word's. A row that is a word's and the sentence's, as in a decoder, counts as a
    word's."""


class LayerPair(NamedTuple):
    """Two stored layers, and the factors that their rows are multiplied by."""

    layers: tuple[int, int]
    """Input and target."""
    scales: tuple[float, float] = (1.0, 1.0)
    device: torch.device = torch.device("cpu")
    """Device that rows are read to."""

    def updates(self, batch: PairBatch) -> Tensor:
        """Return the updates `[N, E]` between two layers of equal width, in units of the scaled target layer."""
        return batch.targets - self.copies(batch)

    def copies(self, batch: PairBatch) -> Tensor:
        """Return the input rows `[N, D]` in units of the scaled target layer, where a copy in the model's own units is
        a copy."""
        return batch.inputs * (self.scales[1] / self.scales[0])


@dataclass(frozen=True)
class PairRows:
    """The kept rows of some sentences of a split, at an input and a target layer; `pair_rows` finds them."""

    split: str
    pair: LayerPair
    layer_rows: tuple[LayerRows, LayerRows]
    is_word: np.ndarray
    """[rows of the split] bool."""
    keep: np.ndarray | None
    """[rows of the split] bool; None is all of them."""
    sentences: np.ndarray
    """[S] indices of the sentences in the split."""
    lengths: np.ndarray
    """[S] number of kept rows of each sentence."""
    starts: np.ndarray
    """[S] first row of each sentence in the split."""
    ends: np.ndarray
    """[S] row after the last row of each sentence."""
    texts: np.ndarray
    """[S] int64: sentences with the same text have the same number."""

    @property
    def device(self) -> torch.device:
        return self.pair.device

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.sentences)

    @property
    def row_count(self) -> int:
        return int(self.lengths.sum())

    def restricted(self, indices: np.ndarray) -> PairRows:
        """Return the same rows for fewer sentences; `indices` are into `sentences`."""
        names = ("sentences", "lengths", "starts", "ends", "texts")
        return replace(self, **{name: getattr(self, name)[indices] for name in names})

    def row_numbers(self, indices: np.ndarray) -> np.ndarray:
        """Return the indices `[N]` in the split of the kept rows of the sentences at `indices`."""
        numbers = np.concatenate([np.arange(self.starts[i], self.ends[i]) for i in indices])
        return numbers if self.keep is None else numbers[self.keep[numbers]]

    def read(self, indices: np.ndarray) -> PairBatch:
        """Read the rows of the sentences at `indices` (indices into `sentences`)."""
        numbers = self.row_numbers(indices)
        starts, ends = self.starts[indices], self.ends[indices]
        tensors = []
        for rows, scale in zip(self.layer_rows, self.pair.scales, strict=True):
            values = rows.slices(starts, ends)
            if self.keep is not None:
                marks = [torch.from_numpy(self.keep[s:e]) for s, e in zip(starts, ends, strict=True)]
                values = [value[mark] for value, mark in zip(values, marks, strict=True)]
            tensors.append(gather(values, scale, self.device))
        lengths = torch.from_numpy(self.lengths[indices])
        mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        is_word = torch.from_numpy(self.is_word[numbers])
        inputs, targets = tensors
        return PairBatch(inputs, targets, mask.to(self.device), is_word.to(self.device))

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[PairBatch]:
        """Yield the rows of each batch of indices. For a GPU the next ones are read while the caller uses one. On a
        CPU that would take time from the computation."""
        if self.device.type not in READ_AHEAD_FOR:
            yield from map(self.read, batches)
            return
        with ThreadPoolExecutor(max_workers=1) as thread:
            ahead: deque[Future[PairBatch]] = deque()
            for indices in batches:
                ahead.append(thread.submit(self.read, indices))
                if len(ahead) > READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def batches(self, batch_sentences: int) -> Iterator[np.ndarray]:
        """Yield batches of indices in order of length, for passes whose order does not matter. A batch of several
        sentences has at most ROWS_IN_A_PASS rows, however long the sentences are."""
        order = np.argsort(self.lengths, kind="stable")
        first = number = 0
        while first < len(order):
            batch = order[first : first + batch_sentences]
            count = max(1, int(np.searchsorted(np.cumsum(self.lengths[batch]), ROWS_IN_A_PASS, side="right")))
            yield batch[:count]
            first, number = first + count, number + 1
            give_back_memory(number)

    def shuffled_batches(self, batch_sentences: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Return batches of indices, in an order that only `seed` and `epoch` decide. Sentences of a batch are of like
        length."""
        generator = np.random.default_rng([seed, epoch])
        order = generator.permutation(len(self))
        batches: list[np.ndarray] = []
        for start in range(0, len(order), batch_sentences * SHUFFLE_BATCHES):
            window = order[start : start + batch_sentences * SHUFFLE_BATCHES]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += np.array_split(window, range(batch_sentences, len(window), batch_sentences))
        return [batches[i] for i in generator.permutation(len(batches))]

    def sample_inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` scaled rows `[N, D]` of the input layer, sentence by sentence; all rows where there are
        fewer."""
        order = torch.randperm(len(self), generator=generator).numpy()
        needed = min(int(np.searchsorted(np.cumsum(self.lengths[order]), count)) + 1, len(order))
        count = min(count, int(self.lengths[order[:needed]].sum()))
        sample, filled = torch.zeros(0), 0
        for indices in np.array_split(order[:needed], range(64, needed, 64)):
            part = self.read(indices).inputs[: count - filled]
            if not filled:
                sample = part.new_empty(count, part.shape[1])  # filled part by part: joining parts would hold all twice
            sample[filled : filled + len(part)] = part
            filled += len(part)
        return sample


def pair_rows(
    store: ActivationStore,
    split: str,
    pair: LayerPair,
    *,
    sentences: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    progress: Report = silent,
) -> PairRows:
    """Return the rows of `sentences` that `keep` marks `[rows of the split]`.

    `sentences` are indices into the split, of distinct texts; None is all sentences, whatever their texts. Sentences
    without such a row are left out.
    """
    counts = store.row_counts(split)
    ends = np.cumsum(counts)
    kept_counts = counts
    if keep is not None and keep.all():
        keep = None
    if keep is not None:
        total = np.concatenate([[0], np.cumsum(keep)])
        kept_counts = total[ends] - total[ends - counts]
    if sentences is None:
        candidates = np.arange(len(counts))
        _, texts = np.unique(_digests(store, split), return_inverse=True)
    else:
        candidates = texts = sentences
    has_rows = kept_counts[candidates] > 0
    sentences = candidates[has_rows]
    return PairRows(
        split=split,
        pair=pair,
        layer_rows=(store.rows(split, pair.layers[0], progress), store.rows(split, pair.layers[1], progress)),
        is_word=(store.flags(split) & WORD) != 0,
        keep=keep,
        sentences=sentences,
        lengths=kept_counts[sentences],
        starts=(ends - counts)[sentences],
        ends=ends[sentences],
        texts=texts[has_rows].astype(np.int64),
    )


def _digests(store: ActivationStore, split: str) -> np.ndarray:
    """Return a hash of each sentence's text `[S]`."""
    return np.fromiter(
        (xxhash.xxh3_64_intdigest(row.text.encode()) for row in store.sentences(split)),
        np.uint64,
        store.sentence_count(split),
    )


def split_by_text(store: ActivationStore, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the first sentence with each distinct text, as (for training, the selection slice).

    Repeated texts are left out: they teach nothing new, and a copy in both parts would make choices look better than
    they are. ClvqError where there are fewer than 2 distinct texts.
    """
    digests = _digests(store, split)
    _, first = np.unique(digests, return_index=True)
    order = first[np.argsort(digests[first], kind="stable")]  # by hash: random, whatever the order of sentences
    count = min(SELECTION_MOST, max(1, int(SELECTION_SHARE * len(order))))
    if len(order) < 2:
        raise ClvqError(f"The {split} split has {len(order)} distinct text; training needs at least 2.")
    return np.sort(order[count:]), np.sort(order[:count])


def frequency_mask(
    store: ActivationStore, sentences: np.ndarray, min_frequency: int, max_frequency: int, order: str, seed: int
) -> np.ndarray:
    """Return as bool `[rows]` the rows of the training split to keep: words of `sentences` whose type has at least
    `min_frequency` rows, and at most `max_frequency` rows of each type.

    A type is a word's text. `order="file"` keeps the first rows of a type, as published. `"random"` draws them from
    each class in turn, so that no type is seen in contexts of one class only. Sentence rows are always kept.
    """
    flags = store.flags("train")
    keep = np.zeros(len(flags), bool)
    in_training = np.zeros(store.sentence_count("train"), bool)
    in_training[sentences] = True
    types: dict[str, list[tuple[int, int]]] = {}
    row = 0
    for number, sentence in enumerate(store.sentences("train")):
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if in_training[number]:
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
    """Draw `count` random members, taking the classes in turn."""
    by_class: dict[int, list[tuple[int, int]]] = {}
    for index in generator.permutation(len(members)):
        by_class.setdefault(members[index][1], []).append(members[index])
    turns = sorted((turn, label, member) for label, group in by_class.items() for turn, member in enumerate(group))
    return [member for _, _, member in turns[:count]]
