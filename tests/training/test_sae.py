"""The TopK sparse autoencoder against naive loops, a planted dictionary, and its own promises."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch.nn import functional

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.directions import concept_space
from clvq.config import TrainConfig
from clvq.language_model.rows import WORD
from clvq.models.sae import Latents, TopKSae
from clvq.progress import Progress, silent
from clvq.training.evaluation import TrainingMeans
from clvq.training.job import Job, TrainingRows
from clvq.training.results import SaeEvaluation, Tried
from clvq.training.rows import PairBatch
from clvq.training.sae_sweep import choose
from clvq.training.sae_trainer import SaeTrainer, auxiliary_loss, evaluate_sae

pytestmark = pytest.mark.slow

PAIR = {"input_layer": 1, "output_layer": 4}
SMALL = {"codebook_size": 8, "epochs": 3, "batch_sentences": 16, "method": "sae", "device": "cpu"}
CONFIG = TrainConfig.resolve(**PAIR, epochs=12, batch_sentences=128)


class MadeRows:
    """Rows as a training reads them: each a sentence of one word, its own target."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.device, self.texts, self.row_count = rows, rows.device, np.arange(len(rows)), len(rows)
        self.lengths = np.ones(len(rows), int)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, places: np.ndarray) -> PairBatch:
        rows, one = self.rows[torch.from_numpy(places)], torch.ones(len(places), dtype=torch.bool)
        return PairBatch(rows, rows, one[:, None], one)

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[PairBatch]:
        return map(self.read, batches)

    def batches(self, size: int) -> list[np.ndarray]:
        return np.array_split(np.arange(len(self)), range(size, len(self), size))

    def shuffled_batches(self, size: int, seed: int, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        return np.array_split(order, range(size, len(self), size))


def fit(model: TopKSae, rows: torch.Tensor | MadeRows, path: Path, **settings: Any) -> SaeTrainer:
    made = rows if isinstance(rows, MadeRows) else MadeRows(rows)
    mean = made.read(np.arange(len(made))).targets.mean(dim=0)
    means = TrainingMeans(mean, mean)
    config = dataclasses.replace(CONFIG, learning_rate=1e-2, weight_decay=0.0, **settings)
    job = Job(TrainingRows(made, made, made, means, (16, 16)), config, path / "training", "made", silent)
    trainer = SaeTrainer(model, job)
    trainer.run()
    return trainer


@pytest.fixture(scope="module")
def planted() -> tuple[torch.Tensor, torch.Tensor]:
    """(directions [24, 16], rows [4000, 16]): each row three of the directions, with positive weights."""
    generator = torch.Generator().manual_seed(0)
    directions = functional.normalize(torch.randn(24, 16, generator=generator), dim=1)
    chosen = torch.rand(4000, 24, generator=generator).topk(3, dim=1).indices
    weights = 1 + torch.rand(4000, 3, generator=generator)
    return directions, torch.einsum("nk,nkd->nd", weights, directions[chosen])


@pytest.fixture(scope="module")
def fitted(planted: tuple[torch.Tensor, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> TopKSae:
    torch.manual_seed(0)
    model = TopKSae(16, 32, 3)
    fit(model, planted[1], tmp_path_factory.mktemp("planted"))
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> clvq.Checkpoint:
    run = tmp_path_factory.mktemp("sae")
    (run / "activations").symlink_to(tiny_store.path)
    return clvq.train(tiny_store, path=run / "sae", **PAIR, **SMALL)


def eval_rows(store: ActivationStore) -> torch.Tensor:
    return torch.cat([rows for _, rows in store.rows("eval", 1).shards()])


def test_a_planted_dictionary_is_found(fitted: TopKSae, planted: tuple[torch.Tensor, torch.Tensor]) -> None:
    directions, rows = planted
    cosines = (directions @ fitted.directions.detach().T).max(dim=1).values
    assert (cosines > 0.95).float().mean() >= 0.9
    means = TrainingMeans(rows.mean(dim=0), rows.mean(dim=0))
    assert evaluate_sae(fitted, MadeRows(rows), means).fvu < 0.1


def test_exactly_k_latents_make_up_a_row(fitted: TopKSae, planted: tuple[torch.Tensor, torch.Tensor]) -> None:
    rows = planted[1][:50]
    fitted.input_scale.fill_(2.0)
    latents = fitted.encode(rows / 2)
    made = fitted.reconstruct(rows / 2)
    fitted.input_scale.fill_(1.0)
    assert ((latents.values > 0).sum(dim=1) == 3).all()
    weights, bias, directions = (value.detach() for value in (fitted.weights, fitted.bias, fitted.directions))
    for number, row in enumerate(rows):
        naive = (weights @ (row - bias)).relu()
        naive[naive < naive.sort(descending=True).values[2]] = 0
        assert set(naive.nonzero().squeeze(1).tolist()) == set(latents.indices[number].tolist())
        torch.testing.assert_close(made[number], (naive @ directions + bias) / 2, atol=1e-5, rtol=1e-4)


def test_the_basis_spans_the_active_directions(fitted: TopKSae, planted: tuple[torch.Tensor, torch.Tensor]) -> None:
    rows = planted[1][:40]
    basis, latents = fitted.basis(rows), fitted.encode(rows)
    assert basis.shape == (40, 16, 3)
    for number in range(len(rows)):
        active = fitted.directions.detach()[latents.indices[number]]
        naive = torch.from_numpy(scipy.linalg.orth(active.T.double().numpy())).float()
        own = basis[number]
        torch.testing.assert_close(own.T @ own, torch.eye(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(own @ own.T, naive @ naive.T, atol=1e-4, rtol=0)
        assert own[:, 0].dot(active[0]).abs() == pytest.approx(1, abs=1e-5)  # the strongest comes first


def test_directions_that_say_the_same_count_once() -> None:
    model = TopKSae(4, 3, 3)
    with torch.no_grad():
        model.directions.copy_(torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]))
        model.weights.copy_(torch.tensor([[3.0, 0, 0, 0], [2, 0, 0, 0], [-1, 0, 0, 0]]))
    basis = model.basis(torch.tensor([[1.0, 0, 0, 0]]))[0]
    # The second says what the first says, and the third is not active.
    torch.testing.assert_close(basis.abs(), torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(
        TopKSae(2, 8, 4).basis(torch.randn(5, 2)).square().sum(dim=(1, 2)).max(), torch.tensor(2.0)
    )


@pytest.mark.parametrize("revive_after", [0, 5])
def test_dead_latents_come_back(planted: tuple[torch.Tensor, torch.Tensor], tmp_path: Path, revive_after: int) -> None:
    """Half the latents are too weak to be among the strongest; with revival they find something to say."""
    torch.manual_seed(1)
    model = TopKSae(16, 32, 3)
    with torch.no_grad():
        model.weights[16:] *= 1e-3
    fit(model, planted[1], tmp_path, revive_after=revive_after)
    used = torch.bincount(model.encode(planted[1]).indices.flatten(), minlength=32)[16:] > 0
    assert (int(used.sum()) >= 6) if revive_after else (int(used.sum()) <= 1)


def test_the_auxiliary_loss_is_what_dead_latents_miss() -> None:
    torch.manual_seed(0)
    model, rows = TopKSae(6, 20, 2), torch.randn(7, 6)
    before = model.preactivations(rows)
    left = rows - model.bias - model.combine(model.strongest(before))
    dead = torch.tensor([1, 4, 7, 11, 13])
    naive = 0.0
    for number in range(7):
        values, order = before[number, dead].sort(descending=True)
        made = sum(values[i].relu() * model.directions[dead[order[i]]] for i in range(3))  # half of the width
        naive += float((left[number] - made).square().sum().detach())
    found = auxiliary_loss(model, before, left, dead)
    assert float(found.detach()) == pytest.approx(naive / float(left.square().sum().detach()), rel=1e-5)
    assert float(auxiliary_loss(model, before, left, dead[:0])) == 0


def test_directions_stay_unit_vectors_and_fvu_falls(checkpoint: clvq.Checkpoint) -> None:
    model = checkpoint.load()
    torch.testing.assert_close(model.directions.norm(dim=1), torch.ones(64))
    lines = [json.loads(line) for line in (checkpoint.path / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert epochs[-1]["selection_fvu"] < epochs[0]["selection_fvu"]
    assert checkpoint.results.evaluation.fvu < 0.9


def test_figures_equal_a_naive_loop(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    results, model = checkpoint.results, checkpoint.load()
    figures, sae = results.evaluation, results.sae
    assert isinstance(figures, SaeEvaluation)
    assert sae is not None
    words = torch.from_numpy(tiny_store.flags("eval")) & WORD != 0
    rows = eval_rows(tiny_store)[words]
    latents = model.encode(rows)
    assert figures.rows == len(rows)
    assert figures.l0 == pytest.approx(float((latents.values > 0).sum(dim=1).float().mean()))
    assert sae.k / 2 < figures.l0 <= sae.k  # a latent below 0 is not active
    assert figures.active_latents == len(latents.indices[latents.values > 0].unique())
    assert figures.active_latents + figures.dead_latents == sae.latents == 64
    assert figures.active_codes == len(latents.indices[:, 0].unique())
    tried = {(point.k, point.learning_rate) for point in sae.sweep}
    ks, rates = (sorted({point[i] for point in tried}) for i in (0, 1))
    assert tried == set(itertools.product(ks, rates)) >= set(itertools.product((8, 16, 32), (1e-3, 3e-3, 1e-2)))
    for key, values, outermost in (("k", ks, (4, 64)), ("learning_rate", rates, (3e-4, 3e-2))):
        at_the_edge = getattr(sae, key) in (values[0], values[-1])
        assert not at_the_edge or getattr(sae, key) in outermost
    best = min(point.selection_fvu for point in sae.sweep)
    chosen = [point for point in sae.sweep if point.k == sae.k]
    assert min(point.selection_fvu for point in chosen) <= 1.1 * best
    made = [point.learning_rate for point in chosen if point.learning_rate == sae.learning_rate]
    assert len(made) == 1


def test_the_sparsest_near_the_best_is_chosen() -> None:
    tried = [Tried(1e-3, 8, 0.5, 1.0), Tried(1e-2, 8, 0.42, 1.0), Tried(1e-3, 16, 0.41, 1.0), Tried(1e-2, 32, 0.4, 1.0)]
    assert choose(tried) == tried[1]
    assert choose([*tried, Tried(3e-3, 32, 0.2, 1.0)]).selection_fvu == 0.2
    assert choose([Tried(1e-2, 8, None, 1.0), tried[0]]) == tried[0]


def test_a_cut_training_ends_in_the_same_bits(
    checkpoint: clvq.Checkpoint, tiny_store: ActivationStore, tmp_path: Path
) -> None:
    """Cut in the sweep, between two of its points, and in the training proper."""
    cuts = [("sweep, k 8, learning rate 0.003", 2), ("sweep, k 16, learning rate 0.001", 1), ("train", 7)]
    for stage, step in cuts:

        def interrupt(progress: Progress, stage: str = stage, step: int = step) -> None:
            if progress.stage == stage and progress.done == step and "loss" in progress.details:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            clvq.train(tiny_store, path=tmp_path / "cut", **PAIR, **SMALL, progress=interrupt)
        with pytest.raises(clvq.MismatchError, match="unfinished training"):
            clvq.train(tiny_store, path=tmp_path / "cut", **PAIR, **SMALL, seed=1)
    cut = clvq.train(tiny_store, path=tmp_path / "cut", **PAIR, **SMALL)
    assert (cut.path / "model.safetensors").read_bytes() == (checkpoint.path / "model.safetensors").read_bytes()
    assert not (cut.path / "training").exists()


def test_its_concept_space(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    space, model = concept_space(checkpoint), checkpoint.load()
    rows = eval_rows(tiny_store)[:20]
    k = checkpoint.config.architecture.k
    assert torch.equal(space.codes(rows), model.encode(rows).indices[:, 0])
    assert torch.equal(space.basis(rows)[:, :, 0], space.directions(space.codes(rows)))
    assert torch.equal(space.basis(rows, k), model.basis(rows))
    assert torch.equal(space.raw_basis(rows), model.basis(rows)[:, :, :1])
    torch.testing.assert_close(space.raw_directions(space.codes(rows)), model.directions[space.codes(rows)])


def test_several_processes_are_refused(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clvq.device import Processes

    monkeypatch.setattr("clvq.training.sae_sweep.Processes.current", lambda: Processes(0, 2))
    monkeypatch.setattr(Processes, "wait", lambda self: None)
    with pytest.raises(clvq.ClvqError, match="one process"):
        clvq.train(tiny_store, path=tmp_path / "two", **PAIR, **SMALL)


def test_a_latent_is_dead_after_so_many_batches(tmp_path: Path) -> None:
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    model = TopKSae(4, 8, 2)
    trainer = fit(model, rows, tmp_path, epochs=1)
    model.batches_unused.copy_(torch.tensor([0, 99, 100, 101, 0, 0, 0, 0]))
    assert trainer._dead().tolist() == [2, 3]
    trainer._count(Latents(torch.tensor([[1.0, 0.0]]), torch.tensor([[3, 2]])))
    assert model.batches_unused.tolist() == [1, 100, 101, 0, 1, 1, 1, 1]
