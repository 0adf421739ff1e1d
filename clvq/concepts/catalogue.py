"""The catalogue of a codebook, from one pass over the activations: figures of the whole, and every concept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import Assignment, SplitText, assign, load_model, read_text
from clvq.concepts.examples import nearest, over_range, read_examples
from clvq.concepts.excerpts import shortened
from clvq.concepts.label_tests import Associations, associate, associate_sets, first_classes, first_sets
from clvq.concepts.map import directions, layout, mean_cosine, neighbours
from clvq.concepts.records import (
    FALSE_DISCOVERIES,
    SPLIT,
    Association,
    CodebookFigures,
    Concept,
    Example,
    Neighbour,
    TopWord,
)
from clvq.concepts.words import RankedWords, count_words, rank_words
from clvq.corpus.splits import SPLITS
from clvq.errors import ClvqError
from clvq.models.metrics import perplexity
from clvq.progress import Progress, Report
from clvq.training.checkpoint import Checkpoint
from clvq.training.evaluation import ATTESTED

if TYPE_CHECKING:
    from scipy.sparse import csr_array

QUANTILE_STEPS = 100
"""Number of steps between the quantiles of the distances of a code's words."""
TOP_WORDS, NEIGHBOURS = 20, 5
"""Number of top words, and of neighbours, that a concept keeps."""


@dataclass(frozen=True)
class Catalogue:
    """The codes of all rows of a checkpoint's activations, and what follows for the codebook and for every code."""

    checkpoint: Checkpoint
    store: ActivationStore
    progress: Report
    codebook: np.ndarray
    """[K, D]"""
    assigned: dict[str, Assignment]
    """Codes of the rows, by split."""
    text: SplitText

    @classmethod
    def read(cls, checkpoint: Checkpoint, store: ActivationStore, progress: Report) -> Catalogue:
        """Assign codes in one pass over the activations. ClvqError where the training split has no row with a code."""
        layers = (checkpoint.input_layer, checkpoint.output_layer)
        model = load_model(checkpoint)
        assigned = {split: assign(model, store, split, layers, progress) for split in SPLITS}
        if not (assigned[SPLIT].codes >= 0).any():
            raise ClvqError(
                f"The {SPLIT} split of {store.path} has no rows: its texts are empty, or all its words are "
                "attention sinks."
            )
        text = read_text(store, SPLIT, progress)
        return cls(checkpoint, store, progress, model.codebook.cpu().numpy(), assigned, text)

    @property
    def size(self) -> int:
        return len(self.codebook)

    @property
    def codes(self) -> np.ndarray:
        return self.assigned[SPLIT].codes

    @cached_property
    def word_rows(self) -> np.ndarray:
        """Indices of the rows of words that have a code."""
        return np.flatnonzero((self.codes >= 0) & (self.text.types >= 0))

    @cached_property
    def usage(self) -> np.ndarray:
        """[K] number of words of each code."""
        return np.bincount(self.codes[self.word_rows], minlength=self.size)

    @cached_property
    def sentence_usage(self) -> np.ndarray:
        """[K] number of sentence rows of each code."""
        return np.bincount(self.codes[(self.codes >= 0) & (self.text.types < 0)], minlength=self.size)

    @cached_property
    def of_sentence_rows(self) -> np.ndarray:
        """[K] bool: whether more sentence rows than words have the code."""
        return self.sentence_usage > self.usage

    @cached_property
    def active(self) -> np.ndarray:
        return np.flatnonzero(self.usage + self.sentence_usage)

    @cached_property
    def nearest_rows(self) -> dict[int, np.ndarray]:
        """The rows of each active code, the nearest first: its words, or its sentence rows if it has more of these."""
        is_word, distances = self.text.types >= 0, self.assigned[SPLIT].distances
        rows = np.flatnonzero((self.codes >= 0) & (is_word != self.of_sentence_rows[self.codes]))
        rows = rows[np.lexsort((rows, distances[rows], self.codes[rows]))]
        ends = np.cumsum(np.bincount(self.codes[rows], minlength=self.size))
        return {code: rows[ends[code - 1] if code else 0 : ends[code]] for code in self.active.tolist()}

    @cached_property
    def code_texts(self) -> np.ndarray:
        """[2, P] the pairs of a code and a distinct text on which the code occurs, each once."""
        kept = self.codes >= 0
        texts = self.text.texts[self.text.sentences[kept]]
        return np.unique(np.stack([self.codes[kept], texts]).astype(np.int64), axis=1)

    @cached_property
    def text_counts(self) -> np.ndarray:
        """[K] number of distinct texts on which each code occurs."""
        return np.bincount(self.code_texts[0], minlength=self.size)

    @cached_property
    def labels(self) -> Associations | None:
        """Tests of the codes against the labels of sentences, or against the tags of words where each word has one.
        None where nothing is labelled."""
        if self.text.tags is not None:
            return self._tag_associations(self.text.tags)
        return self._associations(self.text.labels, self.text.label_sets)

    @cached_property
    def predictions(self) -> Associations | None:
        return self._associations(self.text.predictions, self.text.prediction_sets)

    def _associations(self, classes: np.ndarray, sets: np.ndarray | None) -> Associations | None:
        if sets is not None:
            of_texts = first_sets(self.text.texts, sets)
            known = (of_texts[self.code_texts[1]] >= 0).any()
            return associate_sets(self.code_texts[0], self.code_texts[1], of_texts, self.size) if known else None
        if not (classes >= 0).any():
            return None
        count = max(len(self.store.label_names or ()), int(classes.max()) + 1)
        of_texts = first_classes(self.text.texts, classes)
        return associate(self.code_texts[0], self.code_texts[1], of_texts, self.size, count)

    def _tag_associations(self, tags: np.ndarray) -> Associations | None:
        """Test the codes against the tags `[R]` of words. A word of a text counts once, however many copies the text
        has."""
        rows, sentences = self.word_rows, self.text.sentences
        if not (tags[rows] >= 0).any():
            return None
        places = rows - np.searchsorted(sentences, sentences[rows])  # in the sentence
        texts = self.text.texts[sentences[rows]].astype(np.int64)
        _, words = np.unique(texts * (int(places.max()) + 1) + places, return_inverse=True)
        codes, of_codes = np.unique(np.stack([self.codes[rows], words]).astype(np.int64), axis=1)
        count = max(len(self.store.label_names or ()), int(tags.max()) + 1)
        return associate(codes, of_codes, first_classes(words, tags[rows]), self.size, count)

    def figures(self) -> CodebookFigures:
        """Return the figures of the whole codebook."""
        types = self.text.types[self.word_rows]
        codes = self.codes[self.word_rows]
        sentences = self.text.sentences[self.word_rows]
        labels = self.text.labels[sentences] if self.text.tags is None else self.text.tags[self.word_rows]
        spread = perplexity(torch.from_numpy(self.usage))
        self.progress(Progress("figures", 0, 1, "codebook"))
        return CodebookFigures(
            words=len(codes),
            sentence_rows=int(self.sentence_usage.sum()),
            sentences=len(np.unique(self.text.sentences[self.codes >= 0])),
            distinct_sentences=len(np.unique(self.code_texts[1])),
            word_types=len(np.unique(types)),
            codebook_size=self.size,
            active_codes=len(self.active),
            dead_codes=self.size - len(self.active),
            active_codes_5=int((self.text_counts >= ATTESTED).sum()),
            codebook_perplexity=spread,
            bits_per_word=math.log2(spread) if spread else 0.0,
            quantization_r2=self._explained(),
            mean_cosine=mean_cosine(directions(self.codebook[self.active])),
            mean_centred_cosine=mean_cosine(directions(self.codebook, self.usage)[self.active]),
            ami_labels=_shared_information(labels, codes),
            ami_predictions=_shared_information(self.text.predictions[sentences], codes),
            ami_words=_shared_information(types, codes),
            label_concepts=None
            if self.labels is None
            else int((self.labels.q[self.active] <= FALSE_DISCOVERIES).sum()),
        )

    def distance_quantiles(self) -> np.ndarray:
        """Return the quantiles of the squared distances of each code's words `[K, QUANTILE_STEPS + 1]` float32; NaN for
        a code without words."""
        quantiles = np.full((self.size, QUANTILE_STEPS + 1), np.nan, np.float32)
        rows = self.word_rows[np.argsort(self.codes[self.word_rows], kind="stable")]
        ends = np.cumsum(self.usage)
        for code in np.flatnonzero(self.usage).tolist():
            distances = self.assigned[SPLIT].distances[rows[ends[code] - self.usage[code] : ends[code]]]
            quantiles[code] = np.quantile(distances, np.linspace(0, 1, QUANTILE_STEPS + 1))
        return quantiles

    def _explained(self) -> float | None:
        """Return R² = 1 - sum |z_e - e|² / sum |z_e - mean z_e|² over words; None where all words lie on one point."""
        _, distances, deviation = self.assigned[SPLIT]
        if not deviation:
            return None
        return 1 - float(distances[self.word_rows].sum(dtype=np.float64)) / len(self.word_rows) / deviation

    def concepts(self) -> Iterator[Concept]:
        """Yield the active concepts in the order of their codes."""
        counts = word_counts(self.codes, self.text, self.size)
        types = np.diff(counts.indptr)
        ranked = rank_words(counts, self.text.vocabulary, TOP_WORDS)
        examples = self._examples()
        units = directions(self.codebook, self.usage)[self.active]
        near = neighbours(units, NEIGHBOURS)
        self.progress(Progress("map", 0, len(self.active), "codes"))
        positions = layout(units)
        self.progress(Progress("map", len(self.active), len(self.active), "codes"))
        for index, code in enumerate(self.active.tolist()):
            yield Concept(
                code=code,
                words=int(self.usage[code]),
                sentence_rows=int(self.sentence_usage[code]),
                of_sentence_rows=bool(self.of_sentence_rows[code]),
                types=int(types[code]),
                sentences=int(self.text_counts[code]),
                share=_short(self.usage[code] / max(len(self.word_rows), 1)),
                top_words=self._top_words(ranked[code]),
                examples=examples[code][0],
                range_examples=examples[code][1],
                labels=_association(self.labels, code),
                predictions=_association(self.predictions, code),
                neighbours=[Neighbour(int(self.active[other]), _short(cosine)) for other, cosine in near[index]],
                spread=self._spread(code),
                map=(_short(positions[index, 0]), _short(positions[index, 1])),
            )

    def _top_words(self, ranked: RankedWords) -> list[TopWord]:
        return [
            TopWord(shortened(self.text.vocabulary[number]), int(count), _short(share), _short(recall))
            for number, count, share, recall in zip(*ranked, strict=True)
        ]

    def _spread(self, code: int) -> float:
        _, distances, deviation = self.assigned[SPLIT]
        mean = distances[self.nearest_rows[code]].mean(dtype=np.float64)
        return _short(mean / deviation) if deviation else 0.0

    def _examples(self) -> dict[int, tuple[list[Example], list[Example]]]:
        """Return for each active code its nearest rows, and rows over the whole range of distances. Texts are read only
        for these rows."""
        chosen = {}
        for code, rows in self.nearest_rows.items():
            texts = self.text.texts[self.text.sentences[rows]]
            chosen[code] = nearest(rows, texts), over_range(code, rows, texts)
        wanted = {row for kinds in chosen.values() for rows in kinds for row in rows}
        found = read_examples(wanted, self.store, SPLIT, self.text, self.assigned[SPLIT].distances)
        return {
            code: ([found[row] for row in near], [found[row] for row in far]) for code, (near, far) in chosen.items()
        }


def word_counts(codes: np.ndarray, text: SplitText, size: int) -> csr_array:
    """Return how often each word type has each code `[K, V]`, sparse; `codes` `[R]` are those of the text's rows."""
    words = (codes >= 0) & (text.types >= 0)
    return count_words(codes[words], text.types[words], size, len(text.vocabulary))


def _association(classes: Associations | None, code: int) -> Association | None:
    """Return how the texts of a code are spread over the classes; None where no text of the code has a class."""
    if classes is None or not classes.counts[code].any():
        return None
    return Association(
        counts=classes.counts[code].tolist(),
        texts=int(classes.texts[code]),
        label=int(classes.classes[code]),
        share=_short(classes.shares[code]),
        lift=_short(classes.lifts[code]),
        p=_short(classes.p[code]),
        q=_short(classes.q[code]),
    )


def _shared_information(classes: np.ndarray, codes: np.ndarray) -> float | None:
    """Return the adjusted mutual information of codes and classes `[N]` (-1: left out); None where either is one."""
    from sklearn.metrics import adjusted_mutual_info_score

    classes, codes = classes[classes >= 0], codes[classes >= 0]
    several = all(len(np.unique(values)) > 1 for values in (classes, codes))
    return float(adjusted_mutual_info_score(classes, codes)) if several else None


def _short(value: float | np.floating[Any]) -> float:
    """Round to six digits: further digits are noise, and people read concepts.jsonl."""
    return float(f"{value:.6g}")
