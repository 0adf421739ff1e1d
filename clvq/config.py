"""Settings: one dataclass a job, one field a setting, its meaning beside it. The command line is made from these.

`stated(default, meaning)` declares a field; `result=False` marks what may differ between two runs that still count
as the same (device, batch sizes in tokens). Standard library only.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Literal, Self

from clvq.errors import ClvqError

Unit = Literal["word", "token"]
WordMethod = Literal["text", "whitespace"]
Pooling = Literal["last", "mean", "first"]
StorageType = Literal["float32", "float16", "bfloat16"]
Method = Literal["clvq", "kmeans", "vqvae", "sae"]
Initialization = Literal["spherical", "kmeans", "random"]
DecoderMemory = Literal["quantized", "encoder"]
Preset = Literal["default", "paper"]
Yardsticks = Literal["basic", "full"]
Baseline = Literal["padding", "zero"]

DEMO = "demo"


def stated(default: Any, meaning: str, *, result: bool = True, option: bool = True) -> Any:
    """A field with its meaning. `result`: another value, another result. `option`: on the command line."""
    return field(default=default, metadata={"meaning": meaning, "result": result, "option": option})


class Settings:
    """What the settings classes share: checks by type, and the part of them that decides a result."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in fields(self):  # type: ignore[arg-type]
            _check_type(item, hints[item.name], getattr(self, item.name))

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result, JSON-ready."""
        return {item.name: self.as_json()[item.name] for item in fields(self) if item.metadata.get("result", True)}  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Settings read from an artifact. ClvqError where they are not this class's."""
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except TypeError as error:
            raise ClvqError(f"{cls.__name__}: {error}") from error

    def require(self, holds: bool, message: str) -> None:
        if not holds:
            raise ClvqError(message)


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Of the settings `here` those that an artifact was made otherwise with, each with both values, for a message."""
    return [
        f"{name.replace('_', '-')} ({there.get(name)!r} there, {value!r} here)"
        for name, value in here.items()
        if there.get(name) != value
    ]


def _check_type(item: Field[Any], hint: Any, value: Any) -> None:
    """Options arrive typed; settings from a notebook, a TOML file or an artifact may not be."""
    name = "--" + item.name.replace("_", "-")
    alternatives = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else (hint,)
    for alternative in alternatives:
        if typing.get_origin(alternative) is Literal:
            choices = typing.get_args(alternative)
            if value in choices:
                return
            raise ClvqError(f"{name} must be one of {', '.join(map(str, choices))}; it is {value!r}.")
        if typing.get_origin(alternative) is tuple:
            if isinstance(value, tuple) and all(type(entry) is int for entry in value):
                return
        elif alternative is float:
            if type(value) in (int, float):
                return
        elif type(value) is alternative:
            return
    wanted = " or ".join("nothing" if a is type(None) else getattr(a, "__name__", str(a)) for a in alternatives)
    raise ClvqError(f"{name} must be {wanted}; it is {value!r}.")


@dataclass(frozen=True)
class ExtractConfig(Settings):
    """Which hidden states of which model over which corpus are stored."""

    model: str = stated(DEMO, "Model: hub id (user/name or user/name@revision), local folder, or the bundled demo.")
    revision: str | None = stated(None, "Revision of a model from the hub.")
    dataset: str = stated(
        DEMO, "Corpus: hub id, local folder, .jsonl .csv .tsv .parquet .txt (also compressed), or demo."
    )
    subset: str | None = stated(None, "Subset (configuration) of a hub dataset.")
    split: str | None = stated(None, "Training split [train, or the only one].")
    eval_dataset: str | None = stated(None, "Corpus of the evaluation split, where it is another one.")
    eval_split: str | None = stated(None, "Evaluation split [validation, dev or test; else a tenth is held out].")
    text_column: str | None = stated(None, "Column with the text [found by its usual names].")
    label_column: str | None = stated(None, "Column with the label [found by its usual names].")
    layers: tuple[int, ...] = stated((), "Layers, as in hidden_states: 0 is the embeddings.")
    max_sentences: int | None = stated(None, "At most so many sentences of each split, drawn at random.")
    max_length: int | None = stated(None, "At most so many tokens a sentence [what the model takes].")
    unit: Unit = stated("word", "A row is a word, or a token (for scripts without spaces).")
    words: WordMethod = stated("text", "How words are found: on the text, or at white space (tokenised text).")
    pooling: Pooling = stated("last", "Which sub-words' state stands for a word.")
    dtype: StorageType = stated("float32", "Type of storage.")
    keep_sinks: bool = stated(False, "Keep attention sinks in training and figures.")
    streaming: bool = stated(False, "Stream the corpus instead of loading it.")
    seed: int = stated(0, "Seed of --max-sentences and of the held-out tenth.", option=False)
    batch_tokens: int = stated(4096, "Tokens in a batch, padding included.", result=False)
    device: str | None = stated(None, "cpu, cuda, cuda:1 ... [a GPU where there is one].", result=False)
    trust_remote_code: bool = stated(False, "Run model code that comes with a hub model.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(set(self.layers)) == len(self.layers), f"--layers names a layer twice: {list(self.layers)}.")
        self.require(self.max_sentences is None or self.max_sentences >= 2, "--max-sentences must be 2 or more.")
        self.require(self.batch_tokens >= 1, "--batch-tokens must be 1 or more.")
        self.require(
            self.unit == "word" or self.pooling == "last",
            f"--pooling {self.pooling} has no meaning with --unit token: a token is its own row.",
        )
        self.require(
            self.unit == "word" or self.words == "text",
            f"--words {self.words} has no meaning with --unit token: no words are looked for.",
        )


@dataclass(frozen=True)
class TrainConfig(Settings):
    """A CLVQ-VAE, or what it is compared with, and how it is trained. `preset="paper"` gives the published settings to
    what is not named."""

    input_layer: int = stated(MISSING, "Layer that is squeezed through the codebook.")
    output_layer: int = stated(MISSING, "Layer that is predicted from the codes.")
    method: Method = stated(
        "clvq",
        "kmeans: frozen codes, the same decoder; vqvae: the same model, reconstructing the input layer; sae: a TopK "
        "sparse autoencoder of the input layer.",
    )
    preset: Preset = stated("default", "Settings for what is not named: clvq's, or the published ones.")
    codebook_size: int = stated(400, "Number of codes K.")
    top_k: int = stated(5, "In training a code is drawn among the top_k nearest; 1 is greedy.")
    temperature: float = stated(1.0, "Of that draw, in units of the mean gap between candidates.")
    temperature_unit: Literal["gap", "raw"] = stated("gap", "Unit of the temperature.", option=False)
    initialization: Initialization = stated(
        "spherical", "Of the codebook: scaled-spherical k-means++, k-means, random."
    )
    decoder_layers: int = stated(2, "Blocks of the decoder.")
    decoder_memory: DecoderMemory = stated(
        "quantized", "What the decoder sees: codes only, or also the encoder's output."
    )
    decoder_heads: int = stated(8, "Attention heads.", option=False)
    feed_forward: int = stated(2048, "Width of the decoder's feed-forward layers.", option=False)
    dropout: float = stated(0.0, "In the decoder.", option=False)
    layer_scale: Literal["unit", "raw"] = stated("unit", "Layers scaled to mean squared norm = width.", option=False)
    commitment_weight: float = stated(0.1, "Weight beta of the commitment loss.")
    ema_decay: float = stated(0.99, "Decay of the codebook's running sums.", option=False)
    revive_after: int = stated(100, "Batches without use after which a code moves; 0 is never.", option=False)
    epochs: int = stated(6, "Passes over the training sentences.")
    batch_sentences: int = stated(32, "Sentences in a batch.")
    learning_rate: float = stated(1e-3, "Of Adam.")
    schedule: Literal["cosine", "plateau"] = stated("cosine", "Learning rate schedule.", option=False)
    warmup: float = stated(0.05, "Share of the steps over which the learning rate rises.", option=False)
    gradient_clip: float = stated(1.0, "Largest gradient norm; 0 is no limit.", option=False)
    weight_decay: float = stated(1e-4, "Of Adam.")
    patience: int = stated(0, "Stop after so many epochs without improvement; 0 is never.")
    max_frequency: int = stated(0, "At most so many training rows of a word type; 0 is all.")
    min_frequency: int = stated(0, "Only word types with so many training rows; 0 is all.")
    frequency_order: Literal["random", "file"] = stated("random", "Which rows a cap keeps.", option=False)
    seed: int = stated(0, "Of initialization, draws and order.")
    yardsticks: Yardsticks = stated(
        "basic", "full also trains frozen k-means codes with the same decoder.", result=False
    )
    device: str | None = stated(None, "cpu, cuda, cuda:1 ... [a GPU where there is one].", result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = ("codebook_size", "top_k", "decoder_heads", "feed_forward", "epochs", "batch_sentences")
        for name in positive:
            self.require(getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be 1 or more.")
        not_negative = ("decoder_layers", "commitment_weight", "weight_decay", "patience", "max_frequency",
                        "min_frequency", "seed", "gradient_clip", "revive_after", "input_layer")  # fmt: skip
        for name in not_negative:
            self.require(getattr(self, name) >= 0, f"--{name.replace('_', '-')} must not be negative.")
        self.require(self.temperature > 0, "--temperature must be above 0; --top-k 1 is the greedy choice.")
        self.require(self.learning_rate > 0, "--learning-rate must be above 0.")
        self.require(
            0 <= self.dropout < 1 and 0 <= self.ema_decay < 1, "dropout and ema_decay are at least 0, below 1."
        )
        self.require(
            self.input_layer < self.output_layer,
            f"--input-layer {self.input_layer} must lie below --output-layer {self.output_layer}.",
        )
        self.require(
            "top_k" in UNUSED[self.method] or self.top_k <= self.codebook_size,
            f"--top-k {self.top_k} is more than --codebook-size {self.codebook_size}.",
        )
        self.require(
            self.max_frequency == 0 or self.min_frequency <= self.max_frequency,
            f"--min-frequency {self.min_frequency} is above --max-frequency {self.max_frequency}.",
        )

    @property
    def target_layer(self) -> int:
        """The layer whose rows are reconstructed: the input layer itself, or the output layer."""
        return self.input_layer if self.method in ("vqvae", "sae") else self.output_layer

    @classmethod
    def resolve(cls, **named: Any) -> Self:
        """Settings where what is named wins over the preset, and the preset over the defaults.

        What the method has no use for keeps its default, so that one set of options does for all methods.
        """
        unused = UNUSED.get(named.get("method", "clvq"), ())
        named = {name: value for name, value in named.items() if name not in unused}
        preset = PAPER if named.get("preset") == "paper" else {}
        unknown = set(named) - {item.name for item in fields(cls)}
        if unknown:
            raise ClvqError(f"Unknown settings: {', '.join(sorted(unknown))}.")
        missing = {"input_layer", "output_layer"} - set(named)
        if missing:
            raise ClvqError(f"{' and '.join('--' + name.replace('_', '-') for name in sorted(missing))} must be given.")
        return cls(**{**preset, **named})


@dataclass(frozen=True)
class ExplainConfig(Settings):
    """How predictions are attributed to words, and which words count as salient."""

    baseline: Baseline = stated("padding", "Where the integral starts: states of a text of padding, or zeros.")
    completeness: float = stated(
        0.05, "The attributions' sum may miss what they explain by this share of it; beyond, the steps are doubled."
    )
    steps: int = stated(8, "Steps of the integral to begin with.")
    max_steps: int = stated(512, "At most so many steps.")
    mass: float | None = stated(
        None, "Salient are the fewest words with this share of what speaks for the prediction [the top word]."
    )
    limit: int | None = stated(None, "Only the first so many sentences of the evaluation split.")
    rationale_column: str | None = stated(
        None, "Column of the evaluation split's corpus with the words that people marked, to compare with."
    )
    batch_tokens: int = stated(4096, "Tokens in a batch, padding and steps included.", result=False)
    device: str | None = stated(None, "cpu, cuda, cuda:1 ... [a GPU where there is one].", result=False)
    trust_remote_code: bool = stated(False, "Run model code that comes with a hub model.", result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "max_steps", "batch_tokens"):
            self.require(getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be 1 or more.")
        self.require(self.limit is None or self.limit >= 1, "--limit must be 1 or more.")
        self.require(self.completeness > 0, "--completeness must be above 0.")
        self.require(self.mass is None or 0 < self.mass <= 1, "--mass must be above 0 and at most 1.")
        self.require(self.steps <= self.max_steps, f"--steps {self.steps} is more than --max-steps {self.max_steps}.")


UNUSED: dict[str, tuple[str, ...]] = {
    "clvq": (),
    "kmeans": ("top_k", "temperature", "initialization", "commitment_weight", "yardsticks"),
    "vqvae": (),
    "sae": ("preset", "top_k", "temperature", "initialization", "commitment_weight", "decoder_layers",
            "decoder_memory", "learning_rate", "weight_decay", "yardsticks"),
}  # fmt: skip
"""Settings that mean nothing to a method: k-means codes are never drawn, moved or initialized otherwise; an SAE has no
decoder blocks, and its learning rate is swept."""

PAPER: dict[str, Any] = {
    "temperature_unit": "raw",
    "decoder_layers": 6,
    "decoder_memory": "encoder",
    "layer_scale": "raw",
    "dropout": 0.1,
    "epochs": 50,
    "batch_sentences": 128,
    "patience": 15,
    "learning_rate": 5e-3,
    "schedule": "plateau",
    "warmup": 0.0,
    "gradient_clip": 0.0,
    "max_frequency": 20,
    "min_frequency": 5,
    "frequency_order": "file",
    "revive_after": 0,
}
"""Where `--preset paper` departs from the defaults (arXiv 2506.20040 and its published code)."""


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
