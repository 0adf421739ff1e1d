"""Codes that training never moves: where they lie, against what numpy makes of the stored rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from sklearn.linear_model import Ridge
from torch.nn import functional

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.directions import concept_space
from clvq.concepts.pairs import against
from clvq.language_model.rows import WORD
from clvq.models import codebook_init
from clvq.training.rows import split_by_text

pytestmark = pytest.mark.slow

SMALL = {"input_layer": 1, "output_layer": 4, "epochs": 1, "decoder_layers": 1, "codebook_size": 64, "device": "cpu"}


def rows_of(store: ActivationStore, layer: int, sentences: np.ndarray, words: bool = False) -> np.ndarray:
    """[N, D] all rows of training sentences, or the words among them, in the model's units."""
    counts = store.row_counts("train")
    ends = np.cumsum(counts)
    numbers = np.concatenate([np.arange(ends[i] - counts[i], ends[i]) for i in sentences])
    if words:
        numbers = numbers[(store.flags("train")[numbers] & WORD) != 0]
    rows = np.concatenate([rows.numpy() for _, rows in store.rows("train", layer).shards()])
    return rows[numbers].astype(np.float64)


def training_rows(store: ActivationStore, layer: int, words: bool = False) -> np.ndarray:
    """The same of the sentences that training sees."""
    return rows_of(store, layer, split_by_text(store, "train")[0], words)


def test_random_codes_have_the_mean_and_covariance_of_the_rows(tiny_store: ActivationStore, tmp_path: Path) -> None:
    """Sphered by the rows' own mean and covariance they are standard normal, whatever the seed."""
    rows = training_rows(tiny_store, 1) * tiny_store.layer(1).scale
    sphere = np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=True))).T
    codebooks = []
    for seed in (0, 1, 1):
        checkpoint = clvq.train(tiny_store, path=tmp_path / str(len(codebooks)), method="random", seed=seed, **SMALL)
        codebooks.append(checkpoint.load().codebook.numpy())
    assert np.array_equal(codebooks[1], codebooks[2])
    assert not np.array_equal(codebooks[0], codebooks[1])
    draws = (np.concatenate(codebooks[:2]) - rows.mean(axis=0)) @ sphere  # [128, 32]
    error = 1 / np.sqrt(len(draws))
    assert np.abs(draws.mean(axis=0)).max() < 4.5 * error
    assert np.abs(np.cov(draws.T, bias=True) - np.eye(32)).max() < 5.5 * error * np.sqrt(2)
    assert np.square(draws).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / draws.size))


def test_agglomerative_codes_are_the_means_of_wards_clusters(tiny_store: ActivationStore, tmp_path: Path) -> None:
    """scipy's dendrogram, cut at as many clusters."""
    checkpoint = clvq.train(tiny_store, path=tmp_path / "ward", method="agglomerative", **SMALL)
    rows = training_rows(tiny_store, 1) * tiny_store.layer(1).scale
    clusters = fcluster(linkage(rows, method="ward"), SMALL["codebook_size"], "maxclust")
    means = np.stack([rows[clusters == cluster].mean(axis=0) for cluster in np.unique(clusters)])
    codes = checkpoint.load().codebook.numpy()
    assert len(means) == len(codes)
    assert cdist(means, codes).min(axis=1).max() < 1e-3
    assert cdist(codes, means).min(axis=1).max() < 1e-3


def test_more_clusters_than_rows_are_compared_are_refused(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clvq.training.frozen_codes.AGGLOMERATIVE_ROWS", 63)
    with pytest.raises(clvq.ClvqError, match="clusters 63 rows, so --codebook-size can be 63 at most; it is 64"):
        clvq.train(tiny_store, path=tmp_path / "ward", method="agglomerative", **SMALL)


def ridge_predictions(store: ActivationStore, splits: list[np.ndarray]) -> list[np.ndarray]:
    """Predictions of layer 4 from scaled rows of layer 1, by scikit-learn: the penalty does best on the slice."""
    _, selection = split_by_text(store, "train")
    x, y = (training_rows(store, layer, words=True) * store.layer(layer).scale for layer in (1, 4))
    x_chosen, y_chosen = (rows_of(store, layer, selection, words=True) * store.layer(layer).scale for layer in (1, 4))
    unit = len(x) * np.square(x).mean()
    maps = [Ridge(alpha=share * unit).fit(x, y) for share in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)]
    best = min(maps, key=lambda one: float(np.square(one.predict(x_chosen) - y_chosen).sum()))
    return [best.predict(rows) for rows in splits]


def test_ridge_kmeans_gives_each_row_the_code_nearest_to_its_prediction(
    tiny_store: ActivationStore, tmp_path: Path
) -> None:
    checkpoint = clvq.train(tiny_store, path=tmp_path / "ridge", method="ridge-kmeans", **SMALL)
    model, scale = checkpoint.load(), tiny_store.layer(1).scale
    train = training_rows(tiny_store, 1)
    evaluation = np.concatenate([rows.numpy() for _, rows in tiny_store.rows("eval", 1).shards()]).astype(np.float64)
    predictions = ridge_predictions(tiny_store, [train * scale, evaluation * scale])
    for rows, predicted in zip((train, evaluation), predictions, strict=True):
        mapped = model.encode(torch.from_numpy(rows).float()).numpy()
        assert np.abs(mapped - predicted).max() < 1e-3 * np.abs(predicted).max()
        distances = cdist(predicted, model.codebook.double().numpy(), "sqeuclidean")
        codes = model.assign(torch.from_numpy(rows).float()[None])[0].numpy()
        taken = distances[np.arange(len(rows)), codes]
        assert (taken <= distances.min(axis=1) + 1e-3 * distances.mean()).all()
        assert (codes == distances.argmin(axis=1)).mean() > 0.99
    # Each code lies the way that the predictions which it is the nearest of on the sphere point on average.
    unit = predictions[0] / np.linalg.norm(predictions[0], axis=1, keepdims=True)
    codes = model.codebook.double().numpy()
    members = (unit @ (codes / np.linalg.norm(codes, axis=1, keepdims=True)).T).argmax(axis=1)
    for code in np.unique(members):
        mean = unit[members == code].mean(axis=0)
        assert mean @ codes[code] > 0.98 * np.linalg.norm(mean) * np.linalg.norm(codes[code])


def test_projection_takes_the_mean_state_where_codes_are_no_states(tiny_store: ActivationStore, tmp_path: Path) -> None:
    """And the directions about the mean are those of the rows at the input layer, as for every method."""
    (tmp_path / "activations").symlink_to(tiny_store.path)
    checkpoint = clvq.train(tiny_store, path=tmp_path / "ridge", method="ridge-kmeans", **SMALL)
    model, space = checkpoint.load(), concept_space(checkpoint)
    words = np.concatenate([rows.numpy() for _, rows in tiny_store.rows("train", 1).shards()])
    words = torch.from_numpy(words[(tiny_store.flags("train") & WORD) != 0])
    codes = model.assign(words[None])[0]
    for code in codes.unique().tolist():
        mean = words[codes == code].double().mean(dim=0)
        raw, centred = (one(torch.tensor([code]))[0].double() for one in (space.raw_directions, space.directions))
        assert torch.allclose(raw, mean / mean.norm(), atol=1e-5)
        away = mean - words.double().mean(dim=0)
        assert torch.allclose(centred, away / away.norm(), atol=1e-4)


def test_codes_of_other_spaces_are_not_matched_by_cosine(tiny_store: ActivationStore, tmp_path: Path) -> None:
    (tmp_path / "activations").symlink_to(tiny_store.path)
    trained = {
        name: clvq.train(tiny_store, path=tmp_path / name, method=method, seed=seed, **SMALL)
        for name, method, seed in (("a", "ridge-kmeans", 0), ("b", "ridge-kmeans", 1), ("c", "kmeans", 0))
    }
    books = {name: clvq.codebook(checkpoint) for name, checkpoint in trained.items()}
    assert against(books["a"], books["b"]).mean_cosine is not None
    assert against(books["a"], books["c"]).mean_cosine is None


@pytest.mark.parametrize(("method", "runs"), [("kmeans", 1), ("clvq", 2)])
def test_one_k_means_serves_yardsticks_and_frozen_codes(
    method: str, runs: int, tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes that training starts from are those of the encoder's output, and take another k-means."""
    clustered: list[torch.Tensor] = []
    own = codebook_init.k_means

    def counted(rows: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        clustered.append(own(rows, *rest, **named))
        return clustered[-1]

    monkeypatch.setattr(codebook_init, "k_means", counted)
    checkpoint = clvq.train(
        tiny_store, path=tmp_path / "L1-L4", **{**SMALL, "codebook_size": 16}, method=method, yardsticks="full", seed=3
    )
    assert len(clustered) == runs
    codes, means = (functional.normalize(one) for one in (checkpoint.load().codebook, clustered[-1]))
    distances = (codes - means).norm(dim=1)
    assert distances.max() < 1e-5 if method == "kmeans" else distances.max() > 1e-4
    assert checkpoint.results.yardsticks.mean_per_code > 0
