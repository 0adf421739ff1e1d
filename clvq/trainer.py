"""The training loop: steps, epochs, the best state, and a state on disk from which it continues bit for bit."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clvq.config import TrainConfig
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.evaluation import Evaluation, TrainingMeans, evaluate
from clvq.losses import commitment_loss, reconstruction_loss, straight_through
from clvq.metrics import perplexity
from clvq.metrics_log import cut_back
from clvq.model import ClvqVae, Layout
from clvq.pair_rows import PairBatch, PairRows
from clvq.processes import Processes
from clvq.progress import Progress, Report
from clvq.storage import append_lines, read_tensors, write_tensors, write_text

STATE_NAME = "state.safetensors"
BEST_NAME = "best.safetensors"
SAVE_SECONDS = 30.0
"""A state is saved this often, so that a kill costs no more than that (and the rest of a step)."""
LOG_STEPS = 10
REVIVAL_SHARE = 0.9
"""Codes are revived in this share of the steps only; a code moved at the very end would stay untrained."""
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.5, 5


@dataclass
class Position:
    """Where a training stands, beside its tensors."""

    epoch: int = 0
    batch: int = 0
    """Next batch of the epoch."""
    step: int = 0
    seconds: float = 0.0
    best_fvu: float = math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Of the epoch so far: rows, and losses weighted by rows."""
    plateau: dict[str, Any] | None = None
    finished: bool = False


class Trainer:
    """Trains `model` on `rows`; the best state by FVU on `selection` is left in it.

    `identity` names everything that decides the result: a state saved under another one is refused. With
    `frozen_codes` neither encoder nor codebook learns, and the nearest code is always taken.
    """

    def __init__(
        self,
        model: ClvqVae,
        rows: PairRows,
        selection: PairRows,
        means: TrainingMeans,
        config: TrainConfig,
        folder: Path,
        identity: str,
        progress: Report,
        *,
        stage: str = "train",
        frozen_codes: bool = False,
    ) -> None:
        self.processes = Processes.current()
        self.model, self.rows, self.selection, self.means = model, rows, selection, means
        self.config, self.folder, self.identity = config, folder, identity
        self.progress, self.stage, self.frozen_codes = progress, stage, frozen_codes
        self.position = Position()
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.plateau = None
        if config.schedule == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE
            )
        self.batches_an_epoch = math.ceil(len(rows) / config.batch_sentences)
        self.total_steps = config.epochs * self.batches_an_epoch
        self._usage = torch.zeros(config.codebook_size, dtype=torch.int64)
        self._recent: dict[str, float] = {}
        self._perplexity: float | None = None

    @property
    def metrics_path(self) -> Path:
        return self.folder.parent / "metrics.jsonl"

    def run(self) -> Position:
        """Trains to the end, or from the saved state to the end."""
        if not self._resume() and self.processes.is_leader:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.metrics_path, "")
        started = time.monotonic() - self.position.seconds
        saved = time.monotonic()
        while not self.position.finished:
            epoch = self.position.epoch
            self.model.train()
            for places in self.rows.shuffled_batches(self.config.batch_sentences, self.config.seed, epoch)[
                self.position.batch :
            ]:
                losses = self._step(self.rows.read(self._own_share(places)))
                self.position.batch += 1
                self.position.step += 1
                self.position.seconds = time.monotonic() - started
                self._log_step(losses)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
                self._report(losses)
            self._end_epoch()
            self.position.seconds = time.monotonic() - started
            if self.position.finished:
                self._save()
        self.processes.wait()
        if self.position.best_epoch:
            self.model.load_state_dict(read_tensors(self.folder / BEST_NAME)[0])
        return self.position

    def _own_share(self, places: np.ndarray) -> np.ndarray:
        """This process's sentences of a batch; all of them where there are fewer sentences than processes."""
        processes = self.processes
        return places[processes.rank :: processes.count] if len(places) >= processes.count else places

    def _step(self, batch: PairBatch) -> dict[str, float]:
        """One optimiser step and one EMA step; ClvqError, before either, where the loss is not finite.

        Its draws are seeded by the step, so that a training cut anywhere goes on with the same ones.
        """
        model, config, processes = self.model, self.config, self.processes
        draws = np.random.SeedSequence([config.seed, self.position.step, processes.rank])
        torch.manual_seed(int(draws.generate_state(1)[0]))
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        z_e = model.encoder(batch.inputs)
        self._refuse_not_finite("squared norm of the encoder's output", float(z_e.detach().square().sum()))
        if self.frozen_codes:
            model.quantizer.eval()
        codes, indices = model.quantizer(z_e)
        memory = z_e if model.decoder_memory == "encoder" else None
        with torch.autocast("cuda", torch.bfloat16, enabled=z_e.is_cuda):
            prediction = model.decoder(straight_through(z_e, codes), Layout.of(batch.mask), memory)
        reconstruction = reconstruction_loss(prediction.float(), batch.targets)
        commitment = commitment_loss(z_e, codes)
        # Each process weighs by its rows: the gradients' sum is then that of one process with the whole batch.
        count = torch.tensor(float(len(z_e)), device=z_e.device)
        processes.sum(count)
        share = len(z_e) / count
        loss = share * (reconstruction + config.commitment_weight * commitment)
        figures = torch.stack([loss.detach(), share * reconstruction.detach(), share * commitment.detach()])
        processes.sum(figures)
        value, reconstruction_value, commitment_value = figures.tolist()
        self._refuse_not_finite("loss", value)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._sum_gradients()
        norm = nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip or math.inf)
        self._refuse_not_finite("gradient's norm", float(norm))
        self.optimizer.step()
        if not self.frozen_codes:
            model.quantizer.update(z_e, indices, processes.sum)
            if config.revive_after and self.position.step < REVIVAL_SHARE * self.total_steps:
                model.quantizer.revive(z_e, indices, config.revive_after)
            for buffer in model.quantizer.buffers():  # rows drawn and gaps seen are the leader's
                processes.share(buffer)
        self._usage += torch.bincount(indices, minlength=len(self._usage)).cpu()
        return {
            "rows": float(count),
            "loss": value,
            "reconstruction": reconstruction_value,
            "commitment": commitment_value,
        }

    def _refuse_not_finite(self, what: str, value: float) -> None:
        """ClvqError with the step; before a draw among codes, which would fail without saying where."""
        if not math.isfinite(value):
            raise ClvqError(
                f"The {what} is {value} at step {self.position.step + 1} (epoch {self.position.epoch + 1}). That step "
                f"changed nothing. Lower --learning-rate (now {self.config.learning_rate:g}) and train again with "
                "--overwrite."
            )

    def _sum_gradients(self) -> None:
        if self.processes.count == 1:
            return
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self.processes.sum(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def _learning_rate(self) -> float:
        """Linear warm-up, then a cosine to 0; or what the plateau schedule says."""
        if self.plateau is not None:
            return float(self.optimizer.param_groups[0]["lr"])
        step, warmup = self.position.step, max(1, round(self.config.warmup * self.total_steps))
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        share = (step - warmup) / max(1, self.total_steps - warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def _end_epoch(self) -> None:
        """Judges the epoch on the selection slice, keeps the best state, decides whether to go on."""
        position = self.position
        result = evaluate(self.model, self.selection, self.means, batch_sentences=self.config.batch_sentences)
        judged = torch.tensor([math.inf if result.fvu is None else result.fvu], device=self.rows.device)
        self.processes.share(judged)  # the same everywhere, or the processes might part ways
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
        rows = losses["rows"]
        for sums in (self.position.sums, self._recent):
            sums["rows"] = sums.get("rows", 0) + rows
            for name in ("loss", "reconstruction", "commitment"):
                sums[name] = sums.get(name, 0.0) + rows * losses[name]
        if self.position.step % LOG_STEPS:
            return
        self._perplexity = perplexity(self._usage)
        line = {
            "kind": "step",
            "step": self.position.step,
            "epoch": self.position.epoch + 1,
            **_averages(self._recent),
            "codebook_perplexity": self._perplexity,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.position.seconds, 3),
        }
        self._recent = {}
        self._usage.zero_()
        self._log(line)

    def _log(self, line: dict[str, Any]) -> None:
        if self.processes.is_leader:
            append_lines(self.metrics_path, [json.dumps(line)])

    def _log_epoch(self, result: Evaluation) -> None:
        position = self.position
        line = {
            "kind": "epoch",
            "step": position.step,
            "epoch": position.epoch,
            **_averages(position.sums),
            "rows": position.sums.get("rows", 0),
            "selection_fvu": result.fvu,
            "selection_codebook_perplexity": result.codebook_perplexity,
            "selection_active_codes": result.active_codes,
            "best": position.best_epoch == position.epoch,
            "seconds": round(position.seconds, 3),
        }
        self._log(line)
        details = {"fvu": result.fvu or 0.0, "perplexity": result.codebook_perplexity}
        self.progress(
            Progress(self.stage, position.step, self.total_steps, "steps", {"epoch": position.epoch, **details})
        )

    def _report(self, losses: dict[str, float]) -> None:
        """May raise KeyboardInterrupt (a notebook's, a command line's): between two steps the state is whole."""
        position = self.position
        details = {
            "epoch": position.epoch + 1,
            "epochs": self.config.epochs,
            "loss": losses["loss"],
            "reconstruction": losses["reconstruction"],
            "commitment": losses["commitment"],
            "rows": int(losses["rows"]),
            **({} if self._perplexity is None else {"perplexity": self._perplexity}),
        }
        try:
            self.progress(Progress(self.stage, position.step, self.total_steps, "steps", details))
        except KeyboardInterrupt:
            self._save()
            raise

    def _save(self) -> None:
        """Weights, codebook, optimiser and position in one file, so that they cannot disagree."""
        if not self.processes.is_leader:
            return
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        tensors["usage"] = self._usage
        if self.plateau is not None:
            values = {key: value for key, value in self.plateau.state_dict().items() if _plain(value)}
            self.position.plateau = values | {"lr": self.optimizer.param_groups[0]["lr"]}
        body = {"identity": self.identity, "position": asdict(self.position), "recent": self._recent}
        write_tensors(self.folder / STATE_NAME, tensors, {"clvq": json.dumps(body)})

    def _resume(self) -> bool:
        """Takes up the saved state, where there is one, and cuts the log back to it."""
        path = self.folder / STATE_NAME
        if not path.exists():
            return False
        tensors, metadata = read_tensors(path)
        try:
            body = json.loads(metadata["clvq"])
            if body["identity"] != self.identity:
                raise MismatchError(
                    f"{self.folder.parent} holds an unfinished training with other settings or activations. Finish it "
                    "with the same command, or use another --name, or start again with --overwrite."
                )
            self.model.load_state_dict(_below(tensors, "model."))
            states: dict[int, dict[str, Tensor]] = {}
            for name, value in _below(tensors, "optimizer.").items():
                number, key = name.split(".", 1)
                states.setdefault(int(number), {})[key] = value.clone()
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": states, "param_groups": groups})
            self.position = Position(**body["position"])
            self._recent = body["recent"]
            self._usage.copy_(tensors["usage"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ArtifactError(
                f"{path} is not a training state that fits: {error}. Start again with --overwrite."
            ) from error
        if self.plateau is not None and self.position.plateau is not None:
            values = dict(self.position.plateau)
            for group in self.optimizer.param_groups:
                group["lr"] = values.pop("lr", group["lr"])
            self.plateau.load_state_dict(values)
        self.processes.wait()  # everyone has read the state before the leader goes on and writes the next
        if self.processes.is_leader:
            cut_back(self.metrics_path, self.position.step, self.position.epoch, self.position.seconds)
        self.progress(Progress(self.stage, note=f"Continuing after step {self.position.step} of {self.total_steps}."))
        return True


def _averages(sums: dict[str, float]) -> dict[str, float]:
    return {name: value / max(sums["rows"], 1) for name, value in sums.items() if name != "rows"}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | list)
