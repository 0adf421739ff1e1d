"""The measurements beside edits inside the model, each kept in a file beside the checkpoint.

faithfulness-splice.json    its reconstruction inside the model     (`clvq.interventions.splice.splice`)
faithfulness-probe.json     edited sentence rows, read by a probe   (`clvq.interventions.probe.probe`)
faithfulness-paper.json     the published probe, and its checks     (`clvq.interventions.probe.published_probe`)

Each holds fingerprints of what it was made of, `settings`, `model`, and what the function gave as `measured`.
"""

from __future__ import annotations

from typing import Any

from clvq.config import USED, FaithfulnessConfig
from clvq.device import Runtime
from clvq.explanations.results import Explanations
from clvq.interventions.files import artifact_of, explained_by, kept
from clvq.interventions.probe import probe, published_probe
from clvq.interventions.records import ProbeResult, SpliceResult
from clvq.interventions.splice import splice
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint


def measured(
    checkpoint: Checkpoint, config: FaithfulnessConfig, *, overwrite: bool, progress: Report
) -> dict[str, Any]:
    """Return what the file of `config.mode` says, measured where it is missing or stale.

    MismatchError where it was measured with other settings and `overwrite` is not given; errors of the measurements.
    """
    explained = None if config.mode == "splice" else explained_by([checkpoint], config, progress)[0]
    made_of = {"checkpoint": checkpoint.fingerprint, "store": checkpoint.store().fingerprint}
    if explained is not None:
        made_of["explanations"] = explained.summary.explanations_checksum
    model = checkpoint.config["provenance"]["model"]

    def measure() -> dict[str, Any]:
        return {
            "model": {"id": model["id"], "fingerprint": model["fingerprint"]},
            "measured": _result(checkpoint, config, explained, progress).as_json(),
        }

    settings = {name: value for name, value in config.deciding().items() if name in USED[config.mode]}
    artifact = artifact_of(config.mode)
    return kept(artifact, checkpoint, made_of, settings, measure, overwrite=overwrite, progress=progress)


def _result(
    checkpoint: Checkpoint, config: FaithfulnessConfig, explained: Explanations | None, progress: Report
) -> SpliceResult | ProbeResult:
    if explained is None:
        runtime = Runtime.of_settings(config)
        return splice(checkpoint, limit=config.limit, seed=config.seed, runtime=runtime, progress=progress)
    sentences = explained.sentences[: config.limit]
    if config.mode == "paper":
        return published_probe(checkpoint, sentences, draws=config.draws, seed=config.seed, progress=progress)
    return probe(checkpoint, sentences, edit=config.edits, draws=config.draws, seed=config.seed, progress=progress)
