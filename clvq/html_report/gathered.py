"""The material of a report: the artifacts that fit a checkpoint, and an entry for each that is missing or stale."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clvq.activations.manifest import Manifest
from clvq.activations.store import ActivationStore
from clvq.artifacts import (
    ACTIVATIONS,
    ACTIVATIONS_FOLDER,
    ASSIGNMENTS_NAME,
    BENCH,
    CODEBOOK,
    DEFAULT_RUN,
    EXPLANATIONS,
    FAITHFULNESS,
    METRICS_NAME,
    MODES,
)
from clvq.artifacts.kinds import Artifact, State
from clvq.concepts.codebook import Codebook
from clvq.concepts.names import given_names, given_notes
from clvq.concepts.records import CodebookSummary, Concept
from clvq.config import BY_CONCEPT, EVERY_TOKEN
from clvq.errors import ArtifactError, MismatchError
from clvq.explanations.records import Explanation, ExplanationsSummary
from clvq.interventions.bench_records import BenchResults
from clvq.interventions.results import EditResults, ModeResult, mode_result
from clvq.training.checkpoint import Checkpoint, checkpoint_folders
from clvq.training.metrics_log import whole_lines

_OTHERS = {
    "checkpoint": "of an earlier training",
    "rows": "of an earlier training",
    "store": "of other activations",
    "codebook": "of other concepts",
    "concepts": "of other concepts",
    "explanations": "of other explanations",
    "beside": "beside other checkpoints",
}
"""How an artifact is described where one of its inputs, a key of its `made_of`, has changed since."""


@dataclass(frozen=True)
class Gap:
    """A part that is missing in the report."""

    part: str
    """Anchor of its section: training, concepts, explanations, faithfulness, bench; or one of MODES."""
    reason: str
    command: str | None
    """The command line that makes the part; None where the reason says what to do."""

    @property
    def sentence(self) -> str:
        return f"{self.reason} Run `{self.command}`." if self.command else self.reason


@dataclass(frozen=True)
class Material:
    """Everything that the page shows. A part without a fitting artifact is None or empty, and is named in `gaps`."""

    checkpoint: Checkpoint
    manifest: Manifest | None
    """Manifest of the activations, if they are still those that the checkpoint was trained on."""
    metrics: list[dict[str, Any]]
    codebook: CodebookSummary | None
    concepts: list[Concept]
    names: dict[int, str]
    """Names that readers gave to concepts, by code."""
    notes: dict[int, str]
    """Notes that readers gave to concepts, by code."""
    explained: ExplanationsSummary | None
    explanations: list[Explanation]
    faithfulness: EditResults | None
    modes: dict[str, ModeResult]
    """Results of MODES, by name. A mode that was not run is no gap."""
    bench: BenchResults | None
    """None where it was not run, which is no gap."""
    quantiles: np.ndarray | None
    """[K, 101] quantiles of the squared distances of each code's words; None where their file is missing."""
    gaps: list[Gap]

    def gap(self, part: str) -> Gap | None:
        return next((gap for gap in self.gaps if gap.part == part), None)


def gather(checkpoint: Checkpoint) -> Material:
    """Read what the checkpoint's folder holds. ArtifactError where a file is damaged, foreign or newer."""
    gaps: list[Gap] = []
    manifest = _manifest(checkpoint, gaps)
    metrics = list(whole_lines(checkpoint.path / METRICS_NAME))
    if not metrics:
        gaps.append(Gap("training", f"The training log, {METRICS_NAME}, is not in the checkpoint's folder.", None))
    codebook = _usable(CODEBOOK, checkpoint, gaps, "concepts", "The catalogue of concepts has not been made yet.")
    explained = _usable(
        EXPLANATIONS, checkpoint, gaps, "explanations", "No predictions have been explained yet.",
        without="concepts" if codebook is None else None,
    )  # fmt: skip
    faithfulness = _usable(FAITHFULNESS, checkpoint, gaps, "faithfulness", "Faithfulness has not been measured yet.")
    modes = {mode: _usable(artifact, checkpoint, gaps, mode, None) for mode, artifact in MODES.items()}
    bench = _usable(BENCH, checkpoint, gaps, "bench", None)
    summary = None if codebook is None else CodebookSummary.from_json(codebook)
    concepts = [Concept.from_json(line) for line in _records(CODEBOOK, checkpoint, codebook)]
    return Material(
        checkpoint=checkpoint,
        manifest=manifest,
        metrics=metrics,
        codebook=summary,
        concepts=concepts,
        names=given_names(checkpoint.path, checkpoint.fingerprint),
        notes=given_notes(checkpoint.path, checkpoint.fingerprint),
        explained=_explained(checkpoint, explained),
        explanations=[Explanation.from_json(line) for line in _records(EXPLANATIONS, checkpoint, explained)],
        faithfulness=None if faithfulness is None else EditResults.from_json(faithfulness),
        modes={mode: mode_result(body) for mode, body in modes.items() if body is not None},
        bench=None if bench is None else BenchResults.from_json(bench),
        quantiles=None if summary is None else _quantiles(checkpoint, summary, concepts),
        gaps=gaps,
    )


def _explained(checkpoint: Checkpoint, body: dict[str, Any] | None) -> ExplanationsSummary | None:
    return None if body is None else EXPLANATIONS.parse(checkpoint.path, body, ExplanationsSummary.from_json)


def _quantiles(checkpoint: Checkpoint, summary: CodebookSummary, concepts: list[Concept]) -> np.ndarray | None:
    if not (checkpoint.path / ASSIGNMENTS_NAME).exists():
        return None
    return Codebook(checkpoint, summary, concepts).distance_quantiles()


def command(name: str, checkpoint: Checkpoint, *options: str) -> str:
    """Return the command line of `clvq NAME` for this checkpoint, with the options.

    It names the checkpoint where the run has several, and the run where it is not the default.
    """
    run = checkpoint.path.parent
    words = ["clvq", name]
    if len(checkpoint_folders(run)) > 1:
        words += ["--checkpoint", checkpoint.path.name]
    if run != DEFAULT_RUN:
        words += ["--run", str(run)]
    return shlex.join([*words, *options])


def _usable(
    artifact: Artifact,
    checkpoint: Checkpoint,
    gaps: list[Gap],
    part: str,
    missing: str | None,
    without: str | None = None,
) -> dict[str, Any] | None:
    """Return the body of an artifact where it fits; else None, and add an entry to `gaps` that says why.

    `missing` is the reason given where there is no file; if it is None, that is no gap. `without` names an input that
    the report lacks.
    """
    remake = _remake(artifact, checkpoint)
    inspection = artifact.inspect(checkpoint.path, remedy=f"Make it anew: `{remake} --overwrite`.")
    inspection.refuse_damaged()
    if inspection.state is State.MISSING:
        if missing is not None:
            gaps.append(Gap(part, missing, remake))
        return None
    if inspection.state is State.OLDER and "checkpoint" not in inspection.differing:
        reason = f"{artifact.title} of an earlier clvq, which measured less, and {_are(artifact)} left out here."
        gaps.append(Gap(part, reason, f"{remake} --overwrite"))
        return None
    if inspection.differing or without:
        why = f"of {without} that are not there" if without else _OTHERS[inspection.differing[0]]
        why = _OTHERS["checkpoint"] if "checkpoint" in inspection.differing else why
        reason = f"{artifact.title} {why} and {_are(artifact)} left out here."
        gaps.append(Gap(part, reason, remake))
        return None
    return inspection.body


def _are(artifact: Artifact) -> str:
    return artifact.title.rsplit(" ", 1)[1]


def _remake(artifact: Artifact, checkpoint: Checkpoint) -> str:
    """Return the command line that makes an artifact."""
    mode = next((mode for mode, entry in MODES.items() if entry is artifact), None)
    return command(artifact.command, checkpoint, *options_of(mode))


def options_of(measurement: str | None) -> list[str]:
    """Return the options that ask for one of MODES."""
    if measurement is None:
        return []
    if measurement == EVERY_TOKEN:
        return ["--mode", "splice", "--every-token"]
    return ["--by", "concept"] if measurement == BY_CONCEPT else ["--mode", measurement]


def _records(artifact: Artifact, checkpoint: Checkpoint, body: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    remedy = f"Make it anew: `{_remake(artifact, checkpoint)} --overwrite`."
    return [] if body is None else artifact.read_records(checkpoint.path, body, remedy)


def _manifest(checkpoint: Checkpoint, gaps: list[Gap]) -> Manifest | None:
    """Return the manifest of the activations; None where they are missing, damaged or not those of the training.

    A report can be made without activations, and then says a little less. Only activations other than those of the
    training are a gap.
    """
    folder = checkpoint.path.parent / ACTIVATIONS_FOLDER
    if not ACTIVATIONS.exists(folder):
        return None
    try:
        store = ActivationStore(folder)
        checkpoint.check_store(store)
    except MismatchError:
        reason = (
            "The activations in the run folder are others than this checkpoint was trained on. What the report shows "
            "is of the earlier ones; train again to have it of these."
        )
        gaps.append(Gap("activations", reason, None))
        return None
    except ArtifactError:
        return None
    return store.manifest
