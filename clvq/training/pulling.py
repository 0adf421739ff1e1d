"""Checkpoints of the hub, fetched into a run folder. Their files are treated as files from strangers.

Only the files that clvq writes are fetched: safetensors, JSON and the model card. They are copied into a temporary
folder of the run, verified there, and moved to their place when all is well.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from clvq.artifacts import (
    ASSIGNMENTS_NAME,
    CARD_NAME,
    CHECKPOINT,
    CODEBOOK,
    CONCEPT_SPACE,
    METRICS_NAME,
    NAMES,
    ORIGIN,
    WEIGHTS_NAME,
)
from clvq.errors import ArtifactError, ClvqError
from clvq.progress import Progress, Report, silent
from clvq.storage import TEMPORARY_PREFIX, check_file, free_bytes, locked, remove_folder, size_text

PUBLISHED = (
    CHECKPOINT.name, WEIGHTS_NAME, CARD_NAME, CONCEPT_SPACE.name, CODEBOOK.name, str(CODEBOOK.records),
    ASSIGNMENTS_NAME, NAMES.name, METRICS_NAME,
)  # fmt: skip
"""The files of a checkpoint that are on the hub."""
_ID = re.compile(r"([\w][\w.-]*)/([\w][\w.-]*)(?:@([\w][\w./-]*))?")


class HubId(NamedTuple):
    """A checkpoint on the hub."""

    repository: str
    """user/name"""
    revision: str | None

    @property
    def folder(self) -> str:
        """Name of its folder in a run."""
        revision = "" if self.revision is None else f"--{self.revision.replace('/', '-')}"
        return self.repository.replace("/", "--") + revision

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def hub_id(name: str | Path) -> HubId | None:
    """Return the checkpoint that `user/name` or `user/name@revision` names; None for anything else, and for a path that
    exists.

    Text whose first part is a folder is read as a path, whether the path exists or not.
    """
    text = str(name)
    match = _ID.fullmatch(text)
    if match is None or Path(text).exists() or Path(match[1]).is_dir():
        return None
    return HubId(f"{match[1]}/{match[2]}", match[3])


def pull(repository: str, run: str | Path = "clvq-run", *, overwrite: bool = False, progress: Report = silent) -> Path:
    """Fetch a checkpoint of the hub into a run folder, and return its folder there.

        folder = clvq.pull("user/name@main", "run")
        concepts = clvq.codebook(folder).concepts

    A checkpoint that was fetched before is returned without asking the hub. ClvqError where there is no such repository
    or revision, no access or no network; ArtifactError where the repository is no checkpoint of clvq, or one of its
    files is damaged.

    Args:
        repository: `user/name`, or `user/name@revision` with a branch, a tag or a commit.
        run: The run folder, which need not exist.
        overwrite: Fetch it again.
    """
    named = _ID.fullmatch(repository)
    if named is None:
        raise ClvqError(f"{repository!r} is no repository of the hub: give user/name, or user/name@revision.")
    identity = HubId(f"{named[1]}/{named[2]}", named[3])
    folder = Path(run) / identity.folder
    if CHECKPOINT.exists(folder) and not overwrite:
        commit = ORIGIN.read(folder)["commit"] if ORIGIN.exists(folder) else "unknown"
        progress(
            Progress("pull", note=f"{folder} is commit {commit[:10]} of {identity.repository}, fetched before; "
                     f"`clvq pull {identity} --overwrite` fetches it again.")
        )  # fmt: skip
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent), TemporaryDirectory(dir=folder.parent, prefix=TEMPORARY_PREFIX) as made:
        staging = Path(made) / "checkpoint"
        staging.mkdir()
        commit = _fetch(identity, staging, progress)
        _verify(identity, staging)
        ORIGIN.write(staging, {"repository": identity.repository, "revision": identity.revision, "commit": commit})
        if folder.exists():
            remove_folder(folder)
        staging.rename(folder)
    progress(Progress("pull", note=f"{identity} is in {folder}."))
    return folder


def _fetch(identity: HubId, folder: Path, progress: Report) -> str:
    """Copy the published files of a repository into a folder, and return their commit."""
    from huggingface_hub import HfApi, hf_hub_download

    with hub_errors(str(identity)):
        info = HfApi().model_info(identity.repository, revision=identity.revision, files_metadata=True)
    sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
    if CHECKPOINT.name not in sizes or WEIGHTS_NAME not in sizes:
        raise ArtifactError(f"{identity} is not a checkpoint of clvq: {CHECKPOINT.name} or {WEIGHTS_NAME} is missing.")
    wanted = [name for name in PUBLISHED if name in sizes]
    free, needed = free_bytes(folder), sum(sizes[name] for name in wanted)
    if needed > free:
        raise ClvqError(
            f"{identity} needs {size_text(needed)}, and {folder.parent.parent} has {size_text(free)} of free space."
        )
    for done, name in enumerate(wanted):
        progress(Progress("pull", done, len(wanted), "files"))
        with hub_errors(str(identity)):
            path = hf_hub_download(identity.repository, name, revision=info.sha)
        shutil.copyfile(path, folder / name)
    progress(Progress("pull", len(wanted), len(wanted), "files"))
    return str(info.sha)


def _verify(identity: HubId, folder: Path) -> None:
    """Raise ArtifactError where the files are not a complete checkpoint as it was written."""
    remedy = "Ask its owner to push it again."
    try:
        body = CHECKPOINT.read(folder, remedy)
        check_file(folder / WEIGHTS_NAME, body["weights_checksum"], remedy)
        if CODEBOOK.exists(folder):
            concepts = CODEBOOK.read(folder, remedy)
            check_file(CODEBOOK.records_path(folder), concepts["concepts_checksum"], remedy)
            check_file(folder / ASSIGNMENTS_NAME, concepts["assignments_checksum"], remedy)
    except (ArtifactError, KeyError, TypeError) as error:
        reason = (
            str(error).replace(f"{folder}/", "")
            if isinstance(error, ArtifactError)
            else f"{CHECKPOINT.name} lacks {error}"
        )
        raise ArtifactError(f"{identity} on the hub: {reason}") from error


@contextmanager
def hub_errors(what: str, sends: bool = False) -> Iterator[None]:
    """Turn the exceptions of huggingface_hub into a ClvqError with one message; `sends` where something is sent to the
    repository `what`, instead of fetched from it."""
    from huggingface_hub import errors

    login = "Log in with `hf auth login`, or set HF_TOKEN."
    nothing = f"Nothing was sent to {what}:" if sends else f"There is no {what} here, and"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ClvqError(f"{what} is gated: ask for access on its page. {login}") from error
    except errors.RevisionNotFoundError as error:
        raise ClvqError(f"{what}: there is no such revision of the repository.") from error
    except errors.RepositoryNotFoundError as error:
        hub = f"the hub has no repository {what} that you may {'write' if sends else 'read'}"
        raise ClvqError(f"{nothing} {hub}. If it is private: {login}") from error
    except errors.HfHubHTTPError as error:
        raise ClvqError(f"{what}: the hub answers {_status(error)}. {login}") from error
    except ClvqError:
        raise
    except Exception as error:  # of whichever HTTP library huggingface_hub uses
        raise ClvqError(
            f"{nothing} the hub cannot be reached ({type(error).__name__}). Check the network, and whether "
            "HF_HUB_OFFLINE is set."
        ) from error


def _status(error: Any) -> str:
    response = getattr(error, "response", None)
    return str(error).splitlines()[0] if response is None else f"{response.status_code} {response.reason_phrase}"
