"""`sweep`: a grid of settings over one store -> one checkpoint each, one table, and the flow between layer pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from clvq.activations.store import ActivationStore
from clvq.artifacts import CHECKPOINT
from clvq.concepts.codebook import Codebook, codebook
from clvq.concepts.directions import make_concepts
from clvq.concepts.pairs import flow
from clvq.concepts.sweep_records import Sweep, Swept, SweptArrow, SweptFlow
from clvq.config import TrainConfig
from clvq.config.grid import GRID, PAIR, chains, settings_grid, training_name, used_settings
from clvq.config.signatures import takes
from clvq.device import Processes, Runtime
from clvq.errors import ClvqError
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoint
from clvq.training.sensitivity import sensitivities
from clvq.training.tracking import require_tracker
from clvq.training.train import refuse_other, train

ARROWS = 60
"""Number of arrows of a flow that are kept, the strongest ones."""


@takes(TrainConfig, several=GRID, leave_out=PAIR)
def sweep(
    store: ActivationStore | str | Path,
    *,
    layers: str | Sequence[str | tuple[int, int]],
    overwrite: bool = False,
    model: str | Path | None = None,
    batch_tokens: int = Runtime.batch_tokens,
    trust_remote_code: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Sweep:
    """Train every combination of settings of a grid on one store, and return the results.

        table = clvq.sweep("run/activations", layers="2-4,4-6", codebook_size=[100, 400], seed=[0, 1, 2]).to_pandas()

    Most settings take a list of values. Each combination becomes an ordinary checkpoint beside the activations, named
    after its settings, with its concepts. A setting that a method does not use does not multiply the trainings of this
    method. A finished training is not repeated, and an unfinished training continues. The table is stored as sweep.json
    in the run folder.

    Before any training: ClvqError for an empty grid and for invalid values; MismatchError where the store lacks a
    layer, or, unless `overwrite`, where a checkpoint of the same name has other settings.

    Args:
        store: Activations that hold all layers, or their folder. The checkpoints are put beside it.
        layers: Pairs of an input and an output layer, such as "2-4,4-6" or [(2, 4), (4, 6)].
        overwrite: Train again what is finished.
        model: Folder or hub id where the language model is now, if it was moved. It runs only for its sensitivity.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """
    configs = settings_grid(layers, settings)
    require_tracker(configs[0].report_to)
    store = store if isinstance(store, ActivationStore) else ActivationStore(store)
    run = store.path.parent
    if not overwrite:
        refuse_other_checkpoints(run, configs, store)
    _refuse_impossible(store, configs)
    language_model: dict[str, Any] = {
        "model": None if model is None else str(model),
        "batch_tokens": batch_tokens,
        "trust_remote_code": trust_remote_code,
    }
    processes, trained = Processes.current(), []
    if processes.is_leader:
        left = [one for one in configs if overwrite or not CHECKPOINT.exists(run / training_name(one))]
        _measure_sensitivities(store, left, language_model, progress)
    processes.wait()
    for number, config in enumerate(configs, 1):
        path = run / training_name(config)
        progress(Progress("sweep", note=f"Training {number} of {len(configs)}: {path.name}"))
        try:
            checkpoint = train(
                store, path=path, overwrite=overwrite, progress=progress, **language_model, **used_settings(config)
            )
        except ClvqError as error:
            raise type(error)(f"{path.name}: {error}") from error
        if processes.is_leader:  # as after `clvq train`: so a copy of the folder holds what the other commands need
            make_concepts(checkpoint, progress)
        processes.wait()
        trained.append(checkpoint)
    result = _measured(run, configs, trained)
    if processes.is_leader:
        result.write()
    return result


def refuse_other_checkpoints(run: Path, configs: Sequence[TrainConfig], store: ActivationStore | None) -> None:
    """Raise MismatchError where the run folder has a checkpoint with a name of the grid, but with other settings or of
    another store."""
    for config in configs:
        if CHECKPOINT.exists(path := run / training_name(config)):
            refuse_other(read_checkpoint(path), config, store)


def _refuse_impossible(store: ActivationStore, configs: Sequence[TrainConfig]) -> None:
    """Raise ClvqError where the store lacks a layer, or where there are more codes than rows."""
    for config in configs:
        for layer in (config.input_layer, config.output_layer):
            store.layer(layer)
    rows, largest = len(store.flags("train")), max(config.codebook_size for config in configs)
    if largest > rows:
        raise ClvqError(f"--codebook-size {largest} is more than the {rows} rows of the training split.")


def _measure_sensitivities(
    store: ActivationStore, configs: Sequence[TrainConfig], language_model: Mapping[str, Any], progress: Report
) -> None:
    """Store the sensitivity of the input layers that trainings measure distances by: the language model, which may be
    large, is then loaded once and not for each input layer."""
    if store.target is None:
        return
    layers = sorted({config.input_layer for config in configs if config.metric_of_codes != "euclidean"})
    if len(layers) > 1:
        sensitivities(store, layers, Runtime(device=configs[0].device, **language_model), progress)


def _measured(run: Path, configs: list[TrainConfig], checkpoints: list[Checkpoint]) -> Sweep:
    names = [checkpoint.path.name for checkpoint in checkpoints]
    linked = list(chains(configs))
    steps = dict.fromkeys(step for chain in linked for step in pairwise(chain))
    books = {i: codebook(checkpoints[i]) for i in sorted({i for step in steps for i in step})}
    flows = [_flow(books[i], books[j]) for i, j in steps]
    return Sweep(run, list(map(Swept.of, checkpoints)), [[names[i] for i in chain] for chain in linked], flows)


def _flow(this: Codebook, other: Codebook) -> SweptFlow:
    result = flow(this, other)
    arrows = [
        SweptArrow(
            arrow.code, this.name(arrow.code), arrow.other, other.name(arrow.other), arrow.words, arrow.share,
            arrow.other_share, arrow.bits,
        )
        for arrow in result.arrows[:ARROWS]
    ]  # fmt: skip
    return SweptFlow(
        this.checkpoint.path.name, other.checkpoint.path.name, result.words, result.codes, result.other_codes,
        result.entropy, result.conditional_entropy, arrows,
    )  # fmt: skip
