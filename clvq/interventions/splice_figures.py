"""Figures of spliced answers beside clean ones, sentence by sentence and over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq.activations.store import SentenceRows
from clvq.interventions.intervals import paired_intervals
from clvq.interventions.outcomes import correct, divergence, flipped

OTHERS = ("clean", "ablated")
"""What stands where no row is."""


def outcome(prefix: str, logits: Tensor, clean: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Figures `[B]` of an answer beside the clean one; NaN for those of labels where there is none (`truth` -1)."""
    changed, expected = logits.double().log_softmax(dim=1), clean.double().log_softmax(dim=1)
    of_truth = -changed.gather(1, truth.clamp_min(0)[:, None])[:, 0]
    return {
        f"{prefix}agreement": ~flipped(clean, logits),
        f"{prefix}kl": divergence(expected, changed),
        f"{prefix}loss": -changed.gather(1, clean.argmax(dim=1, keepdim=True))[:, 0],
        f"{prefix}accuracy": correct(changed, truth),
        f"{prefix}loss_labels": torch.where(truth >= 0, of_truth, torch.nan),
    }


def figures_of(records: Sequence[dict[str, float]], rows: Sequence[SentenceRows], seed: int) -> dict[str, Any]:
    """Means over the sentences, with intervals."""
    columns = {name: np.array([record[name] for record in records]) for name in records[0]}
    numbers: dict[str, int] = {}
    texts = np.array([numbers.setdefault(row.text, len(numbers)) for row in rows])
    known = ~np.isnan(columns["accuracy"])

    def mean(name: str) -> dict[str, float] | None:
        """Over all sentences, or those with a label."""
        return _interval(columns[name][known], texts[known], seed) if known.any() else None

    def share(others: str, loss: str, chosen: np.ndarray) -> dict[str, float] | None:
        clean, spliced, ablated = (
            columns[name][chosen] for name in (loss, f"{others} spliced {loss}", f"{others} ablated {loss}")
        )
        cost = _interval(ablated - clean, texts[chosen], seed) if chosen.any() else None
        if cost is None or cost["low"] <= 0:
            return None
        recovered = ablated - spliced
        value = float(recovered.mean()) / cost["value"]
        return _interval(value + (recovered - value * (ablated - clean)) / cost["value"], texts[chosen], seed)

    everything = np.ones(len(texts), bool)
    found: dict[str, Any] = {}
    for others in OTHERS:
        found[others] = {
            "share_recovered": share(others, "loss", everything),
            "share_recovered_labels": share(others, "loss_labels", known),
            "loss_clean": float(columns["loss"].mean()),
        }
        for name in ("spliced", "ablated"):
            found[others][name] = {
                **{f: _interval(columns[f"{others} {name} {f}"], texts, seed) for f in ("agreement", "kl", "loss")},
                "accuracy": mean(f"{others} {name} accuracy"),
            }
    return {
        "distinct_texts": len(numbers),
        "tokens": int(columns["tokens"].sum()),
        "tokens_of_rows": int(columns["tokens_of_rows"].sum()),
        "accuracy": mean("accuracy"),
        "others": found,
    }


def _interval(values: np.ndarray, texts: np.ndarray, seed: int) -> dict[str, float]:
    value, low, high = paired_intervals(values[:, None], texts, seed)
    return {"value": float(value[0]), "low": float(low[0]), "high": float(high[0])}
