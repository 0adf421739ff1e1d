"""What `faithfulness` reads: explanations, and results that were measured before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clvq.artifacts import FAITHFULNESS, MODES, stamp
from clvq.artifacts.kinds import Artifact, State
from clvq.config import FaithfulnessConfig, differences
from clvq.device import Processes
from clvq.errors import MismatchError
from clvq.explanations.explain import explain
from clvq.explanations.results import Explanations
from clvq.explanations.stored_split import SPLIT, stored_settings
from clvq.notebook import Shown
from clvq.progress import Progress, Report
from clvq.storage import locked
from clvq.training.checkpoint import Checkpoint


@dataclass(frozen=True, repr=False)
class Measured(Shown):
    """What a measurement of checkpoints gives, and the file that holds it."""

    checkpoints: list[Checkpoint]
    path: Path
    """The file that holds it."""
    summary: dict[str, Any]
    """What the file says."""

    def _title(self) -> str:
        names = ", ".join(checkpoint.path.name for checkpoint in self.checkpoints)
        return f"of {names}: {self.path}"


def artifact_of(measurement: str) -> Artifact:
    """Return the artifact that holds the figures of a measurement."""
    return FAITHFULNESS if measurement == "model" else MODES[measurement]


def explained_by(checkpoints: Sequence[Checkpoint], config: FaithfulnessConfig, progress: Report) -> list[Explanations]:
    """Return the explanations of the evaluation split, whatever settings they were made with.

    Missing explanations are made with the settings of the first checkpoint that has some. A note tells where fewer
    sentences are explained than are asked for.
    """
    settings = [stored_settings(checkpoint) for checkpoint in checkpoints]
    first = next((one for one in settings if one is not None), {})
    found = [
        explain(
            checkpoint, progress=progress, **(first if one is None else one), model=config.model,
            device=config.device,
            trust_remote_code=config.trust_remote_code,
        )
        for checkpoint, one in zip(checkpoints, settings, strict=True)
    ]  # fmt: skip
    for one in found:
        if (explained := one.summary.settings.limit) is None:
            continue
        asked = min(config.limit or math.inf, one.codebook.checkpoint.store().sentence_count(SPLIT))
        if explained < asked:
            note = (
                f"Warning: the figures are of the first {explained:,} of {asked:,} sentences, because no others are "
                f"explained with {one.codebook.checkpoint.path}. `clvq explain --overwrite` explains all."
            )
            progress(Progress("faithfulness", note=note))
    return found


def kept(
    artifact: Artifact,
    checkpoint: Checkpoint,
    made_of: dict[str, Any],
    settings: dict[str, Any],
    measure: Callable[[], dict[str, Any]],
    *,
    overwrite: bool,
    progress: Report,
) -> dict[str, Any]:
    """Return what the checkpoint's folder holds of `artifact`.

    It is measured and written first where it is missing, where it was made of something else than `made_of` or by an
    earlier clvq, and with `overwrite`.

    MismatchError where it was made of the same weights and rows with other `settings`.
    """
    body = None if overwrite else _usable(artifact, checkpoint, made_of, settings)
    if body is not None:
        progress(Progress("faithfulness", note=f"{artifact.path(checkpoint.path)} is up to date."))
        return body
    measured, processes = measure(), Processes.current()
    if processes.is_leader:
        with locked(checkpoint.path):
            artifact.write(checkpoint.path, {**made_of, "settings": settings, **measured, **stamp()})
    processes.wait()
    return artifact.read(checkpoint.path)


def _usable(
    artifact: Artifact, checkpoint: Checkpoint, made_of: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any] | None:
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
