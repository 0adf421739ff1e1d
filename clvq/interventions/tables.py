"""From what edits do to each sentence to the figures of faithfulness.json: a checkpoint, a class, a mass, a seed at a
time, and checkpoints beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from clvq.config import FaithfulnessConfig
from clvq.interventions.effects import Change, Effects
from clvq.interventions.names import names_of
from clvq.interventions.records import ClassRow, Clean, DifferenceRow, Seeds, Tables
from clvq.interventions.results import EditResults
from clvq.interventions.selectivity import over_seeds, paired, table
from clvq.interventions.sentence_effects import Group, SentenceEffects


def results_of(measured: SentenceEffects, config: FaithfulnessConfig) -> EditResults:
    """Return all figures of faithfulness.json."""
    tables = _Tables(measured, config.seed)
    single = [
        tables.of(checkpoint.path.name, effects)
        for checkpoint, effects in zip(measured.checkpoints, measured.effects, strict=True)
    ]
    groups = [(group, measured.of(group)) for group in measured.groups]
    return EditResults(
        model={"id": measured.model.model_id, "fingerprint": measured.model.fingerprint},
        checkpoints=[
            {"name": checkpoint.path.name, "fingerprint": checkpoint.fingerprint} for checkpoint in measured.checkpoints
        ],
        groups=[_seeds(group) for group, _ in groups],
        clean=tables.clean,
        names=names_of(config),
        tables=Tables.joined(single),
        seeds=Tables.joined(
            _over_seeds([single[number] for number in group.members], tables.of(group.name, effects))
            for group, effects in groups
            if len(group.members) > 1
        ),
        by_class=[
            row
            for number in np.unique(tables.labels).tolist()
            for group, effects in groups
            for row in tables.of_class(group.name, effects, number)
        ],
        differences=_differences(groups, measured.texts, config.seed),
    )


class _Tables:
    """Lines of a checkpoint, or of a group."""

    def __init__(self, measured: SentenceEffects, seed: int) -> None:
        self.measured, self.seed = measured, seed
        self.labels = measured.labels[measured.labels >= 0]
        """Of the sentences that have one."""

    @property
    def clean(self) -> Clean:
        labels, texts = self.measured.labels, self.measured.texts
        right = (self.measured.predicted == labels)[labels >= 0]
        return Clean(len(texts), len(np.unique(texts)), float(right.mean()) if len(right) else None, self.chance)

    @property
    def chance(self) -> float | None:
        return float(np.bincount(self.labels).max() / len(self.labels)) if len(self.labels) else None

    def of(self, name: str, effects: Mapping[Change, Effects], among: np.ndarray | None = None) -> Tables:
        """Over the sentences `among` `[S]`, or all."""
        mask = np.ones(len(self.measured.texts), bool) if among is None else among
        main, curve = (
            table(
                {change: value for change, value in effects.items() if change.place.on_curve == on_curve},
                self.measured.texts, mask, self.chance, self.seed, name,
            )
            for on_curve in (False, True)
        )  # fmt: skip
        return Tables(main[0], main[1], curve[1])

    def of_class(self, name: str, effects: Mapping[Change, Effects], number: int) -> list[ClassRow]:
        """Over the sentences of a class."""
        among = self.measured.labels == number
        label, sentences = self.measured.label_names[number], int(among.sum())
        return [ClassRow(**asdict(row), label=label, sentences=sentences) for row in self.of(name, effects, among).rows]


def _seeds(group: Group) -> Seeds:
    names = [checkpoint.path.name for checkpoint in group.checkpoints]
    return Seeds(group.name, group.checkpoints[0].settings.method, names, group.seeds)


def _over_seeds(single: list[Tables], mean: Tables) -> Tables:
    """Return the mean over a group's seeds, with their spread."""
    rows, curve = (
        over_seeds([getattr(one, kind) for one in single], getattr(mean, kind)) for kind in ("rows", "curve")
    )
    return Tables(mean.figures, rows, curve)


def _differences(
    groups: list[tuple[Group, Mapping[Change, Effects]]], texts: np.ndarray, seed: int
) -> list[DifferenceRow]:
    """Return how much more selective the first group is than each other."""
    first, effects = groups[0]
    return [row for group, other in groups[1:] for row in paired(effects, other, texts, seed, (first.name, group.name))]
