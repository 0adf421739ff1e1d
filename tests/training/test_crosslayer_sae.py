"""The cross-layer sparse autoencoder against a planted map, naive loops, and its own promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_sae import MadeRows, fit
from torch.nn import functional

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.directions import concept_space
from clvq.interventions.splicer import reconstruct
from clvq.language_model.rows import WORD
from clvq.models.crosslayer import CrosslayerSae
from clvq.training.evaluation import TrainingMeans
from clvq.training.rows import PairBatch
from clvq.training.sae_trainer import evaluate_sae

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "input_layer": 1, "output_layer": 4, "codebook_size": 8, "epochs": 3, "batch_sentences": 16,
    "method": "crosslayer-sae", "device": "cpu",
}  # fmt: skip


class MadePairs(MadeRows):
    """Rows whose targets are others than themselves."""

    def __init__(self, rows: torch.Tensor, targets: torch.Tensor) -> None:
        super().__init__(rows)
        self.targets = targets

    def read(self, places: np.ndarray) -> PairBatch:
        batch = super().read(places)
        return batch._replace(targets=self.targets[torch.from_numpy(places)])


@pytest.fixture(scope="module", params=[False, True])
def checkpoint(
    tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> clvq.Checkpoint:
    run = tmp_path_factory.mktemp("crosslayer")
    (run / "activations").symlink_to(tiny_store.path)
    return clvq.train(tiny_store, path=run / "sae", **SETTINGS, skip=request.param)


def rows_of(store: ActivationStore, layer: int) -> torch.Tensor:
    rows = torch.cat([rows for _, rows in store.rows("eval", layer).shards()])
    return rows[torch.from_numpy(store.flags("eval")) & WORD != 0]


def test_planted_features_are_mapped(tmp_path: Path) -> None:
    """Each row is three of 24 directions, and its target the same three of 24 others, of another width."""
    generator = torch.Generator().manual_seed(0)
    inputs, outputs = (functional.normalize(torch.randn(24, width, generator=generator), dim=1) for width in (16, 20))
    chosen = torch.rand(4000, 24, generator=generator).topk(3, dim=1).indices
    weights = 1 + torch.rand(4000, 3, generator=generator)
    rows, targets = (torch.einsum("nk,nkd->nd", weights, side[chosen]) for side in (inputs, outputs))
    torch.manual_seed(0)
    model, made = CrosslayerSae(16, 32, 3, 20), MadePairs(rows, targets)
    fit(model, made, tmp_path)
    cosines = outputs @ model.directions.detach().T
    best = cosines.max(dim=1)
    assert (best.values > 0.95).float().mean() >= 0.8
    read = functional.cosine_similarity(model.weights.detach()[best.indices], inputs)
    assert float(read[best.values > 0.95].mean()) > 0.7  # the latent that writes a feature reads the same feature
    means = TrainingMeans(targets.mean(dim=0), targets.mean(dim=0))
    assert evaluate_sae(model.eval(), made, means).fvu < 0.2


def test_figures_equal_a_naive_loop(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    model, results = checkpoint.load(), checkpoint.results
    assert isinstance(model, CrosslayerSae)
    scales = [tiny_store.layer(layer).scale for layer in (1, 4)]
    rows, targets = rows_of(tiny_store, 1), rows_of(tiny_store, 4)
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    predictions = []
    for row in rows * scales[0]:
        before = parameters["weights"] @ (row - parameters["bias"])
        latents = before.relu()
        latents[before < before.sort(descending=True).values[model.k - 1]] = 0
        made = latents @ parameters["directions"] + parameters["output_bias"]
        if checkpoint.settings.skip:
            made = made + parameters["skip"] @ (row - parameters["bias"])
        predictions.append(made / scales[1])
    naive = torch.stack(predictions)
    lengths = torch.tensor([len(rows)])
    torch.testing.assert_close(reconstruct(model, rows, lengths), naive, atol=1e-4, rtol=1e-4)
    words = torch.from_numpy(tiny_store.flags("train")) & WORD != 0
    mean = torch.cat([rows for _, rows in tiny_store.rows("train", 4).shards()])[words].mean(dim=0)
    errors = (targets - naive).square().sum()
    fvu = results.evaluation.fvu
    assert fvu == pytest.approx(float(errors / (targets - mean).square().sum()), rel=0.02)
    assert results.target_layer == 4
    assert results.yardsticks.ridge is not None


def test_the_skip_connection_learns(checkpoint: clvq.Checkpoint) -> None:
    model = checkpoint.load()
    assert isinstance(model, CrosslayerSae)
    assert (model.skip is not None) == checkpoint.settings.skip
    if model.skip is not None:
        assert float(model.skip.detach().abs().max()) > 0


def test_its_concept_space(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    """Codes are the strongest latents; raw directions are those along which they read the input layer."""
    space, model = concept_space(checkpoint), checkpoint.load()
    assert isinstance(model, CrosslayerSae)
    rows = rows_of(tiny_store, 1)[:20]
    codes = model.encode(rows).indices[:, 0]
    assert torch.equal(space.codes(rows), codes)
    torch.testing.assert_close(space.raw_directions(codes), functional.normalize(model.weights.detach()[codes], dim=1))
    alone = model.preactivations(model.codebook).diagonal()
    torch.testing.assert_close(alone, model.strength, atol=1e-4, rtol=1e-4)
