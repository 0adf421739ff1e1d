"""A TopK sparse autoencoder, within a layer or across layers, from rows to figures: a sweep over learning rate and k,
then the training itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from clvq.config import TrainConfig
from clvq.device import Processes
from clvq.errors import ClvqError, MismatchError
from clvq.models.crosslayer import CrosslayerSae
from clvq.models.sae import TopKSae
from clvq.progress import Progress
from clvq.storage import fingerprint, read_json, remove_folder, write_json
from clvq.training.job import Job
from clvq.training.records import SaeArguments
from clvq.training.results import SaeChoice, SaeEvaluation, Tried
from clvq.training.rows import PairRows
from clvq.training.sae_trainer import SaeTrainer, evaluate_sae
from clvq.training.state import Position

LATENTS_PER_CODE = 8
"""Number of latents in the dictionary for each code of the codebook: 3,200 at the default of 400 codes. At the usual
widths the dictionary is then four to eight times as large as the width, as is common for sparse autoencoders. The
autoencoder has half the parameters of the CLVQ-VAE that it is compared with; with 16 latents for each code it would
have as many."""
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""In ascending order. The three inner ones are tried first, and an outer one where the best lies at the edge."""
ACTIVE = (4, 8, 16, 32, 64)
"""Values of k, in ascending order. They are tried in the same way."""
NEAR_BEST = 1.1
"""The smallest k is chosen whose selection FVU is at most this many times the lowest one. By FVU alone, the largest k
would always be chosen."""
SWEEP_NAME = "sweep.json"
BIAS_ROWS = 50_000
"""Number of rows of the input layer whose mean is the first bias of a cross-layer autoencoder."""


@dataclass(frozen=True)
class SaeOutcome:
    model: TopKSae
    position: Position
    evaluation: SaeEvaluation
    choice: SaeChoice


def train_sae(job: Job) -> SaeOutcome:
    """Sweep, train and evaluate.

    The first nine points of the sweep share one budget: as many sentences as the final training sees. Each point sees
    an equal share of them, once. Where the best point has the smallest or the largest learning rate or k, the next
    value is tried too, on as many sentences. ClvqError where several processes were launched.
    """
    if Processes.current().count > 1:
        raise ClvqError(f"--method {job.config.method} trains in one process. Start it without torchrun or accelerate.")
    job = replace(job, config=replace(job.config, weight_decay=0.0))
    latents = LATENTS_PER_CODE * job.config.codebook_size
    share = _share(job.rows.training, job.config, len(_inner(ACTIVE)) * len(_inner(LEARNING_RATES)))
    tried = _sweep(replace(job, rows=replace(job.rows, training=share)), latents)
    best = choose(tried)
    job.progress(Progress("train", note=f"Chosen: k {best.k}, learning rate {best.learning_rate:g}."))
    model, position = _train_one(job, latents, best.k, best.learning_rate)
    evaluation = evaluate_sae(model, job.rows.evaluation, job.rows.means, job.progress)
    return SaeOutcome(model, position, evaluation, SaeChoice(latents, best.k, best.learning_rate, tried, len(share)))


def choose(tried: list[Tried]) -> Tried:
    """Choose the best learning rate of the smallest k whose FVU is near the lowest FVU."""

    def fvu(point: Tried) -> float:
        return math.inf if point.selection_fvu is None else point.selection_fvu

    best = min(map(fvu, tried))
    near = [point for point in tried if fvu(point) <= NEAR_BEST * best]
    return min(near, key=lambda point: (point.k, fvu(point)))


def _inner(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values of a grid that are tried first: all but the two ends."""
    return values[1:-1]


def _sweep(job: Job, latents: int) -> list[Tried]:
    """Run one short training for each k and learning rate. Finished ones are kept in sweep.json, without their
    weights."""
    path, identity = job.folder / SWEEP_NAME, fingerprint(job.identity)
    tried: list[Tried] = []
    if path.exists():
        body = read_json(path, "Start again with --overwrite.")
        if body["identity"] != identity:
            raise MismatchError(
                f"{job.folder.parent} holds an unfinished training with other settings or activations. Finish it with "
                "the same command, or use another --name, or start again with --overwrite."
            )
        tried = [Tried(**point) for point in body["tried"]]
    grid = sorted({min(k, latents) for k in ACTIVE})
    rates, ks = list(_inner(LEARNING_RATES)), [k for k in grid if k in _inner(ACTIVE)] or grid[-1:]
    while True:
        done = {(point.k, point.learning_rate) for point in tried}
        left = [point for point in itertools.product(ks, rates) if point not in done]
        if not left:
            return tried
        for k, rate in left:
            tried.append(_try(job, latents, k, rate))
            write_json(path, {"identity": identity, "tried": [point.as_json() for point in tried]})
        best = choose(tried)
        rates = _with_neighbours(rates, list(LEARNING_RATES), best.learning_rate)
        ks = _with_neighbours(ks, grid, best.k)


def _with_neighbours(tried: list[Any], grid: list[Any], best: Any) -> list[Any]:
    """Return the tried values, and the next value of `grid` where `best` is the smallest or the largest of them."""
    place = grid.index(best)
    return sorted({*tried, *grid[max(place - 1, 0) : place + 2]})


def _try(job: Job, latents: int, k: int, rate: float) -> Tried:
    short = replace(
        job,
        config=replace(job.config, epochs=1),
        folder=job.folder / f"sweep-{k}-{rate:g}",
        stage=f"sweep, k {k}, learning rate {rate:g}",
        tracker="none",
    )
    _, position = _train_one(short, latents, k, rate)
    remove_folder(short.folder)
    fvu = position.best_fvu if math.isfinite(position.best_fvu) else None
    return Tried(rate, k, fvu, round(position.seconds, 1))


def architecture(config: TrainConfig, widths: tuple[int, int], latents: int, k: int) -> SaeArguments:
    """Return the arguments of `TopKSae` or `CrosslayerSae`; `widths` are those of the input and the target layer."""
    within = SaeArguments(input_width=widths[0], latents=latents, k=k)
    return within if config.method == "sae" else replace(within, output_width=widths[1], skip=config.skip)


def _train_one(job: Job, latents: int, k: int, learning_rate: float) -> tuple[TopKSae, Position]:
    """Run one training: a short one of the sweep, or the final one."""
    rows = job.rows
    torch.manual_seed(job.config.seed)
    arguments = architecture(job.config, rows.widths, latents, k)
    model = (TopKSae if job.config.method == "sae" else CrosslayerSae)(**arguments.as_json()).to(rows.training.device)
    model.input_scale.fill_(rows.training.pair.scales[0])
    with torch.no_grad():
        if isinstance(model, CrosslayerSae):
            model.output_scale.fill_(rows.training.pair.scales[1])
            generator = torch.Generator().manual_seed(job.config.seed)
            model.bias.copy_(rows.training.sample_inputs(BIAS_ROWS, generator).mean(dim=0))
        model.target_bias.copy_(rows.means.words)
    config, identity = replace(job.config, learning_rate=learning_rate), [job.identity, k, learning_rate]
    return model, SaeTrainer(model, replace(job, config=config, identity=identity)).run()


def _share(rows: PairRows, config: TrainConfig, points: int) -> PairRows:
    """Return the sentences for one point of the sweep, the same for all points."""
    count = min(len(rows), math.ceil(len(rows) * config.epochs / points))
    indices = np.random.default_rng([config.seed, points]).permutation(len(rows))[:count]
    return rows.restricted(np.sort(indices))
