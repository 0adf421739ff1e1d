"""Settings of `clvq faithfulness`."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.config import Settings, stated

EDITS = ("removal", "projection", "mean", "move")
PLACES = ("salient", "concept", "sentence", "all")


@dataclass(frozen=True)
class FaithfulnessConfig(Settings):
    """Which edits of concepts are tried where, and how often their controls are drawn."""

    edit: str = stated("removal,projection", f"Edits, by comma: {', '.join(EDITS)}.")
    at: str = stated("salient,sentence", f"Places, by comma: {', '.join(PLACES)} (words of the top word's concept).")
    top: int = stated(5, "So many words are salient: those that speak most for the prediction.")
    mass: float | None = stated(
        None, "Instead, the fewest words with this share of what speaks for the prediction [--top]."
    )
    curve: bool = stated(False, "Also the salient words of every mass from 0.1 to 1.")
    to: int | None = stated(None, "Concept that move puts in [the surest one of another class than the predicted].")
    strength: float = stated(1.0, "How much of it, in its own distances from the mean.")
    draws: int = stated(3, "Draws of each random control.")
    label: str | None = stated(None, "Only sentences of this class.")
    limit: int | None = stated(None, "Only the first so many explained sentences.")
    seed: int = stated(0, "Of the draws and of the intervals.")
    batch_tokens: int = stated(4096, "Tokens in a batch, padding included.", result=False)
    device: str | None = stated(None, "cpu, cuda, cuda:1 ... [a GPU where there is one].", result=False)
    trust_remote_code: bool = stated(False, "Run model code that comes with a hub model.", result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.top >= 1, "--top must be 1 or more: without a salient word there is nothing to edit.")
        self.require(self.mass is None or 0 < self.mass <= 1, "--mass must be above 0 and at most 1.")
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

    @property
    def edits(self) -> tuple[str, ...]:
        return _listed(self.edit)

    @property
    def places(self) -> tuple[str, ...]:
        return _listed(self.at)


def _listed(text: str) -> tuple[str, ...]:
    """The entries of a list by comma."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
