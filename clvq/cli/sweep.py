"""`clvq sweep`: a grid of settings over one extraction -> one checkpoint each, RUN/sweep.json and RUN/sweep.html."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import DEFAULT_RUN, SWEEP, SWEEP_PAGE_NAME
from clvq.cli.config_file import Several, read_config
from clvq.cli.errors import UsageError
from clvq.cli.extract import activations_of, extraction_options
from clvq.cli.options import command, options_of
from clvq.cli.output import Result, heading, number, percent, plain, table
from clvq.cli.run_folder import Run
from clvq.cli.train import of_language_model
from clvq.config import ExtractConfig, TrainConfig
from clvq.config.grid import GRID, LAYERS, PAIR, settings_grid
from clvq.progress import Report

if TYPE_CHECKING:
    from clvq.concepts.sweep_records import Sweep


@command(
    (TrainConfig, "Grid: most options take several values, such as --seed 0,1,2"),
    (ExtractConfig, "Extraction, where activations are missing"),
    several=GRID,
    leave_out=PAIR,
    in_all_processes=lambda _: True,
)
def sweep(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    layers: Annotated[list[str] | None, "Layer pairs, such as 2-4,4-6: input layer, output layer."] = None,
    grid: Annotated[
        Path | None,
        "TOML file with layers and training options, each with a value or a list of values. The command line wins.",
    ] = None,
    output: Annotated[
        Path | None, "File to write the table to, a row a training: .parquet or .csv. Each call writes it again."
    ] = None,
    overwrite: Annotated[bool, "Train again what is finished. Activations are kept."] = False,
    **given: Any,
) -> Result:
    """Train every combination of settings on one extraction, and compare them.

    Each training is an ordinary checkpoint in the run folder, named after its settings; what is finished is not trained
    again. Options that a method has no use for do not multiply its trainings. The table is kept in sweep.json and
    sweep.html of the run folder. Activations that are missing are extracted first, all layers at once.
    """
    import clvq
    from clvq.concepts.sweep import refuse_other_checkpoints
    from clvq.concepts.sweep_records import checked_table
    from clvq.device import Processes
    from clvq.training.tracking import require_tracker

    values = {**_from_file(grid), **_of_training(given), **({} if layers is None else {LAYERS: layers})}
    if LAYERS not in values:
        raise UsageError("--layers must be given, such as --layers 2-4,4-6.")
    pairs = values.pop(LAYERS)
    configs = settings_grid(pairs, values)
    require_tracker(configs[0].report_to)
    if output is not None:
        checked_table(output)
    if not overwrite:
        refuse_other_checkpoints(run, configs, None)
    of_extraction = extraction_options(given)
    store = activations_of(run, of_extraction, set(_layers(configs)), report)
    swept = clvq.sweep(
        store, layers=pairs, overwrite=overwrite, progress=report, **values,
        **of_language_model(of_extraction),
    )  # fmt: skip
    page = run / SWEEP_PAGE_NAME
    if Processes.current().is_leader:
        clvq.sweep_page(swept, page)
        if output is not None:
            swept.write_table(output)
    document = {"path": str(run), "table": str(SWEEP.path(run)), "page": str(page), **swept.as_json()}
    return Result(document, _shown(swept), f"Open {page} in any browser.")


def _from_file(path: Path | None) -> dict[str, Any]:
    """Return the values in the --grid file: LAYERS and the options of a training."""
    kinds = {
        option.name: Several(option.kind) if option.name in GRID else option.kind
        for option in options_of(TrainConfig)
        if option.name not in PAIR
    }
    return read_config(path, {LAYERS: list, **kinds}, "--grid")


def _of_training(given: dict[str, Any]) -> dict[str, Any]:
    return {item.name: given[item.name] for item in fields(TrainConfig) if item.name in given}


def _layers(configs: list[TrainConfig]) -> set[int]:
    """Return all layers that the trainings read."""
    return {layer for config in configs for layer in (config.input_layer, config.output_layer)}


def _shown(swept: Sweep) -> list[RenderableType]:
    """Return one line per training, the lowest FVU of each predicted layer bold; then one per step between pairs."""
    heads = [*(["of layer"] if swept.of_several_layers else []), "FVU", "shuffled", "ridge", "perplexity", "active"]
    lines = table(*heads, title="Checkpoint")
    best: dict[Any, float] = {}
    for row in swept.rows:
        if (fvu := row.figures["fvu"]) is not None:
            layer = row.figures["target_layer"]
            best[layer] = min(fvu, best.get(layer, fvu))
    for row in swept.rows:
        figures = row.figures
        of_layer = [number(figures["target_layer"])] if swept.of_several_layers else []
        lines.add_row(
            Text(plain(row.name)), *of_layer, number(figures["fvu"]), number(figures["fvu_codes_shuffled"]),
            number(figures["ridge"]), number(figures["codebook_perplexity"], 1), number(row.active),
            style="bold" if figures["fvu"] == best.get(figures["target_layer"]) else "",
        )  # fmt: skip
    varied = ", ".join(name.replace("_", " ") for name in swept.varied)
    parts: list[RenderableType] = [heading(f"{number(len(swept.rows))} trainings", varied), "", lines]
    if swept.of_several_layers:
        parts.append(Text("An FVU can be compared with others of the same predicted layer.", style="dim"))
    if swept.flows:
        flows = table("into", "words", "told", title="Flow of concepts from")
        settings = {row.name: row.settings for row in swept.rows}
        for flow in swept.flows:
            into = f"{settings[flow.other]['input_layer']} -> {settings[flow.other]['output_layer']}"
            flows.add_row(Text(plain(flow.name)), into, number(flow.words), percent(flow.told))
        legend = (
            "into: the next layer pair, with the same settings; told: share of the entropy of a word's code at "
            "the next pair that its code at this pair explains"
        )
        parts += ["", flows, Text(legend, style="dim")]
    return parts
