"""`report_to`: the lines of metrics.jsonl, sent to an experiment tracker through the tracker's own package.

A line is sent only after a state was saved that covers it, so that a resumed training repeats no line that was sent.
The number of sent lines is stored beside the state. If the process is killed between sending lines and storing their
number, these lines are sent again with the same step. TensorBoard and Weights & Biases then treat them as the same
step.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from clvq.artifacts import METRICS_NAME, TENSORBOARD_FOLDER
from clvq.errors import ClvqError
from clvq.storage import read_json, remove_folder, write_json
from clvq.training.metrics_log import whole_lines

TRACKING_NAME = "tracking.json"
"""In the folder of a training's state: the tracker, its run, and how many lines it has."""
PROJECT = "clvq"
"""Name of the project, unless the tracker's own variable (WANDB_PROJECT, TRACKIO_PROJECT) names another one."""
MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "trackio": "trackio"}
"""Module of each tracker. Its package in the package index has the tracker's own name."""


class Receiver(Protocol):
    """A tracker as clvq uses it: it takes named figures at a step."""

    def log(self, figures: dict[str, Any], step: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class TrackedRun:
    """A training as a tracker knows it."""

    folder: Path
    """Folder of the checkpoint; its name is the name of the run."""
    id: str
    """The same after an interruption, and another one after --overwrite."""
    settings: dict[str, Any]
    last_step: int | None
    """Step of the last line that was sent before; None where no line was sent."""


def require_tracker(name: str) -> None:
    """Raise ClvqError where the package of a tracker cannot be imported. `none` needs no package."""
    if name == "none":
        return
    try:
        import_module(MODULES[name])
    except ImportError as error:
        raise ClvqError(
            f"--report-to {name} needs the package {name}, which cannot be imported ({error}). Install it with "
            f"`pip install {name}`, or leave --report-to out: metrics.jsonl holds the same lines."
        ) from error


class Tracking:
    """Sends the log of one training to a tracker, each line once."""

    def __init__(self, tracker: str, folder: Path, settings: dict[str, Any]) -> None:
        """Prepare to send. `folder` is the folder of the training's state, inside the checkpoint's folder."""
        self.tracker, self.folder, self.settings = tracker, folder, settings
        self.run_id, self.sent = uuid.uuid4().hex[:12], 0
        self.receiver: Receiver | None = None

    @property
    def log_path(self) -> Path:
        return self.folder.parent / METRICS_NAME

    @contextmanager
    def running(self, resumed: bool) -> Iterator[None]:
        """Keep the tracker's run open. A resumed training continues its run. At the end the tracker has the whole
        log."""
        self._open(resumed)
        try:
            yield
            self.send()
        finally:
            self._close()

    def _open(self, resumed: bool) -> None:
        path, last_step = self.folder / TRACKING_NAME, None
        if resumed and path.exists():
            kept = read_json(path, "Start again with --overwrite.")
            if kept["tracker"] == self.tracker:
                self.run_id, self.sent = kept["run"], kept["sent"]
        sent = list(islice(whole_lines(self.log_path), self.sent))
        if sent:
            last_step = sent[-1]["step"]
        elif self.tracker == "tensorboard":
            remove_folder(self.folder.parent / TENSORBOARD_FOLDER)
        with self._explained():
            self.receiver = _RECEIVERS[self.tracker](
                TrackedRun(self.folder.parent, self.run_id, self.settings, last_step)
            )
        self._keep_count()

    def send(self) -> None:
        """Send the lines of the log that were not sent before. The saved state must cover all of them."""
        if self.receiver is None:
            return
        with self._explained():
            for line in islice(whole_lines(self.log_path), self.sent, None):
                self.receiver.log({f"{line['kind']}/{name}": line[name] for name in _figures(line)}, line["step"])
                self.sent += 1
        self._keep_count()

    def _close(self) -> None:
        if self.receiver is not None:
            with self._explained():
                self.receiver.close()
            self.receiver = None

    def _keep_count(self) -> None:
        write_json(self.folder / TRACKING_NAME, {"tracker": self.tracker, "run": self.run_id, "sent": self.sent})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an exception of the tracker's package into a ClvqError. The training itself loses nothing."""
        try:
            yield
        except Exception as error:
            first = (next(iter(str(error).splitlines()), "") or type(error).__name__).rstrip(".")
            raise ClvqError(
                f"--report-to {self.tracker} failed: {first}. What was trained is kept: the same command continues, "
                "and without --report-to it continues untracked."
            ) from error


def _figures(line: dict[str, Any]) -> list[str]:
    """Return the names of a line's figures. The kind is not one: it precedes the names. The step is passed on
    separately."""
    return [name for name in line if name not in ("kind", "step")]


class _TensorBoard:
    """Event files in the checkpoint's folder; `tensorboard --logdir RUN` finds those of all its checkpoints."""

    def __init__(self, run: TrackedRun) -> None:
        purge = None if run.last_step is None else run.last_step + 1
        module = import_module(MODULES["tensorboard"])
        self.writer = module.SummaryWriter(str(run.folder / TENSORBOARD_FOLDER), purge_step=purge)

    def log(self, figures: dict[str, Any], step: int) -> None:
        """Write the figures that are finite numbers. Others (an FVU that cannot be computed) are left out of the
        curves."""
        for name, value in figures.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.writer.add_scalar(name, float(value), step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """A run of Weights & Biases. Neither the terminal's output nor the code is uploaded."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = import_module(MODULES["wandb"]).init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=run.folder.name, id=run.id, resume="allow",
            config=run.settings,
            settings={"console": "off", "disable_git": True, "disable_code": True},
        )  # fmt: skip

    def log(self, figures: dict[str, Any], step: int) -> None:
        self.run.log(figures, step=step)

    def close(self) -> None:
        self.run.finish()


class _Trackio:
    """A run of Trackio, which continues a run by its name."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = import_module(MODULES["trackio"]).init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT), name=f"{run.folder.name}-{run.id}", resume="allow",
            config=run.settings, embed=False, auto_log_gpu=False,
        )  # fmt: skip

    def log(self, figures: dict[str, Any], step: int) -> None:
        self.run.log(figures, step=step)

    def close(self) -> None:
        self.run.finish()


_RECEIVERS: dict[str, Callable[[TrackedRun], Receiver]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "trackio": _Trackio,
}
