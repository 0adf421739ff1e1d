"""The settings of `clvq steer`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from clvq.config.settings import DEVICE, MODEL, NOT_NEGATIVE, POSITIVE, SEED, TRUST, Bounds, Settings, stated

Where = Literal["words", "concept", "all"]


@dataclass(frozen=True)
class SteerConfig(Settings):
    """How strongly concepts are removed from a text and added to it, where, and what that is compared with.

        print(clvq.SteerConfig(strength=2.0).draws)

    `clvq.steer` takes them as keywords.
    """

    strength: float = stated(
        1.0,
        "How many times the concepts of --add are put in; without --add, how much of those of --remove is taken out "
        "(1 is all).",
        Bounds(at_least=0),
    )
    at: Where = stated(
        "words",
        "Where the states are edited. words: at every word; concept: at the words that have a code of --remove; all: "
        "at every token, and at those that are generated.",
    )
    label: str | None = stated(
        None, "With a model that gives several labels: the label that it is asked for, yes or no."
    )
    draws: int = stated(200, "Number of random steps of the same length, as a control.", POSITIVE)
    seed: int = stated(0, "Seed of these steps.", SEED)
    tokens: int = stated(0, "Number of tokens to generate, before and after; for causal language models.", NOT_NEGATIVE)
    model: str | None = stated(None, MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.strength), f"--strength must be a finite number; it is {self.strength}.")
