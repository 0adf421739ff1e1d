"""`clvq train`: results, reruns, missing layers, and what it refuses before any work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from running import SMALL, Clvq, files_of
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import clvq as package

pytestmark = pytest.mark.slow

PAIR = ("--input-layer", "1", "--output-layer", "3", "--epochs", "2", *SMALL)


def test_a_table_for_people(clvq: Clvq, run: Path) -> None:
    ended = clvq("train", "--run", run, *PAIR, "--yardsticks", "full")
    assert ended.code == 0, ended.err
    results = package.read_checkpoint(run / "L1-L3").results.as_json()
    figures, standards = results["evaluation"], results["yardsticks"]
    for name, value in (
        ("this model", figures["fvu"]),
        ("frozen k-means codes, same decoder", standards["frozen_kmeans"]),
        ("ridge map, no codes", standards["ridge"]),
        ("copy of the input layer", standards["copy"]),
        ("this model, sentence rows", figures["fvu_sentence_rows"]),
        ("with codes shuffled among words", figures["fvu_codes_shuffled"]),
    ):
        assert re.search(rf"^{re.escape(name)} +{value:.3f} ", ended.out, re.M), name
    assert f"{figures['codebook_perplexity']:.1f} of 12" in ended.out
    assert str(run / "L1-L3") in "".join(ended.out.split("\n"))
    assert "epoch 2/2, " in ended.err  # without a terminal: a line an epoch
    assert len(ended.err.splitlines()) < 20
    assert "\r" not in ended.err
    assert not (run / "L1-L3" / "training").exists()


def test_one_json_document_and_nothing_else(clvq: Clvq, run: Path) -> None:
    ended = clvq("train", "--run", run, *PAIR, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["results"]["yardsticks"]["ridge"] > 0
    assert ended.document["settings"]["codebook_size"] == 12


def test_what_was_not_measured_is_a_dash(clvq: Clvq, run: Path) -> None:
    ended = clvq("train", "--run", run, *PAIR)
    assert re.search(r"^frozen k-means codes, same decoder +- *$", ended.out, re.M)
    assert "--yardsticks full" in ended.message


def test_the_same_again_is_up_to_date_and_other_settings_are_named(clvq: Clvq, run: Path) -> None:
    first = clvq("train", "--run", run, *PAIR)
    before = files_of(run)
    again = clvq("train", "--run", run, *PAIR, "--device", "cpu")
    assert again.code == 0
    assert f"{run}/L1-L3 is up to date" in again.message
    assert again.out == first.out
    other = clvq("train", "--run", run, *PAIR, "--seed", 5)
    assert (other.code, other.out) == (1, "")
    assert "other settings: seed (0 there, 5 here)" in other.message
    assert "--name" in other.message
    assert files_of(run) == before
    assert clvq("train", "--run", run, *PAIR, "--seed", 5, "--name", "second").code == 0
    assert clvq("train", "--run", run, *PAIR, "--seed", 5, "--overwrite").code == 0
    after = files_of(run)
    assert after["L1-L3/model.safetensors"] == after["second/model.safetensors"]
    assert {name: after[name] for name in before if name.startswith("activations")} == {
        name: before[name] for name in before if name.startswith("activations")
    }


def test_a_missing_layer_is_extracted_and_leaves_checkpoints_valid(clvq: Clvq, run: Path) -> None:
    assert clvq("train", "--run", run, *PAIR).code == 0
    before = files_of(run)
    added = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 4, "--epochs", 1, *SMALL)
    assert added.code == 0, added.err
    assert (run / "L1-L4" / "config.json").exists()
    after = files_of(run)
    assert {name for name in before if before[name] != after[name]} == {"activations/manifest.json"}
    again = clvq("train", "--run", run, *PAIR)
    assert (again.code, f"{run}/L1-L3 is up to date" in again.message) == (0, True)


def test_a_fresh_run_folder_is_extracted_first(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = clvq("train", "--run", run, "--model", bert, "--dataset", corpus, "--layers", 0, *PAIR, "--json")
    assert ended.code == 0, ended.err
    store = package.ActivationStore(run / "activations")
    assert sorted(store.layers) == [0, 1, 3]
    assert store.settings.seed == 0
    assert "demo" not in ended.err


def test_without_model_and_corpus_the_demo_is_used_and_said_so(
    clvq: Clvq, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("clvq.activations.inputs", "clvq.language_model.location"):
        monkeypatch.setattr(f"{user}.MODEL_PATH", bert)  # the real one takes longer
    monkeypatch.chdir(tmp_path)
    ended = clvq("train", *PAIR, "--max-sentences", 30)
    assert ended.code == 0, ended.err
    assert "No --model and --dataset are given: using the bundled demo of both." in ended.err
    assert "\n\nCLVQ-VAE of demo, layers 1 -> 3\n" in ended.out
    assert ended.err.splitlines()[-2:] == [
        "Next: clvq codebook",
        "The same command with --yardsticks full also trains frozen k-means codes to compare with.",
    ]
    said = clvq("train", *PAIR, "--json").document["verdict"]
    assert said["sentences"]
    assert " ".join(said["sentences"]) in " ".join(ended.out.split())
    assert all(f"Warning: {warning}" in " ".join(ended.out.split()) for warning in said["warnings"])
    assert (tmp_path / "clvq-run" / "L1-L3" / "config.json").exists()
    again = clvq("train", *PAIR)
    assert again.code == 0
    assert "bundled demo" not in again.err


def test_other_activations_are_refused(clvq: Clvq, run: Path) -> None:
    ended = clvq("train", "--run", run, *PAIR, "--pooling", "mean", "--overwrite")
    assert ended.code == 1
    assert "pooling ('last' there, 'mean' here)" in ended.message
    assert "`clvq extract --overwrite`" in ended.message


def test_a_checkpoint_of_replaced_activations_is_refused(clvq: Clvq, run: Path, bert: Path, corpus: Path) -> None:
    assert clvq("train", "--run", run, *PAIR).code == 0
    replaced = ("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", "1,3", "--pooling", "mean")
    assert clvq(*replaced, "--overwrite").code == 0
    ended = clvq("train", "--run", run, *PAIR)
    assert ended.code == 1
    assert "was trained on other states of layer 1 than" in ended.message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--input-layer", "3", "--output-layer", "1"), "--input-layer 3 must lie below --output-layer 1"),
        (("--input-layer", "1", "--output-layer", "1"), "--input-layer 1 must lie below --output-layer 1"),
        (("--input-layer", "1", "--output-layer", "7"), "its layers are 0 (embeddings) to 4"),
        (("--input-layer", "-2", "--output-layer", "3"), "--input-layer must not be negative"),
        (("--input-layer", "1", "--output-layer", "3", "--top-k", "500"), "--top-k 500 is more than --codebook-size"),
        (("--input-layer", "1", "--output-layer", "3", "--temperature", "0"), "--temperature must be above 0"),
        (("--input-layer", "1", "--output-layer", "3", "--device", "cuda:99"), ". Use cpu, cuda or mps."),
        (("--input-layer", "1", "--output-layer", "3", "--codebook-size", "5000"), "training rows. Use 1 to "),
        (("--input-layer", "1", "--output-layer", "3", "--min-frequency", "9999"), "No word type has"),
        (("--input-layer", "1", "--output-layer", "3", "--seed", str(2**64)), "--seed must be 0 or more and at most"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    clvq: Clvq, run: Path, arguments: tuple[str, ...], says: str
) -> None:
    before = files_of(run)
    ended = clvq("train", "--run", run, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1].startswith("Error: ")
    assert says in ended.message
    assert files_of(run) == before


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "activations", "", "..", "a\\b", "a\nb", "/tmp/x"])
def test_a_name_stays_in_the_run_folder(clvq: Clvq, run: Path, name: str) -> None:
    before = files_of(run.parent)
    ended = clvq("train", "--run", run, *PAIR, "--name", name)
    assert ended.code == 1
    assert "cannot be a checkpoint's folder" in ended.message
    assert files_of(run.parent) == before


def test_a_loss_that_is_not_finite_stops_at_its_step(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clvq.training.loop.SAVE_SECONDS", 0.0)
    ended = clvq("train", "--run", run, *PAIR, "--batch-sentences", 8, "--learning-rate", "1e30")
    assert ended.code == 1
    step = int(re.search(r"The [\w' ]+ is (?:nan|inf) at step (\d+) \(epoch 1\)", ended.message).group(1))
    assert "Lower --learning-rate" in ended.message
    state = load_file(run / "L1-L3" / "training" / "state.safetensors")
    assert step > 1
    assert all(torch.isfinite(value.float()).all() for name, value in state.items() if "random" not in name)
    assert not (run / "L1-L3" / "config.json").exists()
    assert clvq("train", "--run", run, *PAIR, "--overwrite").code == 0


@pytest.mark.parametrize("metric", ["euclidean", "sensitivity"])
def test_a_layer_where_all_words_are_alike_is_named(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, metric: str
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(bert)
    torch.nn.init.zeros_(model.bert.encoder.layer[0].output.LayerNorm.weight)
    model.save_pretrained(tmp_path / "flat")
    AutoTokenizer.from_pretrained(bert).save_pretrained(tmp_path / "flat")
    command = ("train", "--run", tmp_path / "run", "--model", tmp_path / "flat", "--dataset", corpus, *PAIR)
    ended = clvq(*command, "--metric", metric)
    assert ended.code == 1
    assert "All training words have the same state at layer 1" in ended.message


def test_metrics_are_whole_lines(clvq: Clvq, run: Path) -> None:
    assert clvq("train", "--run", run, *PAIR, "--batch-sentences", 8).code == 0
    lines = [json.loads(line) for line in (run / "L1-L3" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2]
    assert any(line["kind"] == "step" for line in lines)


def test_a_folder_called_demo_is_not_the_bundled_demo(
    clvq: Clvq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the run folder itself: it stands where the names of model and corpus would be looked up as paths."""
    monkeypatch.chdir(tmp_path)
    command = ("train", "--run", "demo", *PAIR, "--max-sentences", 30)
    first = clvq(*command)
    assert first.code == 0, first.err
    (tmp_path / "demo" / "config.json").write_text("{}")  # as of another model of that name
    again = clvq(*command)
    assert again.code == 0, again.err
    assert "demo/L1-L3 is up to date" in again.message
    assert clvq("explain", "what a lovely meal .", "--run", "demo", "--steps", 2).code == 0
