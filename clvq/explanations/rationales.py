"""Compare attributions with the words that annotators marked in the evaluation split, and with two yardsticks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from clvq.activations.store import ActivationStore
from clvq.artifacts import local_checksum
from clvq.corpus.columns import Hints, Rows
from clvq.corpus.delimited import FileOptions
from clvq.corpus.provenance import FolderName
from clvq.corpus.sources import open_source
from clvq.corpus.tables import Table
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.records import Agreement, Explanation, Span
from clvq.progress import Progress, Report, silent

RANDOM_DRAWS = 10
"""Number of random scores; the yardstick is the mean over these."""


def read_rationales(store: ActivationStore, column: str, progress: Report = silent) -> dict[str, list[Span]]:
    """Return, for each text of the evaluation split's corpus, the character spans `[start, end)` that `column` marks.

    The column holds a part of the text, a list of parts, or such a list as JSON or as Python writes it. A part is where
    it first stands between the borders of words, or else where it first stands. A text that occurs several times has
    the spans of all its rows. A note tells how many parts are not in their texts. ClvqError where the column is
    missing, holds anything else, or marks nothing.
    """
    if store.settings.keep_prompt:
        raise ClvqError("--rationale-column cannot be used with activations that were made with --keep-prompt.")
    table, text_column, part_columns = _evaluation_table(store)
    if column not in table.columns.reachable:
        raise ClvqError(
            f"{table.origin} has no column {column!r} (--rationale-column). "
            f"Its columns are: {', '.join(table.columns.reachable)}."
        )
    spans_of_text: dict[str, set[Span]] = {}
    missing = 0
    rows = Rows(table, text_column, None, Hints(join_tokens=store.settings.words == "whitespace"), part_columns)
    for number, (*values, marked) in enumerate(table.values([*rows.part_columns, column]), 1):
        text = rows.as_text(values, number) or ""
        parts = _parts(marked)
        if parts is None:
            raise ClvqError(
                f"{table.origin}, row {number}: the column {column!r} (--rationale-column) holds neither a part of the "
                "text nor a list of parts."
            )
        spans = [_span(text, part) for part in parts if part]
        missing += spans.count(None)
        spans_of_text.setdefault(text, set()).update(span for span in spans if span is not None)
    if not any(spans_of_text.values()):
        raise ClvqError(
            f"No text of {table.origin} holds what its column {column!r} says (--rationale-column): that column does "
            "not mark parts of the texts."
        )
    if missing:
        note = f"{missing:,} parts that the column {column!r} marks are not in their texts, and are left out."
        progress(Progress("explain", note=note))
    return {text: sorted(spans) for text, spans in spans_of_text.items()}


def _span(text: str, part: str) -> Span | None:
    """Return where a part of a text is; None where it is not in it."""
    within = re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text)
    start = within.start() if within else text.find(part)
    return None if start < 0 else (start, start + len(part))


def _evaluation_table(store: ActivationStore) -> tuple[Table, str, tuple[tuple[str, str], ...]]:
    """Return the corpus of the evaluation split, its text column, and its part columns as `Rows` takes them.

    MismatchError where a local corpus has changed or was moved.
    """
    settings, origin = store.settings, store.provenance.corpus.evaluated
    name = "dataset" if settings.eval_dataset is None else "eval_dataset"
    corpus: str = getattr(settings, name)
    checksum: str | None = getattr(store.provenance.sources, name)
    if checksum is not None and local_checksum(corpus) != checksum:
        raise MismatchError(
            f"{corpus} is not the corpus that {store.path} was made from: it was changed or moved. Put it back, or "
            "extract again."
        )
    subset = origin.source.subset if isinstance(origin.source, FolderName) else None
    revision = None if "@" in corpus else origin.revision
    columns = (origin.text_column, *origin.part_columns.values())
    options = FileOptions(settings.delimiter, settings.quoting, settings.header, columns)
    source = open_source(corpus, subset=subset, revision=revision, streaming=settings.streaming, options=options)
    return source.table(origin.split), origin.text_column, tuple(origin.part_columns.items())


def _parts(value: Any) -> list[str] | None:
    """Return the marked parts of a text; None where the value is neither a text nor a list of texts."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = _python_list(value)
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return list(value)
    return None


def _python_list(written: str) -> Any:
    """Return the list that Python writes so, as pandas does in CSV files; any other text as it is."""
    try:
        return ast.literal_eval(written)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return written


def agreement(sentences: Sequence[Explanation], column: str, frequencies: Mapping[str, int]) -> Agreement:
    """Return how well attributions, random scores and the rarity of words find the words that people marked.

    `sentences` are explanations with their `rationale`; `frequencies` are counts of word types in training. A word is
    marked if a rationale's span overlaps it. AUPRC is the average precision of the words' scores. Token F1 compares the
    marked words with the salient words, and with equally many of the best words by each yardstick. Both are means over
    texts. A text counts once: copies of it are left out, and where the model is asked for several parts, the text's
    figures are means over them. Texts without a marked or without an unmarked word are left out and counted. ClvqError
    where no text is left.
    """
    generator = np.random.default_rng(0)
    precision: dict[str, dict[str, list[float]]] = {"attribution": {}, "random": {}, "frequency": {}}
    overlap: dict[str, dict[str, list[float]]] = {name: {} for name in precision}
    one_sided: set[str] = set()
    for sentence in {(sentence.text, sentence.part): sentence for sentence in sentences}.values():
        words, spans = sentence.words, sentence.rationale or []
        marked = np.array([any(w.start < end and start < w.end for start, end in spans) for w in words], bool)
        if not marked.any() or marked.all():
            one_sided.add(sentence.text)
            continue
        salient = np.array([word.salient for word in words])
        rarity = [-frequencies.get(word.text, 0) for word in words]
        draws = generator.random((RANDOM_DRAWS, len(words)))
        scores = {
            "attribution": np.array([[word.attribution for word in words]]),
            "random": draws,
            "frequency": np.array([rarity], float),
        }
        for name, values in scores.items():
            selections = [salient] if name == "attribution" else [_best(row, int(salient.sum())) for row in values]
            found = float(np.mean([average_precision_score(marked, row) for row in values]))
            precision[name].setdefault(sentence.text, []).append(found)
            shared = float(np.mean([_f1(marked, choice) for choice in selections]))
            overlap[name].setdefault(sentence.text, []).append(shared)
    if not precision["attribution"]:
        raise ClvqError(
            f"No sentence has words inside and outside what the column {column!r} (--rationale-column) marks, so there "
            "is nothing to compare."
        )
    return Agreement(
        column=column,
        sentences=len(precision["attribution"]),
        left_out=len(one_sided),
        auprc={name: _mean_over_texts(values) for name, values in precision.items()},
        token_f1={name: _mean_over_texts(values) for name, values in overlap.items()},
    )


def _mean_over_texts(figures: Mapping[str, list[float]]) -> float:
    """Return the mean over texts of each text's mean over its parts."""
    return float(np.mean([np.mean(of_text) for of_text in figures.values()]))


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Return, as bool `[words]`, the words with the `count` highest scores; the first of equal scores."""
    mask = np.zeros(len(scores), bool)
    mask[np.argsort(-scores, kind="stable")[:count]] = True
    return mask


def _f1(marked: np.ndarray, selected: np.ndarray) -> float:
    return float(2 * (marked & selected).sum() / (marked.sum() + selected.sum()))
