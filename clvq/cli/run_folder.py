"""`--run` and `--checkpoint` as they are typed: find what is meant, and explain what to type where that fails.

A folder is a run folder if it holds activations or a checkpoint.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from clvq.artifacts import ACTIVATIONS, ACTIVATIONS_FOLDER, CHECKPOINT, DEFAULT_RUN, UNFINISHED_ACTIVATIONS
from clvq.errors import ClvqError
from clvq.progress import Report, silent

if TYPE_CHECKING:
    from clvq.training.checkpoint import Checkpoint

Run = Annotated[Path, "The run folder: all commands read and write their files here.", "CLVQ_RUN"]
Named = Annotated[
    Path | None, "Checkpoint: a name in the run folder, a path, or user/name of the hub [the only one there]."
]

Compared = Annotated[
    list[str] | None,
    "Checkpoint: a name in the run folder, or a path [the only one there]. Repeat the option to compare several; "
    "checkpoints that differ only in the seed form one group.",
]


def named_checkpoints(run: Path, names: Sequence[str] | None, report: Report = silent) -> list[Checkpoint]:
    """Return the checkpoints that are meant; without names, the only one there."""
    return [named_checkpoint(run, name, report) for name in (list(map(Path, names)) if names else [None])]


def named_checkpoint(run: Path, name: Path | None = None, report: Report = silent) -> Checkpoint:
    """Return the checkpoint that is meant; ClvqError where the run, or the checkpoint in it, does not exist."""
    from clvq.training.checkpoint import find_checkpoint
    from clvq.training.pulling import hub_id

    if name is not None and not (run / name).exists() and hub_id(name) is not None:
        return find_checkpoint(run, name, report)
    if name is None or not name.exists():
        refuse_other_folders(run)
        if not is_run(run):
            raise ClvqError(f"{_no_run(run)} {_meant(run) or 'Run `clvq train` first, or give the folder with --run.'}")
    elif is_run(name) and not CHECKPOINT.claims(name):
        raise ClvqError(f"{name} is a run folder, not a checkpoint. Type --run {name}.")
    return find_checkpoint(run, name)


def refuse_other_folders(run: Path) -> None:
    """Raise ClvqError where `--run` is a file, or a folder that lies in a run folder."""
    if run.exists() and not run.is_dir():
        raise ClvqError(f"--run {run} is a file, and a run is a folder. {_meant(run) or 'Give a folder.'}")
    parent = run.resolve().parent if run.name in ("", "..") else run.parent
    if CHECKPOINT.claims(run):
        raise ClvqError(
            f"--run {run} is a checkpoint, which lies in a run folder. Type --run {parent} for the run, and where a "
            f"command takes a checkpoint --run {parent} --checkpoint {run.resolve().name}."
        )
    if _holds_activations(run):
        raise ClvqError(f"--run {run} holds the activations of a run. Type --run {parent}.")


def refuse_demo(run: Path) -> None:
    """Raise ClvqError where a command without --model and --dataset would start a run that nobody asked for.

    The bundled demo may start in an empty folder, or in a new folder with no run beside it.
    """
    if _holds_nothing(run) if run.exists() else not _runs_near(run):
        return
    new = "For a new run give --model and --dataset; `--model demo --dataset demo` is the bundled demo."
    raise ClvqError(" ".join(part for part in (_no_run(run), _meant(run), new) if part))


def run_option(run: Path) -> str:
    """Return the --run option to append to a command that is shown; empty for the default run."""
    return "" if run == DEFAULT_RUN else f" --run {shlex.quote(str(run))}"


def is_run(folder: Path) -> bool:
    return _holds_activations(folder / ACTIVATIONS_FOLDER) or bool(checkpoint_paths(folder))


def checkpoint_paths(run: Path) -> list[Path]:
    """Return the folders of a run that are checkpoints, including damaged ones."""
    return [folder for folder in _folders(run) if CHECKPOINT.claims(folder)]


def _no_run(run: Path) -> str:
    if not run.exists():
        return f"There is no folder {run}."
    return f"{run} is no run folder: it holds neither activations nor a checkpoint."


def _meant(run: Path) -> str:
    """Say which run may be meant; empty where there is no other run."""
    runs = {path.name: path for path in _runs_near(run)}
    close = difflib.get_close_matches(run.name, runs, n=3)
    if close:
        return f"Did you mean {_listed([runs[name] for name in close], ' or ')}?"
    return f"The runs that there are: {_listed(list(runs.values()), ', ')}." if runs else ""


def _listed(runs: Sequence[Path], joint: str) -> str:
    return joint.join(f"--run {run}" for run in runs)


def _runs_near(run: Path) -> list[Path]:
    """Return the run that a folder lies in, the runs beside the folder, and the runs in it."""
    above = [run.parent] if is_run(run.parent) else []
    beside = [folder for folder in _folders(run.parent) if folder != run and is_run(folder)]
    return above + beside + [folder for folder in _folders(run) if is_run(folder)]


def _holds_activations(folder: Path) -> bool:
    return ACTIVATIONS.claims(folder) or UNFINISHED_ACTIVATIONS.claims(folder)


def _holds_nothing(folder: Path) -> bool:
    """Return whether a folder holds no files, apart from hidden ones, which a command killed at its start leaves."""
    return all(file.is_dir() or file.name.startswith(".") for file in folder.rglob("*"))


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, ordered by name; none where the folder cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
