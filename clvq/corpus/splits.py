"""From a dataset to sentences: a training and an evaluation split that share no text.

Each split is read twice. The first pass counts rows, hashes their texts and decides which sentences stay; the second is
made whenever the split is iterated. Memory holds two hashes and a few flags for each row, never the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from clvq.corpus.columns import Hints, Parts, Rows
from clvq.corpus.files import LINES
from clvq.corpus.forms import LabelForm, answers_of, is_one_hot, refuse_unlike
from clvq.corpus.label_doubts import (
    refuse_map_of_flags,
    refuse_map_of_numbers,
    refuse_minus_one,
    refuse_misread_flags,
    refuse_unlabelled,
)
from clvq.corpus.label_map import parse_label_map
from clvq.corpus.labels import LabelIds, number_labels
from clvq.corpus.parts import encodable
from clvq.corpus.provenance import CorpusProvenance, HeldOut, SplitOrigin
from clvq.corpus.scan import HELD_OUT, Part, SplitCounts, scan, stays_in_training
from clvq.corpus.settings import CorpusSettings
from clvq.corpus.sources import open_source
from clvq.corpus.tables import Source, split_names
from clvq.errors import ClvqError

SPLITS = ("train", "eval")
"""Splits of every corpus, and of every store made from one."""

EVALUATION_SPLITS = ("validation", "valid", "val", "dev", "eval", "test")
"""Usual names of evaluation splits in published datasets."""


class Sentence(NamedTuple):
    """A text as it stands in the corpus, and the number of its class where it has one."""

    text: str
    label: int | None

    @property
    def answers(self) -> None:
        """See `AnsweredSentence`."""


class AnsweredSentence(NamedTuple):
    """A text of a corpus whose labels have another form than one class, and the right answer for it."""

    text: str
    label: None
    answers: list[float] | None
    """A number; a 0 or 1 for each label; a label for each word, -1 for none. None where the text has no label."""


class Sentences:
    """The sentences of a split: each iteration reads them anew from their source, in the same order."""

    def __init__(
        self, rows: Rows, keep: np.ndarray, ids: LabelIds, counts: SplitCounts, labels: int = 0, one_hot: bool = False
    ) -> None:
        """Take the rows of a split. `labels` is a head's number of labels, where labels are lists; with `one_hot`, the
        lists hold a 0 or 1 for each of them."""
        self._rows, self._keep, self._ids = rows, keep, ids
        self._labels, self._one_hot = labels, one_hot
        self.counts = counts

    def __len__(self) -> int:
        return self.counts.sentences

    def __iter__(self) -> Iterator[Sentence | AnsweredSentence]:
        form = self._rows.hints.form
        for text, label in compress(self._rows.read(), self._keep):
            if form == "class":
                yield Sentence(encodable(text or ""), self._ids[label])  # type: ignore[index]
            else:
                right = answers_of(label, form, self._ids, self._labels, self._one_hot)  # type: ignore[arg-type]
                yield AnsweredSentence(encodable(text or ""), None, right)


@dataclass(frozen=True)
class Corpus:
    """Two splits that share no text, the names of the classes where known, and where all of it came from."""

    train: Sentences
    evaluation: Sentences
    label_names: list[str] | None
    provenance: CorpusProvenance

    def sentences(self, split: str) -> Sentences:
        """Return one of SPLITS."""
        return dict(zip(SPLITS, (self.train, self.evaluation), strict=True))[split]

    def sentence_count(self, split: str) -> int:
        return len(self.sentences(split))

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """What became of the rows, by split."""
        return {split: asdict(self.sentences(split).counts) for split in SPLITS}


class _OpenSplit(NamedTuple):
    """The rows of a split before it is known which stay, and where they come from."""

    rows: Rows
    origin: SplitOrigin


def has_label_lists(settings: CorpusSettings, head: Sequence[str]) -> bool:
    """Return whether each row of a training split has a list of labels, or labels in a column each; `head` are the
    model's classes. ClvqError where there is no such split."""
    return _open_splits(settings)[0].rows.has_label_lists(head)


def load_corpus(settings: CorpusSettings, label_names: list[str] | None = None, form: LabelForm = "class") -> Corpus:
    """Load the dataset that `settings` name, as a training and an evaluation split; ClvqError where that cannot be.

    - The evaluation split is the first of these that is given or exists: a split of `eval_dataset` (`eval_split`, or
      its validation, dev, test or train split, or its only one); `eval_split`; the dataset's validation, dev or test
      split (without labels only if training has none); a tenth of the distinct texts, held out by a hash of text and
      seed.
    - Texts are the same when they differ in nothing but white space. A training sentence whose text is in the
      evaluation split is left out.
    - `max_sentences` limits each split to a random sample that keeps the order of the corpus. A stream is not read to
      its end for that: it is mixed in a buffer of 10,000 rows, and its first sentences are taken (with a held-out
      tenth, until training is full). `streaming` is for data of the hub, and for folders that need `datasets`; local
      files are read row by row in any case.
    - Labels are numbered by `labels.number_labels`; `label_names` are the classes of the model's head. With a head, it
      is also an error if there is no label column but another column may hold labels (`Rows.like_labels`), unless
      `label_column` is `none`. `form` says what a label is, where it is not one class.
    """
    if settings.max_sentences is not None and settings.max_sentences < 1:
        raise ClvqError(f"max_sentences is {settings.max_sentences}; it must be at least 1.")
    train, evaluation = _open_splits(settings, form, label_names)
    if form == "number" and settings.label_map is not None:
        refuse_map_of_numbers(train.rows)
    for split in (train, evaluation):
        if isinstance(split, _OpenSplit) and label_names is not None and settings.label_column is None:
            refuse_unlabelled(split.rows, label_names)
    if isinstance(evaluation, HeldOut):
        parts = _hold_out(train.rows, settings)
        rows = (train.rows, train.rows)
    else:
        parts = _keep_apart(train.rows, evaluation.rows, settings)
        rows = (train.rows, evaluation.rows)
    raw = [(r, part.scan.labels) for r, part in zip(rows, parts, strict=True)]
    lengths, entries = set[int](), set[Any]()
    for part in parts:
        lengths, entries = lengths | part.scan.lengths, entries | part.scan.labels
    refuse_misread_flags(train.rows, form, settings.label_map, lengths, entries, label_names)
    columns = bool(train.rows.label_columns)
    of_one_label = label_names is not None and len(label_names) == 1 and not settings.label_map
    has_names = train.rows.label in train.rows.table.columns.classes  # the entries are then numbers of these names
    one_hot = form == "several" and (columns or (not has_names and is_one_hot(entries, lengths, of_one_label)))
    if one_hot and settings.label_map is not None:
        refuse_map_of_flags(f"{rows[0].table.origin}, column {rows[0].label!r}", columns)
    if one_hot and label_names is not None:
        refuse_unlike(lengths, label_names, f"{rows[0].table.origin}, column {rows[0].label!r}", columns)
        raw = [(r, set()) for r in rows]
    if settings.label_map is None and label_names is not None and len(label_names) == 2:
        refuse_minus_one(rows, parts, entries, label_names)
    labels = number_labels(raw, label_names, parse_label_map(settings.label_map))
    count = len(labels.names or label_names or ()) if form == "several" else 0
    sides = [
        Sentences(r, part.keep, i, part.counts(i if form == "class" else None), count, one_hot)
        for r, part, i in zip(rows, parts, labels.ids, strict=True)
    ]
    provenance = CorpusProvenance(
        training=train.origin,
        evaluation=evaluation if isinstance(evaluation, HeldOut) else evaluation.origin,
        **{name: getattr(settings, name) for name in ("max_sentences", "streaming", "seed")},
        label_map=labels.label_map,
        label_form=None if form == "class" else form,
    )
    return Corpus(sides[0], sides[1], labels.names, provenance)


def _open_splits(
    settings: CorpusSettings, form: LabelForm = "class", label_names: list[str] | None = None
) -> tuple[_OpenSplit, _OpenSplit | HeldOut]:
    """Return the training split, and the evaluation split; of texts that are to be held out, how many."""
    options, streaming = settings.file_options, settings.streaming
    source = open_source(
        settings.dataset, subset=settings.subset, revision=settings.revision, streaming=streaming, options=options
    )
    eval_source = source
    if settings.eval_dataset is not None:
        eval_source = open_source(settings.eval_dataset, streaming=streaming, options=options)
    if options.given and not (source.takes_options or eval_source.takes_options):
        raise ClvqError(f"--delimiter, --quoting and --header are for {' '.join(LINES)} files, not {source.origin}.")
    split = settings.split or _default_split(source, ("train",))
    mapped = frozenset(parse_label_map(settings.label_map))
    several = tuple(label_names or ()) if form == "several" else ()
    hints = Hints(mapped, settings.words == "whitespace", form, several)
    parts = Parts(settings.parts, settings.text_pair_column)
    train = Rows.choose(source.table(split), settings.text_column, settings.label_column, hints, parts)
    if settings.eval_split:
        eval_split = settings.eval_split
    elif settings.eval_dataset is not None:
        eval_split = _default_split(eval_source, (*EVALUATION_SPLITS, "train"))
    else:
        usual = _usual_evaluation(source, split)
        labelled = _labelled(source, usual, train)
        if not labelled:
            return _open_split(source, split, train, settings), HeldOut(HELD_OUT, usual)
        eval_split = labelled[0]
    evaluation = Rows.like(eval_source.table(eval_split), train)
    return (
        _open_split(source, split, train, settings),
        _open_split(eval_source, eval_split, evaluation, settings),
    )


def _open_split(source: Source, split: str, rows: Rows, settings: CorpusSettings) -> _OpenSplit:
    """Return a split's rows. A stream is often sorted by class, so it is mixed where only its beginning is taken."""
    files, layout = source.files, rows.table.layout
    origin = SplitOrigin(
        source=source.name,
        files=None if files is None else [file for name in split_names(split) for file in files[name]],
        split=split,
        text_column=rows.text,
        label_column=rows.label,
        label_columns=list(rows.label_columns),
        part_columns=dict(rows.parts),
        layout=None if layout is None else layout.stored,
    )
    if settings.max_sentences is not None and rows.table.shuffled is not None:
        rows = replace(rows, table=rows.table.shuffled(settings.seed))
    return _OpenSplit(rows, origin)


def _default_split(source: Source, preferred: tuple[str, ...]) -> str:
    for name in preferred:
        if name in source.splits:
            return name
    if len(source.splits) == 1:
        return source.splits[0]
    splits = ", ".join(source.splits)
    raise ClvqError(f"{source.origin} has no split {preferred[0]!r}. Choose one of: {splits}.")


def _usual_evaluation(source: Source, split: str) -> list[str]:
    """Return the dataset's splits with a usual name of an evaluation split, except those of training."""
    others = [name for name in source.splits if name not in split_names(split)]
    return [name for name in EVALUATION_SPLITS if name in others]


def _labelled(source: Source, splits: list[str], train: Rows) -> list[str]:
    """Return those of the splits that have labels, where training has. Public test splits often hide theirs."""
    if not splits or not train.has_labels():
        return splits
    return [name for name in splits if Rows.like(source.table(name), train).has_labels()]


def _keep_apart(train: Rows, evaluation: Rows, settings: CorpusSettings) -> tuple[Part, Part]:
    """Return all rows of two splits, except the rows of training whose text is in evaluation too."""
    seed, limit = settings.seed, settings.max_sentences
    eval_scan = scan(evaluation, seed, limit)
    eval_keys = eval_scan.keys[eval_scan.usable]
    known = set(eval_keys.tolist())
    train_scan = scan(train, seed, limit, lambda key: key not in known)
    shared = train_scan.usable & np.isin(train_scan.keys, eval_keys)
    if not (train_scan.has_words & ~shared).any():
        raise ClvqError(
            f"{train.table.origin}: every text is in the evaluation split too, so none is left for training. "
            "Name another evaluation split or dataset."
        )
    everything, nothing = np.full(len(eval_scan.keys), True), np.full(len(eval_scan.keys), False)
    return (
        Part(train_scan, np.full(len(shared), True), shared, limit, f"{seed} train"),
        Part(eval_scan, everything, nothing, limit, f"{seed} evaluation"),
    )


def _hold_out(rows: Rows, settings: CorpusSettings) -> tuple[Part, Part]:
    """Return the rows of one split, divided into a training and an evaluation side."""
    seed, limit = settings.seed, settings.max_sentences
    both = scan(rows, seed, limit, stays_in_training)
    held_out, nothing = both.held_out(), np.full(len(both.keys), False)
    return (
        Part(both, ~held_out, nothing, limit, f"{seed} train"),
        Part(both, held_out, nothing, limit, f"{seed} evaluation"),
    )
