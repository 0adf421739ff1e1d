"""`clvq train --method`: what CLVQ-VAE is compared with, in checkpoints that every other command takes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from running import SMALL, Clvq, files_of

import clvq as package
from clvq.artifacts import CHECKPOINT
from clvq.language_model.rows import WORD
from clvq.training.rows import split_by_text

pytestmark = pytest.mark.slow

PAIR = ("--input-layer", "1", "--output-layer", "3", "--epochs", "2", *SMALL)
FROZEN = ("kmeans", "random", "agglomerative", "ridge-kmeans", "gradient-kmeans")
METHODS = (*FROZEN, "vqvae", "sae", "crosslayer-sae")
ACROSS = (*FROZEN, "crosslayer-sae")
"""Those that predict the output layer."""


@pytest.fixture(scope="module")
def trained(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint of each method; shared, so tests that change it copy it."""
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("methods") / "run"))
    settings: dict[str, Any] = {
        "input_layer": 1, "output_layer": 3, "epochs": 2, "codebook_size": 12, "top_k": 3, "decoder_layers": 1,
    }  # fmt: skip
    package.train(run / "activations", path=run / "L1-L3", **settings, yardsticks="full")
    for method in METHODS:
        package.train(run / "activations", path=run / f"L1-L3-{method}", method=method, **settings)
    return run


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def scaled_words(run: Path, layer: int, split: str) -> torch.Tensor:
    store = package.ActivationStore(run / "activations")
    rows = torch.cat([rows for _, rows in store.rows(split, layer).shards()]) * store.layer(layer).scale
    return rows[torch.from_numpy((store.flags(split) & WORD) != 0)]


def results_of(run: Path, name: str) -> dict[str, Any]:
    return package.read_checkpoint(run / name).results.as_json()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_through_the_command_line(clvq: Clvq, own: Path, method: str) -> None:
    """With the options of all methods: what one has no use for is left aside, and said so."""
    made = (own / f"L1-L3-{method}" / "model.safetensors").read_bytes()
    shutil.rmtree(own / f"L1-L3-{method}")
    ended = clvq("train", "--run", own, "--method", method, *PAIR)
    assert ended.code == 0, ended.err
    assert (own / f"L1-L3-{method}" / "model.safetensors").read_bytes() == made
    assert (f"--method {method} ignores --top-k." in ended.err) == (method in FROZEN)
    assert (f"--method {method} ignores --top-k, --decoder-layers." in ended.err) == ("sae" in method)
    of = "layers 1 -> 3" if method in ACROSS else "layer 1"
    assert re.search(rf"[\w -]+ of [\w/-]+, {of} ", " ".join(ended.out.split()))  # a long path wraps
    assert f"Reconstruction of {'layer 1 in ' if of == 'layer 1' else ''}13 evaluation sentences" in ended.out
    fvu = results_of(own, f"L1-L3-{method}")["evaluation"]["fvu"]
    assert re.search(rf"^this model +{fvu:.3f} ", ended.out, re.M)
    before = files_of(own)
    again = clvq("train", "--run", own, "--method", method, *PAIR)
    assert (again.code, again.out) == (0, ended.out)
    assert "is up to date" in again.message
    assert files_of(own) == before
    other = clvq("train", "--run", own, "--method", method, *PAIR, "--seed", 5)
    assert (other.code, "other settings: seed (0 there, 5 here)" in other.message) == (1, True)
    named = clvq("train", "--run", own, *PAIR, "--name", f"L1-L3-{method}")
    assert (named.code, f"method ('{method}' there, 'clvq' here)" in named.message) == (1, True)
    assert clvq("train", "--run", own, "--method", method, *PAIR, "--seed", 5, "--overwrite").code == 0


def test_an_old_checkpoint_is_one_of_clvq(clvq: Clvq, own: Path) -> None:
    config = package.read_checkpoint(own / "L1-L3").config.as_json()
    del config["settings"]["method"], config["results"]["target_layer"]
    CHECKPOINT.write(own / "L1-L3", config)
    ended = clvq("train", "--run", own, *PAIR)
    assert (ended.code, "is up to date" in ended.message) == (0, True)


def test_several_checkpoints_are_told_apart(clvq: Clvq, trained: Path) -> None:
    ended = clvq("codebook", "--run", trained)
    assert ended.code == 1
    for line in ("L1-L3: layers 1 -> 3, 12 codes", "L1-L3-kmeans (kmeans): layers 1 -> 3, 12 codes",
                 "L1-L3-random (random): layers 1 -> 3, 12 codes",
                 "L1-L3-agglomerative (agglomerative): layers 1 -> 3, 12 codes",
                 "L1-L3-ridge-kmeans (ridge-kmeans): layers 1 -> 3, 12 codes",
                 "L1-L3-gradient-kmeans (gradient-kmeans): layers 1 -> 3, 12 codes",
                 "L1-L3-vqvae (vqvae): layer 1, 12 codes", "L1-L3-sae (sae): layer 1, 96 latents",
                 "L1-L3-crosslayer-sae (crosslayer-sae): layers 1 -> 3, 96 latents"):  # fmt: skip
        assert line in ended.message


@pytest.mark.parametrize("method", METHODS)
def test_every_command_takes_it(clvq: Clvq, own: Path, method: str) -> None:
    name = f"L1-L3-{method}"
    listed = clvq("codebook", name, "--run", own, "--json")
    assert listed.code == 0, listed.err
    words = sum(concept["words"] for concept in listed.document["concepts"])
    assert words == listed.document["figures"]["words"]
    assert clvq("codebook", name, "--run", own).code == 0
    assert clvq("codebook", name, "--run", own, "--code", listed.document["concepts"][0]["code"]).code == 0
    assert clvq("codebook", name, "--run", own, "--against", "L1-L3").code == 0
    assert clvq("codebook", name, "--run", own, "--export", own / "concepts.csv").code == 0
    explained = clvq("explain", "The film is very good!", "--checkpoint", name, "--run", own, "--json")
    assert explained.code == 0, explained.err
    ended = clvq("report", name, "--run", own, "--output", own / "report.html")
    assert ended.code == 0, ended.err
    assert f"`clvq explain --checkpoint {name} --run {own}`" in ended.message
    page = (own / "report.html").read_text()
    assert ("Concepts at layer 1 of" in page) == (method not in ACROSS)
    assert "library_name: clvq" in (own / name / "README.md").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_codes_are_the_same_each_time(trained: Path, method: str) -> None:
    checkpoint = package.read_checkpoint(trained / f"L1-L3-{method}")
    store = package.ActivationStore(trained / "activations")
    rows = torch.cat([rows for _, rows in store.rows("eval", 1).shards()])
    codes = checkpoint.load().assign(rows[None])
    assert torch.equal(codes, checkpoint.load().assign(rows[None]))
    mask = torch.arange(len(rows))[None] % 3 > 0
    assert torch.equal(checkpoint.load().assign(rows[None], mask), codes.where(mask, torch.tensor(-1)))


@pytest.mark.parametrize("method", ("kmeans", "random", "agglomerative"))
def test_a_row_has_the_nearest_of_the_frozen_codes(trained: Path, method: str) -> None:
    model = package.read_checkpoint(trained / f"L1-L3-{method}").load()
    rows = scaled_words(trained, 1, "eval")
    naive = torch.cdist(rows.double(), model.codebook.double()).argmin(dim=1)
    assert torch.equal(model.assign(rows[None] / model.input_scale)[0], naive)


def test_kmeans_is_the_yardstick_of_the_others(trained: Path) -> None:
    """`--yardsticks full` and `--method kmeans` train the same, to the last bit."""
    yardstick = results_of(trained, "L1-L3")["yardsticks"]["frozen_kmeans"]
    assert results_of(trained, "L1-L3-kmeans")["evaluation"]["fvu"] == yardstick


def test_a_single_layer_vqvae_reconstructs_its_input_layer(trained: Path) -> None:
    checkpoint = package.read_checkpoint(trained / "L1-L3-vqvae")
    model, store = checkpoint.load(), package.ActivationStore(trained / "activations")
    chosen, _ = split_by_text(store, "train")
    counts = store.row_counts("train")
    words = torch.from_numpy((store.flags("train") & WORD) != 0)
    kept = torch.zeros(len(counts), dtype=torch.bool)
    kept[torch.from_numpy(chosen)] = True
    kept = kept.repeat_interleave(torch.from_numpy(counts)) & words
    train = torch.cat([rows for _, rows in store.rows("train", 1).shards()])
    mean = train[kept].mean(dim=0)
    errors = squares = 0.0
    rows = torch.cat([rows for _, rows in store.rows("eval", 1).shards()])
    start_ = 0
    for sentence, count in zip(store.sentences("eval"), store.row_counts("eval"), strict=True):
        own_rows = rows[start_ : start_ + count]
        is_word = (torch.tensor(sentence.flags) & WORD) != 0
        with torch.no_grad():
            made = model(own_rows[None]).prediction[0]
        errors += float((made - own_rows)[is_word].double().square().sum())
        squares += float((own_rows - mean)[is_word].double().square().sum())
        start_ += count
    assert checkpoint.results.evaluation.fvu == pytest.approx(errors / squares, rel=1e-4)
    assert checkpoint.results.target_layer == 1
    assert checkpoint.results.yardsticks.copy is None
    assert results_of(trained, "L1-L3-kmeans")["target_layer"] == 3


def test_the_sensitivity_metric_through_the_commands(clvq: Clvq, own: Path, bert: Path) -> None:
    trained = clvq("train", "--run", own, *PAIR, "--metric", "sensitivity", "--model", bert)
    assert trained.code == 0, trained.err
    assert re.search(r"^CLVQ-VAE by sensitivity of [\w/-]+, layers 1 -> 3$", trained.out, re.M)
    name = "L1-L3-sensitivity"
    assert "Distances are those of the language model's own sensitivity" in (own / name / "README.md").read_text()
    before = files_of(own)
    again = clvq("train", "--run", own, *PAIR, "--metric", "sensitivity")
    assert (again.code, again.out, "is up to date" in again.message) == (0, trained.out, True)
    assert files_of(own) == before
    other = clvq("train", "--run", own, *PAIR, "--name", name)
    assert (other.code, "metric ('sensitivity' there, 'mixed' here)" in other.message) == (1, True)
    assert f"{name} (sensitivity metric): layers 1 -> 3, 12 codes" in clvq("codebook", "--run", own).message
    measured = clvq(
        "faithfulness", "--run", own, "--checkpoint", name, "--checkpoint", "L1-L3-gradient-kmeans", "--limit", 6,
        "--draws", 1, "--edit", "removal", "--at", "salient", "--json",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    assert {line["checkpoint"] for line in measured.document["figures"]} == {name, "L1-L3-gradient-kmeans"}
    refused = clvq("train", "--run", own, *PAIR, "--method", "kmeans", "--metric", "sensitivity", "--name", "x")
    assert refused.code == 1
    assert "--metric sensitivity can be used with --method clvq or vqvae, not with kmeans." in refused.message
    assert not (own / "x").exists()


def test_the_update_is_shown_beside_the_state(clvq: Clvq, own: Path) -> None:
    trained = clvq("train", "--run", own, *PAIR, "--predict", "update")
    assert trained.code == 0, trained.err
    document = clvq("train", "--run", own, *PAIR, "--predict", "update", "--json").document
    assert document["path"].endswith("L1-L3-update")
    of_state, of_update = document["results"]["evaluation"]["fvu"], document["fvu_of_update"]
    assert of_update["ridge"] / document["results"]["yardsticks"]["ridge"] == pytest.approx(of_update["fvu"] / of_state)
    assert re.search(rf"^this model +{of_state:.3f} +{of_update['fvu']:.3f} ", trained.out, re.M)
    assert re.search(rf"^copy of the input layer +[0-9.]+ +{of_update['copy']:.3f} ", trained.out, re.M)
    sae = clvq("train", "--run", own, "--method", "sae", *PAIR, "--json").document
    assert sae["fvu_of_update"] == {}
    ended = clvq("report", "L1-L3-update", "--run", own, "--output", own / "report.html")
    assert ended.code == 0, ended.err
    page = (own / "report.html").read_text()
    assert "The update from the lower layer to the higher" in page and f"{of_update['ridge']:.3f}" in page
    refused = clvq("train", "--run", own, *PAIR, "--predict", "update", "--method", "sae", "--name", "x")
    assert (refused.code, "--predict update cannot be used with --method sae" in refused.message) == (1, True)
