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
    BENCH <- checkpoint, and those beside it

No other module spells the name, the format or the version of a file.
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
from clvq.config import DEMO

DEFAULT_RUN = Path("clvq-run")
"""The run folder that a command takes when it is told none."""
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
    "codebook.json", "clvq-codebook", 4, "The catalogue of concepts is", "codebook",
    {"checkpoint": _weights, "rows": _rows}, "concepts.jsonl", "concepts_checksum",
)  # fmt: skip
NAMES = Artifact("names.json", "clvq-names", 2, "The names of concepts are", "codebook")
"""Names and notes that readers gave to concepts, by fingerprint of the weights: nothing that can be made again."""
ORIGIN = Artifact("hub.json", "clvq-hub", 1, "The record of the repository is", "pull")
"""Where a checkpoint on the hub was fetched from."""
ASSIGNMENTS_NAME = "assignments.safetensors"
"""Beside CODEBOOK, which vouches for it under `assignments_checksum`."""
QUANTILES = "distance_quantiles"
"""Key in it, beside the splits: quantiles of the distances of each code's words."""
EXPLANATIONS = Artifact(
    "explanations.json", "clvq-explanations", 1, "The explanations are", "explain",
    {"checkpoint": _weights, "rows": _rows, "codebook": _concepts}, "explanations.jsonl", "explanations_checksum",
)  # fmt: skip
FAITHFULNESS = Artifact(
    "faithfulness.json", "clvq-faithfulness", 5, "The faithfulness figures are", "faithfulness",
    {"checkpoint": _weights, "store": _rows, "explanations": _explained_beside, "beside": _beside},
)  # fmt: skip


def _mode(mode: str, **inputs: Resolve) -> Artifact:
    return Artifact(
        f"faithfulness-{mode}.json", f"clvq-faithfulness-{mode}", 1, f"The figures of faithfulness --mode {mode} are",
        "faithfulness", {"checkpoint": _weights, "store": _rows, **inputs},
    )  # fmt: skip


MODES = {
    "splice": _mode("splice"),
    "every-token": Artifact(
        "faithfulness-every-token.json",
        "clvq-faithfulness-every-token",
        1,
        "The figures of faithfulness --mode splice --every-token are",
        "faithfulness",
        {"checkpoint": _weights, "store": _rows},
    ),
    "probe": _mode("probe", explanations=_explained),
    "paper": _mode("paper", explanations=_explained),
    "by-concept": Artifact(
        "faithfulness-concepts.json",
        "clvq-faithfulness-concepts",
        2,
        "The effects of single concepts are",
        "faithfulness",
        {"checkpoint": _weights, "store": _rows, "concepts": _concepts},
    ),
}
"""Of `clvq faithfulness`, beside FAITHFULNESS itself, which is of edits inside the model."""
BENCH = Artifact(
    "bench.json", "clvq-bench", 1, "The figures against ground truth are", "bench",
    {"checkpoint": _weights, "store": _rows, "beside": _beside},
)  # fmt: skip
SWEEP = Artifact("sweep.json", "clvq-sweep", 1, "The table of the sweep is", "sweep")
"""In the run folder, of the last sweep: each line with the fingerprint of the checkpoint that it was read from."""
SWEEP_PAGE_NAME = "sweep.html"
SIGNED = (
    ACTIVATIONS, UNFINISHED_ACTIVATIONS, CHECKPOINT, CODEBOOK, EXPLANATIONS, FAITHFULNESS, *MODES.values(), BENCH,
)  # fmt: skip

CONCEPT_SPACE = Derived("concept-space.safetensors", ("version", "checkpoint", "rows"))
EFFECTS = Derived("effects.safetensors", ("made_of",))
CONCEPT_EFFECTS = Derived("concept-effects.safetensors", ("made_of",))
"""As EFFECTS, of single concepts."""


def sensitivity(layer: int | str) -> Derived:
    """Return the file, beside ACTIVATIONS, of how strongly the model reacts to a step of its words at `layer`; "*" for
    the pattern of all."""
    return Derived(f"sensitivity-L{layer}.safetensors", ("version", "rows", "states", "model"))


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


RANDOMIZED = "randomized:"
"""What the fingerprint of a randomised model starts with; the fingerprint of the model's files follows."""


def model_title(model: Mapping[str, Any]) -> str:
    """Return a model's name as people read it, from what an artifact says of the model."""
    name = short_name(str(model["id"]))
    return f"{name} with randomised weights" if str(model["fingerprint"]).startswith(RANDOMIZED) else name


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
