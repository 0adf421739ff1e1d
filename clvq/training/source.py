"""The language model that a checkpoint was made from, loaded again from wherever it is now."""

from __future__ import annotations

from clvq.activations.description import Description
from clvq.activations.source import source_model
from clvq.device import Runtime
from clvq.language_model.model import LanguageModel
from clvq.progress import Report, silent
from clvq.training.checkpoint import Checkpoint


def language_model_of(
    checkpoint: Checkpoint, store: Description, runtime: Runtime, progress: Report = silent
) -> LanguageModel:
    """Return the language model that the checkpoint was made from, wherever it is now.

    ClvqError where it is not found, MismatchError where what is there is another model.
    """
    return source_model(store, runtime, progress, made=checkpoint.config["provenance"]["model"], by=checkpoint.path)
