"""Writing and reading Parquet files of sentences with the spans and flags of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clvq.activations.manifest import StoredFile
from clvq.activations.store import SentenceRows
from clvq.storage import atomic_path, check_file, child

SENTENCE_SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("label", pa.int64()),
        ("prediction", pa.int64()),
        ("probabilities", pa.list_(pa.float32())),
        ("starts", pa.list_(pa.int32())),
        ("ends", pa.list_(pa.int32())),
        ("flags", pa.list_(pa.uint8())),
    ]
)


def write_sentences(path: Path, parts: Iterable[list[SentenceRows]], has_answers: bool) -> None:
    """Write sentences to a file, part by part; with `has_answers` also labels of another form than one class."""
    schema = SENTENCE_SCHEMA.append(pa.field("answers", pa.list_(pa.float64()))) if has_answers else SENTENCE_SCHEMA
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        for rows in parts:
            columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
            file.write_table(pa.table(columns, schema=schema))


def read_parts(path: Path, parts: list[StoredFile]) -> Iterator[list[SentenceRows]]:
    """Yield the sentences of each file; its checksum is verified first."""
    for part in parts:
        file = child(path, part.file)
        check_file(file, part.checksum)
        columns = pq.read_table(file).to_pydict()
        names = [name for name in SentenceRows._fields if name in columns]
        yield [SentenceRows(*values) for values in zip(*(columns[name] for name in names), strict=True)]


def read_flags(path: Path) -> np.ndarray:
    """Return the flags of all rows of a file `[R]`, without its texts."""
    column = pq.read_table(path, columns=["flags"]).column("flags").combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False)
