"""A TopK sparse autoencoder from rows to figures: a sweep over learning rate and k, then the training itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clvq.config import TrainConfig
from clvq.errors import ClvqError, MismatchError
from clvq.models.sae import TopKSae
from clvq.progress import Progress, Report
from clvq.storage import fingerprint, read_json, remove_folder, write_json
from clvq.training.data import TrainingRows
from clvq.training.evaluation import TrainingMeans
from clvq.training.processes import Processes
from clvq.training.rows import PairRows
from clvq.training.sae_trainer import SaeTrainer, evaluate_sae
from clvq.training.state import Position

LATENTS_PER_CODE = 8
"""The dictionary has so many latents for each code of the codebook: 3,200 at the default 400. At the usual widths that
is an expansion of four to eight times, as sparse autoencoders have it, and half the parameters of the CLVQ-VAE that it
stands beside; sixteen times would be as many."""
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
ACTIVE = (8, 16, 32)
"""The values of k that are tried."""
NEAR_BEST = 1.1
"""The smallest k wins whose selection FVU is at most so many times the best one's: FVU alone always asks for the
largest."""
SWEEP_NAME = "sweep.json"


@dataclass(frozen=True)
class Tried:
    """One point of the sweep."""

    learning_rate: float
    k: int
    selection_fvu: float | None
    seconds: float


@dataclass(frozen=True)
class SaeOutcome:
    model: TopKSae
    position: Position
    figures: dict[str, Any]
    """For the results of the checkpoint: evaluation, sweep, what was chosen."""


def train_sae(rows: TrainingRows, folder: Path, identity: Any, progress: Report) -> SaeOutcome:
    """Sweeps, trains and evaluates; `folder` keeps the states from which an interrupted training goes on.

    The points of the sweep share one budget: each sees an equal share of as many sentences as the training proper
    sees, once. ClvqError where several processes were launched.
    """
    if Processes.current().count > 1:
        raise ClvqError("--method sae trains in one process. Start it without torchrun or accelerate.")
    config = replace(rows.config, weight_decay=0.0)
    latents = LATENTS_PER_CODE * config.codebook_size
    choices = [k for k in ACTIVE if k <= latents] or [latents]
    share = _share(rows.training, config, len(choices) * len(LEARNING_RATES))
    tried = _sweep(rows, share, latents, config, choices, folder, identity, progress)
    chosen = choose(tried)
    progress(Progress("train", note=f"Chosen: k {chosen.k}, learning rate {chosen.learning_rate:g}."))
    whole = replace(config, learning_rate=chosen.learning_rate)
    model, position = _Training(rows, rows.training, latents, whole, folder, identity, progress).run(chosen.k, "train")
    figures = {
        "evaluation": evaluate_sae(model, rows.evaluation, rows.means, progress).as_json(),
        "latents": latents,
        "k": chosen.k,
        "learning_rate": chosen.learning_rate,
        "sweep": [asdict(point) for point in tried],
        "sweep_sentences": len(share),
    }
    return SaeOutcome(model, position, figures)


def choose(tried: list[Tried]) -> Tried:
    """The best learning rate of the smallest k whose FVU is near the best one's."""

    def fvu(point: Tried) -> float:
        return math.inf if point.selection_fvu is None else point.selection_fvu

    best = min(map(fvu, tried))
    near = [point for point in tried if fvu(point) <= NEAR_BEST * best]
    return min(near, key=lambda point: (point.k, fvu(point)))


def _sweep(
    rows: TrainingRows,
    share: PairRows,
    latents: int,
    config: TrainConfig,
    choices: list[int],
    folder: Path,
    identity: Any,
    progress: Report,
) -> list[Tried]:
    """One short training for each k and learning rate. What is done is kept in sweep.json, its weights are not."""
    path, own = folder / SWEEP_NAME, fingerprint(identity)
    tried: list[Tried] = []
    if path.exists():
        body = read_json(path, "Start again with --overwrite.")
        if body["identity"] != own:
            raise MismatchError(
                f"{folder.parent} holds an unfinished training with other settings or activations. Finish it with the "
                "same command, or use another --name, or start again with --overwrite."
            )
        tried = [Tried(**point) for point in body["tried"]]
    done = {(point.k, point.learning_rate) for point in tried}
    for k, rate in itertools.product(choices, LEARNING_RATES):
        if (k, rate) in done:
            continue
        short = replace(config, learning_rate=rate, epochs=1)
        place = folder / f"sweep-{k}-{rate:g}"
        stage = f"sweep, k {k}, learning rate {rate:g}"
        _, position = _Training(rows, share, latents, short, place, identity, progress).run(k, stage)
        fvu = position.best_fvu if math.isfinite(position.best_fvu) else None
        tried.append(Tried(rate, k, fvu, round(position.seconds, 1)))
        write_json(path, {"identity": own, "tried": [asdict(point) for point in tried]})
        remove_folder(place)
    return tried


@dataclass(frozen=True)
class _Training:
    """One training, short or whole."""

    rows: TrainingRows
    sentences: PairRows
    latents: int
    config: TrainConfig
    folder: Path
    identity: Any
    progress: Report

    def run(self, k: int, stage: str) -> tuple[TopKSae, Position]:
        means: TrainingMeans = self.rows.means
        torch.manual_seed(self.config.seed)
        model = TopKSae(self.rows.widths[0], self.latents, k).to(self.rows.device)
        model.input_scale.fill_(self.rows.scales[0])
        with torch.no_grad():
            model.bias.copy_(means.words)
        own = fingerprint([self.identity, k, self.config.learning_rate])
        position = SaeTrainer(
            model,
            self.sentences,
            self.rows.selection,
            means,
            self.config,
            self.folder,
            own,
            self.progress,
            stage=stage,
        ).run()
        return model, position


def _share(rows: PairRows, config: TrainConfig, points: int) -> PairRows:
    """The sentences of one point of the sweep, the same for all."""
    count = min(len(rows), math.ceil(len(rows) * config.epochs / points))
    chosen = np.random.default_rng([config.seed, points]).permutation(len(rows))[:count]
    return rows.restricted(np.sort(chosen))
