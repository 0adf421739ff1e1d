"""Whether the model's answer depends on the concepts: they are edited inside it, and compared with matched controls.

faithfulness.json     settings, figures, selectivities with intervals; by class; along a curve; of several
                      checkpoints side by side, and of seeds together. In the folder of the first one. For
                      modes other than `model`, see clvq.interventions.modes.
effects.safetensors   what each edit and control does to each sentence, beside each checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvq.activations.store import ActivationStore
from clvq.concepts.assignments import SplitText, read_text
from clvq.config import LABEL, TAG, FaithfulnessConfig
from clvq.config.settings import flag
from clvq.config.signatures import takes
from clvq.corpus.labels import class_number
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.files import Measured, artifact_of, explained_by, kept
from clvq.interventions.modes import measured
from clvq.interventions.notebook import faithfulness_html, lines
from clvq.interventions.records import EffectRow, SelectivityRow
from clvq.interventions.results import EditResults, Results, read_results
from clvq.interventions.sentence_effects import sentence_effects
from clvq.interventions.tables import results_of
from clvq.notebook import data_frame
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoints
from clvq.training.source import make_activations

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class Faithfulness(Measured):
    """What `faithfulness` gives: what is in faithfulness.json, or in faithfulness-MODE.json.

        result = clvq.faithfulness("run/L4-L8")
        print([(row.control, row.figure, row.selectivity, row.low, row.high) for row in result.rows])

    `to_pandas` gives the same as a table.
    """

    @cached_property
    def results(self) -> Results:
        """The figures: of edits inside the model, of single concepts, of `mode` splice, or of the probes."""
        return read_results(self.summary)

    @property
    def rows(self) -> list[SelectivityRow]:
        """Selectivities: one row for each checkpoint, edit, place, control and figure. ClvqError in a `mode` other than
        model."""
        return self._edits.tables.rows

    @property
    def figures(self) -> list[EffectRow]:
        """What each edit and control does: one row for each checkpoint, edit, place and control. ClvqError in a `mode`
        other than model."""
        return self._edits.tables.figures

    def _html(self, caption: str) -> str:
        return faithfulness_html(caption, self.results)

    def to_pandas(self) -> DataFrame:
        """Return a table with a row for each selectivity, concept, stand-in (mode splice), or edit of the probes."""
        return data_frame(lines(self.results))

    @property
    def _edits(self) -> EditResults:
        if not isinstance(self.results, EditResults):
            raise ClvqError(f"{self.path} has no edits inside the model: use `results`, or measure with --mode model.")
        return self.results


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

    The evaluation split is measured. Missing explanations are made first. A finished result with the same settings is
    read, not measured again. If the first checkpoint is now compared with other checkpoints, the tables are made again
    from the stored measurements. Settings that the mode has no use for are ignored, with a note. The modes splice,
    probe and paper measure one checkpoint. ClvqError where the model predicts nothing, and where there is nothing to
    edit. MismatchError where labels, checkpoints or model do not belong together, and where the result was made with
    other settings, unless `overwrite`.

    Args:
        checkpoints: A checkpoint, its folder, or several of either, which are put side by side.
        overwrite: Measure again, and replace the stored result.
    """
    config = FaithfulnessConfig.resolve(**settings)
    asked = f"--mode {config.mode}" if config.by == "edit" else "--by concept"
    if aside := [flag(name) for name in FaithfulnessConfig.unused(**settings)]:
        hint = " --class is for --by concept." if "--class" in aside else ""
        progress(Progress("faithfulness", note=f"{asked} ignores {', '.join(aside)}.{hint}"))
    read = read_checkpoints(checkpoints)
    refuse_unlike(read)
    if config.dataset is not None:
        make_activations(read[0], config, progress)
    config = _with_class_names(config, read[0].store().label_names or [])
    artifact = artifact_of(config.measurement)
    path = artifact.path(read[0].path)
    if config.measurement != "model":
        if len(read) > 1:
            raise ClvqError(f"{asked} takes one checkpoint; {len(read)} are given.")
        return Faithfulness(read, path, measured(read[0], config, overwrite=overwrite, progress=progress))
    refuse_twice(read)
    store = read[0].store()
    text = read_text(store, SPLIT, progress)
    label = _checked_label(store, text, config.label)
    explained = explained_by(read, config, progress)
    made_of = {
        "checkpoint": read[0].fingerprint,
        "store": store.fingerprint,
        "explanations": [one.summary.explanations_checksum for one in explained],
        # Not a setting: with other checkpoints, the stored effects are read again, so that no measurement is lost.
        "beside": [{"name": other.path.name, "checkpoint": other.fingerprint} for other in read[1:]],
    }

    def measure() -> dict[str, Any]:
        effects = sentence_effects(explained, text, config, label, overwrite=overwrite, progress=progress)
        return results_of(effects, config).as_json()

    body = kept(artifact, read[0], made_of, config.decided, measure, overwrite=overwrite, progress=progress)
    return Faithfulness(read, path, body)


def refuse_unlike(checkpoints: list[Checkpoint]) -> None:
    """Raise MismatchError where checkpoints are not of one model, corpus and input layer; ClvqError for equal names."""
    if not checkpoints:
        raise ClvqError("No checkpoint is given.")
    first = checkpoints[0]
    names = [checkpoint.path.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise ClvqError(
            f"Two checkpoints have the same name: {', '.join(names)}. Give each once, by names that differ."
        )
    for other in checkpoints[1:]:
        kinds: dict[str, list[str | int]] = {
            "another model": [entry.config.provenance.model.fingerprint for entry in (first, other)],
            "other rows": [entry.config.provenance.rows for entry in (first, other)],
            "another input layer": [entry.input_layer for entry in (first, other)],
        }
        for kind, (ours, theirs) in kinds.items():
            if ours != theirs:
                raise MismatchError(
                    f"{other.path} is of {kind} than {first.path} ({theirs}, not {ours}): their edits cannot be "
                    "compared. Give checkpoints of one model, corpus and input layer."
                )


def refuse_twice(checkpoints: Sequence[Checkpoint]) -> None:
    """Raise ClvqError for one training that is given twice, as a copy of its folder is: it would count as two seeds."""
    seen: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        same = seen.setdefault(repr(checkpoint.settings.deciding()), checkpoint)
        if same is not checkpoint:
            raise ClvqError(
                f"{same.path} and {checkpoint.path} are the same training (seed {checkpoint.settings.seed}), which "
                "would count as two seeds. Give one of them."
            )


def _with_class_names(config: FaithfulnessConfig, names: list[str]) -> FaithfulnessConfig:
    """Return the settings with each class by its own name, however it was given, so that a class is one setting.

    ClvqError for a name that is none of `names`.
    """

    def own(name: str | None) -> str | None:
        if name is None or not names:
            return name
        if (number := class_number(name, names)) is None:
            raise ClvqError(f"There is no class {name!r}: the classes are {', '.join(names)}.")
        return names[number]

    return replace(config, label=own(config.label), class_=own(config.class_))


def _checked_label(store: ActivationStore, text: SplitText, label: str | None) -> int | None:
    """Return the number of the class that is asked for; None where none is. MismatchError where labels are not those of
    the model's head, ClvqError where there are no classes or no sentence of this one."""
    names = store.label_names
    if names is not None and store.has_predictions and int(text.labels.max(initial=-1)) >= len(names):
        raise MismatchError(
            f"{store.path} has label {int(text.labels.max())}, but the classes are 0 to {len(names) - 1} "
            f"({', '.join(names)}). Extract with the corpus that the model was trained for, or another --label-column."
        )
    if label is None:
        return None
    if names is None:
        raise ClvqError(f"{store.path} has no classes, so --label cannot be used.")
    number = names.index(label)
    if store.manifest.target_kind in (LABEL, TAG):
        return number  # a label is that of a part of the sentence, and explanations have the parts
    if not (text.labels == number).any():
        raise ClvqError(f"No sentence of the evaluation split is of class {names[number]}: there is nothing to edit.")
    return number
