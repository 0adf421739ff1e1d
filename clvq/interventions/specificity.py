"""Whether a concept of one class changes that class alone, where the model has more than two classes.

A code stands for the class that is over-represented among its training sentences. The sentences measured are those
with words of codes of the predicted class A, and words of codes of other classes. Two removals are made in each
(centred, everywhere in the sentence): of all concepts of A, and of all concepts of other classes. With s the
log-probabilities `[C]`, and `m(s) = s_A - mean of the other s_c`

    cause        whether the prediction changes when A's concepts are removed           (1 is best)
    isolation    whether it stays the same when the other classes' concepts are removed (1 is best)
    both         the mean of the two, as RAVEL's score is (Huang et al. 2024, arXiv 2402.17700)
    targeted     m before - m after A's concepts are removed: how much A falls, minus the mean fall of the other
                 classes, as in targeted probe perturbation (arXiv 2503.09532), in nats
    spillover    the same when the other classes' concepts are removed; 0 or below is best

With two classes, what lowers one raises the other, so that no removal can change one class alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from clvq.concepts.codebook import Codebook
from clvq.interventions.in_model import Interventions
from clvq.interventions.intervals import SHARES, paired_intervals, within
from clvq.interventions.places import Place, Subject
from clvq.interventions.records import SPECIFICITY, Interval, SpecificityRow
from clvq.language_model.answers import Target

EVERYWHERE = Place("all")


class Specific(NamedTuple):
    """What the two removals do to each sentence `[S]`."""

    figures: np.ndarray
    """[S, F] the figures SPECIFICITY; NaN for a sentence that lacks either kind of word."""
    words: np.ndarray
    """[S, 2] how many words are edited: of the predicted class, and of other classes."""


def lacking(target: Target) -> str | None:
    """Say why specificity cannot be measured for a target; None where it can."""
    if not target.is_choice or target.names is None or target.has_parts:
        return f"specificity is defined for classes, and the model is asked for the {target.kind}"
    if target.count <= 2:
        return f"specificity needs three classes or more: with {target.count} classes, what lowers one raises the other"
    return None


def classes_of(concepts: Codebook) -> dict[int, int]:
    """Return the class that each code stands for, by predictions on the training split, or by labels where there are no
    predictions. Codes that stand for no class are left out."""
    stands_for = {concept.code: concept.predictions or concept.labels for concept in concepts.concepts}
    fdr = concepts.summary.fdr
    return {code: one.label for code, one in stands_for.items() if one is not None and one.is_significant(fdr)}


def specific(
    interventions: Interventions, subjects: Sequence[Subject], classes: Mapping[int, int], rank: int = 1
) -> Specific:
    """Return what both removals do to the subjects; `classes` says which class a code stands for."""
    sides = [[_kept(subject, classes, own) for subject in subjects] for own in (True, False)]
    words = np.array([[len(EVERYWHERE.words(side)) for side in both] for both in zip(*sides, strict=True)])
    figures = np.full((len(subjects), len(SPECIFICITY)), np.nan)
    able = np.flatnonzero((words > 0).all(axis=1)).tolist()
    if not able:
        return Specific(figures, words)
    predicted = torch.tensor([subjects[number].prediction for number in able])
    falls, stays = [], []
    for side in sides:
        clean, changed = (
            part.double().cpu() for part in interventions.answers([side[number] for number in able], EVERYWHERE, rank)
        )
        falls.append(_margin(clean, predicted) - _margin(changed, predicted))
        stays.append((changed.argmax(dim=1) == predicted).double())
    cause, isolation = 1 - stays[0], stays[1]
    figures[able] = torch.stack([cause, isolation, (cause + isolation) / 2, *falls], dim=1).numpy()
    return Specific(figures, words)


def specificity_rows(
    name: str, of_seeds: Sequence[Specific], predicted: np.ndarray, names: Sequence[str], texts: np.ndarray, seed: int
) -> list[SpecificityRow]:
    """Return a row for all classes, and one for each of the predicted classes `[S]`.

    They are over the sentences that have both kinds of words with all seeds; there is no row without such a sentence.
    """
    able = np.all([~np.isnan(one.figures).any(axis=1) for one in of_seeds], axis=0)
    rows = []
    for number in (None, *np.unique(predicted[able]).tolist()):
        mask = able if number is None else able & (predicted == number)
        if not mask.any():
            continue
        values = paired_intervals(np.stack([one.figures[mask] for one in of_seeds]), texts[mask], seed)
        figures = {
            figure: within(Interval(*ends), SHARES if figure in ("cause", "isolation", "both") else None)
            for figure, *ends in zip(SPECIFICITY, *(value.tolist() for value in values), strict=True)
        }
        own, others = np.mean([one.words[mask].mean(axis=0) for one in of_seeds], axis=0).tolist()
        label = None if number is None else names[number]
        rows.append(SpecificityRow(name, label, int(mask.sum()), own, others, **figures))
    return rows


def _kept(subject: Subject, classes: Mapping[int, int], own: bool) -> Subject:
    """Return the subject with only the codes of its predicted class (`own`), or only those of other classes."""
    stands_for = [None if code is None else classes.get(code) for code in subject.codes]
    kept = [one is not None and (one == subject.prediction) == own for one in stands_for]
    return subject._replace(codes=[code if keep else None for code, keep in zip(subject.codes, kept, strict=True)])


def _margin(answers: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Return `[S]`: the answer for class `predicted` `[S]` minus the mean of the others, from answers `[S, C]`."""
    own = answers.gather(1, predicted[:, None])[:, 0]
    return own - (answers.sum(dim=1) - own) / (answers.shape[1] - 1)
