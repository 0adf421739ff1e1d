"""The top of the page: the main figures in plain words, their yardsticks, and their provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from clvq.activations.manifest import SplitFigures
from clvq.artifacts import model_title, short_name
from clvq.concepts.records import TWIN_COSINE, CodebookFigures, twins
from clvq.corpus.provenance import HeldOut
from clvq.html_report.gathered import Material
from clvq.training.checkpoint import Checkpoint
from clvq.training.records import SaeArguments

_BASELINES = {
    "kmeans": "A baseline: frozen k-means codes. ",
    "random": "A baseline: frozen random codes. ",
    "agglomerative": "A baseline: frozen means of agglomerative clusters. ",
    "ridge-kmeans": "A baseline: frozen k-means codes of a ridge map to the output layer. ",
    "gradient-kmeans": "A baseline: frozen k-means codes of the model's own sensitivity. ",
    "vqvae": "A baseline: a single-layer VQ-VAE. ",
    "sae": "A baseline: a TopK sparse autoencoder. ",
    "crosslayer-sae": "A baseline: a TopK sparse autoencoder from the input to the output layer. ",
}


_STANDARDS = {
    "frozen_kmeans": ("Frozen k-means", "the same decoder on codes that are not trained"),
    "ridge": ("Ridge map", "a linear map of the states themselves, without codes"),
    "mean_per_code": ("Mean of a k-means code", "every word gets the mean of its cluster"),
    "copy": ("Copy", "the lower layer taken for the higher"),
}
"""Name and meaning of each yardstick."""


class Headline(NamedTuple):
    name: str
    value: str
    meaning: str
    term: str
    """The word of the glossary that says more."""


class Rung(NamedTuple):
    """One bar of a ladder of FVU figures."""

    name: str
    meaning: str
    value: float
    own: bool
    width: float
    """Width in percent of the widest bar of the page."""


class Ladder(NamedTuple):
    title: str
    rungs: list[Rung]
    one: float
    """Position of the value 1, in percent of the widest bar."""


class Table(NamedTuple):
    title: str
    rows: list[tuple[str, str]]


def story(material: Material) -> str:
    """Return what was done, in one or two sentences."""
    checkpoint = material.checkpoint
    lower, upper = checkpoint.input_layer, checkpoint.settings.target_layer
    predicted = "that layer" if upper == lower else f"layer {upper}"
    method = _BASELINES.get(checkpoint.settings.method, "")
    arguments = checkpoint.config.architecture
    if isinstance(arguments, SaeArguments):
        return (
            f"{method}Each word's state at layer {lower} is written as {arguments.k} of {checkpoint.size:,} "
            f"directions, and {predicted} is predicted from {_sources(checkpoint)}. The strongest direction stands for "
            "the word's code here."
        )
    origin = "drawn at random at" if checkpoint.settings.method == "random" else "learned from"
    return (
        f"{method}Each word of a sentence is replaced by {_one_of(checkpoint)}, {origin} layer {lower}, and "
        f"{predicted} is predicted from {_sources(checkpoint)}."
    )


def _sources(checkpoint: Checkpoint) -> str:
    """Return what the prediction is made from, in words."""
    settings, arguments = checkpoint.settings, checkpoint.config.architecture
    if isinstance(arguments, SaeArguments):
        codes, beside = "the directions", bool(arguments.skip)
    else:
        codes, beside = "the codes", arguments.decoder_memory == "encoder" or settings.predict == "update"
    return f"{codes} and the states of layer {settings.input_layer} themselves" if beside else f"{codes} alone"


def _one_of(checkpoint: Checkpoint) -> str:
    """Return what a word is replaced by, in words."""
    if checkpoint.codebooks == 1:
        return f"one of {checkpoint.size:,} codes"
    return (
        f"a code of each of {checkpoint.codebooks} codebooks of {checkpoint.size:,} (concepts are codes of the first)"
    )


def headline(material: Material) -> list[Headline]:
    """Return the main figures, each with its meaning."""
    settings, figures = material.checkpoint.settings, material.checkpoint.results.evaluation
    size, measured = material.checkpoint.size, None if material.codebook is None else material.codebook.figures
    perplexity, active, attested = (
        getattr(figures if measured is None else measured, name)
        for name in ("codebook_perplexity", "active_codes", "active_codes_5")
    )
    shown = []
    several = material.checkpoint.codebooks > 1
    of_all, first = (", with all codebooks", " of the first codebook") if several else ("", "")
    if figures.fvu is not None:
        meaning = (
            f"Variance of layer {settings.target_layer} that is left unexplained on evaluation words, predicted from "
            f"{_sources(material.checkpoint)}{of_all}. 0 is perfect, 1 is no better than always guessing the mean."
        )
        shown.append(Headline("FVU", f"{figures.fvu:.3f}", meaning, "FVU"))
    split = "evaluation" if measured is None else "training"
    meaning = f"How many codes{first} the {split} words would have if all were used alike; {size:,} at most."
    shown.append(Headline("Perplexity", f"{perplexity:,.0f}", meaning, "Perplexity"))
    given = f"{split} word" if measured is None or not measured.sentence_rows else "training word or sentence row"
    meaning = (
        f"Codes{first}, of {size:,}, that at least one {given} has; {attested:,} of them on five different sentences "
        "or more."
    )
    if pairs := len(twins(material.concepts)):
        meaning += f" {pairs:,} pairs of codes are nearly the same (cosine above {TWIN_COSINE})."
    shown.append(Headline("Active codes", f"{active:,}", meaning, "Code"))
    return shown if measured is None else shown + _information(measured, size)


def _information(figures: CodebookFigures, size: int) -> list[Headline]:
    """Return the figures that only the catalogue of concepts has: the information in a word's concept."""
    most = math.log2(size)
    meaning = f"The information in a word's concept, on average; {most:.2f} if all codes were equally frequent."
    shown = [Headline("Bits per word", f"{figures.bits_per_word:.2f}", meaning, "Word")]
    if figures.ami_words is None:
        shown.append(Headline("AMI with words", "–", "Not measured.", "AMI"))
    else:
        meaning = (
            "Adjusted mutual information of codes and word types. 1: codes are a dictionary; 0: they have nothing to "
            "do with which word it is."
        )
        shown.append(Headline("AMI with words", f"{figures.ami_words:.3f}", meaning, "AMI"))
    if figures.ami_labels is not None:
        meaning = (
            "The same of codes and the labels of words, or of the sentences that words stand in: what a code tells of "
            "the label, beyond chance."
        )
        shown.append(Headline("AMI with labels", f"{figures.ami_labels:.3f}", meaning, "AMI"))
    return shown


def ladders(checkpoint: Checkpoint) -> list[Ladder]:
    """Return FVU beside the yardsticks that it must beat, and beside FVU with wrong codes, which must be worse.

    Figures that were not measured are left out, and so is a ladder that has none.
    """
    results = checkpoint.results
    figures, standards = results.evaluation, results.yardsticks
    groups: list[tuple[str, list[tuple[str, str, float | None]]]] = [
        (
            "What it must beat",
            [(name, meaning, getattr(standards, key)) for key, (name, meaning) in _STANDARDS.items()],
        ),
        (
            "FVU with wrong or missing codes",
            [
                (
                    "First codebook alone",
                    "the codes of the other codebooks are left out",
                    figures.fvu_first_codebook,
                ),
                (
                    "Own code hidden",
                    "a word's code is made the mean, its neighbours keep theirs",
                    figures.fvu_own_code_mean,
                ),
                ("Codes shuffled", "every word gets another word's code", figures.fvu_codes_shuffled),
            ],
        ),
    ]
    own = ("This model", f"predicts from {_sources(checkpoint)}")
    measured = [group for group in groups if any(value is not None for *_, value in group[1])]
    shown = [(name, [(*own, figures.fvu), *group]) for name, group in measured]
    if between := results.of_update:
        others = [(name, meaning, between.get(key)) for key, (name, meaning) in _STANDARDS.items()]
        shown.append(("The update from the lower layer to the higher", [(*own, between["fvu"]), *others]))
    widest = max([1.0, *(value for _, group in shown for *_, value in group if value is not None)])
    return [
        Ladder(
            title,
            [
                Rung(name, meaning, value, place == 0, 100 * max(value, 0.0) / widest)
                for place, (name, meaning, value) in enumerate(group)
                if value is not None
            ],
            100 / widest,
        )
        for title, group in shown
    ]


def provenance(material: Material) -> list[Table]:
    """Return what was run, on what, and with which settings and versions; local paths are shortened to names."""
    checkpoint, manifest = material.checkpoint, material.manifest
    made, results = checkpoint.config.provenance, checkpoint.results
    model, corpus = made.model, made.corpus
    own = corpus.evaluation
    evaluated = (
        f"{own.held_out:.0%} of its distinct texts, held out"
        if isinstance(own, HeldOut)
        else _joined(short_name(own.source.dataset), f"split {own.split}")
    )
    run = [
        ("Model", _joined(model_title(model), model.revision, model.architecture)),
        ("Layers", f"{checkpoint.input_layer} → {checkpoint.output_layer} of {model.num_layers}"),
        ("Corpus", _joined(short_name(corpus.dataset), f"split {corpus.training.split}")),
        ("Evaluated on", evaluated),
        ("Trained on", f"{results.training_rows:,} rows of {results.training_sentences:,} sentences"),
        ("Training", f"{results.epochs_run} epochs, the best is {results.best_epoch}; "
                     f"{results.training_seconds / 60:.1f} minutes on {made.device}"),
        ("Made", made.created.replace("T", " ").replace("+00:00", " UTC")),
    ]  # fmt: skip
    if manifest is not None:
        run += _of_model(manifest.splits["eval"].figures)
    fingerprints = [("weights", checkpoint.fingerprint), ("rows", made.rows), ("model", model.fingerprint)]
    fingerprints += [(f"layer {layer}", value) for layer, value in made.layers.items()]
    if material.codebook is not None:
        fingerprints.append(("concepts", material.codebook.concepts_checksum))
    tables = [
        Table("What was run", run),
        Table("Training settings", _rows(checkpoint.settings.as_json())),
        Table("Versions", _rows(made.versions)),
        Table("Fingerprints", fingerprints),
    ]
    if manifest is not None:
        tables.insert(2, Table("Extraction settings", _rows(manifest.settings.deciding())))
    if material.explained is not None:
        tables.insert(-2, Table("Explanation settings", _rows(material.explained.settings.deciding())))
    return tables


def _of_model(figures: SplitFigures) -> list[tuple[str, str]]:
    """Return how well the language model does on the evaluation sentences; nothing where that is not known."""
    if figures.accuracy is not None and figures.majority is not None:
        guessed = f"{figures.majority:.1%} by always guessing the most frequent label"
        return [("Accuracy of the model", f"{figures.accuracy:.1%} on the evaluation sentences, {guessed}")]
    if figures.r2 is None:
        return []
    correlation = "" if figures.correlation is None else f", correlation {figures.correlation:.3f}"
    return [("R² of the model", f"{figures.r2:.3f} on the evaluation sentences{correlation}")]


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values that are set, by name. None, false and empty values are left out; 0 is kept."""
    return [
        (name.replace("_", " "), _plain(value))
        for name, value in values.items()
        if value not in (None, "", []) and value is not False
    ]


def _plain(value: Any) -> str:
    if value is True:
        return "yes"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return short_name(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)
