"""A dataset before its columns are chosen: its splits as tables whose rows can be read again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from clvq.corpus.delimited import Layout
from clvq.corpus.files import Columns, value_at
from clvq.corpus.provenance import DatasetName
from clvq.errors import ClvqError

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A split before its columns are chosen: rows that can be read any number of times, in the same order."""

    origin: str  # for messages
    columns: Columns
    read: Callable[[list[str]], Rows]
    shuffled: Callable[[int], Table] | None = None  # for a stream: the same rows, mixed by a seed
    layout: Layout | None = None  # of the first file, where a delimiter separates its fields

    def values(self, names: Sequence[str | None]) -> Iterator[list[Any]]:
        """Yield the values of each row under these names, which may be dotted: `text.en`. None stands for no column."""
        columns = {
            name if name in self.columns.names else next(c for c in self.columns.names if name.startswith(f"{c}."))
            for name in names
            if name is not None
        }
        for row in self.read(sorted(columns)):
            yield [None if name is None else value_at(row, name) for name in names]


@dataclass(frozen=True)
class Source:
    """A dataset with its splits, each opened when it is asked for."""

    origin: str
    splits: list[str]
    name: DatasetName
    open_split: Callable[[str], Table]
    files: Mapping[str, list[str]] | None = None
    """Base names of the files of each split; None where clvq does not read them itself."""
    streamed: bool = False
    takes_options: bool = False
    """Whether FileOptions have an effect on its files."""

    def table(self, split: str) -> Table:
        """Return a split by name, or by a slice as `datasets` writes it: `train[:100]`, `train[:10%]+test`."""
        bases = split_names(split)
        if unknown := [name for name in bases if name not in self.splits]:
            raise ClvqError(f"{self.origin} has no split {unknown[0]!r}. It has: {', '.join(self.splits)}.")
        if split in self.splits:
            return self.open_split(split)
        if self.streamed:
            raise ClvqError(
                f"{self.origin}: {split!r} needs the length of the split, which a stream does not know. "
                "Leave out streaming, or use max_sentences instead of the slice."
            )
        from datasets import ReadInstruction

        tables = {name: self.open_split(name) for name in bases}
        lengths = {name: sum(1 for _ in table.read(table.columns.names[:1])) for name, table in tables.items()}
        try:
            parts = ReadInstruction.from_spec(split).to_absolute(lengths)
        except (ValueError, AssertionError) as error:
            raise ClvqError(f"{self.origin}: cannot read the split {split!r}: {error}") from error

        def read(columns: list[str]) -> Rows:
            return chain.from_iterable(
                islice(tables[part.splitname].read(columns), part.from_, part.to) for part in parts
            )

        first = tables[bases[0]]
        return Table(f"{self.origin} ({split})", first.columns, read, layout=first.layout)


def split_names(split: str) -> list[str]:
    """Return the splits that a slice takes from: `train` and `test` for `train[:10%]+test`."""
    return [part.partition("[")[0].strip() for part in split.split("+")]
