"""What a checkpoint was made from: its language model, wherever it is now, and its activations, extracted again."""

from __future__ import annotations

from clvq.activations.description import Description
from clvq.activations.extraction import extract
from clvq.activations.source import source_model
from clvq.activations.writer import clear
from clvq.artifacts import ACTIVATIONS, ACTIVATIONS_FOLDER
from clvq.config import ExplainConfig, FaithfulnessConfig
from clvq.device import Runtime
from clvq.errors import ArtifactError, MismatchError
from clvq.language_model.model import LanguageModel
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint


def language_model_of(
    checkpoint: Checkpoint, store: Description, runtime: Runtime, progress: Report = silent
) -> LanguageModel:
    """Return the language model that the checkpoint was made from, wherever it is now.

    ClvqError where the model is not found, MismatchError where another model is there.
    """
    return source_model(store, runtime, progress, made=checkpoint.config.provenance.model, by=checkpoint.path)


def make_activations(
    checkpoint: Checkpoint, config: ExplainConfig | FaithfulnessConfig, progress: Report = silent
) -> None:
    """Extract the activations that the checkpoint was trained on, where they are not beside it, from the corpus that
    `config` names. An unfinished extraction continues.

    ArtifactError for a checkpoint of an earlier clvq, which did not store how its activations were made. MismatchError
    where the corpus gives other rows; they are removed again. Other errors as `extract`.
    """
    folder = checkpoint.path.parent / ACTIVATIONS_FOLDER
    if ACTIVATIONS.exists(folder):
        progress(Progress("extract", note=f"{folder} has activations already: --dataset is not read."))
        return
    if checkpoint.config.activations is None:
        raise ArtifactError(
            f"{checkpoint.path} does not say how its activations were made. Make them with `clvq extract`, by the "
            "settings that they had."
        )
    settings = {
        **checkpoint.config.activations.settings.deciding(),
        "layers": tuple(sorted({checkpoint.input_layer, checkpoint.output_layer})),
        "dataset": config.dataset,
        "trust_remote_code": config.trust_remote_code,
    }
    named = {name: getattr(config, name) for name in ("eval_dataset", "model", "device")}
    settings |= {name: value for name, value in named.items() if value is not None}
    store = extract(folder, progress=progress, **settings)
    try:
        checkpoint.check_store(store)
    except MismatchError as error:
        clear(folder)
        raise MismatchError(
            f"The words of {config.dataset} are not those that {checkpoint.path} was trained on: give the same corpus "
            "as then, and --eval-dataset where it was in another file. Texts of any other corpus are explained with "
            "`clvq explain --file`."
        ) from error
