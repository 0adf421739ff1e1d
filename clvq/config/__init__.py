"""All settings: one dataclass a command, one field a setting, its meaning and bounds beside it.

The options of the command line, the reference page and the signatures of the public functions are made from these. In a
meaning, square brackets hold what is used where nothing is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from clvq.config.assign import AssignConfig
from clvq.config.bench import BenchConfig
from clvq.config.prompts import TEXT, TEXT_PAIR, Prompt, parse_label_words, read_prompt, written_label_words
from clvq.config.settings import (
    ABOVE_ZERO,
    DEVICE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Bounds,
    Settings,
    differences,
    flag,
    stated,
)
from clvq.config.steer import SteerConfig
from clvq.config.training import LATENT_METHODS, PAPER, UNUSED, TrainConfig

__all__ = [
    "LATENT_METHODS", "PAPER", "UNUSED", "AssignConfig", "BenchConfig", "ExplainConfig", "ExtractConfig",
    "FaithfulnessConfig", "Quoting", "Settings", "SteerConfig", "TrainConfig", "WordMethod", "differences",
]  # fmt: skip

Unit = Literal["word", "token"]
WordMethod = Literal["text", "whitespace"]
Quoting = Literal["quoted", "none"]
Pooling = Literal["last", "mean", "first"]
StorageType = Literal["float32", "float16", "bfloat16"]
LowBits = Literal["8bit", "4bit"]
DeviceMap = Literal["auto"]
Baseline = Literal["padding", "zero"]
By = Literal["edit", "concept"]
Controls = Literal["nulls", "all"]
Mode = Literal["model", "splice", "probe", "paper"]

DEMO = "demo"

_BATCH = "Number of tokens in a batch of the language model, padding included."
_TRUST = "Allow Python code that comes with a hub model to run."
_MODEL = (
    "Folder or hub id where the language model is now, if it was moved. It must be the model that made the activations "
    "[where it was]."
)
_MASS = "the smallest set of words with this share of all attribution in favour of the prediction"


@dataclass(frozen=True)
class ExtractConfig(Settings):
    """The settings of an extraction: the model, the corpus, and the hidden states to store."""

    model: str = stated(
        DEMO, "Language model: a hub id (user/name or user/name@revision), a local folder, or demo, the bundled model."
    )
    revision: str | None = stated(None, "Branch, tag or commit of a model from the hub [its main branch].")
    dataset: str = stated(
        DEMO,
        "Corpus: a hub id, a local folder, a file (.jsonl .csv .tsv .parquet .txt, also compressed), or demo, the "
        "bundled reviews.",
    )
    subset: str | None = stated(None, "Subset (configuration) of a dataset from the hub.")
    split: str | None = stated(None, "Split of the corpus to train on [train, or the only split].")
    eval_dataset: str | None = stated(None, "Corpus that the evaluation split comes from [the same corpus].")
    eval_split: str | None = stated(
        None, "Split to evaluate on [validation, dev or test; without these a tenth of the training split is held out]."
    )
    text_column: str | None = stated(
        None,
        "Column of the corpus with the text; text.en is the field en inside the column text [recognised by its name].",
    )
    text_pair_column: str | None = stated(
        None,
        "Column with the second text of each sentence, for a model of sentence pairs, or for {text_pair} in a prompt "
        "[for a prompt with {text_pair}: recognised by its name].",
    )
    prompt: str | None = stated(
        None,
        "Prompt that texts are put into, or a file that holds it: {text} stands for the text, {text_pair} for the "
        "second text, and the name of any other column in braces for its value. The words of the prompt get no rows, "
        "and a long text is cut, never the prompt. The line end at the end of a file does not count.",
    )
    chat: bool = stated(
        False,
        "Put the prompt through the tokenizer's chat template, as a message of the user. What stands above a line of "
        "three hyphens (---) in the prompt is the system message.",
    )
    rows_from: str | None = stated(
        None,
        "Which of several texts have words that get rows, separated by commas: text, text_pair or other columns in the "
        "prompt [text and text_pair].",
    )
    keep_prompt: bool = stated(False, "Give the words of the prompt rows too; they count like words of the text.")
    label_column: str | None = stated(
        None, "Column of the corpus with the label; none: the corpus has no labels [recognised by its name]."
    )
    label_map: str | None = stated(
        None,
        "The class of each value in the label column, such as neg=0,pos=1. A class is given by its number or by its "
        "name in the model; none means no label [a number is a class; a name is the name of a class of the model].",
    )
    delimiter: str | None = stated(
        None,
        "Separator of the fields in a .csv, .tsv or .txt file: a character, or comma, semicolon, tab or pipe; none: "
        "each line is a text [recognised].",
    )
    quoting: Quoting | None = stated(
        None,
        "Meaning of double quotes in such a file. quoted: they enclose fields, as in the CSV standard; none: they are "
        "characters like any other [recognised].",
    )
    header: bool | None = stated(
        None, "Whether the first line of such a file holds the names of the columns [yes, if one is a usual name]."
    )
    randomize_model: bool = stated(
        False, "Put the values of each of the model's weights into a random order, as a control that knows nothing."
    )
    layers: tuple[int, ...] = stated((), "Layers to store, numbered as in hidden_states: 0 is the embeddings.")
    max_sentences: int | None = stated(
        None, "Largest number of sentences of each split, drawn at random [all sentences].", Bounds(at_least=2)
    )
    max_length: int | None = stated(None, "Largest number of tokens of a sentence [the model's limit].")
    label_words: str | None = stated(
        None,
        "With a causal language model: the word that stands for each label, such as "
        """'negative=" bad",positive=" good"'; a leading space counts. The likeliest word behind the text is the """
        "prediction. A word can have several tokens.",
    )
    target: str | None = stated(
        None,
        "With a causal language model: the next token whose logit is asked for after each text, such as ' good'; a "
        "leading space counts [the likeliest token].",
    )
    against: str | None = stated(
        None, "With --target: another token, whose logit is subtracted from that of the first [none]."
    )
    unit: Unit = stated("word", "What a stored row stands for: a word, or a token (for scripts without spaces).")
    words: WordMethod = stated(
        "text",
        "How a text is split into words. text: by clvq's own rules; whitespace: at white space, for a text that is "
        "tokenised already (or is a list of tokens).",
    )
    pooling: Pooling = stated(
        "last", "State of a word of several sub-words: of its last sub-word, their mean, or of its first sub-word."
    )
    dtype: StorageType = stated("float32", "Number type in which the states are stored.")
    keep_sinks: bool = stated(False, "Keep attention sinks (rows with an extreme norm) in training and figures.")
    streaming: bool = stated(False, "Stream the corpus instead of loading it first.")
    seed: int = stated(0, "Seed of the draws that max_sentences and the held-out tenth need.", option=False)
    batch_tokens: int = stated(4096, _BATCH, POSITIVE, result=False)
    model_dtype: StorageType | None = stated(
        None, "Number type in which the model computes [float32 on a CPU, that of its files on a GPU]."
    )
    load_in: LowBits | None = stated(
        None, "Bits in which the model's weights are kept on a GPU, by the package bitsandbytes [those of their type]."
    )
    device_map: DeviceMap | None = stated(
        None,
        "auto: spread a model that does not fit one device over all GPUs and the machine's memory, by the package "
        "accelerate. Later commands load it in the same way [all of it on --device].",
    )
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, _TRUST)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(set(self.layers)) == len(self.layers), f"--layers names a layer twice: {list(self.layers)}.")
        self.require(
            self.against is None or self.target is not None, "--against is for --target: give the token it is against."
        )
        self.require(
            self.unit == "word" or self.pooling == "last",
            f"--pooling {self.pooling} has no meaning with --unit token: a token is its own row.",
        )
        self.require(
            self.unit == "word" or self.words == "text",
            f"--words {self.words} has no meaning with --unit token: no words are looked for.",
        )
        self.require(
            self.label_words is None or self.target is None,
            "--label-words and --target ask a model for two different things. Give one of them.",
        )
        if self.label_words is not None:
            object.__setattr__(self, "label_words", written_label_words(parse_label_words(self.label_words)))
        if self.prompt is not None:
            object.__setattr__(self, "prompt", read_prompt(self.prompt))
        for name in ("chat", "keep_prompt"):
            self.require(self.prompt is not None or not getattr(self, name), f"{flag(name)} is for a --prompt.")
        parts = self.parts
        self.require(
            self.text_pair_column is None or TEXT_PAIR in parts,
            "--text-pair-column is given, but --prompt has no {text_pair}: say where the second text goes.",
        )
        self.require(
            bool(self.parts_with_rows) and set(self.parts_with_rows) <= set(parts),
            f"--rows-from takes {', '.join(parts)}, separated by commas; it is {self.rows_from!r}.",
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes up a text, in the order in which the model reads it: TEXT, TEXT_PAIR, or other columns."""
        if self.prompt is None:
            return (TEXT,) if self.text_pair_column is None else (TEXT, TEXT_PAIR)
        system, user = Prompt.parse(self.prompt, self.chat)
        return (*(system.fields if system is not None else ()), *user.fields)

    @property
    def parts_with_rows(self) -> tuple[str, ...]:
        """Those whose words have rows."""
        if self.rows_from is None:
            return tuple(part for part in self.parts if part in (TEXT, TEXT_PAIR))
        return _listed(self.rows_from)


@dataclass(frozen=True)
class ExplainConfig(Settings):
    """The settings of explanations: how predictions are attributed to words, and which words are salient."""

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
    batch_tokens: int = stated(
        4096, "Number of tokens in a batch of the language model, with padding and all steps.", POSITIVE, result=False
    )
    model: str | None = stated(None, _MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, _TRUST, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.steps <= self.max_steps, f"--steps {self.steps} is more than --max-steps {self.max_steps}.")


EDITS = ("removal", "classless", "projection", "mean", "move")
PLACES = ("salient", "concept", "sentence", "all")
FIGURES = ("flips", "kl", "probability")
"""What selectivity is taken of."""
HARD = ("coherent", "own")
"""The controls that count."""
LABEL = "label"
"""Kind of a target that is asked for each label by itself."""
TAG = "tag"
"""Kind of a target that is asked for the tag of each word."""
SCORES = ("token", "score")
"""Kinds of targets (`Target.kind`) whose answer is a number rather than one of several."""

BY_CONCEPT = "by-concept"
"""Stands for mode `model` where single concepts are measured."""
_LANGUAGE_MODEL = ("model", "device", "trust_remote_code")
USED: dict[str, tuple[str, ...]] = {
    "splice": ("limit", "seed", "batch_tokens", *_LANGUAGE_MODEL),
    "probe": ("edit", "draws", "limit", "seed", *_LANGUAGE_MODEL),
    "paper": ("draws", "limit", "seed", *_LANGUAGE_MODEL),
    BY_CONCEPT: ("by", "class_", "draws", "limit", "seed", "batch_tokens", *_LANGUAGE_MODEL),
    "model": (
        "edit", "at", "top", "mass", "curve", "to", "strength", "rank", "controls", "draws", "label", "limit", "seed",
        "batch_tokens", *_LANGUAGE_MODEL,
    ),
}  # fmt: skip
"""Settings that mean something to a measurement: a mode, or BY_CONCEPT."""


@dataclass(frozen=True)
class FaithfulnessConfig(Settings):
    """Which edits of concepts are tried where, and how often their controls are drawn."""

    # Each mode has a file of its own, so it does not decide between results of one file.
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
    class_: str | None = stated(None, "With --by concept: predicted class whose concepts are measured [all classes].")
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
    seed: int = stated(0, "Seed of the random controls and of the intervals.", NOT_NEGATIVE)
    batch_tokens: int = stated(4096, _BATCH, POSITIVE, result=False)
    model: str | None = stated(None, _MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, _TRUST, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.strength), "--strength must be a number.")
        for name, known in (("edit", EDITS), ("at", PLACES)):
            entries = _listed(getattr(self, name))
            self.require(
                bool(entries) and set(entries) <= set(known),
                f"--{name} takes {', '.join(known)}, separated by commas; it is {getattr(self, name)!r}.",
            )
            self.require(len(set(entries)) == len(entries), f"--{name} names an entry twice: {getattr(self, name)}.")
        self.require(
            self.by == "edit" or self.mode == "model",
            f"--by concept can be used with --mode model, not with {self.mode}.",
        )
        self.require(self.to is None or "move" in self.edits, "--to can only be used with --edit move.")
        self.require(
            self.mode != "probe" or "move" not in self.edits,
            "--edit move can be used with --mode model, not with probe.",
        )

    @classmethod
    def unused(cls, **named: Any) -> list[str]:
        used = USED.get(_measurement(named.get("mode", "model"), named.get("by", "edit")))
        known = [item.name for item in fields(cls) if item.name in named and item.name not in ("mode", "by")]
        return [] if used is None else [name for name in known if name not in used]

    @property
    def measurement(self) -> str:
        """What is measured: a mode, or BY_CONCEPT. Each has a file of its own."""
        return _measurement(self.mode, self.by)

    @property
    def decided(self) -> dict[str, Any]:
        """The settings that decide the result of this measurement."""
        return {name: value for name, value in self.deciding().items() if name in USED[self.measurement]}

    @property
    def edits(self) -> tuple[str, ...]:
        return _listed(self.edit)

    @property
    def places(self) -> tuple[str, ...]:
        return _listed(self.at)


def _measurement(mode: str, by: str) -> str:
    return BY_CONCEPT if by == "concept" else mode


def _listed(text: str) -> tuple[str, ...]:
    """Return the entries of a list that commas separate."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
