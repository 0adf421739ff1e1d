"""What all trainings share: shuffled epochs, the best state, and saving. Resuming changes no bit of the result."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from clvq.artifacts import METRICS_NAME
from clvq.device import Processes, give_back_memory, seed_draws
from clvq.errors import ClvqError
from clvq.models.shares import ALL_ROWS, Share, own_sentences
from clvq.progress import Progress
from clvq.storage import append_lines, fingerprint, read_tensors, write_tensors, write_text
from clvq.training.job import Job
from clvq.training.metrics_log import cut_back
from clvq.training.rows import PairBatch
from clvq.training.state import Position, load_state, save_state
from clvq.training.tracking import Tracking

BEST_NAME = "best.safetensors"
SAVE_SECONDS = 30.0
"""A state is saved this often, so that a kill loses no more work than that (and the rest of a step)."""
LOG_STEPS = 10
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.5, 5

Model = TypeVar("Model", bound=nn.Module)


class Judgement(NamedTuple):
    """The result of an epoch on the selection slice."""

    fvu: float | None
    logged: dict[str, Any]
    """Further figures for the log."""
    shown: dict[str, float]
    """Further figures for the progress display."""


class TrainingLoop(ABC, Generic[Model]):
    """Trains `model` on a job's training rows with Adam, and leaves its best state by FVU on the selection slice in it.

    A subclass says what a step is (`_step`) and how an epoch is judged (`_judge`).
    """

    epsilon: ClassVar[float] = 1e-8
    """Epsilon of Adam."""
    remedy: ClassVar[str] = ""
    """What to do about a loss that is not finite; {rate} is the learning rate."""

    def __init__(self, model: Model, job: Job) -> None:
        self.processes = Processes.current()
        self.model, self.job = model, job
        self.rows, self.config = job.rows.training, job.config
        self.folder, self.identity = job.folder, fingerprint(job.identity)
        self.position = Position()
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.parameters,
            self.config.learning_rate,
            eps=self.epsilon,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.plateau = None
        if self.config.schedule == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE
            )
        self.batches_an_epoch = math.ceil(len(self.rows) / self.config.batch_sentences)
        self.total_steps = self.config.epochs * self.batches_an_epoch
        tracked = job.tracker != "none" and self.processes.is_leader
        self.tracking = Tracking(job.tracker, job.folder, job.config.deciding()) if tracked else None
        self.share: Share = ALL_ROWS
        """This process's share of the rows of the current batch."""
        self._recent: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        """Figures of the subclass for the progress display."""

    @abstractmethod
    def _step(self, batch: PairBatch) -> dict[str, float]:
        """Run one step: `_begin_step`, losses, `_descend`. Return `rows` and the losses by name."""

    @abstractmethod
    def _judge(self) -> Judgement:
        """Evaluate the model on the selection slice."""

    def _kept(self) -> dict[str, Tensor]:
        """Return tensors of the loop itself that belong to its saved state. They are restored in place."""
        return {}

    def _step_figures(self) -> dict[str, float]:
        """Return further figures for the log, about the steps since the last call."""
        return {}

    @property
    def metrics_path(self) -> Path:
        return self.folder.parent / METRICS_NAME

    def run(self) -> Position:
        """Train to the end, from the saved state where there is one."""
        resumed = self._resume()
        if not resumed and self.processes.is_leader:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.metrics_path, "")
        with nullcontext() if self.tracking is None else self.tracking.running(resumed):
            self._run_epochs()
        self.processes.wait()
        if self.position.best_epoch:
            self.model.load_state_dict(read_tensors(self.folder / BEST_NAME)[0])
        return self.position

    def _run_epochs(self) -> None:
        started = time.monotonic() - self.position.seconds
        saved = time.monotonic()
        while not self.position.finished:
            epoch = self.position.epoch
            self.model.train()
            batches = self.rows.shuffled_batches(self.config.batch_sentences, self.config.seed, epoch)
            left = batches[self.position.batch :]
            own = (own_sentences(self.processes, sentences) for sentences in left)
            for sentences, batch in zip(left, self.rows.stream(own), strict=True):
                self.share = Share.of(self.processes, self.rows.lengths[sentences], self.rows.device)
                losses = self._step(batch)
                self.position.batch += 1
                self.position.step += 1
                self.position.seconds = time.monotonic() - started
                self._log_step(losses)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
                self._report(losses)
                give_back_memory(self.position.step)
            self._end_epoch()
            self.position.seconds = time.monotonic() - started
            if self.position.finished:
                self._save()

    def _begin_step(self) -> None:
        """Seed the random draws of the step by its number, and set the learning rate. A training that is resumed
        anywhere thus makes the same draws, and so do all processes (`Share`)."""
        draws = np.random.SeedSequence([self.config.seed, self.position.step, 0])
        seed_draws(int(draws.generate_state(1)[0]), self.rows.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()

    def _learning_rate(self) -> float:
        """Return the learning rate: a linear warm-up, then a cosine to 0; or what the plateau schedule has set."""
        if self.plateau is not None:
            return float(self.optimizer.param_groups[0]["lr"])
        step, warmup = self.position.step, max(1, round(self.config.warmup * self.total_steps))
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        share = (step - warmup) / max(1, self.total_steps - warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def _descend(self, loss: Tensor, value: float) -> None:
        """Run one optimiser step; ClvqError before it where the loss (`value`, over all processes) is not finite."""
        self._refuse_not_finite("loss", value)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.share.sum_gradients(self.parameters)
        self._shape_gradients()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip or math.inf)
        self._refuse_not_finite("gradient's norm", float(norm))
        self.optimizer.step()

    def _refuse_not_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise ClvqError(
                f"The {what} is {value} at step {self.position.step + 1} (epoch {self.position.epoch + 1}). That step "
                f"changed nothing. {self.remedy.format(rate=f'{self.config.learning_rate:g}')}"
            )

    def _shape_gradients(self) -> None:
        """Change the gradients before the step, in a subclass that needs this."""

    def _end_epoch(self) -> None:
        """Judge the epoch on the selection slice, keep the best state, and decide whether to go on."""
        position = self.position
        result = self._judge()
        judged = torch.tensor([math.inf if result.fvu is None else result.fvu], device=self.rows.device)
        self.processes.share(judged)  # the same everywhere, so that all processes decide alike
        fvu = float(judged)
        position.epoch, position.batch = position.epoch + 1, 0
        if fvu < position.best_fvu or not position.best_epoch:
            position.best_fvu, position.best_epoch = fvu, position.epoch
            if self.processes.is_leader:
                write_tensors(self.folder / BEST_NAME, self.model.state_dict())
        self._log_epoch(result)
        position.sums = {}
        if self.plateau is not None:
            self.plateau.step(fvu)
        waited = position.epoch - position.best_epoch
        position.finished = position.epoch >= self.config.epochs or 0 < self.config.patience <= waited

    def _log_step(self, losses: dict[str, float]) -> None:
        for sums in (self.position.sums, self._recent):
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + (value if name == "rows" else losses["rows"] * value)
        if self.position.step % LOG_STEPS:
            return
        line = {
            "kind": "step",
            "step": self.position.step,
            "epoch": self.position.epoch + 1,
            **_averages(self._recent),
            **self._step_figures(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.position.seconds, 3),
        }
        self._recent = {}
        self._log(line)

    def _log(self, line: dict[str, Any]) -> None:
        if self.processes.is_leader:
            append_lines(self.metrics_path, [json.dumps(line)])

    def _log_epoch(self, result: Judgement) -> None:
        position = self.position
        line = {
            "kind": "epoch",
            "step": position.step,
            "epoch": position.epoch,
            **_averages(position.sums),
            "rows": position.sums.get("rows", 0),
            "selection_fvu": result.fvu,
            **result.logged,
            "best": position.best_epoch == position.epoch,
            "seconds": round(position.seconds, 3),
        }
        self._log(line)
        details = {"epoch": position.epoch, "fvu": result.fvu or 0.0, **result.shown}
        self.job.progress(Progress(self.job.stage, position.step, self.total_steps, "steps", details))

    def _report(self, losses: dict[str, float]) -> None:
        """Report the step. Save at a KeyboardInterrupt (notebook, command line): between steps the state is whole."""
        position = self.position
        details = {
            "epoch": position.epoch + 1,
            "epochs": self.config.epochs,
            **losses,
            "rows": int(losses["rows"]),
            **self._shown,
        }
        try:
            self.job.progress(Progress(self.job.stage, position.step, self.total_steps, "steps", details))
        except KeyboardInterrupt:
            self._save()
            raise

    def _save(self) -> None:
        if not self.processes.is_leader:
            return
        if self.plateau is not None:
            kept, plain = self.plateau.state_dict(), int | float | str | bool | list
            values = {key: value for key, value in kept.items() if isinstance(value, plain)}
            self.position.plateau = values | {"lr": self.optimizer.param_groups[0]["lr"]}
        save_state(self.folder, self.identity, self.position, self._recent, self.model, self.optimizer, self._kept())
        if self.tracking is not None:
            self.tracking.send()

    def _resume(self) -> bool:
        """Load the saved state, where there is one, and cut the log back to it. Return whether there was one."""
        saved = load_state(self.folder, self.identity, self.model, self.optimizer, self._kept())
        if saved is None:
            return False
        self.position, self._recent = saved
        if self.plateau is not None and self.position.plateau is not None:
            values = dict(self.position.plateau)
            for group in self.optimizer.param_groups:
                group["lr"] = values.pop("lr", group["lr"])
            self.plateau.load_state_dict(values)
        self.processes.wait()  # all processes have read the state before the leader writes the next one
        if self.processes.is_leader:
            cut_back(self.metrics_path, self.position.step, self.position.epoch, self.position.seconds)
        note = f"Continuing after step {self.position.step} of {self.total_steps}."
        self.job.progress(Progress(self.job.stage, note=note))
        return True


def _averages(sums: dict[str, float]) -> dict[str, float]:
    return {name: value / max(sums["rows"], 1) for name, value in sums.items() if name != "rows"}
