"""Two codebooks over the same words: how stable concepts are, and how those of one layer pair turn into another's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from clvq.activations.store import ActivationStore
from clvq.artifacts.records import Record
from clvq.concepts.catalogue import SPLIT
from clvq.concepts.codebook import Codebook
from clvq.concepts.map import directions
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.rows import WORD
from clvq.notebook import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame


class SharedWords(NamedTuple):
    """The words `[N]` to which both codebooks give a code, and how often each pair of codes meets."""

    this: np.ndarray
    other: np.ndarray
    counts: np.ndarray
    """[K, K of the other] int64."""


@dataclass(frozen=True)
class MatchedPair(Record):
    """A code and its match in the other codebook, by the words that both hold."""

    code: int
    other: int
    words: int
    other_words: int
    shared: int
    """Words that both hold."""
    jaccard: float
    """`shared` over the words that either holds."""


@dataclass(frozen=True)
class CosinePair(Record):
    """A code and its match in the other codebook, by direction."""

    code: int
    other: int
    cosine: float


@dataclass(frozen=True)
class Comparison(Record):
    """How far two codebooks say the same of the same words; for a copy with its codes permuted all figures are 1."""

    checkpoint: str
    other: str
    words: int
    """Words in both."""
    codes: int
    """Codes that one of these words has."""
    other_codes: int
    shared_words: float
    """Share of the words that lie in a code and in its match, for the one-to-one match that makes it largest."""
    mean_jaccard: float
    """Over the matched pairs."""
    adjusted_mutual_information: float
    """Of the two assignments of words to codes."""
    mean_cosine: float | None
    """Of centred codes that are matched by cosine; None where the two have different input states."""
    pairs: list[MatchedPair]
    """The most alike first."""
    by_cosine: list[CosinePair] | None

    def to_pandas(self) -> DataFrame:
        """Return a table with a row a matched pair."""
        return data_frame((pair.as_json() for pair in self.pairs), [field.name for field in fields(MatchedPair)])


@dataclass(frozen=True)
class Arrow(Record):
    """The words that have a code here and another code there."""

    code: int
    other: int
    words: int
    share: float
    """Of the words of this code."""
    other_share: float
    """Of the words of the other code."""
    lift: float
    """How many times more words than if the codes were independent."""
    bits: float
    """`p(a,b) log2(p(a,b) / p(a) p(b))`; all arrows add up to `entropy - conditional_entropy`."""


def share_told(entropy: float, conditional_entropy: float) -> float | None:
    """Return `1 - H(other | this) / H(other)`; None where H(other) is 0."""
    return 1 - conditional_entropy / entropy if entropy else None


@dataclass(frozen=True)
class Flow(Record):
    """Where the words of each concept go in another codebook. Entropies are in bits a word."""

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
    """The strongest first."""

    @property
    def told(self) -> float | None:
        """Share of the entropy there that the code here tells; None where there is none to tell."""
        return share_told(self.entropy, self.conditional_entropy)

    def to_pandas(self) -> DataFrame:
        """Return a table with a row an arrow."""
        return data_frame((arrow.as_json() for arrow in self.arrows), [field.name for field in fields(Arrow)])


def against(this: Codebook, other: Codebook) -> Comparison:
    """Return how far two codebooks say the same of the same words.

    Codes are matched one to one so that the most words lie in a code and its match (Hungarian method). MismatchError
    where the two were trained on other rows.
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
    """Return the one-to-one match of the codes `rows` and `columns` that shares the most words."""
    code_words, other_words = counts.sum(axis=1), counts.sum(axis=0)
    left, right = linear_sum_assignment(counts[np.ix_(rows, columns)], maximize=True)
    pairs = []
    for code, match in zip(rows[left].tolist(), columns[right].tolist(), strict=True):
        shared, words, match_words = int(counts[code, match]), int(code_words[code]), int(other_words[match])
        pairs.append(MatchedPair(code, match, words, match_words, shared, shared / (words + match_words - shared)))
    return sorted(pairs, key=lambda pair: (-pair.jaccard, -pair.shared, pair.code))


def flow(this: Codebook, other: Codebook) -> Flow:
    """Return where the words of each concept of this layer pair go in another pair's codebook.

    MismatchError where the two were trained on other rows.
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
    """Return the words of the training split that both keep. MismatchError where they were trained on other rows."""
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
        f"{name.replace('_', '-')} {this.settings.get(name)!r} and {other.settings.get(name)!r}"
        for name in names
        if this.settings.get(name) != other.settings.get(name)
    ]
    counts = [store.sentence_count(SPLIT) for store in (this, other)]
    if counts[0] != counts[1]:
        differing.append(f"{counts[0]:,} and {counts[1]:,} sentences")
    return "; ".join(differing) or "their texts, labels or words differ"


def _matched_cosines(this: Codebook, other: Codebook, rows: np.ndarray, columns: np.ndarray) -> list[CosinePair] | None:
    """Return the one-to-one match of codes in use whose centred cosines add up to the most; None for other spaces."""
    states = [
        codebook.checkpoint.config["provenance"]["layers"][str(codebook.checkpoint.input_layer)]
        for codebook in (this, other)
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
