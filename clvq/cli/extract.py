"""`clvq extract`: run a language model over a corpus -> RUN/activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import ACTIVATIONS, ACTIVATIONS_FOLDER, DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.options import command
from clvq.cli.output import Result, heading, number, percent, plain, table
from clvq.cli.run_folder import Run, refuse_demo, refuse_other_folders, run_option
from clvq.config import DEMO, ExtractConfig
from clvq.progress import Progress, Report
from clvq.storage import size_text

if TYPE_CHECKING:
    from clvq.activations.estimate import Estimate
    from clvq.activations.store import ActivationStore
    from clvq.corpus.taken import TakenColumns

_FATES = {
    "missing": "rows of the corpus without a text",
    "in_evaluation": "sentences that are also in eval, left out",
    "over_limit": "sentences over --max-sentences",
    "unlabelled": "sentences without a label, kept",
    "duplicates": "repeated texts, kept",
    "contradicted": "repeated texts with different labels, tested by the first",
    "blank": "blank sentences, kept",
    "repaired": "sentences with a broken character, repaired",
    "sentences_without_words": "sentences without words",
    "sentences_truncated": "sentences cut at the model's length",
    "words_truncated": "words beyond the model's length",
    "words_dropped_by_tokenizer": "words without a token of their own",
    "unknown_tokens": "tokens that the tokenizer does not know",
}
"""What can happen to texts: the counts of the corpus and of the extraction, with what each means."""


@command((ExtractConfig, "Model and corpus"), in_all_processes=lambda _: True)
def extract(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    overwrite: Annotated[bool, "Replace the activations in the run folder."] = False,
    dry_run: Annotated[
        bool, "Only tell rows, bytes and minutes, from a sample over which the model runs; nothing is written."
    ] = False,
    **given: Any,
) -> Result:
    """Run a language model over a corpus and store the hidden states of the words.

    Where the run folder has activations, their settings are used for all that are not given. So `clvq extract
    --layers 2` adds a layer. Where no run exists yet, the bundled demo is used unless --model and --dataset are given.
    """
    import clvq
    from clvq.corpus.taken import TakenColumns

    settings = extraction_settings(run, given, report, overwrite=overwrite)
    if not settings.get("layers"):
        raise UsageError("--layers must be given, such as --layers 4,8 (0 is the embeddings).")
    if dry_run:
        estimate = clvq.estimate(run / ACTIVATIONS_FOLDER, overwrite=overwrite, progress=report, **settings)
        return Result({"path": str(run / ACTIVATIONS_FOLDER), **estimate.as_json()}, _estimated(estimate))
    store = clvq.extract(run / ACTIVATIONS_FOLDER, overwrite=overwrite, progress=report, **settings)
    layers = sorted(store.layers)
    pair = f" --input-layer {layers[0]} --output-layer {layers[-1]}" if len(layers) > 1 else ""
    columns = TakenColumns.of_sentences(store.provenance.corpus, store.label_names, store.sentences("train"))
    document = _document(store, columns)
    shown = _shown(store, document["bytes"], columns)
    return Result(document, shown, f"Next: clvq train{pair}{run_option(run)}" if pair else None)


def _estimated(estimate: Estimate) -> list[RenderableType]:
    """Return what --dry-run shows."""
    counts = table("train", "eval", title="Text")
    for name in ("sentences", "tokens", "rows"):
        counts.add_row(name, *(number(count) for count in getattr(estimate, name).values()))
    return [counts, "", Text(str(estimate)), Text(f"Time was measured over {number(estimate.timed_tokens)} tokens.")]


def extraction_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a training command that belong to the extraction; --seed belongs to the training."""
    names = {item.name for item in fields(ExtractConfig)} - {"seed"}
    return {name: value for name, value in given.items() if name in names}


def extraction_settings(run: Path, given: dict[str, Any], report: Report, *, overwrite: bool) -> dict[str, Any]:
    """Return the settings of the run's activations, updated by the options that are given.

    The settings of activations that are to be replaced (`overwrite`) are used only where neither model nor dataset is
    given. A run without activations uses the bundled demo, unless another run seems to be meant (`refuse_demo`).
    UsageError where only one of model and dataset is given and nothing is stored.
    """
    from clvq.activations.extraction import stored_settings

    refuse_other_folders(run)
    named = {"model", "dataset"} & set(given)
    stored = {} if overwrite and named else stored_settings(run / ACTIVATIONS_FOLDER)
    if not stored:
        if len(named) == 1:
            (missing,) = {"model", "dataset"} - named
            raise UsageError(
                f"--{min(named)} is given, but not --{missing}. Give both; {DEMO} is the bundled {missing}: "
                f"--{missing} {DEMO}."
            )
        if not named:
            refuse_demo(run)
            report(Progress("extract", note="No --model and --dataset are given: using the bundled demo of both."))
    return {**stored, **given}


def activations_of(run: Path, given: dict[str, Any], layers: set[int], report: Report) -> ActivationStore:
    """Return the run's activations with these layers; those that are missing are extracted first.

    Where all are there and no option says what they should hold, the corpus is not read. That it has changed since is
    then reported, and changes nothing.
    """
    import clvq
    from clvq.activations.inputs import changed_corpus

    settings = extraction_settings(run, given, report, overwrite=False)
    path = run / ACTIVATIONS_FOLDER
    is_new = not ACTIVATIONS.exists(path)
    if not is_new and not set(given) & set(ExtractConfig().deciding()):
        store = clvq.ActivationStore(path)
        if layers <= set(store.layers):
            report(Progress("extract", note=f"{path} is up to date."))
            for name in changed_corpus(store):
                note = f"{name} has changed since {path} was made of it; the rows that are stored there are used."
                report(Progress("extract", note=note))
            return store
    settings["layers"] = tuple(sorted({*settings.get("layers", ()), *layers}))
    store = clvq.extract(path, progress=report, **settings)
    if is_new:
        report_fates(store, report)
    return store


def _document(store: ActivationStore, columns: TakenColumns) -> dict[str, Any]:
    """Return the figures of a store, for JSON and for the tables."""
    manifest = store.manifest
    splits = {
        name: {key: value for key, value in entry.as_json().items() if key not in ("file", "checksum")}
        for name, entry in manifest.splits.items()
    }
    layers = [entry.as_json() for _, entry in sorted(manifest.without_files(list(manifest.layers)).layers.items())]
    return {
        "path": str(store.path),
        "bytes": sum(file.stat().st_size for file in store.path.iterdir() if file.is_file()),
        "settings": store.settings.deciding(),
        "provenance": store.provenance.as_json(),
        "columns": columns.as_json(),
        "label_names": store.label_names,
        "has_predictions": store.has_predictions,
        "target": None if store.target is None else store.target.as_json(),
        "splits": splits,
        "layers": layers,
    }


def _fates(store: ActivationStore) -> Iterator[tuple[str, list[int]]]:
    """Yield what happened to some texts, and how often in each split."""
    splits = [{**split.corpus_counts, **split.counts} for split in store.manifest.splits.values()]
    for name, meaning in _FATES.items():
        if any(values := [split.get(name, 0) for split in splits]):
            yield meaning, values


def report_fates(store: ActivationStore, report: Report) -> None:
    """Report what happened to some texts, for a command that shows no table of them."""
    for meaning, values in _fates(store):
        where = ", ".join(f"{value:,} in {split}" for split, value in zip(store.manifest.splits, values, strict=True))
        report(Progress("extract", note=f"{meaning[0].upper()}{meaning[1:]}: {where}."))


def _shown(store: ActivationStore, size: int, columns: TakenColumns) -> list[RenderableType]:
    """Return tables of the texts and layers of a store that takes `size` bytes."""
    settings, splits = store.settings, store.manifest.splits.values()
    figures = [split.figures for split in splits]
    unit = "words" if settings.unit == "word" else "tokens"
    counts = table("train", "eval", title="Text")
    counts.add_row("sentences", *(number(split.sentences) for split in splits))
    counts.add_row(unit, *(number(split.counts.get("words", 0)) for split in splits))
    counts.add_row("rows, with sentence rows", *(number(split.counts.get("rows", 0)) for split in splits))
    for meaning, values in _fates(store):
        counts.add_row(meaning, *map(number, values))
    if any(split.r2 is not None for split in figures):
        counts.add_row("R² of the scores", *(number(split.r2) for split in figures))
        counts.add_row("their correlation with the labels", *(number(split.correlation) for split in figures))
    else:
        counts.add_row("accuracy of the model", *(percent(split.accuracy) for split in figures))
    if any(split.label_words_share is not None for split in figures):
        counts.add_row("share of the label words", *(percent(split.label_words_share) for split in figures))
    if any(split.majority is not None for split in figures):
        counts.add_row("most frequent answer", *(percent(split.majority) for split in figures))
    if store.target is not None and store.target.unit is not None:
        counts.add_row("mean score", *(number(split.score_mean) for split in figures))
        counts.add_row("its standard deviation", *(number(split.score_deviation) for split in figures))
    layers = table("width", "scale", "median norm", "sinks", title="Layer")
    for index, layer in sorted(store.layers.items()):
        measured = (layer.width, layer.scale, layer.median_norm, layer.sinks)
        layers.add_row(str(index), *(number(figure) for figure in measured))
    parts: list[RenderableType] = [
        heading(f"{settings.model} over {settings.dataset}"), "",
        *(Text(plain(line), overflow="fold") for line in columns.lines()), "",
        counts, "", layers, "",
    ]  # fmt: skip
    reason = store.provenance.model.no_head_reason
    if reason is not None:
        parts.append(Text(plain(f"No predictions: {reason}.")))
    parts.append(Text(plain(f"{size_text(size)} in {store.path}"), overflow="fold"))
    return parts
