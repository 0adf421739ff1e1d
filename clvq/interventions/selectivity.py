"""Figures made from what changes do to sentences: means, and the differences between edit and control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from clvq.config import FIGURES, HARD
from clvq.interventions.controls import CLASS_DIRECTION, INJECTIONS, TOLERANCE
from clvq.interventions.effects import Change, Effects
from clvq.interventions.intervals import difference_intervals, holm, paired_intervals
from clvq.interventions.records import DifferenceRow, EffectRow, SeedsRow, SelectivityRow


def table(
    of_seeds: Sequence[Mapping[Change, Effects]],
    texts: np.ndarray,
    among: np.ndarray,
    chance: float | None,
    seed: int,
    checkpoint: str = "",
) -> tuple[list[EffectRow], list[SelectivityRow]]:
    """Return (figures, rows) of a checkpoint, or of several that differ in their seed.

    Each place is measured over those of the sentences `among` `[S]` that have something to edit there. Figures have a
    line for each edit, place and control. Rows have a line for each figure of a control, with its selectivity.
    """
    effects = mean_effects(of_seeds)
    figures: list[EffectRow] = []
    rows: list[SelectivityRow] = []
    for edit, place in dict.fromkeys((change.edit, change.place) for change in effects):
        concept = effects[Change(edit, place, None)]
        mask = among & (concept.tokens > 0)
        if not mask.any():
            continue
        where: dict[str, Any] = {"checkpoint": checkpoint, "edit": edit, "place": place.kind, "mass": place.mass}
        controls = [change.control for change in effects if (change.edit, change.place) == (edit, place)]
        for control in controls:
            changed = effects[Change(edit, place, control)]
            means = {**_means(changed, mask, chance), **_taken(changed, mask)}
            figures.append(EffectRow(**where, control=control, **means))
        compared = [Change(edit, place, control) for control in controls if control is not None]
        values = paired_intervals(differences(of_seeds, compared)[:, mask], texts[mask], seed)
        for number, (change, name) in enumerate((change, name) for change in compared for name in FIGURES):
            reason = unmatched(effects, change, mask)
            middle, low, high = (None if reason else float(value[number]) for value in values)
            rows.append(
                SelectivityRow(
                    **where, rank=place.rank, figure=name, control=str(change.control),
                    concept=float(getattr(concept, name)[mask].mean()),
                    control_value=float(getattr(effects[change], name)[mask].mean()),
                    selectivity=middle, low=low, high=high, reason=reason,
                )
            )  # fmt: skip
    return figures, rows


def mean_effects(of_seeds: Sequence[Mapping[Change, Effects]]) -> dict[Change, Effects]:
    """Return the means over seeds, sentence by sentence, of the changes that all seeds have."""
    shared = [change for change in of_seeds[0] if all(change in effects for effects in of_seeds)]
    return {change: Effects.mean([effects[change] for effects in of_seeds]) for change in shared}


def over_seeds(of_seeds: Sequence[list[SelectivityRow]], mean: list[SelectivityRow]) -> list[SelectivityRow]:
    """Return the rows of the mean over seeds, each with the spread of the seeds' own selectivities."""
    selectivities = [{row.key: row.selectivity for row in rows} for rows in of_seeds]
    rows: list[SelectivityRow] = []
    for row in mean:
        values = [by_key[row.key] for by_key in selectivities]
        spread = None if None in values else float(np.std(values, ddof=1))  # type: ignore[arg-type]
        rows.append(SeedsRow(**asdict(row), spread=spread, seeds=len(selectivities)))
    return rows


def differences(of_seeds: Sequence[Mapping[Change, Effects]], compared: Sequence[Change]) -> np.ndarray:
    """Return `[M, S, F]`: concept minus control for each seed and sentence, a column for each control and figure."""
    return np.stack(
        [
            np.stack(
                [
                    getattr(effects[change._replace(control=None)], name) - getattr(effects[change], name)
                    for change in compared
                    for name in FIGURES
                ],
                axis=1,
            )
            for effects in of_seeds
        ]
    )


def unmatched(effects: Mapping[Change, Effects], change: Change, mask: np.ndarray) -> str | None:
    """Say why there is no selectivity against a control; None where there is one."""
    if change.control in INJECTIONS:
        return "putting another concept in is not a null control"
    if change.control == CLASS_DIRECTION:
        return "a step along the class direction is not a null control"
    edit, control = (_distance(effects[which], mask) for which in (change._replace(control=None), change))
    if abs(edit - control) <= TOLERANCE * edit:
        return None
    return f"moves a word by {control:.3g} on average, and the edit by {edit:.3g}"


def paired(
    first: Sequence[Mapping[Change, Effects]],
    second: Sequence[Mapping[Change, Effects]],
    texts: np.ndarray,
    seed: int,
    names: tuple[str, str] = ("", ""),
) -> list[DifferenceRow]:
    """Return the selectivity of `first` minus that of `second`, each of one seed or several.

    It is taken over the sentences that both edit; there is no row where one of the two has no selectivity. `names` are
    the names of the two. `p_holm` is filled in by `corrected`.
    """
    rows = []
    means = [mean_effects(of_seeds) for of_seeds in (first, second)]
    for change in means[0]:
        if change.control is None or change.place.on_curve or change not in means[1]:
            continue
        concepts = [effects[change._replace(control=None)] for effects in means]
        mask = (concepts[0].tokens > 0) & (concepts[1].tokens > 0)
        if not mask.any() or any(unmatched(effects, change, mask) for effects in means):
            continue
        ours, theirs = (differences(of_seeds, [change])[:, mask] for of_seeds in (first, second))
        values = difference_intervals(ours, theirs, texts[mask], seed)
        distances = [_distance(concept, mask) for concept in concepts]
        for name, middle, low, high, p in zip(FIGURES, *(value.tolist() for value in values), strict=True):
            where = (change.edit, change.place.kind, name, change.control)
            rows.append(
                DifferenceRow(
                    *names, *where, difference=middle, low=low, high=high, distance=distances[0],
                    other_distance=distances[1], sentences=int(mask.sum()), p=p, p_holm=None,
                )
            )  # fmt: skip
    return rows


def corrected(rows: Sequence[DifferenceRow]) -> list[DifferenceRow]:
    """Return the rows, with p of flips and KL against the hard controls corrected for their number (Holm)."""
    claimed = [row for row in rows if row.control in HARD and row.figure in FIGURES[:2]]
    adjusted = dict(zip(map(id, claimed), holm([row.p for row in claimed]), strict=True))
    return [replace(row, p_holm=adjusted.get(id(row))) for row in rows]


def _means(effects: Effects, mask: np.ndarray, chance: float | None) -> dict[str, Any]:
    correct = effects.correct[mask]
    labelled = correct[~np.isnan(correct)]
    accuracy = float(labelled.mean()) if len(labelled) and chance is not None else None
    return {
        "sentences": int(mask.sum()),
        "tokens": int(effects.tokens[mask].sum()),
        "accuracy": accuracy,
        "from_chance": None if accuracy is None or chance is None else abs(accuracy - chance),
        **{name: float(getattr(effects, name)[mask].mean()) for name in FIGURES},
        "distance": _distance(effects, mask),
    }


def _taken(effects: Effects, mask: np.ndarray) -> dict[str, Any]:
    """Return means over the changed tokens of what the edit takes out; None where it takes out no directions."""
    tokens, rank = effects.tokens[mask].sum(), effects.rank[mask].sum()
    energy = effects.energy[mask].sum()
    return {"rank": float(rank / tokens) if rank else None, "energy": float(energy / tokens) if rank else None}


def _distance(effects: Effects, mask: np.ndarray) -> float:
    """Return how far a changed token moved on average, in the language model's units."""
    return float(effects.distance[mask].sum() / effects.tokens[mask].sum())
