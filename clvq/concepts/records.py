"""Concepts and figures of a codebook as values: a class for each JSON object in codebook.json and concepts.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clvq.artifacts.records import Record

SPLIT = "train"
"""The split from which the catalogue is made."""
FALSE_DISCOVERIES = 0.05
"""Codes whose q is at most this count as associated with a class. About this share of them is expected by chance."""


@dataclass(frozen=True)
class TopWord(Record):
    """A word that is typical of a concept and distinctive for this concept."""

    word: str
    count: int
    """Number of occurrences in the concept."""
    share: float
    """Share of the concept's words that are this word."""
    recall: float
    """Share of the word's occurrences that are in this concept."""


@dataclass(frozen=True)
class Example(Record):
    """A row that has a code, with its sentence."""

    sentence: int
    """Index of the sentence in the split."""
    text: str
    """The sentence; of a long one what stands around the word."""
    start: int
    end: int
    """Characters `start` to `end` of `text` are the word; both are 0 for a sentence row."""
    word: str
    label: int | None
    """Label of the sentence, or the tag of the word where each word has one."""
    prediction: int | None
    distance: float
    """Squared Euclidean distance to the code, in units of the scaled input layer."""


@dataclass(frozen=True)
class Association(Record):
    """How the sentences of a concept are spread over the classes, and which class is most over-represented.

    Where each word has a tag (`CodebookSummary.label_unit`), the words of the concept are counted, not its sentences.
    """

    counts: list[int]
    """[C] distinct sentences of each class. Where labels are lists, a sentence counts for each of its labels."""
    texts: int
    """Number of distinct sentences that have a class, or, where labels are lists, a known list (even an empty one)."""
    label: int
    """The class that is most over-represented."""
    share: float
    """Share of the concept's sentences that are of that class."""
    lift: float
    """`share` divided by the class's share of all sentences."""
    p: float
    q: float
    """`p` adjusted by Benjamini-Hochberg over the concepts."""

    def is_significant(self, fdr: float) -> bool:
        """Return whether the class is over-represented at the false discovery rate `fdr`."""
        return self.q <= fdr


@dataclass(frozen=True)
class Neighbour(Record):
    """Another concept whose code points in a similar direction."""

    code: int
    cosine: float


TWIN_COSINE = 0.99
"""Two codes are twins, two codes for one concept, if their directions about the mean have a larger cosine than this."""


def twins(concepts: Sequence[Concept]) -> list[tuple[int, int]]:
    """Return the pairs of codes that are twins, each pair once."""
    pairs = {
        (min(concept.code, near.code), max(concept.code, near.code))
        for concept in concepts
        for near in concept.neighbours
        if near.cosine > TWIN_COSINE
    }
    return sorted(pairs)


@dataclass(frozen=True)
class Concept(Record):
    """A code that is in use, with its words, sentences and classes; a line of concepts.jsonl."""

    code: int
    words: int
    """Number of words of the training split that have this code."""
    sentence_rows: int
    """Number of sentence rows that have this code."""
    of_sentence_rows: bool
    """Whether more sentence rows than words have this code."""
    types: int
    """Number of different words."""
    sentences: int
    """Number of distinct sentences."""
    share: float
    """Share of all words that have this code."""
    top_words: list[TopWord]
    examples: list[Example]
    """The nearest rows, the nearest first, one per distinct sentence."""
    range_examples: list[Example]
    """Rows drawn over the whole range of distances, the nearest first: one from each tenth of the concept's rows."""
    labels: Association | None
    predictions: Association | None
    """None where none of the concept's sentences has a class."""
    neighbours: list[Neighbour]
    spread: float
    """Mean squared distance to the code, divided by that of all words to their mean: 0 is a point."""
    map: tuple[float, float]
    """Position on the map of the codebook, -1 to 1."""

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Concept:
        """Return the concept in a line of concepts.jsonl."""
        return cls(
            **{
                **line,
                "top_words": [TopWord(**word) for word in line["top_words"]],
                **{name: [Example(**example) for example in line[name]] for name in ("examples", "range_examples")},
                "labels": None if line["labels"] is None else Association(**line["labels"]),
                "predictions": None if line["predictions"] is None else Association(**line["predictions"]),
                "neighbours": [Neighbour(**neighbour) for neighbour in line["neighbours"]],
                "map": tuple(line["map"]),
            }
        )

    def __repr__(self) -> str:
        words = " ".join(word.word for word in self.top_words[:5]) or "sentence rows"
        return f"<Concept {self.code}: {words} ({self.words:,} words in {self.sentences:,} sentences)>"

    def as_row(self, label_names: Sequence[str] | None) -> dict[str, Any]:
        """Return the concept as a line of a table: one value or list per column; classes are named where possible."""
        plain = ("code", "words", "sentence_rows", "of_sentence_rows", "types", "sentences", "share", "spread")
        row = {name: getattr(self, name) for name in plain}
        for column, classes in (("label", self.labels), ("prediction", self.predictions)):
            label = None if classes is None else classes.label
            row[column] = label if label is None or not label_names else label_names[label]
            for name in ("share", "lift", "p", "q", "counts"):
                row[f"{column}_{name}"] = None if classes is None else getattr(classes, name)
        row["top_words"] = [word.word for word in self.top_words]
        row["example_words"] = [example.word for example in self.examples]
        row["examples"] = [example.text for example in self.examples]
        row["neighbours"] = [neighbour.code for neighbour in self.neighbours]
        row["map_x"], row["map_y"] = self.map
        return row


@dataclass(frozen=True)
class CodebookFigures(Record):
    """Figures of a whole codebook on the training split; None for a figure that is not defined.

    Perplexity, R², cosines and mutual information are computed over words, without sentence rows.
    """

    words: int
    sentence_rows: int
    sentences: int
    distinct_sentences: int
    word_types: int
    codebook_size: int
    active_codes: int
    dead_codes: int
    active_codes_5: int
    """Number of codes that occur on at least five distinct sentences."""
    codebook_perplexity: float
    bits_per_word: float
    """Base-2 logarithm of the perplexity."""
    quantization_r2: float | None
    """1 - sum |z_e - e|² / sum |z_e - mean z_e|²."""
    mean_cosine: float | None
    """Mean cosine over pairs of active codes."""
    mean_centred_cosine: float | None
    """The same after the mean code, weighted by usage, is subtracted."""
    ami_labels: float | None
    """Adjusted mutual information of codes and the labels of sentences, or the tags of words."""
    ami_predictions: float | None
    ami_words: float | None
    label_concepts: int | None
    """Number of codes that are associated with a label."""


@dataclass(frozen=True)
class CodebookSummary(Record):
    """The content of codebook.json."""

    format: str
    format_version: int
    checkpoint: str
    """Fingerprint of the weights."""
    rows: str
    """Fingerprint of the rows."""
    split: str
    label_names: list[str] | None
    figures: CodebookFigures
    fdr: float
    """False discovery rate at which a concept counts as associated with a class."""
    label_unit: str
    """What has a label: "sentence", or "word" where each word has a tag."""
    label_totals: list[int] | None
    """[C] number of distinct sentences of each label, or of words of each tag; a word of a text counts once."""
    prediction_totals: list[int] | None
    label_texts: int | None
    """Number of distinct sentences with a label, or with a list of labels; or of words with a tag."""
    prediction_texts: int | None
    concepts_checksum: str
    assignments_checksum: str
    versions: dict[str, str]
    created: str
    self_fingerprint: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> CodebookSummary:
        """Return the body of codebook.json as a value."""
        return cls(**{**body, "figures": CodebookFigures(**body["figures"])})
