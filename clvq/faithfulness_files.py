"""Where `faithfulness` puts its results, and what it reads: explanations, and results made before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clvq import explanations
from clvq.checkpoint import Checkpoint
from clvq.config import differences
from clvq.errors import MismatchError
from clvq.explanations import Explanations, explain
from clvq.faithfulness_config import FaithfulnessConfig
from clvq.progress import Report
from clvq.storage import read_signed


def file_of(checkpoint: Checkpoint, mode: str) -> Path:
    """The file in the checkpoint's folder that holds the figures of a mode."""
    return checkpoint.path / ("faithfulness.json" if mode == "model" else f"faithfulness-{mode}.json")


def explained_by(checkpoint: Checkpoint, config: FaithfulnessConfig, progress: Report) -> Explanations:
    """The explanations of the evaluation split, with whatever settings they were made; made where they are missing."""
    file = checkpoint.path / explanations.SUMMARY_NAME
    settings: dict[str, Any] = {}
    if file.exists():
        remedy = "Make it again with `clvq explain --overwrite`."
        body = read_signed(file, explanations.FORMAT, explanations.FORMAT_VERSION, remedy)
        if body["checkpoint"] == checkpoint.fingerprint:
            settings = body["settings"]
    return explain(
        checkpoint, progress=progress, **settings, device=config.device, trust_remote_code=config.trust_remote_code
    )


def stored(
    path: Path, kind: str, version: int, identity: dict[str, Any], decided: dict[str, Any]
) -> dict[str, Any] | None:
    """What the folder holds; None where there is nothing, or what was made of other weights or explanations.

    MismatchError where it was made of the same weights with other settings.
    """
    if not path.exists():
        return None
    summary = read_signed(path, kind, version, "Make it again with `clvq faithfulness --overwrite`.")
    differing = differences(summary["settings"], decided)
    same = summary["checkpoint"] == identity["checkpoint"] and summary["store"] == identity["store"]
    if same and differing:
        raise MismatchError(
            f"{path} holds figures with other settings: {'; '.join(differing)}. "
            "Use those, or --overwrite to replace them."
        )
    return summary if {name: summary[name] for name in identity} == identity else None
