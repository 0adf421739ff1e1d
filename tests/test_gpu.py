"""Each command on a GPU gives what it gives on a CPU, to rounding. Skipped where torch sees no GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import clvq

GPU = "cuda"
SETTINGS = {"input_layer": 1, "output_layer": 2, "codebook_size": 20, "epochs": 2, "decoder_heads": 2}

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]


@pytest.fixture(scope="module")
def runs(
    model_folder: Callable[[str], Path], corpus_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Run folders with activations and a checkpoint, made on a CPU and on a GPU."""
    made = []
    for device in ("cpu", GPU):
        made.append(tmp_path_factory.mktemp("run"))
        store = clvq.extract(
            made[-1] / "activations",
            model=str(model_folder("bert")),
            dataset=str(corpus_file),
            layers=(1, 2),
            device=device,
        )
        clvq.train(store, path=made[-1] / "trained", device=device, **SETTINGS)
    return made


def stores(runs: list[Path]) -> list[clvq.ActivationStore]:
    return [clvq.ActivationStore(run / "activations") for run in runs]


def states(store: clvq.ActivationStore, layer: int) -> np.ndarray:
    return torch.cat([shard.float() for _, shard in store.rows("train", layer).shards()]).numpy()


@pytest.mark.parametrize("layer", [1, 2])
def test_states_are_the_same(runs: list[Path], layer: int) -> None:
    on_cpu, on_gpu = (states(store, layer) for store in stores(runs))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)
    assert np.abs(on_cpu).max() > 0.1


def test_predictions_are_the_same(runs: list[Path]) -> None:
    on_cpu, on_gpu = ([row.probabilities for row in store.sentences("eval")] for store in stores(runs))
    np.testing.assert_allclose(np.array(on_gpu), np.array(on_cpu), atol=1e-3)


def test_training_says_where_it_ran_and_ends_as_well(runs: list[Path]) -> None:
    on_cpu, on_gpu = (clvq.read_checkpoint(run / "trained") for run in runs)
    assert on_gpu.config.provenance.device.startswith(GPU)
    assert on_gpu.results.evaluation.fvu == pytest.approx(on_cpu.results.evaluation.fvu, abs=0.1)
    assert on_gpu.results.yardsticks.ridge == pytest.approx(on_cpu.results.yardsticks.ridge, abs=1e-3)


@pytest.mark.parametrize(
    "settings", [{"precision": "bfloat16"}, {"codebooks": 2}, {"method": "kmeans"}, {"method": "sae"}]
)
def test_other_trainings_run(runs: list[Path], tmp_path: Path, settings: dict[str, object]) -> None:
    made = clvq.train(runs[1] / "activations", path=tmp_path / "made", device=GPU, **{**SETTINGS, **settings})
    assert 0 < made.results.evaluation.fvu < 2


def test_codes_explanations_and_effects_of_one_checkpoint_are_the_same(runs: list[Path]) -> None:
    """The checkpoint that the CPU made, read on both devices."""
    checkpoint, explained, effects = runs[0] / "trained", [], []
    for device in ("cpu", GPU):
        explained.append(clvq.explain(checkpoint, device=device, overwrite=True, steps=8, limit=10))
        measured = clvq.faithfulness(checkpoint, device=device, overwrite=True, limit=10, draws=1)
        effects.append([row.concept for row in measured.rows if row.figure == "kl"])
    for on_cpu, on_gpu in zip(*(found.sentences for found in explained), strict=True):
        assert [word.code for word in on_gpu.words] == [word.code for word in on_cpu.words]
        attributions = [[word.attribution for word in sentence.words] for sentence in (on_gpu, on_cpu)]
        np.testing.assert_allclose(*attributions, atol=1e-2)
    np.testing.assert_allclose(effects[1], effects[0], atol=1e-2)
