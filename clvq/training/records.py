"""What config.json says of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from clvq.activations.manifest import Manifest
from clvq.artifacts import CHECKPOINT
from clvq.artifacts.records import Record
from clvq.config import LATENT_METHODS, TrainConfig
from clvq.corpus.provenance import CorpusProvenance
from clvq.language_model.records import ModelRecord, StoredTarget
from clvq.training.results import TrainingResults


@dataclass(frozen=True, kw_only=True)
class VaeArguments(Record):
    """The arguments of `ClvqVae`; None stands for its default."""

    input_width: int
    output_width: int
    encoder: str
    codebook_size: int
    top_k: int
    temperature: float
    temperature_unit: str
    ema_decay: float
    decoder_layers: int
    decoder_heads: int
    feed_forward: int
    dropout: float
    decoder_memory: str
    predict: str | None = None
    code_width: int | None = None
    metric: str | None = None
    codebooks: int | None = None

    omitted = ("predict", "code_width", "metric", "codebooks")

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.codebook_size


@dataclass(frozen=True, kw_only=True)
class SaeArguments(Record):
    """The arguments of `TopKSae`, or of `CrosslayerSae`, which has the last two."""

    input_width: int
    latents: int
    k: int
    output_width: int | None = None
    skip: bool | None = None

    omitted = ("output_width", "skip")

    @property
    def size(self) -> int:
        """Number of latents."""
        return self.latents


@dataclass(frozen=True, kw_only=True)
class TrainingProvenance(Record):
    """What a checkpoint was trained on, where and when."""

    model: ModelRecord
    target: StoredTarget | None = None
    """None where the language model gave no answer, and in a checkpoint of an earlier clvq."""
    corpus: CorpusProvenance
    rows: str
    """Fingerprint of the rows."""
    layers: dict[int, str]
    """Fingerprints of the states, by layer."""
    device: str
    versions: dict[str, str]
    created: str


@dataclass(frozen=True)
class CheckpointConfig(Record):
    """What config.json says.

        config = clvq.read_checkpoint("run/L4-L8").config
        print(config.provenance.model.id, config.architecture.input_width)

    `Checkpoint.config` is this record.
    """

    architecture: VaeArguments | SaeArguments
    settings: TrainConfig
    weights_checksum: str
    provenance: TrainingProvenance
    activations: Manifest | None
    """The manifest of the activations, without their files; None in a checkpoint of an earlier clvq."""
    results: TrainingResults

    def as_json(self) -> dict[str, Any]:
        """Return what config.json holds. The arguments of the model are beside the other fields."""
        described = {} if self.activations is None else {"activations": self.activations.as_json()}
        return {
            **self.architecture.as_json(),
            "settings": self.settings.as_json(),
            "weights_checksum": self.weights_checksum,
            "provenance": self.provenance.as_json(),
            **described,
            "results": self.results.as_json(),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned. KeyError where a part is missing; other errors as those of `Record`.

        Earlier versions did not store the target layer, which was always the output layer. Two figures of theirs were
        wrong and are left out. Version 1 compared a copy of the input layer after each layer had been scaled by itself,
        which is no copy. Version 2 measured a word without its own code as a mean over sentences, and all else as one
        over words.
        """
        settings, version = TrainConfig.from_json(body["settings"]), body.get("format_version", CHECKPOINT.version)
        results = {"target_layer": settings.output_layer, **body["results"]}
        if version < 2 and settings.layer_scale == "unit":
            results["yardsticks"] = {**results["yardsticks"], "copy": None}
        if version < 3:
            results["evaluation"] = {**results["evaluation"], "fvu_own_code_mean": None}
        arguments = SaeArguments if settings.method in LATENT_METHODS else VaeArguments
        return cls(
            architecture=arguments.from_json(body),
            settings=settings,
            weights_checksum=str(body["weights_checksum"]),
            provenance=TrainingProvenance.from_json(body["provenance"]),
            activations=Manifest.from_json(body["activations"]) if "activations" in body else None,
            results=TrainingResults.from_json(results),
        )
