"""Several codebooks: each codes what those before it leave of a state, against a loop over rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clvq
from clvq.activations.store import ActivationStore
from clvq.interventions.splicer import reconstruct
from clvq.language_model.rows import WORD
from clvq.progress import Progress
from clvq.training.rows import split_by_text

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "input_layer": 1, "output_layer": 4, "epochs": 8, "decoder_layers": 1, "codebook_size": 8, "top_k": 2,
    "batch_sentences": 8, "learning_rate": 1e-2, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def three(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> clvq.Checkpoint:
    folder = tmp_path_factory.mktemp("several")
    (folder / "activations").symlink_to(tiny_store.path)
    return clvq.train(tiny_store, path=folder / "three", codebooks=3, **SMALL)


def rows_of(store: ActivationStore, split: str, layer: int) -> torch.Tensor:
    return torch.cat([rows for _, rows in store.rows(split, layer).shards()])


def naive(checkpoint: clvq.Checkpoint, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """[N, 3] codes and [N, D] the sum of the chosen codes, row by row."""
    model = checkpoint.load()
    books = [model.codebook, *(quantizer.codebook for quantizer in model.refinements)]
    with torch.no_grad():
        left = model.encode(rows).double().numpy()
    metric = None if model.quantizer.metric_map is None else model.quantizer.metric_map.double().numpy()
    indices, total = np.zeros((len(rows), len(books)), int), np.zeros_like(left)
    for row in range(len(rows)):
        for level, book in enumerate(books):
            codes = book.double().numpy()
            gaps = codes - (left[row] - total[row])
            indices[row, level] = np.square(gaps if metric is None else gaps @ metric).sum(axis=1).argmin()
            total[row] += codes[indices[row, level]]
    return indices, total


def test_a_word_has_the_nearest_code_of_what_is_left(three: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    rows = rows_of(tiny_store, "eval", 1)[:200]
    indices, total = naive(three, rows)
    model = three.load().eval()
    with torch.no_grad():
        output = model(rows[None])
        chosen = model.choose(model.encode(rows))
    assert np.array_equal(torch.stack([one.quantized.indices for one in chosen], dim=1).numpy(), indices)
    assert np.abs(output.z_q[0].numpy() - total).max() < 1e-4
    # A concept is a code of the first codebook, everywhere.
    assert np.array_equal(output.indices[0].numpy(), indices[:, 0])
    assert np.array_equal(model.assign(rows[None])[0].numpy(), indices[:, 0])
    assert np.array_equal(clvq.codebook(three).assignments("eval")[:200], indices[:, 0])
    assert len(clvq.codebook(three).concepts) == SMALL["codebook_size"] == three.size
    # All three are learned, and each tells words apart.
    for level in range(3):
        assert len(np.unique(indices[:, level])) > 1


def test_the_figures_are_those_of_the_models_own_predictions(
    three: clvq.Checkpoint, tiny_store: ActivationStore
) -> None:
    model, made, first_alone, targets = three.load().eval(), [], [], []
    rows, outputs = rows_of(tiny_store, "eval", 1), rows_of(tiny_store, "eval", 4)
    words = torch.from_numpy((tiny_store.flags("eval") & WORD) != 0)
    start = 0
    for count in tiny_store.row_counts("eval").tolist():
        span = slice(start, start + count)
        start += count
        made.append(reconstruct(model, rows[span], torch.tensor([count]))[words[span]])
        with torch.no_grad():
            codes = model.codebook[model.assign(rows[span][None])]
            first_alone.append(model.decode(codes)[0][words[span]])
        targets.append(outputs[span][words[span]])
    y = torch.cat(targets).double()
    seen = np.repeat(
        np.isin(np.arange(tiny_store.sentence_count("train")), split_by_text(tiny_store, "train")[0]),
        tiny_store.row_counts("train"),
    )
    train = rows_of(tiny_store, "train", 4)[torch.from_numpy(seen & ((tiny_store.flags("train") & WORD) != 0))].double()

    def fvu(predictions: list[torch.Tensor]) -> float:
        return float((torch.cat(predictions).double() - y).square().sum() / (y - train.mean(dim=0)).square().sum())

    figures = three.results.evaluation
    assert figures.fvu == pytest.approx(fvu(made), rel=1e-3)
    assert figures.fvu_first_codebook == pytest.approx(fvu(first_alone), rel=1e-3)
    assert figures.fvu < figures.fvu_own_code_mean < figures.fvu_codes_shuffled
    said = (three.path / "README.md").read_text()
    assert f"| FVU with the codes of the first codebook alone | {figures.fvu_first_codebook:.4f} |" in said
    assert "Concepts are the codes of the first of 3 codebooks" in said
    assert "8 codes in each of 3 codebooks explain" in said


def test_more_codebooks_predict_better(three: clvq.Checkpoint, tiny_store: ActivationStore, tmp_path: Path) -> None:
    one = clvq.train(tiny_store, path=tmp_path / "one", **SMALL)
    assert three.results.evaluation.fvu < one.results.evaluation.fvu
    # One layer further the codes decide most of the error, whatever the seed and the number of threads.
    near = {**SMALL, "output_layer": 2}
    few, many = (clvq.train(tiny_store, path=tmp_path / f"{count}", **near, codebooks=count) for count in (1, 3))
    assert many.results.evaluation.fvu < 0.75 * few.results.evaluation.fvu
    assert one.results.evaluation.fvu_first_codebook is None
    assert "fvu_first_codebook" not in one.results.evaluation.as_json()
    assert "codebooks" not in one.config.architecture.as_json()
    with pytest.raises(clvq.MismatchError, match=r"codebooks \(1 there, 2 here\)"):
        clvq.train(tiny_store, path=tmp_path / "one", codebooks=2, **SMALL)


def test_an_interrupted_training_goes_on(three: clvq.Checkpoint, tiny_store: ActivationStore, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.stage == "train" and progress.done == 9 and "loss" in progress.details:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clvq.train(tiny_store, path=tmp_path / "cut", codebooks=3, **SMALL, progress=interrupt)
    cut = clvq.train(tiny_store, path=tmp_path / "cut", codebooks=3, **SMALL)
    assert (cut.path / "model.safetensors").read_bytes() == (three.path / "model.safetensors").read_bytes()


def test_frozen_kmeans_codes_have_as_many_codebooks(tiny_store: ActivationStore, tmp_path: Path) -> None:
    """Each holds clusters of what those before leave, and training moves none of them."""
    trained = clvq.train(tiny_store, path=tmp_path / "kmeans", **{**SMALL, "method": "kmeans"}, codebooks=3)
    again = clvq.train(tiny_store, path=tmp_path / "short", **{**SMALL, "method": "kmeans", "epochs": 1}, codebooks=3)
    books = [[quantizer.codebook for quantizer in one.load().quantizers] for one in (trained, again)]
    assert trained.codebooks == 3 and all(torch.equal(*pair) for pair in zip(*books, strict=True))
    rows = rows_of(tiny_store, "eval", 1)
    _, total = naive(trained, rows)
    model = trained.load().eval()
    with torch.no_grad():
        z_e = model.encode(rows).double().numpy()
        first = model.codebook[model.assign(rows[None])[0]].double().numpy()
        assert np.abs(model(rows[None]).z_q[0].numpy() - total).max() < 1e-4
    assert np.square(z_e - total).sum() < 0.8 * np.square(z_e - first).sum()


def test_the_yardstick_of_frozen_codes_is_that_method(tiny_store: ActivationStore, tmp_path: Path) -> None:
    full = clvq.train(tiny_store, path=tmp_path / "full", **SMALL, codebooks=2, yardsticks="full")
    kmeans = clvq.train(tiny_store, path=tmp_path / "kmeans", **{**SMALL, "method": "kmeans"}, codebooks=2)
    assert full.results.yardsticks.frozen_kmeans == pytest.approx(kmeans.results.evaluation.fvu, rel=1e-6)


@pytest.mark.parametrize("method", ["random", "ridge-kmeans", "agglomerative"])
def test_other_frozen_codes_have_one_codebook(tiny_store: ActivationStore, tmp_path: Path, method: str) -> None:
    notes: list[str] = []
    trained = clvq.train(
        tiny_store, path=tmp_path / method, codebooks=2, **{**SMALL, "epochs": 1, "method": method},
        progress=lambda progress: notes.append(progress.note or ""),
    )  # fmt: skip
    assert f"--method {method} ignores --top-k, --codebooks." in notes
    assert trained.codebooks == 1 and not list(trained.load().refinements)


def test_one_codebook_at_least(tiny_store: ActivationStore, tmp_path: Path) -> None:
    with pytest.raises(clvq.ClvqError, match="--codebooks must be 1 or more"):
        clvq.train(tiny_store, path=tmp_path / "none", codebooks=0, **SMALL)
