"""From what edits do to each sentence to the figures of faithfulness.json: a checkpoint, a class, a mass, a seed at a
time, and checkpoints beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clvq.artifacts import stamp
from clvq.config import FaithfulnessConfig
from clvq.interventions.effects import Change, Effects
from clvq.interventions.plan import names_of
from clvq.interventions.selectivity import over_seeds, paired, table
from clvq.interventions.sentence_effects import Group, SentenceEffects

Lines = list[dict[str, Any]]


def tables(found: SentenceEffects, config: FaithfulnessConfig) -> dict[str, Any]:
    """All figures of faithfulness.json."""
    known = found.labels[found.labels >= 0]
    chance = float(np.bincount(known).max() / len(known)) if len(known) else None
    groups, seed = found.groups, config.seed
    of_groups = [found.of(group) for group in groups]
    each = _Tables(found, seed, chance)
    single = [
        each.of(checkpoint.path.name, effects)
        for checkpoint, effects in zip(found.checkpoints, found.effects, strict=True)
    ]
    several = [
        _seeds(group, single, each.of(group.name, effects))
        for group, effects in zip(groups, of_groups, strict=True)
        if len(group.members) > 1
    ]
    by_class: Lines = []
    for number in np.unique(known).tolist():
        of_class = found.labels == number
        head = {"label": found.label_names[number], "sentences": int(of_class.sum())}
        for group, effects in zip(groups, of_groups, strict=True):
            by_class += [{**head, **line} for line in each.of(group.name, effects, of_class)["rows"]]
    return {
        "model": {"id": found.model.model_id, "fingerprint": found.model.fingerprint},
        "checkpoints": [
            {"name": checkpoint.path.name, "fingerprint": checkpoint.fingerprint} for checkpoint in found.checkpoints
        ],
        "groups": [
            {
                "name": group.name,
                "method": group.checkpoints[0].settings.method,
                "checkpoints": [checkpoint.path.name for checkpoint in group.checkpoints],
                "seeds": group.seeds,
            }
            for group in groups
        ],
        "clean": {
            "sentences": len(found.texts),
            "distinct_texts": len(np.unique(found.texts)),
            "accuracy": float((found.predicted == found.labels)[found.labels >= 0].mean()) if len(known) else None,
            "chance": chance,
        },
        "names": names_of(config),
        **_joined(single),
        "seeds": _joined(several),
        "by_class": by_class,
        "differences": [
            {"checkpoint": groups[0].name, "other": other.name, **line}
            for other, effects in zip(groups[1:], of_groups[1:], strict=True)
            for line in paired(of_groups[0], effects, found.texts, seed)
        ],
        **stamp(),
    }


class _Tables:
    """Figures, rows and curve of a checkpoint, or of a group."""

    def __init__(self, found: SentenceEffects, seed: int, chance: float | None) -> None:
        self.found, self.seed, self.chance = found, seed, chance

    def of(self, name: str, effects: Mapping[Change, Effects], chosen: np.ndarray | None = None) -> dict[str, Lines]:
        """Over the `chosen` `[S]` sentences."""
        mask = np.ones(len(self.found.texts), bool) if chosen is None else chosen
        main, curve = (
            table(
                {change: value for change, value in effects.items() if change.place.on_curve == on_curve},
                self.found.texts, mask, self.chance, self.seed,
            )
            for on_curve in (False, True)
        )  # fmt: skip
        found = {"figures": main[0], "rows": main[1], "curve": curve[1]}
        return {kind: [{"checkpoint": name, **line} for line in lines] for kind, lines in found.items()}


def _seeds(group: Group, single: list[dict[str, Lines]], mean: dict[str, Lines]) -> dict[str, Lines]:
    """The mean over a group's seeds, and their spread."""
    own = [single[number] for number in group.members]
    spread = {kind: over_seeds([one[kind] for one in own], mean[kind]) for kind in ("rows", "curve")}
    return {"figures": mean["figures"], **spread}


def _joined(several: list[dict[str, Lines]]) -> dict[str, Lines]:
    return {kind: [line for one in several for line in one[kind]] for kind in ("figures", "rows", "curve")}
