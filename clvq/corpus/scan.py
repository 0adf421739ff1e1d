"""One pass over a split, row by row, for the hashes and flags that decide which of its sentences stay."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from clvq.corpus.columns import RawLabel, Rows
from clvq.corpus.labels import MOST_CLASSES
from clvq.corpus.parts import encodable
from clvq.errors import ClvqError

HELD_OUT = 0.1
"""Share of the distinct texts that is held out where a dataset has no evaluation split."""

_TENTH = int(HELD_OUT * 2**64)
_MISSING, _BLANK, _TEXT = range(3)  # kinds of rows


@dataclass(frozen=True)
class SplitCounts:
    """Numbers of a split's rows: `rows` = `missing` + `in_evaluation` + `over_limit` + `sentences`."""

    rows: int
    """Rows that were read."""
    missing: int
    """Rows without a text, left out."""
    blank: int
    """Rows with a text of nothing but white space, kept."""
    repaired: int
    """Rows with half a Unicode character in the text, now U+FFFD."""
    duplicates: int
    """Rows with a text that came before in the split, kept."""
    contradicted: int
    """Distinct texts of the rows that stay that have different labels in different rows."""
    in_evaluation: int
    """Rows of training with a text of the evaluation split, left out."""
    over_limit: int
    """Rows left out by max_sentences."""
    sentences: int
    """Rows that stay."""
    unlabelled: int
    """Rows that stay, and have no label in the label column."""


@dataclass(frozen=True)
class Scan:
    """The result of one pass over a split: a value for each row, and the labels."""

    keys: np.ndarray
    """[rows] uint64 hash of the text."""
    kinds: np.ndarray
    """[rows] uint8: no text, white space alone, or a text."""
    repaired: np.ndarray
    """[rows] uint8: whether half a Unicode character was replaced."""
    unlabelled: np.ndarray
    """[rows] uint8: whether there is a label column, and no label in it."""
    label_codes: np.ndarray
    """[rows] int64: the same number for equal labels. Where a label is one class, its place in `places`."""
    places: dict[RawLabel, int]
    """The distinct labels, each with its place among them. Where labels are lists, the distinct entries; where they are
    numbers, none."""
    lengths: set[int]
    """Lengths of the lists, where labels are lists."""

    @property
    def labels(self) -> set[RawLabel]:
        """The distinct labels, or entries of labels that are lists."""
        return set(self.places)

    @property
    def usable(self) -> np.ndarray:
        """[rows] bool: rows that have a text, even if it is only white space."""
        return self.kinds != _MISSING

    @property
    def has_words(self) -> np.ndarray:
        """[rows] bool: rows with more than white space."""
        return self.kinds == _TEXT

    def held_out(self) -> np.ndarray:
        """Return as bool `[rows]` the rows whose text is held out for evaluation: a tenth of the distinct texts, by
        their hash.

        At least one text is held out, and never all of them. ClvqError where there is only one distinct text.
        """
        distinct = np.unique(self.keys[self.has_words])
        if len(distinct) < 2:
            raise ClvqError(
                "The corpus has one distinct text and no evaluation split. "
                "Holding one out takes two texts; or name an evaluation split or dataset."
            )
        below = np.uint64(min(max(_TENTH, int(distinct[0]) + 1), int(distinct[-1])))
        return self.usable & (self.keys < below)


def scan(rows: Rows, seed: int, limit: int | None, counts: Callable[[int], bool] = lambda key: True) -> Scan:
    """Read a split. A stream is read only until it has given `limit` texts for whose key `counts` is true."""
    limit = limit if rows.table.shuffled is not None else None
    keys, kinds, repaired, unlabelled = array("Q"), array("B"), array("B"), array("B")
    codes, places = array("q"), dict[RawLabel, int]()
    lengths: set[int] = set()
    counted = 0
    for raw, label in rows.read():
        text = encodable(raw or "")
        key = _key(text, seed)
        keys.append(key)
        kinds.append(_MISSING if raw is None else _TEXT if text and not text.isspace() else _BLANK)
        repaired.append(raw is not None and text != raw)
        unlabelled.append(rows.label is not None and label is None)
        if isinstance(label, tuple):
            places.update(dict.fromkeys(label, 0))
            lengths.add(len(label))
        elif rows.hints.form == "class":
            places.setdefault(label, len(places))  # type: ignore[arg-type]
        # The hash is that of the text, because -1 and -2 have the same one.
        codes.append(places[label] if rows.hints.form == "class" else hash(repr(label)))  # type: ignore[index]
        if len(places) > MOST_CLASSES:
            raise ClvqError(
                f"{rows.table.origin}: the column {rows.label!r} holds over {MOST_CLASSES} values, so it "
                "is not a label. Name another with --label-column, or --label-column none for no labels."
            )
        counted += limit is not None and raw is not None and counts(key)
        if limit is not None and counted >= limit:
            break
    if _TEXT not in kinds:
        raise ClvqError(
            f"{rows.table.origin}: none of its {len(keys)} rows has a text in the column {rows.text!r}. "
            "Name the right column with --text-column, or another split."
        )
    arrays = [np.array(values) for values in (keys, kinds, repaired, unlabelled, codes)]
    return Scan(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], places, lengths)


def stays_in_training(key: int) -> bool:
    """Tell whether a text with this key is not among the held-out tenth."""
    return key >= _TENTH


def _key(text: str, seed: int) -> int:
    """Return a hash of the text that is uniform over 64 bits, and the same for texts that differ only in white
    space."""
    digest = blake2b(" ".join(text.split()).encode(), digest_size=8, key=str(seed).encode())
    return int.from_bytes(digest.digest(), "little")


@dataclass(frozen=True)
class Part:
    """The rows of a scan on one side (training or evaluation), without those shared with the other side or over the
    limit."""

    scan: Scan
    side: np.ndarray
    """[rows] bool: rows on this side."""
    shared: np.ndarray
    """[rows] bool: rows that are left out because their text is on the other side."""
    limit: int | None
    draw: str
    """Seed of the draw of the rows that stay under the limit."""

    @property
    def eligible(self) -> np.ndarray:
        return self.side & self.scan.usable & ~self.shared

    @cached_property
    def keep(self) -> np.ndarray:
        """[rows] bool: the sentences that stay."""
        numbers = np.flatnonzero(self.eligible)
        if self.limit is None or len(numbers) <= self.limit:
            return self.eligible
        keep = np.full(len(self.side), False)
        keep[numbers[random.Random(self.draw).sample(range(len(numbers)), self.limit)]] = True
        return keep

    def counts(self, ids: Mapping[RawLabel, int | None] | None) -> SplitCounts:
        """Count the rows on this side by what became of them. `ids` are the classes of labels that are one class."""
        kinds = self.scan.kinds
        texts = self.scan.keys[self.side & (kinds == _TEXT)]
        return SplitCounts(
            rows=int(self.side.sum()),
            missing=int((self.side & (kinds == _MISSING)).sum()),
            blank=int((self.side & (kinds == _BLANK)).sum()),
            repaired=int(self.scan.repaired[self.side].sum()),
            duplicates=len(texts) - len(np.unique(texts)),
            contradicted=self._contradicted(ids),
            in_evaluation=int((self.side & self.scan.usable & self.shared).sum()),
            over_limit=int((self.eligible & ~self.keep).sum()),
            sentences=int(self.keep.sum()),
            unlabelled=int(self.scan.unlabelled[self.keep].sum()),
        )

    def _contradicted(self, ids: Mapping[RawLabel, int | None] | None) -> int:
        """Count the distinct texts that stay, and have different labels."""
        labelled = self.keep & self.scan.has_words & (self.scan.unlabelled == 0)
        codes = self.scan.label_codes
        if ids is not None:  # several labels may mean the same class, or none
            classes = [-1 if (number := ids[label]) is None else number for label in self.scan.places]
            codes = np.array(classes, np.int64)[codes]
            labelled &= codes >= 0
        _, texts, found = np.unique(self.scan.keys[labelled], return_inverse=True, return_counts=True)
        repeated = found[texts] > 1
        pairs = set(zip(texts[repeated].tolist(), codes[labelled][repeated].tolist(), strict=True))
        return sum(labels > 1 for labels in Counter(text for text, _ in pairs).values())
