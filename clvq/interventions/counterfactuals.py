"""Pairs of texts that differ in one thing, and what is known of texts: of the demo, and of a file with CEBaB's columns.

CEBaB (Abraham et al. 2022, arXiv 2205.14140) holds restaurant reviews that people edited. A row has the columns

    description                   the text
    original_id, is_original      the review that an edit was made from, and whether the row is that review
    edit_type                     for an edit, the aspect that it was to change
    ASPECT_aspect_majority        for each aspect Positive, Negative or unknown, as most annotators read it

A pair is an original and one of its edits, where the two differ in the value of the edit's aspect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from clvq import demo
from clvq.corpus.delimited import FileOptions
from clvq.corpus.sources import open_source
from clvq.errors import ClvqError
from clvq.storage import file_checksum

_ASPECT = "_aspect_majority"
_COLUMNS = ("description", "original_id", "is_original", "edit_type")
_NO_VALUE = ("", "no majority", "none", "nan")


class Pair(NamedTuple):
    """A text, and the same text with another value of one concept."""

    original: str
    """Identifies the text that both come from; pairs with the same original are resampled together."""
    kind: str
    """The group of pairs for which figures are given, such as "polarity" or "food"."""
    concept: str
    """The concept that takes another value."""
    before: str
    after: str
    text: str
    counterfactual: str

    @property
    def change(self) -> tuple[str, str, str]:
        """The concept, and its values before and after."""
        return self.concept, self.before, self.after


@dataclass(frozen=True)
class Counterfactuals:
    """Pairs, and what is known of each text of the corpus that they belong to."""

    name: str
    """Identifies the source of the pairs; it does not depend on the folder of the file."""
    pairs: list[Pair]
    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By text, the value of each attribute, such as `{"domain": "hotel"}`."""


def demo_counterfactuals() -> Counterfactuals:
    """Return the pairs of the demo, and the domain and aspects that the grammar put into each of its reviews."""
    pairs = [
        Pair(str(number), pair.kind, pair.concept, pair.before, pair.after, pair.text, pair.counterfactual)
        for number, pair in enumerate(demo.pairs())
    ]
    reviews = [*demo.corpus("train"), *demo.corpus("eval")]
    aspects = sorted({word.aspect for review in reviews for word in review.words if word.aspect})
    known = {}
    for review in reviews:
        judged = {word.aspect for word in review.words}
        domains = [word.domain for word in review.words if word.domain]
        said = {aspect: "judged" if aspect in judged else "not judged" for aspect in aspects}
        known[review.text] = {**({"domain": domains[0]} if domains else {}), **said}
    return Counterfactuals(f"demo {file_checksum(demo.PAIRS_PATH)}", pairs, known)


def read_counterfactuals(path: Path) -> Counterfactuals:
    """Return the pairs of a file with CEBaB's columns, in the order of the edits.

    ClvqError where the file is missing or damaged, lacks a column, or holds no pair.
    """
    source = open_source(str(path), options=FileOptions(columns=_COLUMNS))
    table = source.table(source.splits[0])
    aspects = [name.removesuffix(_ASPECT) for name in table.columns.names if name.endswith(_ASPECT)]
    missing = [name for name in _COLUMNS if name not in table.columns.names]
    if missing or not aspects:
        lacking = ", ".join([*missing, *([] if aspects else [f"ASPECT{_ASPECT}"])])
        raise ClvqError(
            f"{path} has no column {lacking}; it has: {', '.join(table.columns.names)}. "
            "--pairs takes a file with the columns of CEBaB: see docs/bench.md."
        )
    names = [*_COLUMNS, *(f"{aspect}{_ASPECT}" for aspect in aspects)]
    rows = [dict(zip(names, values, strict=True)) for values in table.values(names)]
    originals = {str(row["original_id"]): row for row in rows if _is_true(row["is_original"])}
    pairs = []
    for row in rows:
        original, aspect = originals.get(str(row["original_id"])), str(row["edit_type"])
        if _is_true(row["is_original"]) or original is None or aspect not in aspects:
            continue
        before, after = (_value(one[f"{aspect}{_ASPECT}"]) for one in (original, row))
        if before and after and before != after:
            texts = (str(original["description"]), str(row["description"]))
            pairs.append(Pair(str(row["original_id"]), aspect, aspect, before, after, *texts))
    if not pairs:
        raise ClvqError(
            f"{path} holds no pair: no edit has a majority for its aspect that differs from that of an original in the "
            "file. Give a file with originals (is_original) and their edits."
        )
    return Counterfactuals(f"{path.name} {file_checksum(path)}", pairs, _known(rows, aspects))


def _known(rows: list[dict[str, Any]], aspects: list[str]) -> dict[str, dict[str, str]]:
    values = ((row, {aspect: _value(row[f"{aspect}{_ASPECT}"]) for aspect in aspects}) for row in rows)
    return {str(row["description"]): {aspect: value for aspect, value in said.items() if value} for row, said in values}


def _value(value: Any) -> str | None:
    """Return the value of an aspect; None where the annotators had no majority."""
    text = "" if value is None else str(value)
    return None if text.lower() in _NO_VALUE else text


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "1.0", "yes")
