"""What a report is made of: the artifacts of a checkpoint that fit it, and a name for each that is missing or stale."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clvq.activations.store import FOLDER_NAME, ActivationStore
from clvq.errors import ClvqError
from clvq.storage import read_records, read_signed
from clvq.training.checkpoint import CONFIG_NAME, Checkpoint
from clvq.training.metrics_log import whole_lines

DEFAULT_RUN = Path("clvq-run")
"""The run folder that a command takes when it is told none."""
FAITHFULNESS_VERSION = 2
MODES = ("splice", "probe", "paper")
"""Of `clvq faithfulness`, beside that of edits inside the model."""


@dataclass(frozen=True)
class Gap:
    """A part that the report does without."""

    part: str
    """Anchor of its section: training, concepts, explanations, faithfulness; or one of MODES."""
    reason: str
    command: str | None
    """What makes it, word for word; None where the reason says what to do."""

    @property
    def sentence(self) -> str:
        return f"{self.reason} Run `{self.command}`." if self.command else self.reason


@dataclass(frozen=True)
class Material:
    """Everything the page shows. A part without an artifact that fits is None or empty, and has a gap."""

    checkpoint: Checkpoint
    manifest: dict[str, Any] | None
    """Of the activations, where they are still those that the checkpoint was trained on."""
    metrics: list[dict[str, Any]]
    codebook: dict[str, Any] | None
    concepts: list[dict[str, Any]]
    explained: dict[str, Any] | None
    explanations: list[dict[str, Any]]
    faithfulness: dict[str, Any] | None
    modes: dict[str, dict[str, Any]]
    """What each of MODES measured; those that were not asked for are no gap."""
    gaps: list[Gap]

    def gap(self, part: str) -> Gap | None:
        return next((gap for gap in self.gaps if gap.part == part), None)


def gather(checkpoint: Checkpoint) -> Material:
    """Reads what the checkpoint's folder holds. ArtifactError where a file is damaged, foreign or newer."""
    gaps: list[Gap] = []
    metrics = list(whole_lines(checkpoint.path / "metrics.jsonl"))
    if not metrics:
        gaps.append(Gap("training", "The training log, metrics.jsonl, is not in the checkpoint's folder.", None))
    codebook, concepts = _codebook(checkpoint, gaps)
    explained, explanations = _explanations(checkpoint, codebook, gaps)
    return Material(
        checkpoint=checkpoint,
        manifest=_manifest(checkpoint),
        metrics=metrics,
        codebook=codebook,
        concepts=concepts,
        explained=explained,
        explanations=explanations,
        faithfulness=_faithfulness(checkpoint, gaps),
        modes=_modes(checkpoint, gaps),
        gaps=gaps,
    )


def command(name: str, checkpoint: Checkpoint, *options: str) -> str:
    """`clvq NAME` for this checkpoint: with its folder where its run has several, with --run where it is not the
    default, then the options."""
    run = checkpoint.path.parent
    words = ["clvq", name]
    if len(list(run.glob(f"*/{CONFIG_NAME}"))) > 1:
        words += [*(["--checkpoint"] if name == "explain" else []), checkpoint.path.name]
    if run != DEFAULT_RUN:
        words += ["--run", str(run)]
    return shlex.join([*words, *options])


def _codebook(checkpoint: Checkpoint, gaps: list[Gap]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    remake = command("codebook", checkpoint)
    path = checkpoint.path / "codebook.json"
    if not path.exists():
        gaps.append(Gap("concepts", "The catalogue of concepts has not been made yet.", remake))
        return None, []
    remedy = f"Make it anew: `{remake} --overwrite`."
    body = read_signed(path, "clvq-codebook", 1, remedy)
    if (body["checkpoint"], body["rows"]) != (checkpoint.fingerprint, checkpoint.config["provenance"]["rows"]):
        gaps.append(
            Gap("concepts", "The catalogue of concepts is of an earlier training and is left out here.", remake)
        )
        return None, []
    return body, read_records(checkpoint.path / "concepts.jsonl", body["concepts_checksum"], remedy)


def _explanations(
    checkpoint: Checkpoint, codebook: dict[str, Any] | None, gaps: list[Gap]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    remake = command("explain", checkpoint)
    path = checkpoint.path / "explanations.json"
    if not path.exists():
        gaps.append(Gap("explanations", "No predictions have been explained yet.", remake))
        return None, []
    remedy = f"Make it anew: `{remake} --overwrite`."
    body = read_signed(path, "clvq-explanations", 1, remedy)
    if body["checkpoint"] != checkpoint.fingerprint or codebook is None:
        stale = "of an earlier training" if codebook is not None else "of concepts that are not there"
        gaps.append(Gap("explanations", f"The explanations are {stale} and are left out here.", remake))
        return None, []
    if body["codebook"] != codebook["concepts_checksum"]:
        gaps.append(Gap("explanations", "The explanations are of other concepts and are left out here.", remake))
        return None, []
    return body, read_records(checkpoint.path / "explanations.jsonl", body["explanations_checksum"], remedy)


def _faithfulness(checkpoint: Checkpoint, gaps: list[Gap]) -> dict[str, Any] | None:
    remake = command("faithfulness", checkpoint)
    path = checkpoint.path / "faithfulness.json"
    if not path.exists():
        gaps.append(Gap("faithfulness", "Faithfulness has not been measured yet.", remake))
        return None
    body = read_signed(path, "clvq-faithfulness", FAITHFULNESS_VERSION, f"Make it anew: `{remake} --overwrite`.")
    if body["checkpoint"] != checkpoint.fingerprint:
        gaps.append(
            Gap("faithfulness", "The faithfulness figures are of an earlier training and are left out here.", remake)
        )
        return None
    if body["format_version"] != FAITHFULNESS_VERSION:
        reason = "The faithfulness figures are of an earlier clvq, which measured less, and are left out here."
        gaps.append(Gap("faithfulness", reason, command("faithfulness", checkpoint, "--overwrite")))
        return None
    return body


def _modes(checkpoint: Checkpoint, gaps: list[Gap]) -> dict[str, dict[str, Any]]:
    found = {}
    for mode in MODES:
        path = checkpoint.path / f"faithfulness-{mode}.json"
        if not path.exists():
            continue
        remake = command("faithfulness", checkpoint, "--mode", mode)
        body = read_signed(path, f"clvq-faithfulness-{mode}", 1, f"Make it anew: `{remake} --overwrite`.")
        if body["checkpoint"] == checkpoint.fingerprint:
            found[mode] = body["measured"]
        else:
            reason = f"The figures of faithfulness --mode {mode} are of an earlier training and are left out here."
            gaps.append(Gap(mode, reason, remake))
    return found


def _manifest(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """A report can be made without the activations, which may be large and elsewhere; then it says a little less."""
    try:
        store = ActivationStore(checkpoint.path.parent / FOLDER_NAME)
        checkpoint.check_store(store)
    except ClvqError:
        return None
    return store.manifest
