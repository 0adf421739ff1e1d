"""A dataset becomes sentences: a training and an evaluation split that share no text.

Each split is read twice: once to count, to hash its texts and to decide which sentences stay, and again
whenever it is iterated. Memory holds a hash and a few flags for each row, never the texts.
"""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from clvq.corpus.columns import LabelIds, RawLabel, Rows, number_labels
from clvq.corpus.sources import Source, open_source, split_names
from clvq.errors import ClvqError

EVALUATION_SPLITS = ("validation", "valid", "val", "dev", "eval", "test")
HELD_OUT = 0.1  # of the distinct texts, where a dataset has no evaluation split

_TENTH = int(HELD_OUT * 2**64)
_MOST_LABELS = 1000  # a column with more different values holds something else
_SURROGATE = re.compile("[\ud800-\udfff]")
_MISSING, _BLANK, _TEXT = range(3)  # kinds of rows


class Sentence(NamedTuple):
    """A text as it stands in the corpus, and the number of its class where it has one."""

    text: str
    label: int | None


@dataclass(frozen=True)
class SplitCounts:
    """What became of a split's rows: `rows` = `missing` + `in_evaluation` + `over_limit` + `sentences`."""

    rows: int  # read
    missing: int  # without a text, left out
    blank: int  # with a text of nothing but white space, kept
    repaired: int  # with half a Unicode character in the text, now U+FFFD
    duplicates: int  # with a text that came before in the split, kept
    in_evaluation: int  # of training, with a text of the evaluation split, left out
    over_limit: int  # left out by max_sentences
    sentences: int  # that stay


class Sentences:
    """The sentences of a split: each iteration reads them anew from their source, in the same order."""

    def __init__(self, rows: Rows, keep: np.ndarray, ids: LabelIds, counts: SplitCounts) -> None:
        self._rows, self._keep, self._ids = rows, keep, ids
        self.counts = counts

    def __len__(self) -> int:
        return self.counts.sentences

    def __iter__(self) -> Iterator[Sentence]:
        for text, label in compress(self._rows.read(), self._keep):
            yield Sentence(_encodable(text or ""), self._ids[label])


@dataclass(frozen=True)
class Corpus:
    """Two splits that share no text, the names of the classes where known, and where all of it came from."""

    train: Sentences
    evaluation: Sentences
    label_names: list[str] | None
    provenance: dict[str, Any]  # fit for JSON; of local files the base names only

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        return {"train": asdict(self.train.counts), "evaluation": asdict(self.evaluation.counts)}


def load_corpus(
    dataset: str,
    *,
    subset: str | None = None,
    split: str | None = None,
    eval_dataset: str | None = None,
    eval_split: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    max_sentences: int | None = None,
    revision: str | None = None,
    streaming: bool = False,
    seed: int = 0,
    label_names: list[str] | None = None,
) -> Corpus:
    """Load a dataset: `demo`, `user/name` or `user/name@revision` of the hub, a local folder or file.

    - `split`: `train`, else the only split. Evaluation is `eval_dataset` (its `eval_split`, its only one, or
      its validation, dev, test or train), or `eval_split`, or the dataset's validation, dev or test split
      (without labels only if training has none), or else a tenth of the distinct texts, held out by a hash of
      text and seed.
    - Texts are the same when they differ in nothing but white space. A training sentence whose text is in the
      evaluation split is left out.
    - `max_sentences` caps each split, by a random sample that keeps the order of the corpus. A stream is not
      read to its end for that: it is mixed in a buffer of 10,000 rows, and its first sentences are taken
      (with a held-out tenth, until training is full). `streaming` is for data of the hub, and for folders
      that need `datasets`; local files are read row by row in any case.
    - Labels: see `corpus_columns.number_labels`, with `label_names` those of the model; `label_column=""`
      reads none.
    """
    if max_sentences is not None and max_sentences < 1:
        raise ClvqError(f"max_sentences is {max_sentences}; it must be at least 1.")
    source = open_source(dataset, subset=subset, revision=revision, streaming=streaming)
    split = split or _default_split(source, ("train",))
    train = Rows.choose(source.table(split), text_column, label_column)
    if eval_dataset is not None:
        eval_source = open_source(eval_dataset, subset=None, revision=None, streaming=streaming)
        eval_split = eval_split or _default_split(eval_source, (*EVALUATION_SPLITS, "train"))
    else:
        eval_source, eval_split = source, eval_split or _usual_evaluation(source, split, train)
    evaluation = Rows.like(eval_source.table(eval_split), train) if eval_split else train

    if max_sentences is not None:
        train, evaluation = _mixed(train, seed), _mixed(evaluation, seed)
    if eval_split:
        eval_scan = _Scan.of(evaluation, seed, max_sentences, lambda key: True)
        known = set(eval_scan.keys[eval_scan.usable].tolist())
        scan = _Scan.of(train, seed, max_sentences, lambda key: key not in known)
        train_side, eval_side = np.full(len(scan.keys), True), np.full(len(eval_scan.keys), True)
        shared = scan.usable & np.isin(scan.keys, eval_scan.keys[eval_scan.usable])
    else:
        scan = eval_scan = _Scan.of(train, seed, max_sentences, lambda key: key >= _TENTH)
        eval_side = scan.usable & (scan.keys < _hold_out_below(scan))
        train_side, shared = ~eval_side, np.full(len(scan.keys), False)
    if not (scan.kinds[train_side & ~shared] == _TEXT).any():
        raise ClvqError(
            f"{train.table.origin}: every text is in the evaluation split too, so none is left for training. "
            "Name another evaluation split or dataset."
        )
    labels = [(train, scan.labels), (evaluation, eval_scan.labels)]
    (train_ids, eval_ids), names = number_labels(labels, label_names)
    own = _origin(eval_source, eval_split, evaluation) if eval_split else {"held_out": HELD_OUT}
    settings = {"max_sentences": max_sentences, "streaming": streaming, "seed": seed}
    train_part = _Part(scan, train_side, shared, max_sentences, f"{seed} train")
    eval_part = _Part(eval_scan, eval_side, ~eval_side, max_sentences, f"{seed} evaluation")
    return Corpus(
        Sentences(train, train_part.keep, train_ids, train_part.counts()),
        Sentences(evaluation, eval_part.keep, eval_ids, eval_part.counts()),
        names,
        {**_origin(source, split, train), "evaluation": own, **settings},
    )


def _default_split(source: Source, preferred: tuple[str, ...]) -> str:
    for name in preferred:
        if name in source.splits:
            return name
    if len(source.splits) == 1:
        return source.splits[0]
    splits = ", ".join(source.splits)
    raise ClvqError(f"{source.origin} has no split {preferred[0]!r}. Choose one of: {splits}.")


def _usual_evaluation(source: Source, split: str, train: Rows) -> str | None:
    """The dataset's own evaluation split. Public test splits often hide their labels; those do not serve."""
    others = [name for name in source.splits if name not in split_names(split)]
    candidates = [name for name in EVALUATION_SPLITS if name in others]
    if candidates and train.has_labels():
        candidates = [name for name in candidates if Rows.like(source.table(name), train).has_labels()]
    return candidates[0] if candidates else None


def _mixed(rows: Rows, seed: int) -> Rows:
    """A stream is often sorted by class, and only its beginning is taken."""
    return rows if rows.table.shuffled is None else Rows(rows.table.shuffled(seed), rows.text, rows.label)


def _origin(source: Source, split: str, rows: Rows) -> dict[str, Any]:
    origin = {**source.provenance, "split": split, "text_column": rows.text, "label_column": rows.label}
    if "files" in origin:
        origin["files"] = [file for name in split_names(split) for file in origin["files"][name]]
    return origin


@dataclass(frozen=True)
class _Scan:
    """What one pass over a split leaves behind, row by row, and its labels."""

    keys: np.ndarray
    kinds: np.ndarray
    repaired: np.ndarray
    labels: set[RawLabel]

    @classmethod
    def of(cls, rows: Rows, seed: int, limit: int | None, counts: Callable[[int], bool]) -> _Scan:
        """Read a split; of a stream only until `limit` of its texts count."""
        limit = limit if rows.table.shuffled is not None else None
        keys, kinds, repaired = array("Q"), array("B"), array("B")
        labels: set[RawLabel] = set()
        counted = 0
        for raw, label in rows.read():
            text = _encodable(raw or "")
            key = _key(text, seed)
            keys.append(key)
            kinds.append(_MISSING if raw is None else _TEXT if text and not text.isspace() else _BLANK)
            repaired.append(raw is not None and text != raw)
            labels.add(label)
            if len(labels) > _MOST_LABELS:
                raise ClvqError(
                    f"{rows.table.origin}: the column {rows.label!r} holds over {_MOST_LABELS} values, so it "
                    "is not a label. Name another with label_column, or label_column='' for none."
                )
            counted += limit is not None and raw is not None and counts(key)
            if limit is not None and counted >= limit:
                break
        if _TEXT not in kinds:
            raise ClvqError(
                f"{rows.table.origin}: none of its {len(keys)} rows has a text in the column {rows.text!r}. "
                "Name the right column with text_column, or another split."
            )
        return cls(np.array(keys), np.array(kinds), np.array(repaired), labels)

    @property
    def usable(self) -> np.ndarray:
        return self.kinds != _MISSING


def _encodable(text: str) -> str:
    """Half of a UTF-16 pair, which JSON can write, has no UTF-8 and would stop a tokenizer."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _key(text: str, seed: int) -> int:
    """A hash that stands for the text, white space aside, and is uniform over 64 bits."""
    digest = blake2b(" ".join(text.split()).encode(), digest_size=8, key=str(seed).encode())
    return int.from_bytes(digest.digest(), "little")


def _hold_out_below(scan: _Scan) -> np.uint64:
    """Texts whose key is below this are held out: a tenth, but of a few texts at least one, and never all."""
    distinct = np.unique(scan.keys[scan.kinds == _TEXT])
    if len(distinct) < 2:
        raise ClvqError(
            "The corpus has one distinct text and no evaluation split. "
            "Holding one out takes two texts; or name an evaluation split or dataset."
        )
    return np.uint64(min(max(_TENTH, int(distinct[0]) + 1), int(distinct[-1])))


@dataclass(frozen=True)
class _Part:
    """The rows of a scan that are on one side, less those shared with the other and over the limit."""

    scan: _Scan
    side: np.ndarray
    shared: np.ndarray
    limit: int | None
    seed: str

    @property
    def eligible(self) -> np.ndarray:
        return self.side & self.scan.usable & ~self.shared

    @cached_property
    def keep(self) -> np.ndarray:
        places = np.flatnonzero(self.eligible)
        if self.limit is None or len(places) <= self.limit:
            return self.eligible
        keep = np.full(len(self.side), False)
        keep[places[random.Random(self.seed).sample(range(len(places)), self.limit)]] = True
        return keep

    def counts(self) -> SplitCounts:
        kinds = self.scan.kinds
        texts = self.scan.keys[self.side & (kinds == _TEXT)]
        return SplitCounts(
            rows=int(self.side.sum()),
            missing=int((self.side & (kinds == _MISSING)).sum()),
            blank=int((self.side & (kinds == _BLANK)).sum()),
            repaired=int(self.scan.repaired[self.side].sum()),
            duplicates=len(texts) - len(np.unique(texts)),
            in_evaluation=int((self.side & self.scan.usable & self.shared).sum()),
            over_limit=int((self.eligible & ~self.keep).sum()),
            sentences=int(self.keep.sum()),
        )
