"""Example sentences of a concept: those nearest to its code, and some over the whole range of distances.

The nearest examples show the concept at its clearest, but not its borders. The second sample shows these too: the rows
of a code, from the nearest to the farthest, are split into bands of equally many rows, and one row is drawn from each
band.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import SplitText
from clvq.concepts.excerpts import Excerpt
from clvq.concepts.records import Example

EXAMPLES = 10
"""Number of examples of each kind that a concept keeps."""
SEED = 0
"""Seed of the draws, together with the code: the sample of a code does not depend on the other codes."""


def nearest(rows: np.ndarray, texts: np.ndarray) -> list[int]:
    """Return the first EXAMPLES of `rows` `[N]`, the nearest first, with distinct texts; `texts` `[N]` are numbers."""
    _, first = np.unique(texts, return_index=True)
    kept: list[int] = rows[np.sort(first)[:EXAMPLES]].tolist()
    return kept


def over_range(code: int, rows: np.ndarray, texts: np.ndarray) -> list[int]:
    """Return one row from each of ten bands of `rows` `[N]`, the nearest first; no two rows have the same text.

    A band whose texts are all taken gives no row.
    """
    random = np.random.default_rng([SEED, code])
    drawn: list[int] = []
    taken: set[int] = set()
    for band in np.array_split(np.arange(len(rows)), EXAMPLES):
        for place in random.permutation(band).tolist():
            if int(texts[place]) not in taken:
                taken.add(int(texts[place]))
                drawn.append(int(rows[place]))
                break
    return drawn


def read_examples(
    rows: Iterable[int], store: ActivationStore, split: str, text: SplitText, distances: np.ndarray
) -> Mapping[int, Example]:
    """Return examples of a split by their rows, in one pass over its sentences. `distances` `[R]` are of all rows."""
    wanted = sorted(set(rows))
    numbers = {int(text.sentences[row]) for row in wanted}
    sentences = {n: sentence for n, sentence in enumerate(store.sentences(split)) if n in numbers}
    starts = np.concatenate([[0], np.cumsum(store.row_counts(split))])

    def example(row: int) -> Example:
        number = int(text.sentences[row])
        sentence, index = sentences[number], row - int(starts[number])
        label = sentence.label if text.tags is None else int(text.tags[row]) if text.tags[row] >= 0 else None
        start, end = (sentence.starts[index], sentence.ends[index]) if text.types[row] >= 0 else (0, 0)
        shown = Excerpt(sentence.text, [(start, end)] if end > start else [])
        start, end = shown.at(start), shown.at(end)
        return Example(
            sentence=number, text=shown.text, start=start, end=end, word=shown.text[start:end],
            label=label, prediction=sentence.prediction, distance=float(f"{distances[row]:.6g}"),
        )  # fmt: skip

    return {row: example(row) for row in wanted}
