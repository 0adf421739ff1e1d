"""The checkpoint folder: config.json (architecture, settings, provenance, results), model.safetensors, README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clvq.activations import FOLDER_NAME, ActivationStore
from clvq.config import TrainConfig
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.model import WEIGHTS_NAME, ClvqVae
from clvq.provenance import short_name
from clvq.storage import (
    check_file,
    file_checksum,
    read_signed,
    write_signed,
    write_tensors,
    write_text,
)

FORMAT = "clvq-checkpoint"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
TRAINING_FOLDER = "training"


@dataclass(frozen=True)
class Checkpoint:
    """What config.json says of a finished checkpoint."""

    path: Path
    config: dict[str, Any]

    @property
    def settings(self) -> TrainConfig:
        return TrainConfig.from_json(self.config["settings"])

    @property
    def results(self) -> dict[str, Any]:
        return dict(self.config["results"])

    @property
    def fingerprint(self) -> str:
        """Identifies the weights; what is made from this checkpoint carries it."""
        return str(self.config["weights_checksum"])

    @property
    def input_layer(self) -> int:
        return self.settings.input_layer

    @property
    def output_layer(self) -> int:
        return self.settings.output_layer

    def store(self) -> ActivationStore:
        """The activations beside this checkpoint, which must be those it was trained on.

        ArtifactError where there are none, MismatchError where they are others.
        """
        store = ActivationStore(self.path.parent / FOLDER_NAME)
        self.check_store(store)
        return store

    def check_store(self, store: ActivationStore) -> None:
        """MismatchError that names what a store does not share with the one that this was trained on."""
        made = self.config["provenance"]
        remedy = "Use another --run or --name, or `clvq train --overwrite` to train again."
        if store.fingerprint != made["rows"]:
            raise MismatchError(f"{self.path} was trained on other rows than {store.path} holds now. {remedy}")
        for layer, made_from in made["layers"].items():
            if int(layer) not in store.layers or store.layer(int(layer)).fingerprint != made_from:
                raise MismatchError(
                    f"{self.path} was trained on other states of layer {layer} than {store.path} holds now. {remedy}"
                )

    def load(self) -> ClvqVae:
        """The model, after its weights are verified."""
        check_file(self.path / WEIGHTS_NAME, self.config["weights_checksum"])
        return ClvqVae.from_pretrained(self.path)


def architecture(settings: TrainConfig, input_width: int, output_width: int, encoder: str) -> dict[str, Any]:
    """The arguments of ClvqVae that `settings` come to."""
    shared = ("codebook_size", "top_k", "temperature", "temperature_unit", "ema_decay", "decoder_layers",
              "decoder_heads", "feed_forward", "dropout", "decoder_memory")  # fmt: skip
    values = {name: getattr(settings, name) for name in shared}
    return {"input_width": input_width, "output_width": output_width, "encoder": encoder, **values}


def write_checkpoint(
    path: Path,
    model: ClvqVae,
    architecture: dict[str, Any],
    settings: TrainConfig,
    provenance: dict[str, Any],
    results: dict[str, Any],
) -> Checkpoint:
    """Writes the weights, the card, and config.json last: with it the checkpoint is finished."""
    write_tensors(path / WEIGHTS_NAME, model.state_dict())
    config = {
        **architecture,
        "settings": settings.as_json(),
        "weights_checksum": file_checksum(path / WEIGHTS_NAME),
        "provenance": provenance,
        "results": results,
    }
    write_text(path / "README.md", model_card(config))
    write_signed(path / CONFIG_NAME, FORMAT, FORMAT_VERSION, config)
    return read_checkpoint(path)


def add_yardstick(checkpoint: Checkpoint, name: str, fvu: float | None) -> None:
    """Adds a figure that was measured later to a finished checkpoint."""
    results = checkpoint.results
    results["yardsticks"] = {**results["yardsticks"], name: fvu}
    config = {**checkpoint.config, "results": results}
    write_text(checkpoint.path / "README.md", model_card(config))
    write_signed(checkpoint.path / CONFIG_NAME, FORMAT, FORMAT_VERSION, config)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint at `path`; ArtifactError where it is missing, unfinished, foreign, or from a newer clvq."""
    path = Path(path)
    file = path / CONFIG_NAME
    if not file.exists():
        state = "holds an unfinished training" if (path / TRAINING_FOLDER).exists() else "holds no checkpoint"
        raise ArtifactError(f"{path} {state} ({CONFIG_NAME} is missing). Run `clvq train`.")
    return Checkpoint(path, read_signed(file, FORMAT, FORMAT_VERSION, "Train again with --overwrite."))


def find_checkpoint(run: str | Path, name: str | Path | None = None) -> Checkpoint:
    """The checkpoint `name` of a run folder, or the folder at that path; without a name the only one in the run.

    ArtifactError where there is none; ClvqError that lists them where there are several.
    """
    run = Path(run)
    if name is not None:
        inside = run / name
        return read_checkpoint(inside if inside.exists() or not Path(name).exists() else name)
    found = sorted(file.parent for file in run.glob(f"*/{CONFIG_NAME}")) if run.is_dir() else []
    if not found:
        raise ArtifactError(f"{run} holds no finished checkpoint. Run `clvq train`, or name the run folder with --run.")
    if len(found) > 1:
        names = "\n".join(f"  {_described(path)}" for path in found)
        raise ClvqError(f"{run} holds {len(found)} checkpoints; name the one that is meant:\n{names}")
    return read_checkpoint(found[0])


def _described(path: Path) -> str:
    """A line of the list: name, layers, codes, FVU; a broken one is named all the same."""
    try:
        checkpoint = read_checkpoint(path)
    except ClvqError:
        return f"{path.name} (cannot be read)"
    settings, fvu = checkpoint.settings, checkpoint.results["evaluation"]["fvu"]
    figure = "" if fvu is None else f", FVU {fvu:.3f}"
    layers = f"layers {settings.input_layer} -> {settings.output_layer}"
    return f"{path.name}: {layers}, {settings.codebook_size} codes, seed {settings.seed}{figure}"


def model_card(config: dict[str, Any]) -> str:
    """README.md of a checkpoint: what it is, what it was made from, how good it is, how to load it."""
    settings, results, made = config["settings"], config["results"], config["provenance"]
    figures = results["evaluation"]
    layers = f"{settings['input_layer']} -> {settings['output_layer']}"
    model_name = short_name(made["model"]["id"])

    def shown(value: Any) -> str:
        return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

    rows = [
        ("FVU, words of the evaluation split", figures["fvu"]),
        ("FVU, sentence rows", figures["fvu_sentence_rows"]),
        ("FVU of a copy of the input layer", results["yardsticks"]["copy"]),
        ("FVU of a ridge map", results["yardsticks"]["ridge"]),
        ("FVU of the mean output per k-means code", results["yardsticks"]["mean_per_code"]),
        ("FVU of frozen k-means codes, same decoder and budget", results["yardsticks"].get("frozen_kmeans")),
        ("FVU with codes shuffled among words", figures["fvu_codes_shuffled"]),
        ("FVU with a word's own code replaced by the mean code", figures["fvu_own_code_mean"]),
        ("codebook perplexity", figures["codebook_perplexity"]),
        ("active codes", f"{figures['active_codes']} of {config['codebook_size']}"),
        ("codes on 5 distinct sentences or more", figures["active_codes_5"]),
        ("candidates in effective use", figures["candidates_in_use"]),
    ]
    table = "\n".join(f"| {name} | {shown(value)} |" for name, value in rows)
    return f"""---
library_name: clvq
tags:
- clvq
- interpretability
- vector-quantization
---

# CLVQ-VAE of {model_name}, layers {layers}

A codebook of {config["codebook_size"]} concepts between two layers of a language model: hidden states of layer
{settings["input_layer"]} are encoded, replaced by the nearest code, and decoded to those of layer
{settings["output_layer"]} (method: [arXiv 2506.20040](https://arxiv.org/abs/2506.20040)).

```python
import clvq
model = clvq.ClvqVae.from_pretrained("PATH OR REPOSITORY")
indices = model.assign(hidden_states, mask)   # [B, T, D], [B, T] -> [B, T], -1 where there is no word
```

| figure | value |
|---|---|
{table}

Trained for {results["epochs_run"]} epochs on {results["training_rows"]} rows of {results["training_sentences"]}
distinct sentences; the state of epoch {results["best_epoch"]} is kept, chosen on
{results["selection_sentences"]} held-back training sentences. FVU is the sum of squared errors over the sum of squares
about the training mean. Settings, versions and fingerprints are in `config.json`.
"""
