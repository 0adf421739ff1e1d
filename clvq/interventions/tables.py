"""The figures of faithfulness.json, made from what edits do to each sentence: for each checkpoint, class, mass and
group of seeds, and of checkpoints compared with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from clvq.artifacts.records import ModelName
from clvq.config import FaithfulnessConfig
from clvq.interventions.effects import Change, Effects
from clvq.interventions.names import names_of
from clvq.interventions.records import ClassRow, Clean, DifferenceRow, Seeds, SpecificityRow, Tables
from clvq.interventions.results import EditResults
from clvq.interventions.selectivity import corrected, over_seeds, paired, table
from clvq.interventions.sentence_effects import Group, SentenceEffects
from clvq.interventions.specificity import specificity_rows

OfSeeds = Sequence[Mapping[Change, Effects]]
"""Effects of each checkpoint of a group."""


def results_of(measured: SentenceEffects, config: FaithfulnessConfig) -> EditResults:
    """Return all figures of faithfulness.json."""
    tables = _Tables(measured, config.seed)
    single = [
        tables.of(checkpoint.path.name, [effects])
        for checkpoint, effects in zip(measured.checkpoints, measured.effects, strict=True)
    ]
    groups = [(group, measured.of(group)) for group in measured.groups]
    return EditResults(
        model=ModelName(measured.checkpoints[0].config.provenance.model.id, measured.model.fingerprint),
        checkpoints=[
            {"name": checkpoint.path.name, "fingerprint": checkpoint.fingerprint} for checkpoint in measured.checkpoints
        ],
        groups=[seeds_of(group) for group, _ in groups],
        clean=tables.clean,
        target=measured.target,
        names=names_of(config, measured.target.kind),
        tables=Tables.joined(single),
        seeds=Tables.joined(
            _over_seeds([single[number] for number in group.members], tables.of(group.name, of_seeds))
            for group, of_seeds in groups
            if len(group.members) > 1
        ),
        by_class=[
            row
            for number in np.unique(measured.groups_of[measured.groups_of >= 0]).tolist()
            for group, of_seeds in groups
            for row in tables.of_class(group.name, of_seeds, number)
        ],
        specificity=_specificity(measured, config.seed),
        without_specificity=measured.without_specificity,
        differences=_differences(groups, measured.texts, config.seed),
    )


def _specificity(measured: SentenceEffects, seed: int) -> list[SpecificityRow]:
    """Return the rows of all groups; none where the target has no specificity."""
    if not measured.specific:
        return []
    return [
        row
        for group in measured.groups
        for row in specificity_rows(
            group.name, [measured.specific[number] for number in group.members], measured.predicted,
            measured.label_names, measured.texts, seed,
        )
    ]  # fmt: skip


class _Tables:
    """Tables of a checkpoint, or of a group."""

    def __init__(self, measured: SentenceEffects, seed: int) -> None:
        self.measured, self.seed = measured, seed
        self.labels = measured.labels[measured.labels >= 0]
        """The labels of the sentences that have one."""

    @property
    def clean(self) -> Clean:
        labels, texts = self.measured.labels, self.measured.texts
        right = (self.measured.predicted == labels)[labels >= 0]
        accuracy = float(right.mean()) if len(right) else None
        return Clean(len(texts), len(np.unique(texts)), accuracy, self.chance, self.measured.r2)

    @property
    def chance(self) -> float | None:
        return float(np.bincount(self.labels).max() / len(self.labels)) if len(self.labels) else None

    def of(self, name: str, of_seeds: OfSeeds, among: np.ndarray | None = None) -> Tables:
        """Return the tables over the sentences `among` `[S]`, or over all."""
        mask = np.ones(len(self.measured.texts), bool) if among is None else among
        main, curve = (
            table(
                [_on_curve(effects, on_curve) for effects in of_seeds],
                self.measured.texts, mask, self.chance, self.seed, name,
            )
            for on_curve in (False, True)
        )  # fmt: skip
        by_mass = [row for row in curve[1] if row.rank is None]
        return Tables(main[0], main[1], by_mass, [row for row in curve[1] if row.rank is not None])

    def of_class(self, name: str, of_seeds: OfSeeds, number: int) -> list[ClassRow]:
        """Return the rows over the sentences of class `number`."""
        among = self.measured.groups_of == number
        label, sentences = self.measured.label_names[number], int(among.sum())
        return [
            ClassRow(**asdict(row), label=label, sentences=sentences) for row in self.of(name, of_seeds, among).rows
        ]


def _on_curve(effects: Mapping[Change, Effects], on_curve: bool) -> dict[Change, Effects]:
    """Return the effects of the changes that are on a curve, or of the others."""
    return {change: value for change, value in effects.items() if change.place.on_curve == on_curve}


def seeds_of(group: Group) -> Seeds:
    """Return what the JSON files say of a group."""
    names = [checkpoint.path.name for checkpoint in group.checkpoints]
    return Seeds(group.name, group.checkpoints[0].settings.method, names, group.seeds)


def _over_seeds(single: list[Tables], mean: Tables) -> Tables:
    """Return the tables of the mean over a group's seeds, with the spread of the seeds."""
    rows, curve, rank_curve = (
        over_seeds([getattr(one, kind) for one in single], getattr(mean, kind))
        for kind in ("rows", "curve", "rank_curve")
    )
    return Tables(mean.figures, rows, curve, rank_curve)


def _differences(groups: Sequence[tuple[Group, OfSeeds]], texts: np.ndarray, seed: int) -> list[DifferenceRow]:
    """Return how much more selective the first group is than each other."""
    first, of_first = groups[0]
    return corrected(
        [
            row
            for group, of_other in groups[1:]
            for row in paired(of_first, of_other, texts, seed, (first.name, group.name))
        ]
    )
