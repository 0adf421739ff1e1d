"""Figures of spliced answers compared with clean ones, sentence by sentence and over all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from clvq.interventions.intervals import interval_of
from clvq.interventions.mode_records import Answer, Spliced
from clvq.interventions.records import Interval
from clvq.language_model.answers import Target

OTHERS = ("clean", "ablated")
"""What is put at tokens without a row."""


def outcome(prefix: str, scores: Tensor, clean: Tensor, truth: Tensor, target: Target) -> dict[str, Tensor]:
    """Return figures `[B]` of an answer compared with the clean one.

    Figures that need a label are NaN where there is none (`Target.truth`).
    """
    changed, expected = target.compared(scores.double()), target.compared(clean.double())
    return {
        f"{prefix}agreement": ~target.flipped(expected, changed),
        f"{prefix}kl": target.divergence(expected, changed),
        f"{prefix}loss": target.loss(expected, changed),
        f"{prefix}accuracy": target.correct(changed, truth),
        f"{prefix}loss_labels": target.label_loss(changed, truth),
    }


class Figures:
    """Means over answers, with intervals over distinct texts."""

    def __init__(self, columns: dict[str, np.ndarray], texts: Sequence[str], seed: int) -> None:
        """Take what `outcome` gave for each answer (`columns` `[S]`), and the `texts` `[S]` that were answered."""
        self.seed = seed
        self.columns = columns
        numbers: dict[str, int] = {}
        self.texts = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
        self.distinct_texts = len(numbers)
        # A score with a label has a loss but no accuracy, and a token of a text an accuracy but no second loss.
        self.labelled = ~np.isnan(self.columns.get("loss_labels", self.columns["accuracy"]))
        self.everything = np.ones(len(self.texts), bool)

    def mean(self, name: str) -> Interval | None:
        """Return the mean over all answers, or over those with an accuracy; None where there are none."""
        column = self.columns[name]
        among = ~np.isnan(column) if name.endswith("accuracy") else self.everything
        return interval_of(column[among], self.texts[among], self.seed) if among.any() else None

    def of(self, others: str) -> Spliced:
        """Return the figures with `others`, one of OTHERS, at the tokens without a row."""
        spliced, ablated = (
            Answer(*(self.mean(f"{others} {state} {name}") for name in ("agreement", "kl", "loss", "accuracy")))  # type: ignore[arg-type]
            for state in ("spliced", "ablated")
        )
        return Spliced(
            share_recovered=self._share(others, "loss", self.everything),
            share_recovered_labels=(
                self._share(others, "loss_labels", self.labelled) if "loss_labels" in self.columns else None
            ),
            loss_clean=float(self.columns["loss"].mean()),
            spliced=spliced,
            ablated=ablated,
        )

    def _share(self, others: str, loss: str, among: np.ndarray) -> Interval | None:
        """Return the share of the loss recovered; None where it is not sure that the ablation costs any loss.

        Its interval is that of its linearization about the means.
        """
        clean, spliced, ablated = (
            self.columns[name][among] for name in (loss, f"{others} spliced {loss}", f"{others} ablated {loss}")
        )
        texts = self.texts[among]
        cost = interval_of(ablated - clean, texts, self.seed) if among.any() else None
        if cost is None or cost.low <= 0:
            return None
        recovered = ablated - spliced
        value = float(recovered.mean()) / cost.value
        return interval_of(value + (recovered - value * (ablated - clean)) / cost.value, texts, self.seed)
