"""Kinds of files: signed JSON files, with checksums of other files, and tensors that can be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clvq import storage
from clvq.errors import ArtifactError, ClvqError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

Resolve = Callable[[Path, Mapping[str, Any]], Any]
"""Takes an artifact's folder and body, and returns the fingerprint that one of its inputs has now."""


class State(StrEnum):
    """Whether an artifact can be used; `clvq.artifacts` explains each value."""

    MISSING = "missing"
    DAMAGED = "damaged"
    OLDER = "older"
    STALE = "stale"
    FINE = "fine"


@dataclass(frozen=True)
class Inspection:
    """What an artifact's file says, and whether it can be used."""

    path: Path
    state: State
    body: dict[str, Any] = field(default_factory=dict)
    """What the file says; empty where it is missing or damaged."""
    differing: tuple[str, ...] = ()
    """The inputs that have changed since, as keys of the body."""
    error: ArtifactError | None = None
    """Why the file is damaged."""

    def usable(self) -> dict[str, Any] | None:
        """Return the body where it is fine, None where the artifact must be made again. ArtifactError where it is
        damaged."""
        self.refuse_damaged()
        return self.body if self.state is State.FINE else None

    def refuse_damaged(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class Artifact:
    """A signed JSON file, and the files beside it whose checksums it holds."""

    name: str
    format: str
    version: int
    title: str
    """How a message about it begins: a subject, and "is" or "are"."""
    command: str
    """Name of the command that writes it."""
    made_of: Mapping[str, Resolve] = field(default_factory=dict)
    """For each input, the key of the body that holds its fingerprint, and the function that finds its fingerprint
    now."""
    records: str | None = None
    """Name of the file of JSON lines that belongs to it."""
    records_key: str = ""
    """Key of the body that holds the checksum of `records`."""

    @property
    def remedy(self) -> str:
        """What to do about a file that is damaged."""
        return f"Make it again with `clvq {self.command} --overwrite`."

    def path(self, folder: Path) -> Path:
        return folder / self.name

    def exists(self, folder: Path) -> bool:
        return self.path(folder).exists()

    def claims(self, folder: Path) -> bool:
        """Return whether `folder` holds this artifact, damaged or not, rather than another program's file."""
        if not self.exists(folder):
            return False
        try:
            body = storage.read_json(self.path(folder), self.remedy)
        except ArtifactError:
            return True
        return isinstance(body, dict) and body.get("format") == self.format

    def write(self, folder: Path, body: Mapping[str, Any]) -> None:
        """Write `body` with a fingerprint of itself. It must name every input of `made_of`."""
        if unnamed := set(self.made_of) - set(body):
            raise ValueError(f"{self.name} does not say what it was made of: {', '.join(sorted(unnamed))}")
        storage.write_signed(self.path(folder), self.format, self.version, body)

    def read(self, folder: Path, remedy: str | None = None) -> dict[str, Any]:
        """Return what the file says, whether its inputs have changed or not. ArtifactError: missing, damaged, foreign
        or newer."""
        return storage.read_signed(self.path(folder), self.format, self.version, remedy or self.remedy)

    def read_as(self, folder: Path, from_json: Callable[[dict[str, Any]], T]) -> T:
        """Return what the file says as `from_json` reads it. ArtifactError as `read` and `parse`."""
        return self.parse(folder, self.read(folder), from_json)

    def parse(self, folder: Path, body: dict[str, Any], from_json: Callable[[dict[str, Any]], T]) -> T:
        """Return a body that was read as `from_json` reads it. ArtifactError where a field is missing or has another
        type."""
        try:
            return from_json(body)
        except (ClvqError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise ArtifactError(
                f"{self.path(folder)} does not hold what {self.format} holds ({reason}). {self.remedy}"
            ) from error

    def records_path(self, folder: Path) -> Path:
        assert self.records is not None, f"{self.name} has no records"
        return folder / self.records

    def write_records(self, folder: Path, records: Iterable[Mapping[str, Any]]) -> str:
        """Write the lines of `records`, and return their checksum, which belongs into the body."""
        return storage.write_records(self.records_path(folder), records)

    def read_records(self, folder: Path, body: Mapping[str, Any], remedy: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of `records`, verified. ArtifactError where their checksum is not the one in `body`."""
        return storage.read_records(self.records_path(folder), body[self.records_key], remedy or self.remedy)

    def inspect(self, folder: Path, wanted: Mapping[str, Any] | None = None, remedy: str | None = None) -> Inspection:
        """Return the state of the artifact in `folder`.

        The fingerprints of its inputs are compared with `wanted`, by key of `made_of`. Without `wanted`, they are
        compared with what the folder and the run hold now. ArtifactError where one of those inputs is damaged.
        """
        if not self.exists(folder):
            return Inspection(self.path(folder), State.MISSING)
        try:
            body = self.read(folder, remedy)
        except ArtifactError as error:
            return Inspection(self.path(folder), State.DAMAGED, error=error)
        if wanted is None:
            wanted = {key: resolve(folder, body) for key, resolve in self.made_of.items()}
        differing = tuple(key for key, value in wanted.items() if body.get(key) != value)
        state = State.OLDER if body["format_version"] < self.version else State.STALE if differing else State.FINE
        return Inspection(self.path(folder), state, body, differing)


@dataclass(frozen=True)
class Derived:
    """A safetensors file that can be made again from other artifacts, with a checksum of itself in its metadata."""

    name: str
    made_of: tuple[str, ...]
    """Keys of the metadata that name what it was made of."""

    def path(self, folder: Path) -> Path:
        return folder / self.name

    def write(self, folder: Path, tensors: Mapping[str, Tensor], made_of: Mapping[str, str]) -> None:
        storage.write_derived(self.path(folder), tensors, {key: made_of[key] for key in self.made_of})

    def read(self, folder: Path, made_of: Mapping[str, str]) -> dict[str, Tensor] | None:
        """Return the tensors; None where there are none, or where they were made of something else. ArtifactError where
        the file is damaged."""
        return storage.read_derived(self.path(folder), {key: made_of[key] for key in self.made_of})
