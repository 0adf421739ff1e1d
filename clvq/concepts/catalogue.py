"""What one pass over the activations says of a codebook: figures of the whole, and a record of every concept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import SplitText, assign, load_model, read_text
from clvq.concepts.label_tests import Associations, associate, first_classes
from clvq.concepts.map import directions, layout, mean_cosine, neighbours
from clvq.concepts.words import count_words, rank_words
from clvq.corpus.splits import SPLITS
from clvq.errors import ClvqError
from clvq.models.metrics import perplexity
from clvq.progress import Progress, Report
from clvq.training.checkpoint import Checkpoint

SPLIT = "train"
"""The split that the catalogue is made of."""
FALSE_DISCOVERIES = 0.05
"""Codes with q at most this count as associated with a class: so large a share of them is expected to be chance."""
ATTESTED = 5
"""A code counts as well attested when it occurs on so many distinct sentences."""
TOP_WORDS, EXAMPLES, NEIGHBOURS = 20, 10, 5
"""How many of each a concept keeps."""


class Catalogue:
    """One pass over a checkpoint's activations, and what it says of the codebook and of every code.

    Raises ClvqError where the split has no row.
    """

    def __init__(self, checkpoint: Checkpoint, store: ActivationStore, progress: Report) -> None:
        self.checkpoint, self.store, self.progress = checkpoint, store, progress
        layers = (checkpoint.input_layer, checkpoint.output_layer)
        model = load_model(checkpoint)
        self.assigned = {split: assign(model, store, split, layers, progress) for split in SPLITS}
        self.text = read_text(store, SPLIT, progress)
        self.codebook = model.codebook.cpu().numpy()
        size = self.size = len(self.codebook)
        self.codes, self.distances, self.deviation = self.assigned[SPLIT]
        if not (self.codes >= 0).any():
            raise ClvqError(f"The {SPLIT} split of {store.path} has no rows: its texts are empty, or sinks alone.")

        kept, word = self.codes >= 0, self.text.types >= 0
        self.word_rows = np.flatnonzero(kept & word)
        self.usage = np.bincount(self.codes[self.word_rows], minlength=size)
        sentence_rows = np.flatnonzero(kept & ~word)
        self.sentence_usage = np.bincount(self.codes[sentence_rows], minlength=size)
        self.of_sentence_rows = self.sentence_usage > self.usage
        # A concept shows, and is measured on, the rows of its own kind.
        own = np.flatnonzero(kept & (word != self.of_sentence_rows[self.codes]))
        self.own_rows = own[np.lexsort((own, self.distances[own], self.codes[own]))]
        """By code, and within a code the nearest first."""
        self.own_ends = np.cumsum(np.bincount(self.codes[own], minlength=size))
        self.active = np.flatnonzero(self.usage + self.sentence_usage)
        self.row_texts = self.text.texts[self.text.sentences]
        pairs = np.unique(np.stack([self.codes[kept], self.row_texts[kept]]).astype(np.int64), axis=1)
        self.code_of_pair, self.text_of_pair = pairs
        self.on_texts = np.bincount(self.code_of_pair, minlength=size)
        self.labels = self._associations(self.text.labels)
        self.predictions = self._associations(self.text.predictions)

    def _associations(self, classes: np.ndarray) -> Associations | None:
        """Codes against the classes `[S]` of sentences; None where no sentence has one."""
        if not (classes >= 0).any():
            return None
        count = max(len(self.store.label_names or ()), int(classes.max()) + 1)
        of_texts = first_classes(self.text.texts, classes)
        return associate(self.code_of_pair, self.text_of_pair, of_texts, self.size, count)

    def figures(self) -> dict[str, Any]:
        """Of the whole codebook; perplexity, R^2, cosines and mutual information over words."""
        usage, active = self.usage, self.active
        types = self.text.types[self.word_rows]
        used_types = np.unique(types)
        codes = self.codes[self.word_rows]
        sentences = self.text.sentences[self.word_rows]
        spread = perplexity(torch.from_numpy(usage))
        self.progress(Progress("figures", 0, 1, "codebook"))
        return {
            "words": len(codes),
            "sentence_rows": int(self.sentence_usage.sum()),
            "sentences": len(np.unique(self.text.sentences[self.codes >= 0])),
            "distinct_sentences": len(np.unique(self.text_of_pair)),
            "word_types": len(used_types),
            "codebook_size": self.size,
            "active_codes": len(active),
            "dead_codes": self.size - len(active),
            "active_codes_5": int((self.on_texts >= ATTESTED).sum()),
            "codebook_perplexity": spread,
            "bits_per_word": math.log2(spread) if spread else 0.0,
            "quantization_r2": self._explained(),
            "mean_cosine": mean_cosine(directions(self.codebook[active])),
            "mean_centred_cosine": mean_cosine(directions(self.codebook, usage)[active]),
            "ami_labels": _shared_information(self.text.labels[sentences], codes),
            "ami_predictions": _shared_information(self.text.predictions[sentences], codes),
            "ami_words": _shared_information(types, codes),
            "label_concepts": None if self.labels is None else int((self.labels.q[active] <= FALSE_DISCOVERIES).sum()),
        }

    def _explained(self) -> float | None:
        """R^2 = 1 - sum |z_e - e|^2 / sum |z_e - mean z_e|^2 over words."""
        if not self.deviation:
            return None
        return 1 - float(self.distances[self.word_rows].sum(dtype=np.float64)) / len(self.word_rows) / self.deviation

    def concepts(self) -> Iterator[dict[str, Any]]:
        """The active concepts in the order of their codes, as concepts.jsonl has them."""
        active, text = self.active, self.text
        counts = word_counts(self.codes, text, self.size)
        types = np.diff(counts.indptr)
        ranked = rank_words(counts, text.vocabulary, TOP_WORDS)
        examples = self._examples()
        units = directions(self.codebook, self.usage)[active]
        near = neighbours(units, NEIGHBOURS)
        self.progress(Progress("map", 0, len(active), "codes"))
        places = layout(units)
        self.progress(Progress("map", len(active), len(active), "codes"))
        for place, code in enumerate(active.tolist()):
            words = [
                {"word": text.vocabulary[number], "count": int(count), "share": _short(share), "recall": _short(recall)}
                for number, count, share, recall in zip(*ranked[code], strict=True)
            ]
            distances = self.distances[self._own_rows(code)]
            yield {
                "code": code,
                "words": int(self.usage[code]),
                "sentence_rows": int(self.sentence_usage[code]),
                "of_sentence_rows": bool(self.of_sentence_rows[code]),
                "types": int(types[code]),
                "sentences": int(self.on_texts[code]),
                "share": _short(self.usage[code] / max(len(self.word_rows), 1)),
                "top_words": words,
                "examples": examples[code],
                "labels": _association(self.labels, code),
                "predictions": _association(self.predictions, code),
                "neighbours": [{"code": int(active[i]), "cosine": _short(cosine)} for i, cosine in near[place]],
                "spread": _short(distances.mean(dtype=np.float64) / self.deviation) if self.deviation else 0.0,
                "map": [_short(value) for value in places[place]],
            }

    def _own_rows(self, code: int) -> np.ndarray:
        """Rows of the concept's own kind, words or sentence rows, the nearest first."""
        return self.own_rows[self.own_ends[code - 1] if code else 0 : self.own_ends[code]]

    def _examples(self) -> dict[int, list[dict[str, Any]]]:
        """The nearest rows of each active code, one of each distinct text; texts are read for these alone."""
        chosen: dict[int, list[int]] = {}
        for code in self.active.tolist():
            rows = self._own_rows(code)
            _, first = np.unique(self.row_texts[rows], return_index=True)
            chosen[code] = rows[np.sort(first)[:EXAMPLES]].tolist()
        wanted = {int(self.text.sentences[row]): [] for rows in chosen.values() for row in rows}  # type: dict[int, Any]
        for number, sentence in enumerate(self.store.sentences(SPLIT)):
            if number in wanted:
                wanted[number] = sentence
        starts = np.concatenate([[0], np.cumsum(self.store.row_counts(SPLIT))])

        def example(row: int) -> dict[str, Any]:
            number = int(self.text.sentences[row])
            sentence = wanted[number]
            at = row - int(starts[number])
            start, end = (sentence.starts[at], sentence.ends[at]) if self.text.types[row] >= 0 else (0, 0)
            return {
                "sentence": number, "text": sentence.text, "start": start, "end": end, "word": sentence.text[start:end],
                "label": sentence.label, "prediction": sentence.prediction, "distance": _short(self.distances[row]),
            }  # fmt: skip

        return {code: [example(row) for row in rows] for code, rows in chosen.items()}


def word_counts(codes: np.ndarray, text: SplitText, size: int) -> csr_array:
    """How often each word type of the text has each code `[K, V]`, sparse; `codes` `[R]` of its rows."""
    words = (codes >= 0) & (text.types >= 0)
    return count_words(codes[words], text.types[words], size, len(text.vocabulary))


def _association(found: Associations | None, code: int) -> dict[str, Any] | None:
    """How one code lies over the classes; None where it is on no text that has one."""
    if found is None or not found.counts[code].any():
        return None
    return {
        "counts": found.counts[code].tolist(),
        "label": int(found.classes[code]),
        "share": _short(found.shares[code]),
        "lift": _short(found.lifts[code]),
        "p": _short(found.p[code]),
        "q": _short(found.q[code]),
    }


def _shared_information(classes: np.ndarray, codes: np.ndarray) -> float | None:
    """Adjusted mutual information of codes `[N]` and classes `[N]` (-1: left out); None where there is no class."""
    from sklearn.metrics import adjusted_mutual_info_score

    known = classes >= 0
    return float(adjusted_mutual_info_score(classes[known], codes[known])) if known.any() else None


def _short(value: float | np.floating[Any]) -> float:
    """Six digits: more are noise, and a line of concepts.jsonl is for reading."""
    return float(f"{value:.6g}")
