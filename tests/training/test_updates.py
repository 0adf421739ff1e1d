"""What codes predict: the output layer's state, or the update that is added to the input layer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from sklearn.linear_model import Ridge

import clvq
from clvq.activations.extraction import extract
from clvq.activations.store import ActivationStore
from clvq.interventions.splicer import reconstruct
from clvq.language_model.rows import WORD
from clvq.training.rows import split_by_text
from clvq.training.verdict import training_verdict

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "input_layer": 1, "output_layer": 2, "epochs": 3, "decoder_layers": 1, "codebook_size": 12, "top_k": 3,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """Of a decoder whose residual stream carries most of a state on."""
    folder = tmp_path_factory.mktemp("updates")
    model = tiny_models.tiny_llama(folder / "llama", pad=True)
    return extract(folder / "activations", model=str(model), dataset=str(corpus_file), layers=(1, 2), device="cpu")


def words(store: ActivationStore, split: str, layer: int) -> np.ndarray:
    """[N, D] float64 in the model's units: of the training split what training sees; sinks are left out."""
    rows = np.concatenate([rows.numpy() for _, rows in store.rows(split, layer).shards()]).astype(np.float64)
    kept = ((store.flags(split) & WORD) != 0) & ~store.sinks(split, (1, 2))
    if split == "train":
        chosen = np.isin(np.arange(store.sentence_count(split)), split_by_text(store, split)[0])
        kept &= np.repeat(chosen, store.row_counts(split))
    return rows[kept]


def predictions(checkpoint: clvq.Checkpoint, store: ActivationStore) -> np.ndarray:
    """[N, E] of the words of the evaluation split, sentence by sentence, through the model's own `forward`."""
    rows = torch.cat([rows for _, rows in store.rows("eval", 1).shards()])
    kept = torch.from_numpy(~store.sinks("eval", (1, 2)))
    is_word = torch.from_numpy((store.flags("eval") & WORD) != 0)
    model, made, first = checkpoint.load(), [], 0
    for count in store.row_counts("eval").tolist():
        span = slice(first, first + count)
        first += count
        if kept[span].any():
            inputs = rows[span][kept[span]]
            prediction = reconstruct(model, inputs, torch.tensor([len(inputs)]))
            made.append(prediction[is_word[span][kept[span]]])
    return torch.cat(made).double().numpy()


def naive_fvu(targets: np.ndarray, made: np.ndarray, mean: np.ndarray) -> float:
    return float(np.square(targets - made).sum() / np.square(targets - mean).sum())


@pytest.mark.parametrize("predict", ["state", "update"])
@pytest.mark.parametrize("method", ["clvq", "ridge-kmeans"])
def test_both_figures_are_those_of_the_models_own_predictions(
    store: ActivationStore, tmp_path: Path, method: str, predict: str
) -> None:
    checkpoint = clvq.train(store, path=tmp_path / "a", method=method, predict=predict, **SMALL)
    x, y = (words(store, "eval", layer) for layer in (1, 2))
    x_train, y_train = (words(store, "train", layer) for layer in (1, 2))
    made = predictions(checkpoint, store)
    results, update = checkpoint.results, checkpoint.results.of_update
    assert results.evaluation.fvu == pytest.approx(naive_fvu(y, made, y_train.mean(axis=0)), rel=1e-3)
    mean = (y_train - x_train).mean(axis=0)
    assert update["fvu"] == pytest.approx(naive_fvu(y - x, made - x, mean), rel=1e-3)
    assert results.yardsticks.copy == pytest.approx(naive_fvu(y, x, y_train.mean(axis=0)), rel=1e-3)
    assert update["copy"] == pytest.approx(naive_fvu(y - x, x - x, mean), rel=1e-3)
    ridges = [naive_fvu(y - x, Ridge(alpha=penalty).fit(x_train, y_train).predict(x) - x, mean)
              for penalty in np.geomspace(1e-6, 1e4, 30)]  # fmt: skip
    assert min(ridges) * 0.95 < update["ridge"] < max(ridges)


def test_an_update_is_added_to_the_input(store: ActivationStore, tmp_path: Path) -> None:
    """Where most of a state is carried on, a dozen codes of the update leave less of the state unexplained."""
    state, update = (
        clvq.train(store, path=tmp_path / predict, predict=predict, **SMALL) for predict in ("state", "update")
    )
    assert update.results.evaluation.fvu < 0.5 * state.results.evaluation.fvu
    model = update.load()
    rows = torch.cat([rows for _, rows in store.rows("eval", 1).shards()])[None, :9]
    mask = torch.arange(9)[None] < 7
    with torch.no_grad():
        output = model(rows, mask)
        decoded = model.decode(output.z_q, mask, output.z_e)
    assert torch.allclose(output.prediction[mask], decoded[mask] + rows[mask], atol=1e-5)
    assert not output.prediction[~mask].any()
    said = training_verdict(update).sentences[0]
    assert "the update from layer 1 to 2" in said
    of_update, of_layer = update.results.of_update["fvu"], update.results.evaluation.fvu
    assert f"(FVU {of_update:.3f}, of the update as all that follow; of the layer itself {of_layer:.3f})" in said
    assert "What is decoded is the update between the two layers" in (update.path / "README.md").read_text()
    card = (state.path / "README.md").read_text()
    assert f"| FVU of the update, a ridge map | {state.results.of_update['ridge']:.4f} |" in card


def test_what_has_no_update_is_refused(store: ActivationStore, tmp_path: Path) -> None:
    for method in ("vqvae", "sae", "crosslayer-sae"):
        with pytest.raises(clvq.ClvqError, match=f"--predict update cannot be used with --method {method}"):
            clvq.train(store, path=tmp_path / "a", **{**SMALL, "method": method, "predict": "update"})
    with pytest.raises(clvq.ClvqError, match="widths 16 and 20, so there is no update"):
        clvq.ClvqVae(16, 20, predict="update")
    alone = clvq.train(store, path=tmp_path / "vqvae", method="vqvae", **SMALL)
    assert (alone.results.update_factor, alone.results.of_update) == (None, {})
