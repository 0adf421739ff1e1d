"""What edits do to each sentence of a corpus, with the concepts of one checkpoint or of several."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clvq.activations.store import ActivationStore, SentenceRows
from clvq.activations.summary import r2_of
from clvq.concepts.assignments import SplitText
from clvq.concepts.directions import concept_space
from clvq.config import FaithfulnessConfig, differences
from clvq.device import Processes, Runtime
from clvq.errors import MismatchError
from clvq.explanations.results import Explanations
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.in_model import interventions_of
from clvq.interventions.places import Subject
from clvq.interventions.plan import plan_of, subjects_of
from clvq.interventions.specificity import Specific, classes_of, lacking, specific
from clvq.language_model.head_targets import LabelTarget
from clvq.language_model.model import LanguageModel
from clvq.language_model.records import StoredTarget
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint
from clvq.training.source import language_model_of

ATTRIBUTION = ("baseline", "completeness", "steps", "max_steps")
"""Settings of explanations that decide how much is attributed to a word."""


@dataclass(frozen=True)
class Group:
    """Checkpoints of one setting, which differ in the seed alone."""

    members: list[int]
    """Their places among the checkpoints."""
    checkpoints: list[Checkpoint]

    @property
    def name(self) -> str:
        """The name of the first checkpoint."""
        return self.checkpoints[0].path.name

    @property
    def seeds(self) -> list[int]:
        return [checkpoint.settings.seed for checkpoint in self.checkpoints]


def groups_of(checkpoints: Sequence[Checkpoint]) -> list[Group]:
    """Return the checkpoints grouped by their settings without the seed, in the order given."""
    found: dict[str, list[int]] = {}
    for number, checkpoint in enumerate(checkpoints):
        settings = {name: value for name, value in checkpoint.settings.deciding().items() if name != "seed"}
        found.setdefault(repr(settings), []).append(number)
    return [Group(members, [checkpoints[number] for number in members]) for members in found.values()]


@dataclass(frozen=True)
class SentenceEffects:
    """What edits and their controls do to the sentences `[S]` of one store."""

    checkpoints: list[Checkpoint]
    effects: list[Mapping[Change, Effects]]
    """Of each checkpoint, what each change does."""
    specific: list[Specific]
    """Of each checkpoint; none where the target has no specificity."""
    texts: np.ndarray
    """[S] which distinct text each sentence is."""
    labels: np.ndarray
    """[S] class of each sentence; -1 for none."""
    predicted: np.ndarray
    """[S] what the model predicts without an edit."""
    label_names: list[str]
    without_specificity: str | None
    """Why the target has no specificity; None where it has."""
    groups_of: np.ndarray
    """[S] the index in `label_names` under which figures by class count each sentence: that of its label, or of the
    label that the model is asked for; -1 for none."""
    model: LanguageModel
    r2: float | None
    """R² of the clean scores, where the answer is a number and the corpus has the right ones; else None."""
    target: StoredTarget
    """The kind of the target, and its unit."""

    @property
    def groups(self) -> list[Group]:
        return groups_of(self.checkpoints)

    def of(self, group: Group) -> list[Mapping[Change, Effects]]:
        """Return for each checkpoint of a group the effects of the changes that all of them have."""
        several = [self.effects[number] for number in group.members]
        shared = [change for change in several[0] if all(change in effects for effects in several)]
        return [{change: effects[change] for change in shared} for effects in several]


def _labels(subjects: Sequence[Subject], model: LanguageModel) -> np.ndarray:
    """Return the class `[S]` of each sentence; -1 for none, as where next tokens are predicted."""
    labels = [-1 if subject.label is None else subject.label for subject in subjects]
    return np.array(labels if model.label_names is not None else [-1] * len(labels))


def _groups(subjects: Sequence[Subject], model: LanguageModel) -> np.ndarray:
    """Return the class or label `[S]` under which figures by class count each sentence; -1 for none."""
    if isinstance(model.target, LabelTarget):
        return np.array([subject.part for subject in subjects])
    return _labels(subjects, model)


def _rows(store: ActivationStore, numbers: Collection[int]) -> Iterator[SentenceRows]:
    """Yield the evaluation sentences at indices `numbers`."""
    return (row for number, row in enumerate(store.sentences(SPLIT)) if number in numbers)


def _refuse_other_sentences(
    own: Sequence[Subject], before: Sequence[Subject], checkpoint: Checkpoint, first: Checkpoint
) -> None:
    """Raise MismatchError where two checkpoints explain other sentences."""
    if [(one.number, one.part) for one in own] != [(one.number, one.part) for one in before]:
        raise MismatchError(
            f"The explanations of {checkpoint.path} and {first.path} are of other sentences. "
            "Make them alike with `clvq explain --overwrite`, or give a --limit that both have."
        )


def _refuse_other_attributions(own: Explanations, first: Explanations, config: FaithfulnessConfig) -> None:
    """Raise MismatchError where words are chosen by attributions that two checkpoints were explained with otherwise."""
    if set(config.places) <= {"sentence", "all"}:
        return
    theirs, ours = (
        {name: value for name, value in one.summary.settings.deciding().items() if name in ATTRIBUTION}
        for one in (first, own)
    )
    if differing := differences(theirs, ours):
        raise MismatchError(
            f"The explanations of {own.codebook.checkpoint.path} ('here') and {first.codebook.checkpoint.path} "
            f"('there') were made with other settings, so that other words are salient: {'; '.join(differing)}. Make "
            "them alike with `clvq explain --overwrite`."
        )


def _identity(explained: Explanations, store: ActivationStore, config: FaithfulnessConfig) -> dict[str, Any]:
    """Return what the effects of a checkpoint are made of."""
    return {
        "checkpoint": explained.codebook.checkpoint.fingerprint,
        "store": store.fingerprint,
        "explanations": explained.summary.explanations_checksum,
        "concepts": explained.codebook.summary.concepts_checksum,
        "settings": config.deciding(),
    }


def sentence_effects(
    explained: Sequence[Explanations],
    text: SplitText,
    config: FaithfulnessConfig,
    label: int | None = None,
    *,
    overwrite: bool = False,
    progress: Report = silent,
) -> SentenceEffects:
    """Edit the explained sentences of the split `text` with the concepts of each checkpoint, and return what this does.

    With `label`, only the sentences of that class are edited. An earlier measurement with the same settings is read,
    and an interrupted one continues, unless `overwrite`. MismatchError where the checkpoints explain different
    sentences; errors of `plan_of`.
    """
    for found in explained[1:]:
        _refuse_other_attributions(found, explained[0], config)
    processes = Processes.current()
    checkpoints = [found.codebook.checkpoint for found in explained]
    store = checkpoints[0].store()
    model = language_model_of(checkpoints[0], store, Runtime.of_settings(config), progress)
    upper = UpperLayers(model, checkpoints[0].input_layer)
    reason = lacking(upper.target)
    subjects: list[Subject] = []
    effects: list[Mapping[Change, Effects]] = []
    of_classes: list[Specific] = []
    for found, checkpoint in zip(explained, checkpoints, strict=True):
        if len(checkpoints) > 1:
            progress(Progress("faithfulness", note=f"Editing with the concepts of {checkpoint.path}."))
        own = subjects_of(found, model, config, label)
        if subjects:
            _refuse_other_sentences(own, subjects, checkpoint, checkpoints[0])
        subjects = own
        space = processes.leader_first(partial(concept_space, checkpoint, device=model.device, progress=progress))
        plan = plan_of(config, subjects, found.codebook, space, upper.target)
        interventions = interventions_of(store, upper, space, config)
        with processes.locked(checkpoint.path):
            identity = _identity(found, store, config)
            record = Record.at(checkpoint.path, identity, plan.changes(), len(subjects), overwrite=overwrite)
            interventions.effects(subjects, plan, record, progress)
        effects.append(record.effects())
        if reason is None:
            of_classes.append(specific(interventions, subjects, classes_of(found.codebook), config.rank))
    return SentenceEffects(
        checkpoints=checkpoints,
        effects=effects,
        specific=of_classes,
        texts=text.texts[[subject.number for subject in subjects]],
        labels=_labels(subjects, model),
        predicted=np.array([subject.prediction for subject in subjects]),
        label_names=list(model.label_names or ()),
        without_specificity=reason,
        groups_of=_groups(subjects, model),
        model=model,
        r2=None if upper.target.is_choice else r2_of(_rows(store, {subject.number for subject in subjects})),
        target=StoredTarget(upper.target.kind, upper.target.unit),
    )
