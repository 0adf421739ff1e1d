"""A codebook for other tools: tables with a line a concept, or the codes themselves as arrays."""

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


def export(codebook: Codebook, path: str | Path, *, overwrite: bool = False) -> Path:
    """Writes `path` in the format of its suffix.

    `.jsonl` a concept a line, as in concepts.jsonl; `.csv`, `.parquet` the same in flat columns. `.npy` the codes
    `[K, D]` float32, in the input layer's own units; `.safetensors` those as `codebook`, `counts` `[K]` (words of the
    training split), `indices_train` and `indices_eval` `[rows]` (in the order of the store, -1 for what is left out).
    ClvqError for another suffix, and for a file that is there, unless `overwrite`.
    """
    path = checked_path(path, overwrite=overwrite)
    if path.suffix == ".jsonl":
        write_records(path, codebook.concepts)
    elif path.suffix == ".safetensors":
        counts = np.zeros(codebook.summary["figures"]["codebook_size"], np.int64)
        for concept in codebook.concepts:
            counts[concept["code"]] = concept["words"]
        indices = {f"indices_{split}": torch.from_numpy(codebook.assignments(split)) for split in SPLITS}
        write_tensors(path, {"codebook": _codes(codebook), "counts": torch.from_numpy(counts), **indices})
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
    """`path`, where `export` can write it; ClvqError before any work where it cannot."""
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
    return model.codebook / model.input_scale


def _flat(codebook: Codebook) -> list[dict[str, Any]]:
    """Concepts with a value a column; lists as JSON, so that any word survives."""
    names = codebook.summary["label_names"]
    plain = ("code", "words", "sentence_rows", "of_sentence_rows", "types", "sentences", "share", "spread")
    rows = []
    for concept in codebook.concepts:
        row = {name: concept[name] for name in plain}
        for kind, column in (("labels", "label"), ("predictions", "prediction")):
            found = concept[kind] or {}
            label = found.get("label")
            row[column] = label if label is None or not names else names[label]
            row |= {f"{column}_{name}": found.get(name) for name in ("share", "lift", "p", "q")}
            row[f"{column}_counts"] = json.dumps(found.get("counts"))
        row["top_words"] = _json([entry["word"] for entry in concept["top_words"]])
        row["example_words"] = _json([entry["word"] for entry in concept["examples"]])
        row["examples"] = _json([entry["text"] for entry in concept["examples"]])
        row["neighbours"] = json.dumps([entry["code"] for entry in concept["neighbours"]])
        row["map_x"], row["map_y"] = concept["map"]
        rows.append(row)
    return rows


def _json(texts: list[str]) -> str:
    return json.dumps(texts, ensure_ascii=False)


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
