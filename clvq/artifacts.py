"""Every file that a command writes: its name, format, version, what it was made of, and whether it still fits.

A *signed* artifact is a JSON file that vouches for the files beside it. It is asked for its `State`:

    missing   there is no such file
    damaged   it cannot be read: cut short, edited, foreign, or from a newer clvq
    older     an earlier clvq wrote it in a format that holds less
    stale     one of the things that it was made of is another one now
    fine      it can be used

    CHECKPOINT  <- activations       CODEBOOK     <- checkpoint         EXPLANATIONS <- checkpoint, codebook
    FAITHFULNESS <- checkpoint, explanations, and the same of the checkpoints beside it
    SPLICE <- checkpoint             PROBE, PAPER <- checkpoint, explanations

No other module spells the name, the format or the version of a file.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from clvq import storage
from clvq.config import DEMO
from clvq.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_RUN = Path("clvq-run")
"""The run folder that a command takes when it is told none."""
ACTIVATIONS_FOLDER = "activations"
"""Folder of the activation store in a run folder."""
TRAINING_FOLDER = "training"
"""Folder in a checkpoint of the state of an unfinished training."""
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
METRICS_NAME = "metrics.jsonl"
UNFINISHED_EXPLANATIONS_NAME = "explanations-unfinished.jsonl"

Resolve = Callable[[Path, Mapping[str, Any]], Any]
"""From an artifact's folder and what the artifact says of an input to that input's fingerprint now."""


class State(StrEnum):
    """How an artifact stands to what it was made of; see the top of this module."""

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
    """The inputs that are others now, as keys of the body."""
    error: ArtifactError | None = None
    """Why the file is damaged."""

    def usable(self) -> dict[str, Any] | None:
        """Return the body where it is fine, None where the artifact must be made anew. ArtifactError: damaged."""
        self.refuse_damaged()
        return self.body if self.state is State.FINE else None

    def refuse_damaged(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class Artifact:
    """A signed JSON file, and the files beside it that it vouches for."""

    name: str
    format: str
    version: int
    title: str
    """What it is: a subject and "is" or "are"."""
    command: str
    """Name of the command that writes it."""
    made_of: Mapping[str, Resolve] = field(default_factory=dict)
    """For each input the key of the body that holds its fingerprint, and how it is found now."""
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
        """Write `body`, signed. It must name every input of `made_of`."""
        if unnamed := set(self.made_of) - set(body):
            raise ValueError(f"{self.name} does not say what it was made of: {', '.join(sorted(unnamed))}")
        storage.write_signed(self.path(folder), self.format, self.version, body)

    def read(self, folder: Path, remedy: str | None = None) -> dict[str, Any]:
        """Return what the file says, whatever it was made of. ArtifactError: missing, damaged, foreign or newer."""
        return storage.read_signed(self.path(folder), self.format, self.version, remedy or self.remedy)

    def records_path(self, folder: Path) -> Path:
        assert self.records is not None, f"{self.name} has no records"
        return folder / self.records

    def write_records(self, folder: Path, records: Iterable[Mapping[str, Any]]) -> str:
        """Write the lines of `records`; return their checksum, which belongs into the body."""
        return storage.write_records(self.records_path(folder), records)

    def read_records(self, folder: Path, body: Mapping[str, Any], remedy: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of `records`, verified. ArtifactError where they are not those that `body` vouches for."""
        return storage.read_records(self.records_path(folder), body[self.records_key], remedy or self.remedy)

    def inspect(self, folder: Path, wanted: Mapping[str, Any] | None = None, remedy: str | None = None) -> Inspection:
        """Return the state of the artifact in `folder`.

        Its inputs are compared with `wanted`, fingerprints by key of `made_of`; without it, with what the folder and
        the run hold now. ArtifactError where one of those inputs is damaged.
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
        """Return the tensors; None where there are none, or were made of something else. ArtifactError: damaged."""
        return storage.read_derived(self.path(folder), {key: made_of[key] for key in self.made_of})


def _says(artifact: Artifact, folder: Path, *keys: str) -> Any:
    """Return a value of an artifact's body; None where there is no such artifact."""
    if not artifact.exists(folder):
        return None
    value: Any = artifact.read(folder)
    for key in keys:
        value = value[key]
    return value


def _weights(folder: Path, body: Mapping[str, Any]) -> Any:
    return _says(CHECKPOINT, folder, "weights_checksum")


def _rows(folder: Path, body: Mapping[str, Any]) -> Any:
    """The rows of the checkpoint, whose activations may lie elsewhere."""
    return _says(CHECKPOINT, folder, "provenance", "rows")


def _concepts(folder: Path, body: Mapping[str, Any]) -> Any:
    return _says(CODEBOOK, folder, CODEBOOK.records_key)


def _explained(folder: Path, body: Mapping[str, Any]) -> Any:
    return _says(EXPLANATIONS, folder, EXPLANATIONS.records_key)


def _explained_beside(folder: Path, body: Mapping[str, Any]) -> list[Any]:
    """The explanations of the checkpoint and of those beside it; what was removed since counts as it was."""
    names = [entry["name"] for entry in body.get("beside", [])]
    beside = [
        _explained(folder.parent / name, {}) if CHECKPOINT.exists(folder.parent / name) else was
        for name, was in zip(names, body.get("explanations", [])[1:], strict=False)
    ]
    return [_explained(folder, {}), *beside]


def _beside(folder: Path, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The checkpoints that were compared with this one; one that was removed since counts as it was."""
    return [
        {"name": entry["name"], "checkpoint": _weights(folder.parent / entry["name"], {}) or entry["checkpoint"]}
        for entry in body.get("beside", [])
    ]


ACTIVATIONS = Artifact("manifest.json", "clvq-activations", 1, "The activations are", "extract")
UNFINISHED_ACTIVATIONS = Artifact(
    "unfinished.json", "clvq-unfinished-extraction", 2, "The unfinished extraction is", "extract"
)
CHECKPOINT = Artifact("config.json", "clvq-checkpoint", 1, "The checkpoint is", "train")
CODEBOOK = Artifact(
    "codebook.json", "clvq-codebook", 1, "The catalogue of concepts is", "codebook",
    {"checkpoint": _weights, "rows": _rows}, "concepts.jsonl", "concepts_checksum",
)  # fmt: skip
ASSIGNMENTS_NAME = "assignments.safetensors"
"""Beside CODEBOOK, which vouches for it under `assignments_checksum`."""
EXPLANATIONS = Artifact(
    "explanations.json", "clvq-explanations", 1, "The explanations are", "explain",
    {"checkpoint": _weights, "rows": _rows, "codebook": _concepts}, "explanations.jsonl", "explanations_checksum",
)  # fmt: skip
FAITHFULNESS = Artifact(
    "faithfulness.json", "clvq-faithfulness", 3, "The faithfulness figures are", "faithfulness",
    {"checkpoint": _weights, "store": _rows, "explanations": _explained_beside, "beside": _beside},
)  # fmt: skip


def _mode(mode: str, **inputs: Resolve) -> Artifact:
    return Artifact(
        f"faithfulness-{mode}.json", f"clvq-faithfulness-{mode}", 1, f"The figures of faithfulness --mode {mode} are",
        "faithfulness", {"checkpoint": _weights, "store": _rows, **inputs},
    )  # fmt: skip


MODES = {
    "splice": _mode("splice"),
    "probe": _mode("probe", explanations=_explained),
    "paper": _mode("paper", explanations=_explained),
    "by-concept": Artifact(
        "faithfulness-concepts.json",
        "clvq-faithfulness-concepts",
        1,
        "The effects of single concepts are",
        "faithfulness",
        {"checkpoint": _weights, "store": _rows, "concepts": _concepts},
    ),
}
"""Of `clvq faithfulness`, beside FAITHFULNESS itself, which is of edits inside the model."""
SIGNED = (
    ACTIVATIONS, UNFINISHED_ACTIVATIONS, CHECKPOINT, CODEBOOK, EXPLANATIONS, FAITHFULNESS, *MODES.values(),
)  # fmt: skip

CONCEPT_SPACE = Derived("concept-space.safetensors", ("version", "checkpoint", "rows"))
EFFECTS = Derived("effects.safetensors", ("made_of",))
CONCEPT_EFFECTS = Derived("concept-effects.safetensors", ("made_of",))
"""As EFFECTS, of single concepts."""
UNFINISHED_WINDOW = Derived("unfinished.safetensors", ("made_of",))
"""Beside UNFINISHED_ACTIVATIONS, where a part of the next shard is done."""

_PACKAGES = ("clvq", "torch", "transformers", "datasets", "safetensors", "numpy", "scikit-learn")


def stamp() -> dict[str, Any]:
    """Return when a result was made, and the versions of Python and of the packages that it depends on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return {"versions": versions, "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}


def short_name(name: str) -> str:
    """Return a model's or corpus' name as it may leave this machine: of a path the last part, of a hub's id all."""
    return Path(name).name if Path(name).is_absolute() else name


def local_checksum(name: str | None) -> str | None:
    """Identify the contents of a local file or folder; None for what is not on this machine (a hub id, the demo)."""
    if name is None or name == DEMO or not Path(name).exists():  # a folder called demo is not the bundled demo
        return None
    path = Path(name)
    if path.is_file():
        return storage.file_checksum(path)
    return files_checksum(path, (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")))


def files_checksum(folder: Path, files: Iterable[Path]) -> str:
    """Identify the names below `folder` and the contents of `files`, in whatever order they come."""
    digest = xxhash.xxh3_128()
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{storage.file_checksum(file)}\0".encode())
    return digest.hexdigest()
