"""The settings of `train`, what a method leaves unused, and the published settings."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any, Literal

from clvq.config.settings import ABOVE_ZERO, DEVICE, NOT_NEGATIVE, POSITIVE, SEED, Bounds, Settings, stated

Method = Literal[
    "clvq", "kmeans", "random", "agglomerative", "ridge-kmeans", "gradient-kmeans", "vqvae", "sae", "crosslayer-sae"
]
Metric = Literal["euclidean", "mixed", "sensitivity"]
Initialization = Literal["spherical", "kmeans", "random"]
DecoderMemory = Literal["quantized", "encoder"]
Predicted = Literal["state", "update"]
Preset = Literal["default", "paper"]
Precision = Literal["float32", "bfloat16"]
Yardsticks = Literal["basic", "full"]
Tracker = Literal["none", "tensorboard", "wandb", "trackio"]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The settings of a training: the CLVQ-VAE, or a method to compare it with, and how it is trained.

        print(clvq.TrainConfig(input_layer=4, output_layer=8).codebook_size)

    `clvq.train` takes them as keywords.
    """

    input_layer: int = stated(MISSING, "Layer whose states the codes replace.", NOT_NEGATIVE)
    output_layer: int = stated(MISSING, "Layer whose states the decoder predicts from the codes.")
    method: Method = stated(
        "clvq",
        "What to train. clvq: a CLVQ-VAE; kmeans: the same decoder over frozen k-means codes; random: the same decoder "
        "over frozen random codes; agglomerative: over the means of clusters by Ward's criterion; ridge-kmeans: over "
        "frozen k-means codes of what a ridge map predicts at the output layer; gradient-kmeans: over frozen k-means "
        "codes of the sensitivity metric; vqvae: a CLVQ-VAE that reconstructs the input layer; sae: a TopK sparse "
        "autoencoder of the input layer; crosslayer-sae: one that predicts the output layer (a transcoder).",
    )
    metric: Metric = stated(
        "mixed",
        "Distances between states and codes. mixed: steps that change what the language model predicts count somewhat "
        "more, as its gradients over a sample of the training sentences say; sensitivity: such steps count most; "
        "euclidean: as the states are, which needs no language model. Other methods than clvq have euclidean by "
        "default.",
    )
    predict: Predicted = stated(
        "state",
        "What the decoder predicts. state: the output layer's state; update: what the layers between add to the input "
        "layer's state, to which it is then added.",
    )
    preset: Preset = stated(
        "default", "Source of the settings that are not given: the defaults of clvq, or the published settings."
    )
    codebook_size: int = stated(400, "Number of codes in the codebook (K).", POSITIVE)
    codebooks: int = stated(
        1,
        "Number of codebooks, each of K codes. A word has a code of each: those after the first stand for what the "
        "codes before leave of its state. Concepts are codes of the first.",
        POSITIVE,
    )
    top_k: int = stated(
        5, "Training draws one of this many nearest codes for a row; 1 always takes the nearest.", POSITIVE
    )
    temperature: float = stated(
        0.3,
        "Temperature of the draw among the nearest codes, in units of the mean gap between their distances.",
        Bounds(above=0, reason="--top-k 1 is the greedy choice"),
    )
    temperature_unit: Literal["gap", "raw"] = stated(
        "gap", "Unit of the temperature: the mean gap between the nearest codes' distances, or raw.", option=False
    )
    initialization: Initialization = stated(
        "spherical", "How the codebook starts: by scaled-spherical k-means++, by k-means, or as random rows."
    )
    decoder_layers: int = stated(2, "Number of transformer blocks in the decoder.", NOT_NEGATIVE)
    decoder_memory: DecoderMemory = stated(
        "quantized", "What the decoder sees: only the codes, or also the encoder's output."
    )
    decoder_heads: int = stated(8, "Number of attention heads in a block of the decoder.", POSITIVE, option=False)
    feed_forward: int = stated(2048, "Width of the decoder's feed-forward layers.", POSITIVE, option=False)
    dropout: float = stated(0.0, "Dropout rate in the decoder.", Bounds(at_least=0, below=1), option=False)
    layer_scale: Literal["unit", "raw"] = stated(
        "unit", "Scale of a layer's states: mean squared norm equal to the width, or as stored.", option=False
    )
    commitment_weight: float = stated(0.1, "Weight of the commitment loss (beta).", NOT_NEGATIVE)
    ema_decay: float = stated(
        0.99, "Decay of the running sums that the codes are updated from.", Bounds(at_least=0, below=1), option=False
    )
    revive_after: int = stated(
        100, "Number of batches without use after which a code is moved; 0 never moves it.", NOT_NEGATIVE, option=False
    )
    epochs: int = stated(6, "Number of passes over the training sentences.", POSITIVE)
    batch_sentences: int = stated(32, "Number of sentences in a training batch.", POSITIVE)
    learning_rate: float = stated(1e-3, "Learning rate of Adam.", ABOVE_ZERO)
    schedule: Literal["cosine", "plateau"] = stated(
        "cosine", "How the learning rate falls: along a cosine, or when the error stops falling.", option=False
    )
    warmup: float = stated(0.05, "Share of the steps in which the learning rate rises at the start.", option=False)
    gradient_clip: float = stated(1.0, "Largest norm of the gradient; 0 sets no limit.", NOT_NEGATIVE, option=False)
    weight_decay: float = stated(1e-4, "Weight decay of Adam.", NOT_NEGATIVE)
    patience: int = stated(
        0, "Number of epochs without improvement after which training stops; 0 never stops early.", NOT_NEGATIVE
    )
    max_frequency: int = stated(0, "Largest number of training rows of a word type; 0 keeps all rows.", NOT_NEGATIVE)
    min_frequency: int = stated(
        0, "Number of training rows that a word type must have to be kept; 0 keeps all word types.", NOT_NEGATIVE
    )
    frequency_order: Literal["random", "file"] = stated(
        "random", "Which rows of a frequent word type are kept: random ones, or the first in the file.", option=False
    )
    precision: Precision = stated(
        "float32",
        "Number type in which the decoder multiplies in training. bfloat16 is for GPUs and for CPUs that have it in "
        "hardware; weights, distances and the updates of codes stay in float32.",
    )
    skip: bool = stated(False, "Give a cross-layer sparse autoencoder a linear skip connection.")
    seed: int = stated(0, "Seed of the initialization, the draws of codes and the order of sentences.", SEED)
    yardsticks: Yardsticks = stated(
        "basic",
        "Baselines of the result. basic: those that are quick to compute; full: also frozen k-means codes, for which "
        "the same decoder is trained.",
        result=False,
    )
    report_to: Tracker = stated(
        "none",
        "Experiment tracker that is sent what metrics.jsonl holds, by its own package, which must be installed. "
        "TensorBoard's files lie in the checkpoint's folder.",
        result=False,
    )
    device: str | None = stated(None, DEVICE, result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
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

        self.require(
            self.metric == "euclidean" or self.method in WITH_METRIC,
            f"--metric {self.metric} can be used with --method {' or '.join(WITH_METRIC)}, not with {self.method}. "
            "--method gradient-kmeans has k-means codes in the metric of the sensitivity.",
        )

        self.require(
            self.predict == "state" or self.method not in ALONE,
            f"--predict {self.predict} cannot be used with --method {self.method}, which has no decoder from one layer "
            "to another. Use --predict state.",
        )

    @property
    def usual(self) -> TrainConfig:
        """The defaults of these layers, this method and this preset."""
        named = ("input_layer", "output_layer", "method", "preset")
        return TrainConfig.resolve(**{name: getattr(self, name) for name in named})

    @property
    def metric_of_codes(self) -> Metric:
        """The metric in which states and codes are compared."""
        return "sensitivity" if self.method == "gradient-kmeans" else self.metric

    @property
    def target_layer(self) -> int:
        """The layer whose rows are reconstructed: the input layer itself, or the output layer."""
        return self.input_layer if self.method in ("vqvae", "sae") else self.output_layer

    @classmethod
    def unused(cls, **named: Any) -> list[str]:
        return [name for name in UNUSED.get(named.get("method", "clvq"), ()) if name in named]

    @classmethod
    def preset_values(cls, **named: Any) -> dict[str, Any]:
        if named.get("preset") == "paper" and "preset" not in cls.unused(**named):
            return PAPER
        return {} if named.get("method", "clvq") == "clvq" else {"metric": "euclidean"}


ALONE = ("vqvae", "sae", "crosslayer-sae")
"""Methods without a decoder that could predict an update."""
WITH_METRIC = ("clvq", "vqvae")
"""Methods whose codes can be learned in any metric."""

SENSITIVITY_WEIGHTS: dict[Metric, float] = {"euclidean": 0.0, "mixed": 0.25, "sensitivity": 4.0}
"""Weight of the model's own sensitivity in each metric, relative to the states' own distance."""

_NEVER_DRAWN = ("top_k", "temperature", "initialization", "commitment_weight", "yardsticks")

_NO_BLOCKS = ("preset", "codebooks", "top_k", "temperature", "initialization", "commitment_weight", "decoder_layers",
              "decoder_memory", "learning_rate", "weight_decay", "precision", "yardsticks")  # fmt: skip
_ONE_CODEBOOK = ("codebooks",)
_SKIP = ("skip",)

LATENT_METHODS = ("sae", "crosslayer-sae")
"""Methods that write a word as several latents. The others give a word one code."""

UNUSED: dict[str, tuple[str, ...]] = {
    "clvq": _SKIP,
    "kmeans": _NEVER_DRAWN + _SKIP,
    "random": _NEVER_DRAWN + _ONE_CODEBOOK + _SKIP,
    "agglomerative": _NEVER_DRAWN + _ONE_CODEBOOK + _SKIP,
    "ridge-kmeans": _NEVER_DRAWN + _ONE_CODEBOOK + _SKIP,
    "gradient-kmeans": ("metric", *_NEVER_DRAWN, *_ONE_CODEBOOK, *_SKIP),
    "vqvae": _SKIP,
    "sae": _NO_BLOCKS + _SKIP,
    "crosslayer-sae": _NO_BLOCKS,
}
"""Settings that have no effect on a method. Frozen codes are never drawn or moved, and each method has its own
initialization of them. A sparse autoencoder has no decoder blocks, and several learning rates are tried for it."""

PAPER: dict[str, Any] = {
    "metric": "euclidean",
    "temperature": 1.0,
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
"""The settings in which `--preset paper` differs from the defaults (arXiv 2506.20040 and its published code)."""
