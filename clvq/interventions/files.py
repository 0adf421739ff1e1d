"""What `faithfulness` reads: explanations, and results made before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clvq.artifacts import EXPLANATIONS, FAITHFULNESS, MODES, Artifact, State
from clvq.config import FaithfulnessConfig, differences
from clvq.errors import MismatchError
from clvq.explanations.explain import explain
from clvq.explanations.results import Explanations
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint


def artifact_of(mode: str) -> Artifact:
    """Return the artifact that holds the figures of a mode."""
    return FAITHFULNESS if mode == "model" else MODES[mode]


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
    body = EXPLANATIONS.inspect(checkpoint.path, {"checkpoint": checkpoint.fingerprint}).usable()
    return None if body is None else dict(body["settings"])


def stored(
    artifact: Artifact, checkpoint: Checkpoint, made_of: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any] | None:
    """Return what the checkpoint's folder holds; None where there is nothing, or what was made of something else than
    `made_of`, or by an earlier clvq.

    MismatchError where it was made of the same weights and rows with other `settings`.
    """
    inspection = artifact.inspect(checkpoint.path, made_of)
    inspection.refuse_damaged()
    if inspection.state in (State.MISSING, State.OLDER):
        return None
    differing = differences(inspection.body["settings"], settings)
    if differing and not {"checkpoint", "store"} & set(inspection.differing):
        raise MismatchError(
            f"{inspection.path} holds figures with other settings: {'; '.join(differing)}. "
            "Use those, or --overwrite to replace them."
        )
    return inspection.usable()
