"""Where `faithfulness` puts its results, and what it reads: explanations, and results made before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clvq.config import FaithfulnessConfig, differences
from clvq.errors import MismatchError
from clvq.explanations import explain as explanations
from clvq.explanations.explain import Explanations, explain
from clvq.progress import Report
from clvq.storage import read_signed
from clvq.training.checkpoint import Checkpoint


def file_of(checkpoint: Checkpoint, mode: str) -> Path:
    """The file in the checkpoint's folder that holds the figures of a mode."""
    return checkpoint.path / ("faithfulness.json" if mode == "model" else f"faithfulness-{mode}.json")


def explained_by(checkpoints: Sequence[Checkpoint], config: FaithfulnessConfig, progress: Report) -> list[Explanations]:
    """The explanations of the evaluation split, with whatever settings they were made; those that are missing are made
    as the first checkpoint's were."""
    settings = [_explained_with(checkpoint) for checkpoint in checkpoints]
    first = next((found for found in settings if found is not None), {})
    return [
        explain(
            checkpoint, progress=progress, **(first if own is None else own), device=config.device,
            trust_remote_code=config.trust_remote_code,
        )
        for checkpoint, own in zip(checkpoints, settings, strict=True)
    ]  # fmt: skip


def _explained_with(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The settings of a finished explanation; None where there is none of these weights."""
    file = checkpoint.path / explanations.SUMMARY_NAME
    if not file.exists():
        return None
    body = read_signed(file, explanations.FORMAT, explanations.FORMAT_VERSION, explanations.REMEDY)
    return dict(body["settings"]) if body["checkpoint"] == checkpoint.fingerprint else None


def stored(
    path: Path, kind: str, version: int, identity: dict[str, Any], decided: dict[str, Any]
) -> dict[str, Any] | None:
    """What the folder holds; None where there is nothing, or what was made of other weights or explanations, or has an
    older format.

    MismatchError where it was made of the same weights with other settings.
    """
    if not path.exists():
        return None
    summary = read_signed(path, kind, version, "Make it again with `clvq faithfulness --overwrite`.")
    if summary["format_version"] < version:
        return None
    differing = differences(summary["settings"], decided)
    same = summary["checkpoint"] == identity["checkpoint"] and summary["store"] == identity["store"]
    if same and differing:
        raise MismatchError(
            f"{path} holds figures with other settings: {'; '.join(differing)}. "
            "Use those, or --overwrite to replace them."
        )
    return summary if {name: summary.get(name) for name in identity} == identity else None
