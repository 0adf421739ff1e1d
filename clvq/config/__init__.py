"""All settings: a dataclass for each command, and a field for each setting, with its meaning and bounds.

The options of the command line, the reference page and the signatures of the public functions are made from these. In a
meaning, square brackets hold what is used where the setting is not given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from clvq.config.assign import AssignConfig
from clvq.config.bench import BenchConfig
from clvq.config.extraction import DEMO, ExtractConfig, Quoting, WordMethod
from clvq.config.settings import (
    ABOVE_ZERO,
    BATCH,
    CORPUS,
    DEVICE,
    EVAL_ALONE,
    EVAL_CORPUS,
    MODEL,
    POSITIVE,
    SEED,
    SHARE,
    TRUST,
    Bounds,
    Settings,
    differences,
    listed,
    stated,
)
from clvq.config.steer import SteerConfig
from clvq.config.training import LATENT_METHODS, PAPER, SENSITIVITY_WEIGHTS, UNUSED, TrainConfig

__all__ = [
    "DEMO", "LATENT_METHODS", "PAPER", "SENSITIVITY_WEIGHTS", "UNUSED", "AssignConfig", "BenchConfig", "ExplainConfig",
    "ExtractConfig", "FaithfulnessConfig", "Quoting", "Settings", "SteerConfig", "TrainConfig", "WordMethod",
    "differences",
]  # fmt: skip

Baseline = Literal["padding", "zero"]
By = Literal["edit", "concept"]
Controls = Literal["nulls", "all"]
Mode = Literal["model", "splice", "probe", "paper"]

_MASS = "the smallest set of words with this share of all attribution in favour of the prediction"


@dataclass(frozen=True)
class ExplainConfig(Settings):
    """The settings of explanations: how predictions are attributed to words, and which words are salient.

        print(clvq.ExplainConfig(steps=20).baseline)

    `clvq.explain` takes them as keywords.
    """

    baseline: Baseline = stated(
        "padding", "Start of the integrated gradients: the states of a text of padding, or zeros."
    )
    completeness: float = stated(
        0.05,
        "Allowed error of the sum of attributions, as a share of the change of the logit that the sum should equal. "
        "Above this error the number of steps is doubled.",
        ABOVE_ZERO,
    )
    steps: int = stated(8, "Number of integration steps to begin with.", POSITIVE)
    max_steps: int = stated(512, "Largest number of integration steps.", POSITIVE)
    mass: float | None = stated(None, f"Words that are salient: {_MASS} [only the top word].", SHARE)
    limit: int | None = stated(
        None, "Number of sentences to explain, from the start of the evaluation split [all sentences].", POSITIVE
    )
    rationale_column: str | None = stated(
        None, "Column of the evaluation corpus with the words that people marked as reasons, to compare with."
    )
    batch_tokens: int | None = stated(
        None,
        "Number of tokens in a batch of the language model, with padding and all steps [1024 on a CPU, 4096 on a GPU].",
        POSITIVE,
        result=False,
    )
    dataset: str | None = stated(None, CORPUS, result=False)
    eval_dataset: str | None = stated(None, EVAL_CORPUS, result=False)
    model: str | None = stated(None, MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eval_dataset is None or self.dataset is not None, EVAL_ALONE)
        self.require(self.steps <= self.max_steps, f"--steps {self.steps} is more than --max-steps {self.max_steps}.")


EDITS = ("removal", "classless", "projection", "mean", "move")
PLACES = ("salient", "concept", "sentence", "all")
FIGURES = ("flips", "kl", "probability")
"""Figures whose selectivity is computed."""
HARD = ("coherent", "own")
"""The controls that an effect is judged by."""
RANKS = (1, 2, 4, 8, 16, 32)
"""Ranks of the curve over ranks."""
LABEL = "label"
"""Kind of a target that is asked about each label separately."""
TAG = "tag"
"""Kind of a target that is asked for the tag of each word."""
TEXT_TOKEN = "token of the text"
"""Kind of a target that is asked for the next token at every token of a text."""
SCORES = ("token", "score")
"""Kinds of targets (`Target.kind`) whose answer is a number rather than one of several."""

BY_CONCEPT = "by-concept"
"""Stands for mode `model` where single concepts are measured."""
EVERY_TOKEN = "every-token"
"""Stands for mode `splice` where the next token is asked for at every token."""
_LANGUAGEMODEL = ("dataset", "eval_dataset", "model", "device", "trust_remote_code")
USED: dict[str, tuple[str, ...]] = {
    "splice": ("limit", "seed", "batch_tokens", *_LANGUAGEMODEL),
    EVERY_TOKEN: ("every_token", "limit", "seed", "batch_tokens", *_LANGUAGEMODEL),
    "probe": ("edit", "draws", "limit", "seed", *_LANGUAGEMODEL),
    "paper": ("draws", "limit", "seed", *_LANGUAGEMODEL),
    BY_CONCEPT: ("by", "class_", "draws", "limit", "seed", "batch_tokens", *_LANGUAGEMODEL),
    "model": (
        "edit", "at", "top", "mass", "curve", "to", "strength", "rank", "rank_curve", "controls", "draws", "label",
        "limit", "seed", "batch_tokens", *_LANGUAGEMODEL,
    ),
}  # fmt: skip
"""Settings that have an effect on each measurement: a mode, BY_CONCEPT, or EVERY_TOKEN."""


@dataclass(frozen=True)
class FaithfulnessConfig(Settings):
    """The edits of concepts that are tried, where they are made, and how often their controls are drawn.

        print(clvq.FaithfulnessConfig(edit="removal").draws)

    `clvq.faithfulness` takes them as keywords.
    """

    # Each mode has a file of its own, so all results of one file have the same mode.
    mode: Mode = stated(
        "model",
        "What to measure. model: the model's predictions when concepts are edited inside it; splice: its predictions "
        "when the reconstruction replaces its states; probe: the predictions of a probe when sentence rows are edited; "
        "paper: the published probe, with checks that show its result to be an artefact.",
        result=False,
    )
    by: By = stated(
        "edit",
        "Lines of the figures of --mode model. edit: one line per edit and place; concept: one line per concept, which "
        "is removed wherever it occurs.",
        result=False,
    )
    class_: str | None = stated(
        None,
        "With --by concept: measure what is predicted as this class or label, or the words of this tag [all].",
    )
    every_token: bool = stated(
        False,
        "With --mode splice and a causal language model: compare its next token at every token of the texts, as sparse "
        "autoencoders are judged, rather than its answer to each text.",
        result=False,
    )
    edit: str = stated("removal,projection", f"Edits to try, separated by commas: {', '.join(EDITS)}.")
    at: str = stated(
        "salient,sentence",
        "Where to edit, separated by commas: salient (the salient words), concept (all words of the top word's "
        "concept), sentence (the row of the sentence), all (all words).",
    )
    top: int = stated(
        5,
        "Number of salient words: those with the largest attribution in favour of the prediction.",
        Bounds(at_least=1, reason="without a salient word there is nothing to edit"),
    )
    mass: float | None = stated(None, f"Choose the salient words by mass, not by number: {_MASS}.", SHARE)
    curve: bool = stated(False, "Also edit the salient words at every --mass from 0.1 to 1.")
    to: int | None = stated(
        None,
        "Code of the concept that the edit move inserts [the concept with the lowest q for a class that is not "
        "predicted].",
    )
    strength: float = stated(
        1.0,
        "Length of the step towards the inserted concept, in units of the concept's distance from the mean; a negative "
        "number reverses the step.",
    )
    rank: int = stated(
        1,
        "Number of directions that an edit removes from a word: those of its nearest codes, or of its strongest "
        "latents. Compare methods at the same rank.",
        POSITIVE,
    )
    rank_curve: bool = stated(False, f"Also edit the salient words at every --rank of {', '.join(map(str, RANKS))}.")
    controls: Controls = stated(
        "nulls",
        "Which controls to measure. nulls: random steps, the step towards the mean word and the step along the class "
        "direction; all: also steps that insert other concepts.",
    )
    draws: int = stated(3, "Number of draws of each random control.", POSITIVE)
    label: str | None = stated(None, "Class whose sentences are edited [all classes].")
    limit: int | None = stated(
        None, "Number of sentences to edit, from the start of the evaluation split [all sentences].", POSITIVE
    )
    seed: int = stated(0, "Seed of the random controls and of the intervals.", SEED)
    batch_tokens: int | None = stated(
        None, f"{BATCH.removesuffix('.')} [1024 on a CPU, 4096 on a GPU].", POSITIVE, result=False
    )
    dataset: str | None = stated(None, CORPUS, result=False)
    eval_dataset: str | None = stated(None, EVAL_CORPUS, result=False)
    model: str | None = stated(None, MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.strength), "--strength must be a number.")
        self.require(self.eval_dataset is None or self.dataset is not None, EVAL_ALONE)
        for name, known in (("edit", EDITS), ("at", PLACES)):
            entries = listed(getattr(self, name))
            self.require(
                bool(entries) and set(entries) <= set(known),
                f"--{name} takes {', '.join(known)}, separated by commas; it is {getattr(self, name)!r}.",
            )
            self.require(len(set(entries)) == len(entries), f"--{name} names an entry twice: {getattr(self, name)}.")
        self.require(
            self.by == "edit" or self.mode == "model",
            f"--by concept can be used with --mode model, not with {self.mode}.",
        )
        self.require(
            not self.every_token or self.mode == "splice",
            f"--every-token can be used with --mode splice, not with {self.mode}.",
        )
        self.require(self.to is None or "move" in self.edits, "--to can only be used with --edit move.")
        self.require(
            self.mode != "probe" or "move" not in self.edits,
            "--edit move can be used with --mode model, not with probe.",
        )

    @classmethod
    def unused(cls, **named: Any) -> list[str]:
        asked = named.get("mode", "model"), named.get("by", "edit"), named.get("every_token", False)
        used = USED.get(_measurement(*asked))
        known = [item.name for item in fields(cls) if item.name in named and item.name not in ("mode", "by")]
        return [] if used is None else [name for name in known if name not in used]

    @property
    def measurement(self) -> str:
        """What is measured: a mode, BY_CONCEPT or EVERY_TOKEN. Each has a file of its own."""
        return _measurement(self.mode, self.by, self.every_token)

    @property
    def decided(self) -> dict[str, Any]:
        """The settings that decide the result of this measurement."""
        return {name: value for name, value in self.deciding().items() if name in USED[self.measurement]}

    @property
    def edits(self) -> tuple[str, ...]:
        return listed(self.edit)

    @property
    def places(self) -> tuple[str, ...]:
        return listed(self.at)


def _measurement(mode: str, by: str, every_token: bool) -> str:
    return BY_CONCEPT if by == "concept" else EVERY_TOKEN if every_token else mode
