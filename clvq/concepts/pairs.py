"""Two codebooks over the same words: how stable concepts are, and how those of one layer pair turn into another's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from clvq.activations.store import ActivationStore
from clvq.concepts.catalogue import SPLIT
from clvq.concepts.codebook import Codebook
from clvq.concepts.map import directions
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.tokenization import WORD


class SharedWords(NamedTuple):
    """The words `[N]` that both codebooks give a code, and how often each pair of codes meets."""

    this: np.ndarray
    other: np.ndarray
    counts: np.ndarray
    """[K, K of the other] int64."""


def against(this: Codebook, other: Codebook) -> dict[str, Any]:
    """How far two codebooks say the same of the same words; of a copy with its codes permuted all figures are 1.

    `shared_words`: with codes matched one to one so that the most words lie in a code and its match (Hungarian
    method), the share that do. `mean_jaccard`: over the matched pairs, words in both over words in either.
    `adjusted_mutual_information` of the two assignments. `mean_cosine`: over pairs matched by the cosine of codes
    about their mean, where both have the same input states; None elsewhere. Raises MismatchError for other rows.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    words = shared_words(this, other)
    of_this, of_other = words.counts.sum(axis=1), words.counts.sum(axis=0)
    rows, columns = np.flatnonzero(of_this), np.flatnonzero(of_other)
    left, right = linear_sum_assignment(words.counts[np.ix_(rows, columns)], maximize=True)
    pairs = []
    for code, match in zip(rows[left].tolist(), columns[right].tolist(), strict=True):
        both = int(words.counts[code, match])
        either = int(of_this[code] + of_other[match]) - both
        pairs.append(
            {
                "code": code, "other": match, "words": int(of_this[code]), "other_words": int(of_other[match]),
                "shared": both, "jaccard": both / either,
            }
        )  # fmt: skip
    pairs.sort(key=lambda pair: (-pair["jaccard"], -pair["shared"], pair["code"]))
    cosines = _matched_cosines(this, other, rows, columns)
    return {
        "checkpoint": str(this.checkpoint.path),
        "other": str(other.checkpoint.path),
        "words": len(words.this),
        "codes": len(rows),
        "other_codes": len(columns),
        "shared_words": sum(pair["shared"] for pair in pairs) / len(words.this),
        "mean_jaccard": float(np.mean([pair["jaccard"] for pair in pairs])),
        "adjusted_mutual_information": float(adjusted_mutual_info_score(words.other, words.this)),
        "mean_cosine": None if cosines is None else float(np.mean([entry["cosine"] for entry in cosines])),
        "pairs": pairs,
        "by_cosine": cosines,
    }


def flow(this: Codebook, other: Codebook) -> dict[str, Any]:
    """Where the words of each concept of this layer pair go in another pair's codebook.

    In bits a word: `entropy` H(other), `conditional_entropy` H(other | this), of which a copy with its codes permuted
    has 0. Arrows, the strongest first: pairs of codes with `words`, `share` (of this code's words), `other_share` (of
    the other code's), `lift`, and `bits`, the part `p(a,b) log2(p(a,b) / p(a) p(b))` that it has in the mutual
    information; all of them add up to H(other) - H(other | this). Raises MismatchError for other rows.
    """
    counts = shared_words(this, other).counts
    total = int(counts.sum())
    of_this, of_other = counts.sum(axis=1), counts.sum(axis=0)
    codes, ends = counts.nonzero()
    met = counts[codes, ends]
    lift = met / total * total / of_this[codes] * total / of_other[ends]
    bits = met / total * np.log2(lift)
    order = np.lexsort((ends, codes, -bits))
    arrows = [
        {
            "code": int(codes[i]),
            "other": int(ends[i]),
            "words": int(met[i]),
            "share": float(met[i] / of_this[codes[i]]),
            "other_share": float(met[i] / of_other[ends[i]]),
            "lift": float(lift[i]),
            "bits": float(bits[i]),
        }
        for i in order
    ]
    return {
        "checkpoint": str(this.checkpoint.path),
        "other": str(other.checkpoint.path),
        "words": total,
        "codes": int((of_this > 0).sum()),
        "other_codes": int((of_other > 0).sum()),
        "entropy": _entropy(of_other),
        "conditional_entropy": float(met / total @ -np.log2(met / of_this[codes])) + 0.0,
        "arrows": arrows,
    }


def shared_words(this: Codebook, other: Codebook) -> SharedWords:
    """The words of the training split that both keep. MismatchError where the two were trained on other rows."""
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
    sizes = [codebook.summary["figures"]["codebook_size"] for codebook in (this, other)]
    counts = np.bincount(codes * sizes[1] + matches, minlength=sizes[0] * sizes[1])
    return SharedWords(codes, matches, counts.reshape(sizes))


def _difference(this: ActivationStore, other: ActivationStore) -> str:
    """What two stores of other rows do not share, in words."""
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


def _matched_cosines(
    this: Codebook, other: Codebook, rows: np.ndarray, columns: np.ndarray
) -> list[dict[str, Any]] | None:
    """Codes in use matched one to one so that their centred cosines add up to the most; None for other spaces."""
    states = [
        codebook.checkpoint.config["provenance"]["layers"][str(codebook.checkpoint.input_layer)]
        for codebook in (this, other)
    ]
    if states[0] != states[1]:
        return None
    units = [
        directions(codebook.checkpoint.load().codebook.numpy(), _usage(codebook))[codes]
        for codebook, codes in ((this, rows), (other, columns))
    ]
    cosines = np.clip(units[0] @ units[1].T, -1.0, 1.0)
    left, right = linear_sum_assignment(cosines, maximize=True)
    pairs = [
        {"code": int(rows[i]), "other": int(columns[j]), "cosine": float(cosines[i, j])}
        for i, j in zip(left, right, strict=True)
    ]
    return sorted(pairs, key=lambda pair: (-pair["cosine"], pair["code"]))


def _usage(codebook: Codebook) -> np.ndarray:
    usage = np.zeros(codebook.summary["figures"]["codebook_size"])
    for concept in codebook.concepts:
        usage[concept["code"]] = concept["words"]
    return usage


def _entropy(counts: np.ndarray) -> float:
    """Of the distribution of the counts, in bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
