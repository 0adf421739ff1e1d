"""Export a codebook for other tools: as a table with one line per concept, or the codes themselves as arrays."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clvq.concepts.codebook import Codebook
from clvq.corpus.splits import SPLITS
from clvq.errors import ClvqError
from clvq.storage import atomic_path, write_records, write_tensors

SUFFIXES = (".csv", ".parquet", ".jsonl", ".safetensors", ".npy")
_LISTS = ("label_counts", "prediction_counts", "top_words", "example_words", "examples", "neighbours")
"""Columns that hold lists."""


def export(codebook: Codebook, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a codebook to `path`, in the format of its suffix.

    `.jsonl` has one concept per line, as in concepts.jsonl, with its name and note; `.csv` and `.parquet` have the same
    in flat columns. `.npy` has the codes `[K, D]` float32, in the input layer's own units. `.safetensors` has the codes
    as `codebook`, `counts` `[K]` (words of the training split), `indices_train` and `indices_eval` `[rows]` (in the
    order of the store, -1 for rows that are left out). ClvqError for another suffix, and for a file that exists
    already, unless `overwrite`.
    """
    path = checked_path(path, overwrite=overwrite)
    if path.suffix == ".jsonl":
        write_records(path, map(codebook.described, codebook.concepts))
    elif path.suffix == ".safetensors":
        indices = {f"indices_{split}": torch.from_numpy(codebook.assignments(split)) for split in SPLITS}
        counts = torch.from_numpy(codebook.usage)
        write_tensors(path, {"codebook": _codes(codebook), "counts": counts, **indices})
    else:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            if path.suffix == ".npy":
                np.save(file, _codes(codebook).numpy())
            elif path.suffix == ".parquet":
                import pyarrow as pa
                import pyarrow.parquet as pq

                pq.write_table(pa.Table.from_pylist(_flat(codebook)), file)
            else:
                file.write(_csv(_flat(codebook)))
    return path


def checked_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return `path` if `export` can write it, else raise ClvqError; called before any work."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ClvqError(f"{path} has no suffix of a format: use one of {' '.join(SUFFIXES)}.")
    if path.is_dir():
        raise ClvqError(f"{path} is a folder; name a file in it.")
    if path.exists() and not overwrite:
        raise ClvqError(f"{path} is there already. Use another name, or --overwrite to replace it.")
    return path


def _codes(codebook: Codebook) -> torch.Tensor:
    model = codebook.checkpoint.load()
    return model.codebook / model.input_scale if model.code_map is None else model.codebook


def _flat(codebook: Codebook) -> list[dict[str, Any]]:
    """Return the concepts with one value per column; lists are written as JSON, so that any word is preserved."""
    return [
        {name: json.dumps(value, ensure_ascii=False) if name in _LISTS else value for name, value in row.items()}
        for row in codebook.rows()
    ]


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
