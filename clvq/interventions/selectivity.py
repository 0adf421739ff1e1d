"""From what changes do to sentences to the figures: means, and the differences between edit and control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from clvq.config import FIGURES
from clvq.interventions.controls import INJECTIONS, TOLERANCE
from clvq.interventions.effects import Change, Effects
from clvq.interventions.intervals import paired_intervals
from clvq.interventions.places import Place
from clvq.interventions.records import DifferenceRow, EffectRow, SeedsRow, SelectivityRow


def table(
    effects: Mapping[Change, Effects],
    texts: np.ndarray,
    among: np.ndarray,
    chance: float | None,
    seed: int,
    checkpoint: str = "",
) -> tuple[list[EffectRow], list[SelectivityRow]]:
    """Return (figures, rows) of a checkpoint over those of the sentences `among` `[S]` that each place has something to
    edit in.

    Figures have a line for each edit, place and control. Rows have one for each figure of these, with its selectivity.
    """
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
            figures.append(
                EffectRow(**where, control=control, **_means(changed, mask, chance), **_taken(changed, mask))
            )
        compared = [control for control in controls if control is not None]
        values = paired_intervals(
            np.stack([pair for control in compared for pair in differences(effects, edit, place, control)], 1)[mask],
            texts[mask],
            seed,
        )
        for number, (control, name) in enumerate((control, name) for control in compared for name in FIGURES):
            reason = unmatched(effects, edit, place, control, mask)
            middle, low, high = (None if reason else float(value[number]) for value in values)
            control_value = float(getattr(effects[Change(edit, place, control)], name)[mask].mean())
            rows.append(
                SelectivityRow(
                    **where, figure=name, control=control, concept=float(getattr(concept, name)[mask].mean()),
                    control_value=control_value, selectivity=middle, low=low, high=high, reason=reason,
                )
            )  # fmt: skip
    return figures, rows


def over_seeds(of_seeds: Sequence[list[SelectivityRow]], mean: list[SelectivityRow]) -> list[SelectivityRow]:
    """Return the rows of the mean over seeds, each with how the seeds' own selectivities spread."""
    selectivities = [{row.key: row.selectivity for row in rows} for rows in of_seeds]
    rows: list[SelectivityRow] = []
    for row in mean:
        values = [by_key[row.key] for by_key in selectivities]
        spread = None if None in values else float(np.std(values, ddof=1))  # type: ignore[arg-type]
        rows.append(SeedsRow(**asdict(row), spread=spread, seeds=len(selectivities)))
    return rows


def differences(effects: Mapping[Change, Effects], edit: str, place: Place, control: str) -> list[np.ndarray]:
    """`[S]` concept minus control, for each of FIGURES."""
    concept, other = effects[Change(edit, place, None)], effects[Change(edit, place, control)]
    return [getattr(concept, name) - getattr(other, name) for name in FIGURES]


def unmatched(effects: Mapping[Change, Effects], edit: str, place: Place, control: str, mask: np.ndarray) -> str | None:
    """Why there is no selectivity against a control; None where there is."""
    if control in INJECTIONS:
        return "another concept put in is no null"
    own, other = (_distance(effects[Change(edit, place, which)], mask) for which in (None, control))
    if abs(own - other) <= TOLERANCE * own:
        return None
    return f"moves {other:.3g} on average, not {own:.3g} as the edit does"


def paired(
    first: Mapping[Change, Effects],
    second: Mapping[Change, Effects],
    texts: np.ndarray,
    seed: int,
    names: tuple[str, str] = ("", ""),
) -> list[DifferenceRow]:
    """Return the selectivity of `first` minus that of `second`, over the sentences that both edit, where both have one.

    `names` are what the two are called.
    """
    rows = []
    for edit, place, control in first:
        if control is None or place.on_curve or Change(edit, place, control) not in second:
            continue
        concepts = [effects[Change(edit, place, None)] for effects in (first, second)]
        mask = (concepts[0].tokens > 0) & (concepts[1].tokens > 0)
        if not mask.any() or any(unmatched(effects, edit, place, control, mask) for effects in (first, second)):
            continue
        pairs = zip(*(differences(effects, edit, place, control) for effects in (first, second)), strict=True)
        values = paired_intervals(np.stack([one - other for one, other in pairs], 1)[mask], texts[mask], seed)
        distances = [_distance(concept, mask) for concept in concepts]
        for name, middle, low, high in zip(FIGURES, *(value.tolist() for value in values), strict=True):
            figures = (middle, low, high, *distances, int(mask.sum()))
            rows.append(DifferenceRow(*names, edit, place.kind, name, control, *figures))
    return rows


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
    """Means over the changed tokens of what the edit takes out; None of what takes nothing out by directions."""
    tokens, rank = effects.tokens[mask].sum(), effects.rank[mask].sum()
    energy = effects.energy[mask].sum()
    return {"rank": float(rank / tokens) if rank else None, "energy": float(energy / tokens) if rank else None}


def _distance(effects: Effects, mask: np.ndarray) -> float:
    """Mean over the changed tokens of how far each moved, in the language model's units."""
    return float(effects.distance[mask].sum() / effects.tokens[mask].sum())
