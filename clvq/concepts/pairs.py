"""Compare two codebooks over the same words: how stable concepts are, and how they change between layer pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from clvq.activations.store import ActivationStore
from clvq.artifacts.records import Record
from clvq.concepts.codebook import Codebook
from clvq.concepts.map import directions
from clvq.concepts.records import SPLIT
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.rows import WORD
from clvq.notebook import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame


class SharedWords(NamedTuple):
    """The codes that both codebooks give to each shared word `[N]`, and how often each pair of codes occurs."""

    this: np.ndarray
    other: np.ndarray
    counts: np.ndarray
    """[K, K of the other] int64."""


@dataclass(frozen=True)
class MatchedPair(Record):
    """A code and its match in the other codebook, found by the words that both codes hold."""

    code: int
    other: int
    words: int
    other_words: int
    shared: int
    """Number of words that both codes hold."""
    jaccard: float
    """`shared` divided by the number of words that at least one of the two holds."""


@dataclass(frozen=True)
class CosinePair(Record):
    """A code and its match in the other codebook, found by their directions."""

    code: int
    other: int
    cosine: float


@dataclass(frozen=True)
class Comparison(Record):
    """How far two codebooks group the same words alike. For a copy with its codes permuted, all figures are 1."""

    checkpoint: str
    other: str
    words: int
    """Number of words to which both codebooks give a code."""
    codes: int
    """Number of codes that these words have."""
    other_codes: int
    shared_words: float
    """Share of the words that are in a code and in its match. The codes are matched so that this share is largest."""
    mean_jaccard: float
    """Mean over the matched pairs."""
    adjusted_mutual_information: float
    """Adjusted mutual information of the two assignments of words to codes."""
    mean_cosine: float | None
    """Mean cosine of centred codes, matched by cosine; None where the two codebooks have different input states."""
    pairs: list[MatchedPair]
    """The matched pairs, the most similar first."""
    by_cosine: list[CosinePair] | None

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per matched pair."""
        return data_frame((pair.as_json() for pair in self.pairs), [field.name for field in fields(MatchedPair)])


@dataclass(frozen=True)
class Arrow(Record):
    """The words that have a certain code in this codebook and a certain code in the other."""

    code: int
    other: int
    words: int
    share: float
    """Share of the words of this code."""
    other_share: float
    """Share of the words of the other code."""
    lift: float
    """The number of words, divided by the number expected if the codes were independent."""
    bits: float
    """`p(a,b) log2(p(a,b) / p(a) p(b))`; the sum over all arrows is `entropy - conditional_entropy`."""


def share_told(entropy: float, conditional_entropy: float) -> float | None:
    """Return `1 - H(other | this) / H(other)`; None where H(other) is 0."""
    return 1 - conditional_entropy / entropy if entropy else None


@dataclass(frozen=True)
class Flow(Record):
    """Which concepts of another codebook hold the words of each concept. Entropies are in bits per word."""

    checkpoint: str
    other: str
    words: int
    codes: int
    other_codes: int
    entropy: float
    """H(other)."""
    conditional_entropy: float
    """H(other | this); 0 for a copy with its codes permuted."""
    arrows: list[Arrow]
    """The strongest arrows first."""

    @property
    def told(self) -> float | None:
        """Share of the entropy of the other codes that this codebook's codes explain; None where that entropy is 0."""
        return share_told(self.entropy, self.conditional_entropy)

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per arrow."""
        return data_frame((arrow.as_json() for arrow in self.arrows), [field.name for field in fields(Arrow)])


def against(this: Codebook, other: Codebook) -> Comparison:
    """Return how far two codebooks group the same words alike.

    Codes are matched one to one so that as many words as possible are in a code and in its match (Hungarian method).
    MismatchError where the two were trained on different rows.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    words = shared_words(this, other)
    code_words, other_words = words.counts.sum(axis=1), words.counts.sum(axis=0)
    rows, columns = np.flatnonzero(code_words), np.flatnonzero(other_words)
    pairs = _matched_pairs(words.counts, rows, columns)
    cosines = _matched_cosines(this, other, rows, columns)
    return Comparison(
        checkpoint=str(this.checkpoint.path),
        other=str(other.checkpoint.path),
        words=len(words.this),
        codes=len(rows),
        other_codes=len(columns),
        shared_words=sum(pair.shared for pair in pairs) / len(words.this),
        mean_jaccard=float(np.mean([pair.jaccard for pair in pairs])),
        adjusted_mutual_information=float(adjusted_mutual_info_score(words.other, words.this)),
        mean_cosine=None if cosines is None else float(np.mean([pair.cosine for pair in cosines])),
        pairs=pairs,
        by_cosine=cosines,
    )


def _matched_pairs(counts: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[MatchedPair]:
    """Return the one-to-one match of the codes `rows` and `columns` with the most shared words."""
    code_words, other_words = counts.sum(axis=1), counts.sum(axis=0)
    left, right = linear_sum_assignment(counts[np.ix_(rows, columns)], maximize=True)
    pairs = []
    for code, match in zip(rows[left].tolist(), columns[right].tolist(), strict=True):
        shared, words, match_words = int(counts[code, match]), int(code_words[code]), int(other_words[match])
        pairs.append(MatchedPair(code, match, words, match_words, shared, shared / (words + match_words - shared)))
    return sorted(pairs, key=lambda pair: (-pair.jaccard, -pair.shared, pair.code))


def flow(this: Codebook, other: Codebook) -> Flow:
    """Return which concepts of the other codebook hold the words of each concept of this one.

    MismatchError where the two were trained on different rows.
    """
    counts = shared_words(this, other).counts
    total = int(counts.sum())
    code_words, other_words = counts.sum(axis=1), counts.sum(axis=0)
    codes, ends = counts.nonzero()
    met = counts[codes, ends]
    lift = met / total * total / code_words[codes] * total / other_words[ends]
    bits = met / total * np.log2(lift)
    arrows = [
        Arrow(
            code=int(codes[i]),
            other=int(ends[i]),
            words=int(met[i]),
            share=float(met[i] / code_words[codes[i]]),
            other_share=float(met[i] / other_words[ends[i]]),
            lift=float(lift[i]),
            bits=float(bits[i]),
        )
        for i in np.lexsort((ends, codes, -bits))
    ]
    return Flow(
        checkpoint=str(this.checkpoint.path),
        other=str(other.checkpoint.path),
        words=total,
        codes=int((code_words > 0).sum()),
        other_codes=int((other_words > 0).sum()),
        entropy=_entropy(other_words),
        conditional_entropy=float(met / total @ -np.log2(met / code_words[codes])) + 0.0,
        arrows=arrows,
    )


def shared_words(this: Codebook, other: Codebook) -> SharedWords:
    """Return the words of the training split to which both give a code.

    MismatchError where the two were trained on different rows; ClvqError where they have no word in common.
    """
    stores = this.checkpoint.store(), other.checkpoint.store()
    if stores[0].fingerprint != stores[1].fingerprint:
        raise MismatchError(
            f"{this.checkpoint.path} and {other.checkpoint.path} cannot be compared: they were trained on other rows "
            f"({_difference(*stores)}). Train both on the same activations."
        )
    first, second = this.assignments(), other.assignments()
    both = ((stores[0].flags(SPLIT) & WORD) != 0) & (first >= 0) & (second >= 0)
    if not both.any():
        raise ClvqError(f"{this.checkpoint.path} and {other.checkpoint.path} have no word in common.")
    codes, matches = first[both].astype(np.int64), second[both].astype(np.int64)
    sizes = [codebook.figures.codebook_size for codebook in (this, other)]
    counts = np.bincount(codes * sizes[1] + matches, minlength=sizes[0] * sizes[1])
    return SharedWords(codes, matches, counts.reshape(sizes))


def _difference(this: ActivationStore, other: ActivationStore) -> str:
    """Say in which settings and counts two stores differ."""
    names = ("model", "dataset", "subset", "split", "unit", "words", "max_sentences", "max_length")
    differing = [
        f"{name.replace('_', '-')} {getattr(this.settings, name)!r} and {getattr(other.settings, name)!r}"
        for name in names
        if getattr(this.settings, name) != getattr(other.settings, name)
    ]
    counts = [store.sentence_count(SPLIT) for store in (this, other)]
    if counts[0] != counts[1]:
        differing.append(f"{counts[0]:,} and {counts[1]:,} sentences")
    return "; ".join(differing) or "their texts, labels or words differ"


def _matched_cosines(this: Codebook, other: Codebook, rows: np.ndarray, columns: np.ndarray) -> list[CosinePair] | None:
    """Return the one-to-one match of used codes with the largest sum of centred cosines; None for different spaces."""
    states = [
        codebook.checkpoint.config.provenance.layers[codebook.checkpoint.input_layer] for codebook in (this, other)
    ]
    if states[0] != states[1]:
        return None
    models = [codebook.checkpoint.load() for codebook in (this, other)]
    maps = [np.zeros(0) if model.code_map is None else model.code_map.numpy() for model in models]
    if not np.array_equal(maps[0], maps[1]):
        return None
    units = [
        directions(model.codebook.numpy(), codebook.usage)[codes]
        for model, codebook, codes in zip(models, (this, other), (rows, columns), strict=True)
    ]
    cosines = np.clip(units[0] @ units[1].T, -1.0, 1.0)
    left, right = linear_sum_assignment(cosines, maximize=True)
    pairs = [CosinePair(int(rows[i]), int(columns[j]), float(cosines[i, j])) for i, j in zip(left, right, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.code))


def _entropy(counts: np.ndarray) -> float:
    """Return the entropy of the distribution of `counts`, in bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
