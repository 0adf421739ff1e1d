"""Files of new texts with their codes: one line per text, one row per word, or counts per text.

Texts are processed one after the other, as they arrive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse

from clvq.concepts.assign import AssignedText
from clvq.errors import ClvqError
from clvq.storage import atomic_path

WORDS_AT_ONCE = 65536
"""Number of words after which a row group of a .parquet file is written."""
_SCHEMA = pa.schema(
    [("id", pa.int64()), ("start", pa.int32()), ("end", pa.int32()), ("text", pa.string()), ("code", pa.int32()),
     ("concept", pa.string()), ("distance", pa.float64()), ("nearer", pa.float64())]
)  # fmt: skip


class _Writer(Protocol):
    def __call__(self, text: AssignedText) -> None: ...


def checked_path(path: Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """Return the path of a file to write. ClvqError for another ending, and for an existing file unless `overwrite`."""
    if path.suffix not in suffixes:
        raise ClvqError(f"{path} must end in {' or '.join(suffixes)}.")
    if path.exists() and not overwrite:
        raise ClvqError(f"{path} is there already. Give another name, or --overwrite to replace it.")
    return path


class Written(NamedTuple):
    """What was written, in numbers."""

    texts: int
    words: int
    cut: int
    """Texts that are longer than the model takes."""
    left_out: int
    """Words of these beyond its maximum length."""


def write_assigned(
    texts: Iterable[AssignedText], size: int, *, words: Path | None = None, counts: Path | None = None
) -> Written:
    """Write texts to the files that are named.

    `words` is a .jsonl file with one line per text, or a .parquet file with one row per word. `counts` is an .npz file
    of scipy: how often each of the `size` codes is in each text `[texts, size]`. The files appear only when all is
    written. ClvqError where they cannot be written.
    """
    text_count = word_count = cut = left_out = 0
    with ExitStack() as files:
        writers = [] if words is None else [files.enter_context(_writer(words))]
        writers += [] if counts is None else [files.enter_context(_counting(counts, size))]
        for text in texts:
            for write in writers:
                write(text)
            text_count, word_count = text_count + 1, word_count + len(text.words)
            cut, left_out = cut + (text.left_out > 0), left_out + text.left_out
    return Written(text_count, word_count, cut, left_out)


def count_codes(texts: Iterable[AssignedText], size: int) -> scipy.sparse.csr_matrix:
    """Return how often each of `size` codes is in each text `[texts, size]` int64, sparse."""
    data: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    ends = [0]
    for text in texts:
        codes, counts = np.unique([word.code for word in text.words if word.code is not None], return_counts=True)
        indices.append(codes.astype(np.int32))
        data.append(counts.astype(np.int64))
        ends.append(ends[-1] + len(codes))
    both = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in (data, indices)]
    return scipy.sparse.csr_matrix((*both, np.array(ends)), shape=(len(ends) - 1, size))


def _writer(path: Path) -> AbstractContextManager[_Writer]:
    return _json_lines(path) if path.suffix == ".jsonl" else _parquet(path)


@contextmanager
def _json_lines(path: Path) -> Iterator[_Writer]:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def write(text: AssignedText) -> None:
            file.write(json.dumps(text.as_json(), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[_Writer]:
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as file:
        pending: list[dict[str, object]] = []

        def write(text: AssignedText) -> None:
            pending.extend({"id": text.id, **word.as_json()} for word in text.words)
            if len(pending) >= WORDS_AT_ONCE:
                flush()

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(pending, _SCHEMA))
            pending.clear()

        yield write
        flush()


@contextmanager
def _counting(path: Path, size: int) -> Iterator[_Writer]:
    """Yield a function that collects the counts of a text, which are sparse; the file is written at the end."""
    rows: list[scipy.sparse.csr_matrix] = []
    with atomic_path(path) as temporary:
        yield lambda text: rows.append(count_codes([text], size))
        matrix = scipy.sparse.vstack(rows, format="csr") if rows else scipy.sparse.csr_matrix((0, size), dtype=np.int64)
        with temporary.open("wb") as file:
            scipy.sparse.save_npz(file, matrix)
