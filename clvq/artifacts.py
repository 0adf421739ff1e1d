"""Where a result came from: versions, time, and what identifies a local file or folder."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import xxhash

from clvq.storage import file_checksum

PACKAGES = ("clvq", "torch", "transformers", "datasets", "safetensors", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def short_name(name: str) -> str:
    """A model or corpus as it may leave this machine: of a path the last part, of a hub's id all."""
    return Path(name).name if Path(name).is_absolute() else name


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def local_checksum(name: str | None) -> str | None:
    """Identifies the contents of a local file or folder; None for what is not on this machine (a hub id, the demo)."""
    if name is None or not Path(name).exists():
        return None
    path = Path(name)
    if path.is_file():
        return file_checksum(path)
    return files_checksum(path, (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")))


def files_checksum(folder: Path, files: Iterable[Path]) -> str:
    """Identifies the names below `folder` and the contents of `files`, in whatever order they come."""
    digest = xxhash.xxh3_128()
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file_checksum(file)}\0".encode())
    return digest.hexdigest()
