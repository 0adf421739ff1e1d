"""Atomic writes, checksums, fingerprints and locks: the only module that puts files into a run folder.

Every file is written under a temporary name in the same folder, synced, and then renamed. A reader sees the old file or
the new one, never half of either. A full disk or a kill leaves what was there before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from clvq.errors import ArtifactError, ClvqError, UnwritableError

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "Rerun the command that writes it with --overwrite."
TEMPORARY_PREFIX = ".clvq-writing-"
LOCK_NAME = ".lock"


@contextlib.contextmanager
def atomic_path(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`. When the block ends without an error, it is synced and renamed to `path`.

    ClvqError where the disk is full (it tells `size`, the bytes to be written) or the folder cannot be written; `path`
    is then untouched.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    with _explained(path.parent, "" if size is None else f"{path.name} needs {size_text(size)}, and "):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers make files that only their owner may read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path, len(content := text.encode())) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write one safetensors file. Tensors are made contiguous and moved to the CPU."""
    from safetensors.torch import save_file

    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    size = sum(tensor.nbytes for tensor in contents.values())
    with atomic_path(path, size) as temporary, TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=path.parent) as scratch:
        # The library writes a temporary file of its own beside its target. A kill would leave it there.
        target = Path(scratch) / path.name
        save_file(contents, target, metadata={"format": "pt", **(metadata or {})})
        _sort_metadata(target)
        target.replace(temporary)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, which the library writes in another order every time."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        if len(text) == size:
            file.seek(8)
            file.write(text)


def read_tensors(path: Path, remedy: str = REMEDY) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors (memory-mapped) and metadata of a safetensors file; ArtifactError where it is missing or not
    one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing. {remedy}") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is truncated or is not a safetensors file ({error}). {remedy}") from error


def write_derived(path: Path, tensors: Mapping[str, Tensor], made_of: Mapping[str, str]) -> None:
    """Write tensors that can be made again from what `made_of` names, with a checksum of them, for `read_derived`."""
    write_tensors(path, tensors, {**made_of, "content": _content(tensors)})


def read_derived(path: Path, made_of: Mapping[str, str]) -> dict[str, Tensor] | None:
    """Return what `write_derived` wrote; None where there is nothing, or where it was made of something else.
    ArtifactError where the file is damaged."""
    if not path.exists():
        return None
    remedy = "Remove it: it is made again when it is needed."
    tensors, metadata = read_tensors(path, remedy)
    if {name: metadata.get(name) for name in made_of} != made_of:
        return None
    if metadata.get("content") != _content(tensors):
        raise ArtifactError(f"{path} is damaged. {remedy}")
    return tensors


def _content(tensors: Mapping[str, Tensor]) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def read_json(path: Path, remedy: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing. {remedy}") from error
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON ({error}). {remedy}") from error


def write_signed(path: Path, kind: str, version: int, body: Mapping[str, Any]) -> None:
    """Write a JSON artifact with its kind, the version of its format, and a fingerprint of itself."""
    signed = {"format": kind, "format_version": version, **body}
    signed.pop("self_fingerprint", None)
    write_json(path, {**signed, "self_fingerprint": fingerprint(signed)})


def read_signed(path: Path, kind: str, version: int, remedy: str) -> dict[str, Any]:
    """Return what `write_signed` wrote. Its fields are then safe to read. ArtifactError: foreign, newer, damaged."""
    body = read_json(path, remedy)
    if not isinstance(body, dict) or body.get("format") != kind:
        raise ArtifactError(f"{path} is foreign: it is not the JSON of {kind}. {remedy}")
    stored_version = body.get("format_version")
    if not isinstance(stored_version, int) or stored_version > version:
        raise ArtifactError(
            f"{path} has format version {stored_version!r}; this clvq reads up to {version}. Upgrade clvq."
        )
    if body.get("self_fingerprint") != fingerprint({k: v for k, v in body.items() if k != "self_fingerprint"}):
        raise ArtifactError(f"{path} is damaged or was edited by hand. {remedy}")
    return body


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> str:
    """Write a JSON object in each line, and return the file's checksum for the signed artifact that it belongs to."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()
        checksum = file_checksum(temporary)
    return checksum


def read_records(path: Path, checksum: str, remedy: str) -> list[dict[str, Any]]:
    """Return what `write_records` wrote, verified; ArtifactError where the file is missing or another one."""
    check_file(path, checksum, remedy)
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def size_text(count: float) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def append_lines(path: Path, lines: list[str]) -> None:
    """Append whole lines in one write. Only metrics.jsonl grows in place like this."""
    with _explained(path.parent), path.open("ab") as file:
        file.write("".join(line + "\n" for line in lines).encode())


def child(folder: Path, name: object) -> Path:
    """Return `folder / name` for a file name read from an artifact; ArtifactError where it is outside the folder or a
    link."""
    if not isinstance(name, str) or not name or name in {".", ".."} or Path(name).name != name or "\0" in name:
        raise ArtifactError(f"{folder} names a file {name!r} outside itself; the artifact is foreign or damaged.")
    path = folder / name
    if path.is_symlink():
        raise ArtifactError(f"{path} is a link; a run folder holds plain files only.")
    return path


def file_checksum(path: Path) -> str:
    """Return the xxh3-128 of a file's bytes. It finds damage at memory speed; it is not a defence against forgery."""
    import xxhash

    digest = xxhash.xxh3_128()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(1 << 22):
                digest.update(block)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def check_file(path: Path, checksum: str, remedy: str = REMEDY) -> None:
    if file_checksum(path) != checksum:
        raise ArtifactError(
            f"{path} is not the file that was written (its checksum differs): it is truncated or damaged. {remedy}"
        )


def fingerprint(value: Any) -> str:
    """Return 16 hex digits that identify a JSON value whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@contextlib.contextmanager
def locked(folder: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold `folder`, without what a killed writer left; ClvqError where another process holds it for `seconds`."""
    lock = FileLock(folder / LOCK_NAME, timeout=seconds)
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise ClvqError(
                f"Another process is writing {folder}. Wait for it, or use another --run or --name."
            ) from error
    try:
        for leftover in list(folder.rglob(f"{TEMPORARY_PREFIX}*")):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def free_bytes(path: Path) -> int:
    """Return the free space, in bytes, of the disk on which `path` is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def remove_folder(folder: Path) -> None:
    with _explained(folder):
        if folder.is_symlink():
            raise ArtifactError(f"{folder} is a link; a run folder holds plain files only.")
        if folder.exists():
            shutil.rmtree(folder)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(folder: Path, needs: str = "") -> Iterator[None]:
    """Turn an operating system's refusal to write into a ClvqError that says what to do."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise ClvqError(
                f"The disk is full: {needs}{folder} has {size_text(free_bytes(folder))} left. Free some space or "
                "choose another --run; what was written before is whole, and the same command continues."
            ) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UnwritableError(
                f"{folder} cannot be written ({os.strerror(number or 0)}). Make it writable, or choose another "
                "folder with --run."
            ) from error
        raise ClvqError(f"Writing into {folder} failed: {error}") from error
