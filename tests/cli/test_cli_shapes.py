"""`clvq extract` on texts that are no plain column: lists of tokens, entries of objects, tables written by columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
from running import Clvq, Outcome

from clvq.activations.store import ActivationStore

TEXTS = tiny_models.made_sentences()[:8]
TOKENS = [{"tokens": text.split(), "ner_tags": [0] * len(text.split())} for text in TEXTS]
NESTED = [
    {"text": {"en": text, "more": {"upper": text.upper()}}, "y": {"label": n % 2}} for n, text in enumerate(TEXTS)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as a file, or as a folder that `datasets` saved where the path has no suffix."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(str(path))
    return path


def extract(clvq: Clvq, model: Path, dataset: Path, *options: object) -> Outcome:
    given = ("--run", dataset.parent / "run", "--model", model, "--dataset", dataset, "--layers", 1, "--json")
    return clvq("extract", *given, *options)


def stored(folder: Path) -> list[tuple[str, int | None, list[str]]]:
    """Text, label and words of every sentence."""
    store = ActivationStore(folder / "run" / "activations")
    return sorted(
        (row.text, row.label, [row.text[s:e] for s, e in zip(row.starts, row.ends, strict=True) if e > s])
        for split in ("train", "eval")
        for row in store.sentences(split)
    )


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet", "saved"])
def test_lists_of_tokens_are_joined_with_spaces(clvq: Clvq, bert: Path, tmp_path: Path, name: str) -> None:
    dataset = write(tmp_path / name, TOKENS)
    options = ("--text-column", "tokens")
    ended = extract(clvq, bert, dataset, *options)
    assert ended.code == 1
    assert "a list of tokens, not a text, in row 1 of the column 'tokens'" in ended.message
    assert "--words whitespace" in ended.message
    ended = extract(clvq, bert, dataset, *options, "--words", "whitespace")
    assert ended.code == 0, ended.err
    assert stored(tmp_path) == sorted((" ".join(row["tokens"]), None, row["tokens"]) for row in TOKENS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet", "saved"])
def test_an_entry_of_an_object_is_a_column(clvq: Clvq, bert: Path, tmp_path: Path, name: str) -> None:
    dataset = write(tmp_path / name, NESTED)
    ended = extract(clvq, bert, dataset, "--text-column", "text", "--label-column", "none")
    assert ended.code == 1
    assert "an object, not a text, in row 1 of the column 'text'" in ended.message
    assert "--text-column: text.en, text.more.upper" in ended.message
    ended = extract(clvq, bert, dataset, "--text-column", "text.en", "--label-column", "y.label")
    assert ended.code == 0, ended.err
    assert [row[:2] for row in stored(tmp_path)] == sorted((text, n % 2) for n, text in enumerate(TEXTS))
    options = ("--text-column", "text.more.upper", "--label-column", "none", "--overwrite")
    assert extract(clvq, bert, dataset, *options).code == 0
    assert [row[:2] for row in stored(tmp_path)] == sorted((text.upper(), None) for text in TEXTS)
    ended = extract(clvq, bert, dataset, "--text-column", "text.fr", "--overwrite")
    assert "no column 'text.fr'" in ended.message
    assert "text.en" in ended.message


def test_a_dot_in_a_name_is_no_object(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    rows = [{"text.en": text, "text": {"en": "other"}, "label": 0} for text in TEXTS]
    ended = extract(clvq, bert, write(tmp_path / "r.jsonl", rows), "--text-column", "text.en")
    assert ended.code == 0, ended.err
    assert [row[0] for row in stored(tmp_path)] == sorted(TEXTS)


def test_translations_are_objects_by_language(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    from datasets import Dataset, Features, Translation

    pairs = {"translation": [{"en": text, "fr": "autre"} for text in TEXTS]}
    features = Features({"translation": Translation(["en", "fr"])})
    Dataset.from_dict(pairs, features=features).save_to_disk(str(tmp_path / "saved"))
    ended = extract(clvq, bert, tmp_path / "saved", "--text-column", "translation.en")
    assert ended.code == 0, ended.err
    assert [row[0] for row in stored(tmp_path)] == sorted(TEXTS)


@pytest.mark.parametrize(
    "columns",
    [
        {"text": TEXTS, "label": [0] * 8},
        {"text": {str(n): text for n, text in enumerate(TEXTS)}, "label": {str(n): 0 for n in range(8)}},
        {"columns": ["text", "label"], "index": [0, 1], "data": [["a", 0], ["b", 1]]},
        {"data": [{"text": "a"}, {"text": "b"}], "version": "1"},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_table_written_by_columns_is_named(
    clvq: Clvq, bert: Path, tmp_path: Path, columns: dict[str, Any], indent: int | None
) -> None:
    dataset = tmp_path / "cols.json"
    dataset.write_text(json.dumps(columns, indent=indent))
    ended = extract(clvq, bert, dataset)
    assert ended.code == 1
    assert "one object of columns" in ended.message
    assert 'orient="records"' in ended.message


@pytest.mark.parametrize("value", [[["a"], ["b"]], [{"a": 1}], [None, "a"]])
def test_what_cannot_be_a_text(clvq: Clvq, bert: Path, tmp_path: Path, value: Any) -> None:
    dataset = write(tmp_path / "r.jsonl", [{"text": value, "other": "x", "label": 0}] * 3)
    ended = extract(clvq, bert, dataset, "--words", "whitespace")
    assert ended.code == 1
    assert "a list, not a text" in ended.message
    assert "another column with --text-column: other" in ended.message
