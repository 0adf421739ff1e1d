"""README.md of a checkpoint: what it is, what it was made from, how good it is, how to load it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clvq.artifacts import model_title
from clvq.training.records import SaeArguments, VaeArguments
from clvq.training.results import SaeChoice, SaeEvaluation, TrainingResults
from clvq.training.verdict import training_verdict

if TYPE_CHECKING:
    from clvq.config import TrainConfig
    from clvq.training.checkpoint import Checkpoint

TITLES = {
    "clvq": "CLVQ-VAE",
    "kmeans": "Frozen k-means codes",
    "random": "Frozen random codes",
    "agglomerative": "Frozen codes of agglomerative clusters",
    "ridge-kmeans": "Frozen k-means codes of a ridge map",
    "gradient-kmeans": "Frozen k-means codes by sensitivity",
    "vqvae": "Single-layer VQ-VAE",
    "sae": "TopK sparse autoencoder",
    "crosslayer-sae": "Cross-layer TopK sparse autoencoder",
}
"""Title of each method."""

_FRONT = """---
library_name: clvq
tags:
- clvq
- interpretability
- {tag}
---
"""
_METHOD = "(method: [arXiv 2506.20040](https://arxiv.org/abs/2506.20040))"
_HIDDEN = "hidden states of layer\n{input_layer}"
_ABOUT = {
    "clvq": "A codebook of {codes} concepts between two layers of a language model: "
    + _HIDDEN
    + " are encoded, replaced by the nearest code, and decoded to those of layer\n{output_layer} "
    + _METHOD
    + ".",
    "kmeans": "A baseline for the CLVQ-VAE: "
    + _HIDDEN
    + " are replaced by the nearest of {codes} spherical k-means codes, which are never\ntrained, and decoded to those "
    "of layer {output_layer} by the same decoder " + _METHOD + ".",
    "random": "A control without learned codes: "
    + _HIDDEN
    + " are replaced by the nearest of {codes} random codes, drawn with the mean\nand covariance of the rows and never "
    "trained, and decoded to those of layer {output_layer} by the same decoder " + _METHOD + ".",
    "agglomerative": "A baseline for the CLVQ-VAE: "
    + _HIDDEN
    + " are replaced by the nearest of {codes} cluster means, found\nby Ward's agglomerative clustering of a sample "
    "(method: [arXiv 2206.13289](https://arxiv.org/abs/2206.13289)) and never trained, and decoded to those\nof layer "
    "{output_layer} by the same decoder " + _METHOD + ".",
    "ridge-kmeans": "A baseline for the CLVQ-VAE: "
    + _HIDDEN
    + " are mapped to those of layer {output_layer} by ridge\nregression, replaced by the nearest of {codes} spherical "
    "k-means codes there, which are never trained, and decoded to those of layer {output_layer} by the same\ndecoder "
    + _METHOD
    + ".",
    "gradient-kmeans": "A baseline for the CLVQ-VAE: "
    + _HIDDEN
    + " are replaced by the nearest of {codes} k-means codes, which are never\ntrained, and decoded to those of layer "
    "{output_layer} by the same decoder " + _METHOD + ".",
    "vqvae": "A baseline for the CLVQ-VAE: the same model " + _METHOD + ", trained to\nreconstruct its own "
    "input. " + _HIDDEN.capitalize() + " are encoded, replaced by the nearest of {codes} codes, and decoded again.",
    "sae": "A baseline for the CLVQ-VAE: " + _HIDDEN + " are written as {k} of {latents} directions "
    "(method: [arXiv 2406.04093](https://arxiv.org/abs/2406.04093)).",
    "crosslayer-sae": "A baseline for the CLVQ-VAE: " + _HIDDEN + " are read by {k} of {latents} latents, whose "
    "directions\npredict those of layer {output_layer} (method: [arXiv 2406.11944](https://arxiv.org/abs/2406.11944)).",
}
_USE = {
    True: """model = clvq.ClvqVae.from_pretrained("PATH OR REPOSITORY")
indices = model.assign(hidden_states, mask)   # [B, T, D], [B, T] -> [B, T], -1 where there is no word""",
    False: """model = clvq.read_checkpoint("PATH").load()
values, indices = model.encode(hidden_states)   # [N, D] -> [N, k], [N, k]""",
}


_UPDATE = " What is decoded is the update between the two layers, to which the input is added."
_DISTANCES = {"euclidean": "Euclidean distances", "mixed": "mixed distances", "sensitivity": "sensitivity"}
_METRICS = {
    "mixed": " Distances are in part those of the language model's own sensitivity:\nsteps that change what it "
    "predicts count somewhat more.",
    "sensitivity": " Distances are those of the language model's own sensitivity:\nsteps that change what it predicts "
    "count more.",
}
_REFINED = (
    " Concepts are the codes of the first of {codebooks} codebooks of\n{codes}: the codes of each other one stand for "
    "what those before it leave of a state."
)

_OF_UPDATE = {
    "fvu": "words of the evaluation split", "frozen_kmeans": "frozen k-means codes", "ridge": "a ridge map",
    "mean_per_code": "the mean output per k-means code", "copy": "a copy of the input layer",
}  # fmt: skip
"""Names of the figures of `TrainingResults.of_update`."""


def title(settings: TrainConfig) -> str:
    """Return what was trained, in words."""
    name = TITLES[settings.method]
    return name if settings.metric == settings.usual.metric else f"{name} by {_DISTANCES[settings.metric]}"


def span(input_layer: int, target_layer: int) -> str:
    return f"layer {input_layer}" if input_layer == target_layer else f"layers {input_layer} -> {target_layer}"


def model_card(checkpoint: Checkpoint) -> str:
    """Return the model card of a checkpoint."""
    settings, results = checkpoint.settings, checkpoint.results
    arguments = checkpoint.config.architecture
    target = results.target_layer
    about = _ABOUT[settings.method].format(
        input_layer=settings.input_layer,
        output_layer=settings.output_layer,
        codes=settings.codebook_size,
        k=arguments.k if isinstance(arguments, SaeArguments) else None,
        latents=arguments.size,
    )
    if isinstance(arguments, VaeArguments) and arguments.predict == "update":
        about += _UPDATE
    if isinstance(arguments, VaeArguments) and arguments.metric is not None:
        about += _METRICS[arguments.metric]
    if checkpoint.codebooks > 1:
        about += _REFINED.format(codebooks=checkpoint.codebooks, codes=settings.codebook_size)
    verdict = training_verdict(checkpoint)
    verdict_text = "\n".join([*verdict.sentences, *(f"**{warning}**" for warning in verdict.warnings)])
    table = "\n".join(f"| {name} | {value} |" for name, value in figures_shown(checkpoint))
    return f"""{_FRONT.format(tag="vector-quantization" if checkpoint.has_codes else "sparse-autoencoder")}
# {checkpoint.title} of {model_title(checkpoint.config.provenance.model)}, {checkpoint.span}

{about}

{verdict_text}

```python
import clvq
{_USE[checkpoint.has_codes]}
```

| figure | value |
|---|---|
{table}

Trained for {results.epochs_run} epochs on {results.training_rows} rows of {results.training_sentences}
distinct sentences; the state of epoch {results.best_epoch} is kept, chosen on
{results.selection_sentences} held-back training sentences. FVU, of layer {target}, is the sum of squared errors over
the sum of squares about the training mean. Settings, versions and fingerprints are in `config.json`.
"""


def figures_shown(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return the figures of a checkpoint's results, each with its name, as they are shown."""
    results = checkpoint.results
    rows = _sae_rows(results, results.sae) if results.sae else _code_rows(results, checkpoint.size)
    measured = results.of_update
    rows += [(f"FVU of the update, {name}", measured[key]) for key, name in _OF_UPDATE.items() if key in measured]
    return [(name, _shown(value)) for name, value in rows]


def _code_rows(results: TrainingResults, size: int) -> list[tuple[str, Any]]:
    figures, standards = results.evaluation, results.yardsticks
    return [
        ("FVU, words of the evaluation split", figures.fvu),
        ("FVU, sentence rows", figures.fvu_sentence_rows),
        ("FVU of a copy of the input layer", standards.copy),
        ("FVU of a ridge map", standards.ridge),
        ("FVU of the mean output per k-means code", standards.mean_per_code),
        ("FVU of frozen k-means codes, same decoder and budget", standards.frozen_kmeans),
        *([("FVU with the codes of the first codebook alone", alone)] if (alone := figures.fvu_first_codebook) else []),
        ("FVU with codes shuffled among words", figures.fvu_codes_shuffled),
        ("FVU with a word's own code replaced by the mean code", figures.fvu_own_code_mean),
        ("codebook perplexity", figures.codebook_perplexity),
        ("active codes", f"{figures.active_codes} of {size}"),
        ("codes on 5 distinct sentences or more", figures.active_codes_5),
        ("candidates in effective use", figures.candidates_in_use),
    ]


def _sae_rows(results: TrainingResults, sae: SaeChoice) -> list[tuple[str, Any]]:
    figures, standards = results.evaluation, results.yardsticks
    assert isinstance(figures, SaeEvaluation)
    across = ((standards.copy, "copy of the input layer"), (standards.ridge, "ridge map"))  # where layers differ
    return [
        ("FVU, words of the evaluation split", figures.fvu),
        ("FVU, sentence rows", figures.fvu_sentence_rows),
        *(("FVU of a " + name, fvu) for fvu, name in across if fvu is not None),
        ("FVU of the mean per k-means code", standards.mean_per_code),
        ("latents active in a word (L0)", figures.l0),
        ("active latents", f"{figures.active_latents} of {sae.latents}"),
        ("learning rate, of those swept", f"{sae.learning_rate:g}"),
    ]


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
