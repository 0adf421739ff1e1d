"""`clvq train`: train on the activations of two layers -> a checkpoint, RUN/NAME."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from clvq.artifacts import ACTIVATIONS_FOLDER, DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.extract import activations_of, extraction_options
from clvq.cli.options import command
from clvq.cli.output import BAR_WIDTH, Bar, Result, clock, heading, number, plain, table
from clvq.cli.run_folder import Run
from clvq.config import DEMO, UNUSED, ExtractConfig, TrainConfig
from clvq.errors import ClvqError
from clvq.progress import Report
from clvq.training.results import SaeChoice, SaeEvaluation, TrainingResults
from clvq.training.verdict import training_verdict

if TYPE_CHECKING:
    from clvq.training.checkpoint import Checkpoint


@command(
    (TrainConfig, "Method and training"),
    (ExtractConfig, "Extraction, where activations are missing"),
    in_all_processes=lambda _: True,
)
def train(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    name: Annotated[str | None, "Folder of the checkpoint in the run folder [L4-L8, L4-L8-kmeans, ...]."] = None,
    overwrite: Annotated[
        bool, "Replace the checkpoint. Activations are kept; `clvq extract --overwrite` replaces them."
    ] = False,
    **given: Any,
) -> Result:
    """Train a codebook between two layers, or a method to compare it with.

    Activations that are missing in the run folder are extracted first. Where no run exists yet, the bundled demo is
    used unless --model and --dataset are given.
    """
    import clvq
    from clvq.concepts.directions import make_concepts
    from clvq.device import Processes
    from clvq.html_report.gathered import command as command_for
    from clvq.training.tracking import require_tracker

    config = TrainConfig.resolve(**_training_settings(given))
    require_tracker(config.report_to)
    path = run / _checked_name(_default_name(config) if name is None else name)
    of_extraction = extraction_options(given)
    store = activations_of(run, of_extraction, {config.input_layer, config.output_layer}, report)
    checkpoint = clvq.train(
        store, path=path, overwrite=overwrite, progress=report, **_training_settings(given),
        **of_language_model(of_extraction),
    )  # fmt: skip
    processes = Processes.current()
    if processes.is_leader:  # so that a copy of the folder holds what the other commands need
        make_concepts(checkpoint, report)
    processes.wait()
    hint = f"Next: {command_for('codebook', checkpoint)}"
    if "yardsticks" not in UNUSED[config.method] and checkpoint.results.yardsticks.frozen_kmeans is None:
        hint += "\nThe same command with --yardsticks full also trains frozen k-means codes to compare with."
    return Result(_document(checkpoint), _shown(checkpoint), hint, training_verdict(checkpoint))


def _training_settings(given: dict[str, Any]) -> dict[str, Any]:
    missing = [f"--{name.replace('_', '-')}" for name in ("input_layer", "output_layer") if name not in given]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given, such as --input-layer 4 --output-layer 8.")
    return {item.name: given[item.name] for item in fields(TrainConfig) if item.name in given}


def of_language_model(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options with which the language model is run again, to measure its sensitivity.

    The model itself is passed on only where it is a folder, since a folder may have moved.
    """
    chosen = {name: given[name] for name in ("batch_tokens", "trust_remote_code") if name in given}
    model = given.get("model", DEMO)
    return chosen | ({"model": model} if model != DEMO and Path(model).is_dir() else {})


def _default_name(config: TrainConfig) -> str:
    preset = "-paper" if config.preset == "paper" else ""
    method = "" if config.method == "clvq" else f"-{config.method}"
    predict = "" if config.predict == "state" else f"-{config.predict}"
    metric = "" if config.metric == config.usual.metric else f"-{config.metric}"
    codebooks = "" if config.codebooks == 1 else f"-codebooks{config.codebooks}"
    return f"L{config.input_layer}-L{config.output_layer}{preset}{method}{metric}{predict}{codebooks}"


def _checked_name(name: str) -> str:
    """Return the name if it is the plain name of one folder; else raise ClvqError.

    Such a name cannot lead out of the run folder, nor into the activations.
    """
    if (
        not name.strip()
        or name.startswith(".")
        or Path(name).name != name
        or "\\" in name
        or not name.isprintable()
        or name == ACTIVATIONS_FOLDER
    ):
        raise ClvqError(
            f"--name {name!r} cannot be a checkpoint's folder: give one name without slashes or a leading dot, "
            f"other than {ACTIVATIONS_FOLDER}."
        )
    return name


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    kept, config = ("settings", "results", "provenance", "weights_checksum"), checkpoint.config.as_json()
    document = {"path": str(checkpoint.path), **{key: config[key] for key in kept}}
    return {**document, "fvu_of_update": checkpoint.results.of_update}


def _shown(checkpoint: Checkpoint) -> list[RenderableType]:
    results = checkpoint.results
    model = checkpoint.config.provenance.model.id
    training = table("", title="Training")
    training.add_row("epochs", f"{results.epochs_run}, best {results.best_epoch}")
    training.add_row("rows", number(results.training_rows))
    training.add_row("sentences", number(results.training_sentences))
    training.add_row("time", clock(results.training_seconds))
    columns = Table.grid(padding=(0, 4, 0, 0))
    columns.add_row(_codebook(checkpoint) if results.sae is None else _dictionary(results, results.sae), training)
    tables: list[RenderableType] = (
        [_reconstruction(checkpoint)]
        if results.sae is None
        else [_sae_reconstruction(checkpoint), "", _sweep(results.sae)]
    )
    return [
        heading(f"{checkpoint.title} of {model}, {checkpoint.span}"), "",
        *tables, "", columns, "",
        Text(plain(str(checkpoint.path)), overflow="fold"),
    ]  # fmt: skip


def _codebook(checkpoint: Checkpoint) -> Table:
    from clvq.training.records import VaeArguments

    size, figures = checkpoint.settings.codebook_size, checkpoint.results.evaluation
    arguments = checkpoint.config.architecture
    assert isinstance(arguments, VaeArguments)
    which = f"First of {books} codebooks" if (books := checkpoint.codebooks) > 1 else "Codebook"
    codebook = table("", title=f"{which}, evaluation words")
    codebook.add_row("perplexity", f"{number(figures.codebook_perplexity, 1)} of {number(size)}")
    codebook.add_row("active and dead codes", f"{number(figures.active_codes)} and {number(figures.dead_codes)}")
    codebook.add_row("codes on 5 sentences or more", number(figures.active_codes_5))
    codebook.add_row("candidates in use", f"{number(figures.candidates_in_use, 2)} of {arguments.top_k}")
    return codebook


def _dictionary(results: TrainingResults, sae: SaeChoice) -> Table:
    figures = results.evaluation
    assert isinstance(figures, SaeEvaluation)
    dictionary = table("", title="Dictionary, evaluation words")
    dictionary.add_row("latents", number(sae.latents))
    dictionary.add_row("active and dead", f"{number(figures.active_latents)} and {number(figures.dead_latents)}")
    dictionary.add_row("active in a word (L0)", number(figures.l0, 1))
    dictionary.add_row("learning rate", f"{sae.learning_rate:g}")
    return dictionary


_SENTENCE_ROWS = "this model, sentence rows"


def _reconstruction(checkpoint: Checkpoint) -> Table:
    """Return the model's FVU beside the yardsticks that it must beat, and beside its FVU with wrong codes."""
    figures, standards = checkpoint.results.evaluation, checkpoint.results.yardsticks
    return _bars(
        checkpoint,
        [
            ("this model", figures.fvu, "bold"),
            ("frozen k-means codes, same decoder", standards.frozen_kmeans, ""),
            ("ridge map, no codes", standards.ridge, ""),
            ("mean output of a k-means code", standards.mean_per_code, ""),
            ("copy of the input layer", standards.copy, ""),
            (_SENTENCE_ROWS, figures.fvu_sentence_rows, ""),
            *([("with the first codebook alone", alone, "")] if (alone := figures.fvu_first_codebook) else []),
            ("with a word's own code made the mean", figures.fvu_own_code_mean, ""),
            ("with codes shuffled among words", figures.fvu_codes_shuffled, ""),
        ],
    )


def _sae_reconstruction(checkpoint: Checkpoint) -> Table:
    figures, standards = checkpoint.results.evaluation, checkpoint.results.yardsticks
    across = ((standards.ridge, "ridge map, no latents"), (standards.copy, "copy of the input layer"))
    return _bars(
        checkpoint,
        [
            ("this model", figures.fvu, "bold"),
            *((name, fvu, "") for fvu, name in across if fvu is not None),  # only where the output layer is predicted
            ("mean of a k-means code", standards.mean_per_code, ""),
            (_SENTENCE_ROWS, figures.fvu_sentence_rows, ""),
        ],
    )


def _bars(checkpoint: Checkpoint, rows: list[tuple[str, float | None, str]]) -> Table:
    """Return FVU figures as bars, and those of the update where there is one.

    The title names the layer where it is not the output layer.
    """
    factor = checkpoint.results.update_factor or 0.0  # 0 where there is no update
    target = checkpoint.settings.target_layer
    layer = "" if target == checkpoint.output_layer else f"layer {target} in "
    sentences = number(checkpoint.results.evaluation_sentences)
    bars = table(
        "FVU", *(["update"] if factor else []), title=f"Reconstruction of {layer}{sentences} evaluation sentences"
    )
    bars.add_column(Text("0 is perfect, 1 the mean", style="dim"), width=BAR_WIDTH)
    for name, value, style in rows:
        of_update = "" if value is None or name == _SENTENCE_ROWS else number(factor * value)
        update = [of_update] if factor else []
        bars.add_row(Text(name), number(value), *update, Bar(value), style=style)
    return bars


def _sweep(sae: SaeChoice) -> Table:
    """Return the FVU on the selection slice after each short training, the chosen setting bold."""
    rates = sorted({point.learning_rate for point in sae.sweep})
    title = f"Sweep over {number(sae.sweep_sentences)} sentences: FVU by learning rate"
    sweep = table(*(f"{rate:g}" for rate in rates), title=title)
    fvu_by_setting = {(point.k, point.learning_rate): point.selection_fvu for point in sae.sweep}
    for k in sorted({k for k, _ in fvu_by_setting}):
        cells = [
            Text(
                number(fvu_by_setting[k, rate]),
                style="bold" if (k, rate) == (sae.k, sae.learning_rate) else "",
            )
            for rate in rates
        ]
        sweep.add_row(f"k {k}", *cells)
    return sweep
