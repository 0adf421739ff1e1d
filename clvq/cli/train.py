"""`clvq train`: activations of two layers -> a trained checkpoint, RUN/NAME."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from clvq.cli.errors import UsageError
from clvq.cli.extract import ACTIVATIONS, extraction_settings
from clvq.cli.options import Run, command
from clvq.cli.output import BAR_WIDTH, Bar, Result, clock, heading, number, plain, table
from clvq.config import ExtractConfig, TrainConfig
from clvq.errors import ClvqError
from clvq.progress import Report

if TYPE_CHECKING:
    from clvq.checkpoint import Checkpoint


@command((TrainConfig, "Method and training"), (ExtractConfig, "Extraction, where activations are missing"))
def train(
    report: Report,
    *,
    run: Run = Path("clvq-run"),
    name: Annotated[str | None, "Folder of the checkpoint in the run folder [L4-L8, L4-L8-paper]."] = None,
    overwrite: Annotated[bool, "Replace the checkpoint, not the activations: those are `clvq extract`'s."] = False,
    **given: Any,
) -> Result:
    """Train a codebook between two layers.

    Activations that the run folder lacks are extracted first. In a new run folder, without --model and --dataset,
    the bundled demo is used.
    """
    import clvq
    from clvq.processes import Processes

    config = TrainConfig.resolve(**_training_settings(given))
    path = run / _checked_name(_default_name(config) if name is None else name)
    extraction = {item.name for item in fields(ExtractConfig)} - {"seed"}  # --seed is the training's
    settings = extraction_settings(
        run / ACTIVATIONS, {key: value for key, value in given.items() if key in extraction}, report, overwrite=False
    )
    pair = {config.input_layer, config.output_layer}
    settings["layers"] = tuple(sorted({*settings.get("layers", ()), *pair}))
    processes = Processes.current()
    if processes.is_leader:
        clvq.extract(run / ACTIVATIONS, progress=report, **settings)
    processes.wait()
    checkpoint = clvq.train(
        run / ACTIVATIONS, path=path, overwrite=overwrite, progress=report, **_training_settings(given)
    )
    hint = None
    if "frozen_kmeans" not in checkpoint.results["yardsticks"]:
        hint = "The same command with --yardsticks full also trains frozen k-means codes to compare with."
    return Result(_document(checkpoint), _shown(checkpoint), hint)


def _training_settings(given: dict[str, Any]) -> dict[str, Any]:
    missing = [f"--{name.replace('_', '-')}" for name in ("input_layer", "output_layer") if name not in given]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given, such as --input-layer 4 --output-layer 8.")
    return {item.name: given[item.name] for item in fields(TrainConfig) if item.name in given}


def _default_name(config: TrainConfig) -> str:
    return f"L{config.input_layer}-L{config.output_layer}" + ("-paper" if config.preset == "paper" else "")


def _checked_name(name: str) -> str:
    """A plain name of one folder, which cannot leave the run folder or land in the activations."""
    if (
        not name
        or name.startswith(".")
        or Path(name).name != name
        or "\\" in name
        or not name.isprintable()
        or name == ACTIVATIONS
    ):
        raise ClvqError(
            f"--name {name!r} cannot be a checkpoint's folder: give one name without slashes or a leading dot, "
            f"other than {ACTIVATIONS}."
        )
    return name


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    kept = ("settings", "results", "provenance", "weights_checksum")
    return {"path": str(checkpoint.path), **{key: checkpoint.config[key] for key in kept}}


def _shown(checkpoint: Checkpoint) -> list[RenderableType]:
    settings, results = checkpoint.settings, checkpoint.results
    figures = results["evaluation"]
    model = checkpoint.config["provenance"]["model"]["id"]
    codebook = table("", title="Codebook")
    codebook.add_row("perplexity", f"{number(figures['codebook_perplexity'], 1)} of {number(settings.codebook_size)}")
    codebook.add_row("active and dead codes", f"{number(figures['active_codes'])} and {number(figures['dead_codes'])}")
    codebook.add_row("codes on 5 sentences or more", number(figures["active_codes_5"]))
    codebook.add_row("candidates in use", f"{number(figures['candidates_in_use'], 2)} of {settings.top_k}")
    training = table("", title="Training")
    training.add_row("epochs", f"{results['epochs_run']}, best {results['best_epoch']}")
    training.add_row("rows", number(results["training_rows"]))
    training.add_row("sentences", number(results["training_sentences"]))
    training.add_row("time", clock(results["training_seconds"]))
    beside = Table.grid(padding=(0, 4, 0, 0))
    beside.add_row(codebook, training)
    return [
        heading(f"CLVQ-VAE of {model}, layers {settings.input_layer} -> {settings.output_layer}"), "",
        _reconstruction(results), "", beside, "",
        Text(plain(str(checkpoint.path)), overflow="fold"),
    ]  # fmt: skip


def _reconstruction(results: dict[str, Any]) -> Table:
    """The model's FVU beside what it must beat, and what it must not survive."""
    figures, standards = results["evaluation"], results["yardsticks"]
    made = table("FVU", title=f"Reconstruction of {number(results['evaluation_sentences'])} evaluation sentences")
    made.add_column(Text("0 is perfect, 1 the mean", style="dim"), width=BAR_WIDTH)
    rows = [
        ("this model", figures["fvu"], "bold"),
        ("frozen k-means codes, same decoder", standards.get("frozen_kmeans"), ""),
        ("ridge map, no codes", standards["ridge"], ""),
        ("mean output of a k-means code", standards["mean_per_code"], ""),
        ("copy of the input layer", standards["copy"], ""),
        ("this model, sentence rows", figures["fvu_sentence_rows"], ""),
        ("with a word's own code made the mean", figures["fvu_own_code_mean"], ""),
        ("with codes shuffled among words", figures["fvu_codes_shuffled"], ""),
    ]
    for name, value, style in rows:
        made.add_row(Text(name), number(value), Bar(value), style=style)
    return made
