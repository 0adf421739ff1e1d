"""Where sentences come from: the Hugging Face hub, a local folder or file, or the bundled demo corpus."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from clvq.config.paths import expanded
from clvq.corpus.delimited import DELIMITERS, FileOptions
from clvq.corpus.files import (
    FORMATS,
    LINES,
    Columns,
    columns_of,
    file_format,
    layout_of,
    read_columns,
    read_rows,
)
from clvq.corpus.hub import datasets_errors, load_builder, quiet
from clvq.corpus.lines import COMPRESSIONS
from clvq.corpus.provenance import DatasetName, FolderName, HubName
from clvq.corpus.tables import Rows, Source, Table
from clvq.errors import ClvqError

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_LONGEST_ID = 96
_COMMIT = re.compile(r"@([0-9a-f]{40})\b")
_SHUFFLE_BUFFER = 10_000


def open_source(
    dataset: str,
    *,
    subset: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    options: FileOptions | None = None,
) -> Source:
    """Open a dataset: the demo, a local file or folder, or one of the hub, as its name tells. Its rows are not read
    yet."""
    options = options or FileOptions()
    path = expanded(dataset)
    if dataset == "demo" or _exists(dataset, path):
        if revision is not None:
            raise ClvqError(f"{dataset} is not on the hub, so it has no revision {revision!r}. Leave the revision out.")
        if path.is_dir() and dataset != "demo":
            return _open_folder(path, subset, streaming, options)
        if subset is not None:
            raise ClvqError(f"{dataset} has no subsets. Leave out the subset {subset!r}.")
        return _open_demo() if dataset == "demo" else _open_file(path, options)
    name, at, revision_in_name = dataset.partition("@")
    if at and revision is not None and revision != revision_in_name:
        raise ClvqError(f"Two revisions: {dataset!r} and {revision!r}. Give one.")
    is_file_name = file_format(path) is not None or path.suffix in COMPRESSIONS
    if is_file_name or len(name) > _LONGEST_ID or not _HUB_ID.fullmatch(name):
        raise ClvqError(
            f"No file or folder {dataset[:200]!r}. Check the path; a dataset of the hub is written user/name."
        )
    return _open_hub(name, subset, revision_in_name if at else revision, streaming)


def _exists(dataset: str, path: Path) -> bool:
    try:
        return bool(dataset) and path.exists()
    except OSError:  # a name too long, or in a folder that may not be read
        return False


def _open_demo() -> Source:
    from clvq import demo

    def open_split(split: str) -> Table:
        sentences = demo.corpus("train" if split == "train" else "eval")

        def read(columns: list[str]) -> Rows:
            return ({"text": sentence.text, "label": sentence.label} for sentence in sentences)

        return Table("demo corpus", Columns(["text", "label"], ["text"], {"label": list(demo.LABELS)}), read)

    return Source("demo corpus", ["train", "eval"], DatasetName("demo"), open_split)


def _open_file(path: Path, options: FileOptions) -> Source:
    if file_format(path) is None:
        raise ClvqError(
            f"{path}: clvq does not know this kind of file. It reads {', '.join(FORMATS)}, "
            f"and all but parquet compressed as {', '.join(COMPRESSIONS)}."
        )
    return _files_source(str(path), {"train": [path]}, DatasetName(path.name), options)


def _files_source(origin: str, splits: dict[str, list[Path]], dataset: DatasetName, options: FileOptions) -> Source:
    files = {name: [path.name for path in paths] for name, paths in splits.items()}

    def open_split(split: str) -> Table:
        paths = splits[split]
        seen = [_state(path) for path in paths]
        layouts = [layout_of(path, options) for path in paths]

        def read(columns: list[str]) -> Rows:
            for path, state, layout in zip(paths, seen, layouts, strict=True):
                if _state(path) != state:
                    raise ClvqError(f"{path} was changed while it was being read. Start again.")
                yield from read_rows(path, layout, columns)

        shown = origin if len(splits) == 1 else f"{origin} ({split})"
        return Table(shown, read_columns(paths[0], layouts[0]), read, layout=layouts[0])

    takes_options = any(file_format(path) in LINES for paths in splits.values() for path in paths)
    return Source(origin, list(splits), dataset, open_split, files, takes_options=takes_options)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise ClvqError(f"Cannot read {path}: {error.strerror}.") from error
    return status.st_size, status.st_mtime_ns


def _open_folder(path: Path, subset: str | None, streaming: bool, options: FileOptions) -> Source:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _open_saved(path, subset)
    # For the formats that need `datasets` itself. A cache in the user's home would keep a copy for ever.
    cache = tempfile.mkdtemp(prefix="clvq-")
    try:
        builder = load_builder(str(path), str(path.absolute()), subset, cache_dir=cache)
        weakref.finalize(builder, shutil.rmtree, cache, ignore_errors=True)
    except ClvqError:
        shutil.rmtree(cache, ignore_errors=True)
        raise
    splits = {str(split): [Path(file) for file in files] for split, files in (builder.config.data_files or {}).items()}
    name = FolderName(path.resolve().name, subset)
    # A card can set separators, names and types, which `datasets` applies. Files without a card are read as they stand.
    if not _has_card(path):
        taken = {file for files in splits.values() for file in files}
        _refuse_left_out(path, taken)
        if all(file_format(file) and file.is_file() for file in taken):
            return _files_source(str(path), splits, name, options)
    return _builder_source(str(path), builder, name, streaming)


def _refuse_left_out(path: Path, taken: set[Path]) -> None:
    """Raise ClvqError for tables of other formats than the one that `datasets` has chosen."""
    others = {".jsonl", ".csv", ".tsv", ".parquet"} - {file_format(file) for file in taken}
    if left_out := [file.name for file in sorted(path.iterdir()) if file_format(file) in others]:
        read = ", ".join(sorted(file.name for file in taken)[:3])
        raise ClvqError(
            f"{path} holds files of several formats: {read} would be read, and {', '.join(left_out[:3])} would not. "
            "Put the files of one format into a folder of their own, or give one file."
        )


def _has_card(folder: Path) -> bool:
    """Return whether a folder says how it is to be read. A README without a YAML block is only for people."""
    readme = folder / "README.md"
    try:
        return (folder / ".huggingface.yaml").exists() or readme.read_bytes().lstrip().startswith(b"---")
    except OSError:
        return False


def _open_saved(path: Path, subset: str | None) -> Source:
    from datasets import Dataset, load_from_disk

    if subset is not None:
        raise ClvqError(f"{path} has no subsets. Leave out the subset {subset!r}.")
    with quiet(), datasets_errors(str(path)):
        saved = load_from_disk(str(path))
    splits = {str(saved.split or "train"): saved} if isinstance(saved, Dataset) else dict(saved)
    return Source(
        str(path),
        list(splits),
        DatasetName(path.resolve().name),
        lambda split: _dataset_table(splits[split], f"{path} ({split})"),
    )


def _open_hub(name: str, subset: str | None, revision: str | None, streaming: bool) -> Source:
    builder = load_builder(name, name, subset, revision=revision)
    commit = _COMMIT.search(f"{builder.base_path} @{builder.hash}")
    resolved = commit.group(1) if commit else None
    # Without network `datasets` falls back on any copy that it has, whatever revision was asked for.
    if revision not in (None, resolved) and type(builder).__module__.endswith("cache.cache"):
        raise ClvqError(
            f"{name}@{revision}: the hub cannot be reached, and the copy here is of revision {resolved}. "
            "Ask for that one, or connect."
        )
    subset = subset or (builder.config.name if builder.config.name != "default" else None)
    return _builder_source(name, builder, HubName(name, subset, resolved), streaming)


def _builder_source(origin: str, builder: Any, name: DatasetName, streaming: bool) -> Source:
    with quiet(), datasets_errors(origin):
        if streaming:
            splits = builder.as_streaming_dataset()
        else:
            builder.download_and_prepare()
            splits = builder.as_dataset()

    # The table keeps the builder alive: a folder's temporary cache is removed when the builder is deleted.
    return Source(
        origin,
        [str(split) for split in splits],
        name,
        lambda split: _dataset_table(splits[split], f"{origin} ({split})", owner=builder),
        streamed=streaming,
    )


def _dataset_table(dataset: Any, origin: str, owner: Any = None) -> Table:
    """Return a split of a `datasets` dataset, mapped from disk or streamed, as a table of plain Python values."""
    from datasets import ClassLabel, IterableDataset, Value

    plain = dataset.with_format(None)

    def read(columns: list[str], owner: Any = owner) -> Rows:
        with datasets_errors(origin):
            for batch in plain.select_columns(columns).iter(batch_size=1000):
                for values in zip(*batch.values(), strict=True):
                    yield dict(zip(batch, values, strict=True))

    if plain.features is None:  # a stream of files without a schema
        with datasets_errors(origin):
            columns = columns_of(islice(iter(plain), 1000))
    else:
        kinds = dict(plain.features)
        strings = [n for n, kind in kinds.items() if isinstance(kind, Value) and "string" in kind.dtype]
        entries = {n: getattr(kind, "feature", kind) for n, kind in kinds.items()}  # of a list, what it holds
        classes = {n: list(kind.names) for n, kind in entries.items() if isinstance(kind, ClassLabel) and kind.names}
        nested = [name for n, kind in kinds.items() for name in _entries(n, kind)]
        columns = Columns(list(kinds), strings, classes, nested)
    if len(columns.names) == 1 and any(character in columns.names[0] for character in DELIMITERS.values()):
        raise ClvqError(
            f"{origin} has only the column {columns.names[0]!r}, whose name holds a delimiter. Say in the card of its "
            "folder how its files are split (sep), or give one file, with --delimiter."
        )
    if not isinstance(dataset, IterableDataset):
        return Table(origin, columns, read)

    def shuffled(seed: int) -> Table:
        mixed = dataset.shuffle(seed=seed % 2**32, buffer_size=_SHUFFLE_BUFFER)
        return _dataset_table(mixed, origin, owner)

    return Table(origin, columns, read, shuffled)


def _entries(name: str, kind: Any) -> Iterator[str]:
    """Yield the dotted names of the entries of a column of objects, by its feature in `datasets`."""
    from datasets import Translation

    inner = dict.fromkeys(kind.languages) if isinstance(kind, Translation) else kind if isinstance(kind, dict) else {}
    for key, part in inner.items():
        if isinstance(part, dict):
            yield from _entries(f"{name}.{key}", part)
        else:
            yield f"{name}.{key}"
