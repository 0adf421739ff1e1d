"""Every file that a command writes: its name, format, version, what it was made of, and whether that is still the same.

A *signed* artifact is a JSON file with a fingerprint of itself, and with checksums of the files that belong to it. Its
`State` is one of these:

    missing   there is no such file
    damaged   it cannot be read: cut short, edited, foreign, or from a newer clvq
    older     an earlier clvq wrote it in a format that holds less
    stale     something that it was made of has changed since
    fine      it can be used

    CHECKPOINT  <- activations       CODEBOOK     <- checkpoint         EXPLANATIONS <- checkpoint, codebook
    FAITHFULNESS <- checkpoint, explanations, and the same of the checkpoints beside it
    SPLICE <- checkpoint             PROBE, PAPER <- checkpoint, explanations
    BENCH <- checkpoint, and those beside it

Names, formats and versions of files are written in this module only.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import xxhash

from clvq import storage
from clvq.artifacts.kinds import Artifact, Derived, Resolve
from clvq.artifacts.records import NamedModel
from clvq.config import DEMO
from clvq.config.paths import expanded

DEFAULT_RUN = Path("clvq-run")
"""The run folder of a command where none is given."""
ACTIVATIONS_FOLDER = "activations"
"""Folder of the activation store in a run folder."""
TRAINING_FOLDER = "training"
"""Folder in a checkpoint of the state of an unfinished training."""
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
METRICS_NAME = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
"""Folder in a checkpoint of the event files that --report-to tensorboard writes."""
UNFINISHED_EXPLANATIONS_NAME = "explanations-unfinished.jsonl"


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
    """Return the fingerprint of the rows of the checkpoint, whose activations may lie elsewhere."""
    return _says(CHECKPOINT, folder, "provenance", "rows")


def _concepts(folder: Path, body: Mapping[str, Any]) -> Any:
    return _says(CODEBOOK, folder, CODEBOOK.records_key)


def _explained(folder: Path, body: Mapping[str, Any]) -> Any:
    return _says(EXPLANATIONS, folder, EXPLANATIONS.records_key)


def _explained_beside(folder: Path, body: Mapping[str, Any]) -> list[Any]:
    """Return the checksums of the explanations of the checkpoint and of those beside it. A checkpoint that was removed
    since keeps its recorded checksum."""
    names = [entry["name"] for entry in body.get("beside", [])]
    beside = [
        _explained(folder.parent / name, {}) if CHECKPOINT.exists(folder.parent / name) else was
        for name, was in zip(names, body.get("explanations", [])[1:], strict=False)
    ]
    return [_explained(folder, {}), *beside]


def _beside(folder: Path, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the names and weights of the checkpoints that were compared with this one. One that was removed since
    keeps what was recorded of it."""
    return [
        {"name": entry["name"], "checkpoint": _weights(folder.parent / entry["name"], {}) or entry["checkpoint"]}
        for entry in body.get("beside", [])
    ]


ACTIVATIONS = Artifact("manifest.json", "clvq-activations", 1, "The activations are", "extract")
UNFINISHED_ACTIVATIONS = Artifact(
    "unfinished.json", "clvq-unfinished-extraction", 2, "The unfinished extraction is", "extract"
)
CHECKPOINT = Artifact("config.json", "clvq-checkpoint", 3, "The checkpoint is", "train")
CODEBOOK = Artifact(
    "codebook.json", "clvq-codebook", 5, "The catalogue of concepts is", "codebook",
    {"checkpoint": _weights, "rows": _rows}, "concepts.jsonl", "concepts_checksum",
)  # fmt: skip
NAMES = Artifact("names.json", "clvq-names", 2, "The names of concepts are", "codebook")
"""Names and notes that people gave to concepts, by fingerprint of the weights. They cannot be made again."""
ORIGIN = Artifact("hub.json", "clvq-hub", 1, "The record of the repository is", "pull")
"""Where a checkpoint on the hub was fetched from."""
ASSIGNMENTS_NAME = "assignments.safetensors"
"""File beside CODEBOOK, which holds the file's checksum under `assignments_checksum`."""
QUANTILES = "distance_quantiles"
"""Key in this file, besides the splits: quantiles of the distances of each code's words."""
EXPLANATIONS = Artifact(
    "explanations.json", "clvq-explanations", 1, "The explanations are", "explain",
    {"checkpoint": _weights, "rows": _rows, "codebook": _concepts}, "explanations.jsonl", "explanations_checksum",
)  # fmt: skip
FAITHFULNESS = Artifact(
    "faithfulness.json", "clvq-faithfulness", 8, "The faithfulness figures are", "faithfulness",
    {"checkpoint": _weights, "store": _rows, "explanations": _explained_beside, "beside": _beside},
)  # fmt: skip


def _mode(mode: str, version: int = 1, **inputs: Resolve) -> Artifact:
    return Artifact(
        f"faithfulness-{mode}.json", f"clvq-faithfulness-{mode}", version,
        f"The figures of faithfulness --mode {mode} are", "faithfulness",
        {"checkpoint": _weights, "store": _rows, **inputs},
    )  # fmt: skip


MODES = {
    "splice": _mode("splice", 2),
    "every-token": Artifact(
        "faithfulness-every-token.json",
        "clvq-faithfulness-every-token",
        1,
        "The figures of faithfulness --mode splice --every-token are",
        "faithfulness",
        {"checkpoint": _weights, "store": _rows},
    ),
    "probe": _mode("probe", 2, explanations=_explained),
    "paper": _mode("paper", explanations=_explained),
    "by-concept": Artifact(
        "faithfulness-concepts.json",
        "clvq-faithfulness-concepts",
        4,
        "The effects of single concepts are",
        "faithfulness",
        {"checkpoint": _weights, "store": _rows, "concepts": _concepts},
    ),
}
"""The other results of `clvq faithfulness`. FAITHFULNESS itself holds those of edits inside the model."""
BENCH = Artifact(
    "bench.json", "clvq-bench", 3, "The figures against ground truth are", "bench",
    {"checkpoint": _weights, "store": _rows, "beside": _beside},
)  # fmt: skip
SWEEP = Artifact("sweep.json", "clvq-sweep", 1, "The table of the sweep is", "sweep")
"""Table of the last sweep, in the run folder. Each line has the fingerprint of the checkpoint that it was read from."""
SWEEP_PAGE_NAME = "sweep.html"
SIGNED = (
    ACTIVATIONS, UNFINISHED_ACTIVATIONS, CHECKPOINT, CODEBOOK, EXPLANATIONS, FAITHFULNESS, *MODES.values(), BENCH,
)  # fmt: skip

CONCEPT_SPACE = Derived("concept-space.safetensors", ("version", "checkpoint", "rows"))
EFFECTS = Derived("effects.safetensors", ("made_of",))
CONCEPT_EFFECTS = Derived("concept-effects.safetensors", ("made_of",))
"""Like EFFECTS, for single concepts."""


def sensitivity(layer: int | str) -> Derived:
    """Return the file beside ACTIVATIONS that holds how strongly the model reacts to small steps of its words at
    `layer`. With "*", return the pattern of all such files."""
    return Derived(f"sensitivity-L{layer}.safetensors", ("version", "rows", "states", "model"))


UNFINISHED_WINDOW = Derived("unfinished.safetensors", ("made_of",))
"""File beside UNFINISHED_ACTIVATIONS with the part of the next shard that is done."""

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
    """Return a model's or corpus' name as it may leave this machine: the last part of an absolute path, or the whole
    hub id."""
    return Path(name).name if Path(name).is_absolute() else name


RANDOMIZED = "randomized:"
"""What the fingerprint of a randomised model starts with; the fingerprint of the model's files follows."""


def model_title(model: NamedModel) -> str:
    """Return a model's name for people, from what an artifact says of the model."""
    name = short_name(model.id)
    return f"{name} with randomised weights" if model.fingerprint.startswith(RANDOMIZED) else name


def local_checksum(name: str | None) -> str | None:
    """Identify the contents of a local file or folder; None for what is not on this machine (a hub id, the demo)."""
    if name is None or name == DEMO or not (path := expanded(name)).exists():  # a folder called demo is not the demo
        return None
    if path.is_file():
        return storage.file_checksum(path)
    return files_checksum(path, (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")))


def files_checksum(folder: Path, files: Iterable[Path]) -> str:
    """Identify the names below `folder` and the contents of `files`, whatever the order of `files`."""
    digest = xxhash.xxh3_128()
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{storage.file_checksum(file)}\0".encode())
    return digest.hexdigest()
