"""The measurements beside edits inside the model, each kept in a file beside the checkpoint.

faithfulness-splice.json    its reconstruction inside the model     (`clvq.interventions.splice.splice`)
faithfulness-probe.json     edited sentence rows, read by a probe   (`clvq.interventions.probe.probe`)
faithfulness-paper.json     the published probe, and its checks     (`clvq.interventions.probe.published_probe`)

Each holds fingerprints of what it was made of, `settings`, `model`, and what the function gave as `measured`.
"""

from __future__ import annotations

from typing import Any

from clvq.artifacts import stamp
from clvq.config import USED, FaithfulnessConfig
from clvq.explanations.results import Explanations
from clvq.interventions.files import artifact_of, explained_by, stored
from clvq.interventions.probe import probe, published_probe
from clvq.interventions.splice import splice
from clvq.progress import Progress, Report
from clvq.storage import locked
from clvq.training.checkpoint import Checkpoint


def measured(
    checkpoint: Checkpoint, config: FaithfulnessConfig, *, overwrite: bool, progress: Report
) -> dict[str, Any]:
    """What the file of `config.mode` says, measured where it is missing or stale.

    MismatchError where it was measured with other settings and `overwrite` is not given; errors of the measurements.
    """
    found = None if config.mode == "splice" else explained_by([checkpoint], config, progress)[0]
    identity = {"checkpoint": checkpoint.fingerprint, "store": checkpoint.store().fingerprint}
    if found is not None:
        identity["explanations"] = found.summary.explanations_checksum
    decided = {name: value for name, value in config.deciding().items() if name in USED[config.mode]}
    artifact = artifact_of(config.mode)
    summary = None if overwrite else stored(artifact, checkpoint, identity, decided)
    if summary is not None:
        progress(Progress("faithfulness", note=f"{artifact.path(checkpoint.path)} is up to date."))
        return summary
    model = checkpoint.config["provenance"]["model"]
    body = {
        "settings": decided,
        "model": {"id": model["id"], "fingerprint": model["fingerprint"]},
        "measured": _figures(checkpoint, config, found, progress),
        **stamp(),
    }
    with locked(checkpoint.path):
        artifact.write(checkpoint.path, {**identity, **body})
    return artifact.read(checkpoint.path)


def _figures(
    checkpoint: Checkpoint, config: FaithfulnessConfig, found: Explanations | None, progress: Report
) -> dict[str, Any]:
    if found is None:
        return splice(
            checkpoint, limit=config.limit, seed=config.seed, batch_tokens=config.batch_tokens, device=config.device,
            trust_remote_code=config.trust_remote_code, progress=progress,
        )  # fmt: skip
    sentences = found.sentences[: config.limit]
    if config.mode == "paper":
        return published_probe(checkpoint, sentences, draws=config.draws, seed=config.seed, progress=progress)
    return probe(checkpoint, sentences, edit=config.edits, draws=config.draws, seed=config.seed, progress=progress)
