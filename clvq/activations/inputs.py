"""The inputs of an extraction: which model and corpus, where they are, and whether they are the same as before."""

from __future__ import annotations

from pathlib import Path

from clvq.activations.manifest import Sources
from clvq.activations.store import ActivationStore
from clvq.artifacts import ACTIVATIONS, local_checksum
from clvq.config import DEMO, ExtractConfig, differences
from clvq.config.paths import expanded
from clvq.demo import MODEL_PATH
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.location import locate
from clvq.language_model.model import LanguageModel
from clvq.language_model.model_folder import folder_fingerprint


def model_name(config: ExtractConfig, store: ActivationStore | None) -> str:
    """Return the folder or hub id of the model. For new layers of a store, that is where the store's model is now."""
    if store is not None and config.model == store.settings.model and store.provenance.model.revision is None:
        return locate(store.provenance.model, store.path)
    return str(MODEL_PATH) if config.model == DEMO else config.model


def model_folder(config: ExtractConfig, model: LanguageModel) -> str | None:
    """Return the absolute path of the folder that a model was loaded from; None for the demo and for a hub's model."""
    folder = Path(model.model_id)
    return str(folder.resolve()) if config.model != DEMO and folder.is_dir() else None


def sources(config: ExtractConfig) -> Sources:
    """Return what identifies the local files that a store is made from; None for an input that is not local, or the
    demo."""
    model = expanded(config.model)
    return Sources(
        model=folder_fingerprint(model) if config.model != DEMO and model.is_dir() else None,
        dataset=local_checksum(config.dataset),
        eval_dataset=local_checksum(config.eval_dataset),
    )


def refuse_runs_in_corpus(path: Path, config: ExtractConfig) -> None:
    """Raise ClvqError where a corpus is a folder that holds the activations at `path`, or those of another run: their
    files would count as the corpus."""
    for name in (config.dataset, config.eval_dataset):
        if name is None or name == DEMO or not (folder := expanded(name)).is_dir():
            continue
        others = (file.parent for file in folder.rglob(ACTIVATIONS.name) if ACTIVATIONS.claims(file.parent))
        if inside := path if path.resolve().is_relative_to(folder.resolve()) else next(others, None):
            raise ClvqError(
                f"{inside} lies in the folder of the corpus, {name}, so that its files would count as texts. Keep "
                "runs elsewhere (--run), or name a file of the corpus, or a folder that holds the corpus alone."
            )


def changed_corpus(store: ActivationStore) -> list[str]:
    """Return the local corpora of a finished store whose contents are others now; one that is gone has not changed."""
    here, was = sources(store.settings), store.provenance.sources
    names = {"dataset": store.settings.dataset, "eval_dataset": store.settings.eval_dataset}
    return [
        str(name)
        for field, name in names.items()
        if getattr(here, field) is not None and getattr(was, field) not in (None, getattr(here, field))
    ]


def refuse_other_settings(
    path: Path, settings: ExtractConfig, checksums: Sources, config: ExtractConfig, state: str
) -> None:
    """Raise MismatchError where a store was made otherwise than `config` says.

    `settings` and `checksums` are the store's, and `state` says "finished" or "unfinished". A local model or corpus is
    the same where its contents are the same, whatever its path.
    """
    here = sources(config).as_json()
    local = {name: (value, getattr(checksums, name)) for name, value in here.items() if value is not None}
    moved = {name for name, (value, was) in local.items() if value == was}
    wanted = {name: value for name, value in config.deciding().items() if name not in {"layers", *moved}}
    differing = differences(settings.deciding(), wanted)
    changed = [
        name
        for name, (value, was) in local.items()
        if was is not None and value != was and getattr(config, name) == getattr(settings, name)
    ]
    contents = [f"the contents of {getattr(config, name)} have changed" for name in changed]
    if differing or changed:
        other = " with other settings:" if differing else ", and since then"
        stored = " `clvq train` without --dataset trains on the layers that it holds."
        raise MismatchError(
            f"{path} holds {'an ' if state == 'unfinished' else 'a '}{state} extraction{other} "
            f"{'; '.join(differing + contents)}. Use another --run, or `clvq extract --overwrite` to replace it."
            + (stored if state == "finished" and not differing and "model" not in changed else "")
        )
