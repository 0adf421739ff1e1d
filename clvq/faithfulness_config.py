"""Settings of `clvq faithfulness`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from clvq.config import Settings, stated

EDITS = ("removal", "projection", "mean", "move")
PLACES = ("salient", "concept", "sentence", "all")
FIGURES = ("flips", "kl", "probability")
"""What selectivity is taken of."""
HARD = ("covariance", "own")
"""The controls that count."""

USED: dict[str, tuple[str, ...]] = {
    "splice": ("limit", "seed", "batch_tokens", "device", "trust_remote_code"),
    "probe": ("edit", "draws", "limit", "seed", "device", "trust_remote_code"),
    "paper": ("draws", "limit", "seed", "device", "trust_remote_code"),
}
"""Settings that mean something to a mode; all do to `model`."""


@dataclass(frozen=True)
class FaithfulnessConfig(Settings):
    """Which edits of concepts are tried where, and how often their controls are drawn."""

    # Each mode has a file of its own, so it does not decide between results of one file.
    mode: Literal["model", "splice", "probe", "paper"] = stated(
        "model",
        "model: concepts edited inside it; splice: the reconstruction put in; probe: edited sentence rows read by a "
        "probe; paper: the published probe, with what shows it to be an artefact.",
        result=False,
    )
    edit: str = stated("removal,projection", f"Edits, by comma: {', '.join(EDITS)}.")
    at: str = stated(
        "salient,sentence", "Places, by comma: salient, concept (words of the top word's), sentence (its row), all."
    )
    top: int = stated(5, "So many words are salient: those that speak most for the prediction.")
    mass: float | None = stated(
        None, "Instead, the fewest words with this share of what speaks for the prediction [--top]."
    )
    curve: bool = stated(False, "Also the salient words of every mass from 0.1 to 1.")
    to: int | None = stated(None, "Concept that move puts in [the surest one of another class than the predicted].")
    strength: float = stated(1.0, "How much of it, in its own distances from the mean; below 0 away from it.")
    draws: int = stated(3, "Draws of each random control.")
    label: str | None = stated(None, "Only sentences of this class.")
    limit: int | None = stated(None, "Only the first so many sentences.")
    seed: int = stated(0, "Of the draws and of the intervals.")
    batch_tokens: int = stated(4096, "Tokens in a batch, padding included.", result=False)
    device: str | None = stated(None, "cpu, cuda, cuda:1 ... [a GPU where there is one].", result=False)
    trust_remote_code: bool = stated(False, "Run model code that comes with a hub model.", result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.top >= 1, "--top must be 1 or more: without a salient word there is nothing to edit.")
        self.require(self.mass is None or 0 < self.mass <= 1, "--mass must be above 0 and at most 1.")
        self.require(math.isfinite(self.strength), "--strength must be a number.")
        for name in ("draws", "batch_tokens"):
            self.require(getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be 1 or more.")
        self.require(self.limit is None or self.limit >= 1, "--limit must be 1 or more.")
        self.require(self.seed >= 0, "--seed must not be negative.")
        for name, known in (("edit", EDITS), ("at", PLACES)):
            chosen = _listed(getattr(self, name))
            wrong = [entry for entry in chosen if entry not in known]
            self.require(
                bool(chosen) and not wrong,
                f"--{name} takes {', '.join(known)}, by comma; it is {getattr(self, name)!r}.",
            )
            self.require(len(set(chosen)) == len(chosen), f"--{name} names one twice: {getattr(self, name)}.")
        self.require(self.to is None or "move" in self.edits, "--to is for --edit move.")
        self.require(self.mode != "probe" or "move" not in self.edits, "--edit move is for --mode model, not probe.")

    @classmethod
    def resolve(cls, **named: Any) -> Self:
        """Settings where what the mode has no use for keeps its default."""
        unused = cls.unused(**named)
        return cls(**{name: value for name, value in named.items() if name not in unused})

    @classmethod
    def unused(cls, **named: Any) -> list[str]:
        """The settings among those named that the mode has no use for."""
        used = USED.get(named.get("mode", "model"))
        known = [item.name for item in fields(cls) if item.name in named and item.name != "mode"]
        return [] if used is None else [name for name in known if name not in used]

    @property
    def edits(self) -> tuple[str, ...]:
        return _listed(self.edit)

    @property
    def places(self) -> tuple[str, ...]:
        return _listed(self.at)


def _listed(text: str) -> tuple[str, ...]:
    """The entries of a list by comma."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
