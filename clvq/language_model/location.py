"""Where a model is now that was used before. Its fingerprint identifies the model, not the path of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clvq.artifacts import RANDOMIZED
from clvq.config import DEMO
from clvq.config.paths import expanded
from clvq.demo import MODEL_PATH
from clvq.errors import ClvqError
from clvq.language_model.model_folder import folder_fingerprint
from clvq.language_model.records import ModelRecord

REMEDY = "Say with --model where it is now."


def locate(made_with: ModelRecord, near: Path) -> str:
    """Return the folder or hub id to load a model from.

    `made_with` is the model as the provenance of an artifact names it; `near` is the path of the artifact. A
    folder is looked for at its recorded path. If the path that was given then was relative, it is also looked for from
    the working directory and from the folders above `near`. Of several folders, the one with the right fingerprint is
    taken. ClvqError where no folder is found.
    """
    name = made_with.id
    if name == DEMO:
        return str(MODEL_PATH)
    if made_with.revision is not None:  # the hub's commit; a folder has none
        return name.partition("@")[0]
    folders = list(dict.fromkeys(path.resolve() for path in _candidates(made_with, near) if path.is_dir()))
    if not folders:
        raise ClvqError(f"The model {name} is no longer at {made_with.folder or name}. {REMEDY}")
    fingerprint = made_with.fingerprint.removeprefix(RANDOMIZED)
    matching = (path for path in folders if folder_fingerprint(path) == fingerprint)
    return str(folders[0] if len(folders) == 1 else next(matching, folders[0]))


def _candidates(made_with: ModelRecord, near: Path) -> Iterator[Path]:
    if made_with.folder is not None:
        yield Path(made_with.folder)
    path = expanded(made_with.id)
    yield path
    if not path.is_absolute():
        yield from (above / path for above in near.resolve().parents)
