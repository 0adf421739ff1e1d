"""Whether the model's own answer depends on the concepts: they are edited inside it, beside matched controls.

faithfulness.json     settings, figures, selectivities with intervals; by class; along a curve; of several
                      checkpoints side by side, and of seeds together. In the folder of the first one. Of the
                      other modes than `model` see clvq.interventions.modes.
effects.safetensors   what each edit and control does to each sentence, beside each checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import SplitText, read_text
from clvq.config import FaithfulnessConfig
from clvq.config.signatures import takes
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.files import artifact_of, explained_by, stored
from clvq.interventions.modes import measured
from clvq.interventions.sentence_effects import sentence_effects
from clvq.interventions.tables import tables
from clvq.progress import Progress, Report, silent
from clvq.storage import locked
from clvq.training.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True)
class Faithfulness:
    """What `faithfulness` gives."""

    checkpoints: list[Checkpoint]
    path: Path
    """The file that holds it: faithfulness.json, or faithfulness-MODE.json."""
    summary: dict[str, Any]
    """What the file says; of a mode other than `model` its figures are `measured`."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Selectivities: a line a checkpoint, edit, place, control and figure. Of mode `model`."""
        return list(self.summary["rows"])

    @property
    def figures(self) -> list[dict[str, Any]]:
        """What each edit and control does: a line a checkpoint, edit, place and control (None is the edit). Of mode
        `model`."""
        return list(self.summary["figures"])


@takes(FaithfulnessConfig)
def faithfulness(
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    *,
    overwrite: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Faithfulness:
    """Measure whether the language model's answers depend on the concepts, by editing them inside the model.

        result = clvq.faithfulness("run/L4-L8", edit="removal,projection", draws=3)

    The evaluation split is measured, and explanations that are missing are made first. A finished result with the
    same settings is read. Where other checkpoints are compared with the first one than before, the tables are made
    again from what was measured. Settings that the mode has no use for are ignored, with a note. The modes splice,
    probe and paper measure one checkpoint. ClvqError where the model predicts nothing, and where there is nothing to
    edit; MismatchError where labels, checkpoints or model do not belong together, and where the result was made with
    other settings, unless `overwrite`.

    Args:
        checkpoints: A checkpoint, its folder, or several of either, which are put side by side.
        overwrite: Measure again, and replace the stored result.
    """
    config = FaithfulnessConfig.resolve(**settings)
    if aside := [f"--{name.replace('_', '-')}" for name in FaithfulnessConfig.unused(**settings)]:
        progress(Progress("faithfulness", note=f"--mode {config.mode} has no use for {', '.join(aside)}."))
    given = [checkpoints] if isinstance(checkpoints, Checkpoint | str | Path) else list(checkpoints)
    read = [entry if isinstance(entry, Checkpoint) else read_checkpoint(entry) for entry in given]
    _refuse_unlike(read)
    artifact = artifact_of(config.mode)
    path = artifact.path(read[0].path)
    if config.mode != "model":
        if len(read) > 1:
            raise ClvqError(f"--mode {config.mode} takes one checkpoint; {len(read)} are given.")
        return Faithfulness(read, path, measured(read[0], config, overwrite=overwrite, progress=progress))
    store = read[0].store()
    text = read_text(store, SPLIT, progress)
    label = _checked_label(store, text, config.label)
    explained = explained_by(read, config, progress)
    identity = {
        "checkpoint": read[0].fingerprint,
        "store": store.fingerprint,
        "explanations": [found.summary.explanations_checksum for found in explained],
        # Not a setting: beside others the same effects are read, so that nothing is lost where they are other ones.
        "beside": [{"name": other.path.name, "checkpoint": other.fingerprint} for other in read[1:]],
    }
    decided = config.deciding()
    summary = None if overwrite else stored(artifact, read[0], identity, decided)
    if summary is not None:
        progress(Progress("faithfulness", note=f"{path} is up to date."))
        return Faithfulness(read, path, summary)
    found = sentence_effects(explained, text, config, label, overwrite=overwrite, progress=progress)
    with locked(read[0].path):
        artifact.write(read[0].path, {**identity, "settings": decided, **tables(found, config)})
    return Faithfulness(read, path, artifact.read(read[0].path))


def _refuse_unlike(checkpoints: list[Checkpoint]) -> None:
    """MismatchError where checkpoints are not of one model, corpus and input layer."""
    if not checkpoints:
        raise ClvqError("No checkpoint is given.")
    first = checkpoints[0]
    names = [checkpoint.path.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise ClvqError(
            f"Two checkpoints have the same name: {', '.join(names)}. Give each once, by names that differ."
        )
    for other in checkpoints[1:]:
        kinds = {
            "another model": [entry.config["provenance"]["model"]["fingerprint"] for entry in (first, other)],
            "other rows": [entry.config["provenance"]["rows"] for entry in (first, other)],
            "another input layer": [entry.input_layer for entry in (first, other)],
        }
        for kind, (ours, theirs) in kinds.items():
            if ours != theirs:
                raise MismatchError(
                    f"{other.path} is of {kind} than {first.path} ({theirs}, not {ours}): their edits cannot be "
                    "compared. Give checkpoints of one model, corpus and input layer."
                )


def _checked_label(store: ActivationStore, text: SplitText, label: str | None) -> int | None:
    """The number of the class that is asked for; MismatchError where labels are not the head's, ClvqError where no
    sentence is of that class."""
    names = store.label_names
    if names is not None and store.has_predictions and int(text.labels.max(initial=-1)) >= len(names):
        raise MismatchError(
            f"{store.path} has label {int(text.labels.max())}, but the model's head has classes 0 to {len(names) - 1} "
            f"({', '.join(names)}). Extract with the corpus that the model was trained for, or another --label-column."
        )
    if label is None:
        return None
    if names is None:
        raise ClvqError(f"{store.path} has no classes, so --label has nothing to choose by.")
    number = names.index(label) if label in names else int(label) if label.isdecimal() else -1
    if not 0 <= number < len(names):
        raise ClvqError(f"There is no class {label!r}: the classes are {', '.join(names)}.")
    if not (text.labels == number).any():
        raise ClvqError(f"No sentence of the evaluation split is of class {names[number]}: there is nothing to edit.")
    return number
