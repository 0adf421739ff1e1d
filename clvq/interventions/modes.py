"""The measurements other than edits inside the model. Each is kept in a file in the checkpoint's folder.

faithfulness-splice.json    the reconstruction inside the model     (`clvq.interventions.splice.splice`)
faithfulness-every-token.json  the same, for the next token at every token of the texts
faithfulness-probe.json     a probe on edited sentence rows         (`clvq.interventions.probe.probe`)
faithfulness-paper.json     the published probe, and its checks     (`clvq.interventions.probe.published_probe`)
faithfulness-concepts.json  single concepts, removed everywhere     (`clvq.interventions.by_concept.concept_effects`)

Each holds fingerprints of what it was made of, `settings`, `model`, and what the function gave as `measured`.
"""

from __future__ import annotations

from typing import Any

from clvq.concepts.codebook import codebook
from clvq.config import BY_CONCEPT, FaithfulnessConfig
from clvq.device import Processes, Runtime
from clvq.explanations.results import Explanations
from clvq.interventions.by_concept import concept_effects
from clvq.interventions.files import artifact_of, explained_by, kept
from clvq.interventions.mode_records import ProbeResult, SpliceResult
from clvq.interventions.probe import probe, published_probe
from clvq.interventions.probe_data import refuse_other_labels
from clvq.interventions.splice import splice
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint


def measured(
    checkpoint: Checkpoint, config: FaithfulnessConfig, *, overwrite: bool, progress: Report
) -> dict[str, Any]:
    """Return what the file of the measurement says; where it is missing or stale, measure and write it first.

    MismatchError where it was measured with other settings and `overwrite` is not given; errors of the measurements.
    """
    explained = None
    made_of = {"checkpoint": checkpoint.fingerprint, "store": checkpoint.store().fingerprint}
    if config.measurement == BY_CONCEPT:
        concepts = Processes.current().leader_first(lambda: codebook(checkpoint, progress=progress))
        made_of["concepts"] = concepts.summary.concepts_checksum
    elif config.mode != "splice":
        refuse_other_labels(checkpoint.store(), config.mode)
        (explained,) = explained_by([checkpoint], config, progress)
        made_of["explanations"] = explained.summary.explanations_checksum
    model = checkpoint.config.provenance.model

    def measure() -> dict[str, Any]:
        result = (
            concept_effects(checkpoint, config, overwrite=overwrite, progress=progress)
            if config.measurement == BY_CONCEPT
            else _result(checkpoint, config, explained, progress)
        )
        return {"model": {"id": model.id, "fingerprint": model.fingerprint}, "measured": result.as_json()}

    artifact = artifact_of(config.measurement)
    return kept(artifact, checkpoint, made_of, config.decided, measure, overwrite=overwrite, progress=progress)


def _result(
    checkpoint: Checkpoint, config: FaithfulnessConfig, explained: Explanations | None, progress: Report
) -> SpliceResult | ProbeResult:
    if explained is None:
        runtime = Runtime.of_settings(config)
        return splice(
            checkpoint, limit=config.limit, seed=config.seed, every_token=config.every_token, runtime=runtime,
            progress=progress,
        )  # fmt: skip
    sentences = explained.sentences[: config.limit]
    if config.mode == "paper":
        return published_probe(checkpoint, sentences, draws=config.draws, seed=config.seed, progress=progress)
    return probe(checkpoint, sentences, edit=config.edits, draws=config.draws, seed=config.seed, progress=progress)
