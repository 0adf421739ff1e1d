"""Loading again the language model that stored states came from, wherever that model is now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clvq.activations.description import Description
from clvq.artifacts import RANDOMIZED
from clvq.device import Runtime
from clvq.errors import MismatchError
from clvq.language_model.input_format import InputFormat
from clvq.language_model.location import locate
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.placement import Placement
from clvq.language_model.records import ModelRecord
from clvq.language_model.targets import Asked, as_stored
from clvq.progress import Report, silent


def source_model(
    store: Description,
    runtime: Runtime,
    progress: Report = silent,
    *,
    by: Path,
    made: ModelRecord | None = None,
) -> LanguageModel:
    """Return the language model that the states of a store came from, with its target.

        store = ActivationStore("run/activations")
        model = source_model(store, Runtime(device="cpu"), by=store.path)

    `by` is the path of the artifact that needs the model: the store, or an artifact made from it. `made` is what that
    artifact records about the model; without `made`, the record of the store is used. ClvqError where the model is not
    found, MismatchError where another model is found in its place.
    """
    made = made or store.provenance.model
    # When layers are added, the store records the folder where the model is then.
    place = replace(made, folder=store.provenance.model.folder or made.folder)
    model = LanguageModel.load(
        locate(place, by) if runtime.model is None else runtime.model,
        ModelOptions(
            revision=made.revision if runtime.model is None else None,
            device=runtime.device,
            trust_remote_code=runtime.trust_remote_code,
            max_length=store.settings.max_length,
            next_token=True,
            randomized=made.fingerprint.startswith(RANDOMIZED),
            asked=Asked.of_settings(store.settings),
            placement=Placement.of_settings(store.settings),
        ),
        format_of=lambda _tokenizer, _model: made.input_format or InputFormat(),
        progress=progress,
    )
    model.target = as_stored(model.target, store.target)
    if model.fingerprint != made.fingerprint:
        reason = "its files have changed" if runtime.model is None else "it has other files"
        raise MismatchError(
            f"The model {runtime.model or made.id} is not the one that {by} was made from: {reason}. "
            "Put the right ones back, say with --model where the model is now, or extract and train again."
        )
    return model
